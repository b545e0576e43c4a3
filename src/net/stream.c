/* Byte streams: reading, writing, closing. What makes them is in connect.c, listen.c and unix.c. */
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "fiber/fiber.h"
#include "net/net.h"
#include "net/socket.h"
#include "os/os.h"

#define SLICES_MAX 1024u

_Static_assert(sizeof(lido_slice) == sizeof(struct iovec), "a slice is a struct iovec");

ssize_t lido__net_await(enum lido__op_kind kind, struct lido__handle *handle, void *buffer,
                        size_t length)
{
    struct lido__op op;
    lido__op_init(&op, kind, handle, buffer, length);
    return lido__await(&op);
}

/* Nothing is wanted of the stream, so nothing of it matters: not what is in it, nor whether it
   lives. */
static bool is_empty(const lido_slice *slices, size_t count)
{
    size_t i = 0;
    while (i < count && slices[i].length == 0)
        i++;
    return i == count;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

ssize_t lido_read(lido_stream *stream, void *buffer, size_t size)
{
    if (size == 0)
        return 0;
    return lido__net_await(LIDO__OP_READ, &stream->handle, buffer, size);
}

ssize_t lido_readv(lido_stream *stream, const lido_slice *slices, size_t count)
{
    if (count > SLICES_MAX)
        return -EINVAL;
    if (is_empty(slices, count))
        return 0;
    return lido__net_await(LIDO__OP_READV, &stream->handle, (void *)slices, count);
}

ssize_t lido_peek(lido_stream *stream, void *buffer, size_t size)
{
    if (size == 0)
        return 0;
    return lido__net_await(LIDO__OP_PEEK, &stream->handle, buffer, size);
}

ssize_t lido_read_all(lido_stream *stream, void *buffer, size_t size, size_t *done)
{
    size_t total = 0;
    ssize_t r = 1;
    while (total < size && r > 0) {
        r = lido_read(stream, (char *)buffer + total, size - total);
        total += r > 0 ? (size_t)r : 0;
    }
    if (done)
        *done = total;
    return r < 0 ? r : (ssize_t)total;
}

/* ---- Writing ----------------------------------------------------------------------------------- */

ssize_t lido_write(lido_stream *stream, const void *buffer, size_t size)
{
    if (size == 0)
        return 0;
    return lido__net_await(LIDO__OP_WRITE, &stream->handle, (void *)buffer, size);
}

ssize_t lido_writev(lido_stream *stream, const lido_slice *slices, size_t count)
{
    if (count > SLICES_MAX)
        return -EINVAL;
    if (is_empty(slices, count))
        return 0;
    return lido__net_await(LIDO__OP_WRITEV, &stream->handle, (void *)slices, count);
}

ssize_t lido_write_all(lido_stream *stream, const void *buffer, size_t size, size_t *done)
{
    size_t total = 0;
    ssize_t r = 0;
    while (total < size && r >= 0) {
        r = lido_write(stream, (const char *)buffer + total, size - total);
        total += r > 0 ? (size_t)r : 0;
    }
    if (done)
        *done = total;
    return r < 0 ? r : (ssize_t)total;
}

int lido_shutdown_stream(lido_stream *stream, lido_side side)
{
    static const int how[] = {SHUT_RD, SHUT_WR, SHUT_RDWR};
    if ((unsigned)side > LIDO_SIDE_BOTH)
        return -EINVAL;
    uintptr_t none = 0;
    if (side != LIDO_SIDE_READ)
        lido__cas(&stream->handle.error, &none, LIDO__STREAM_ENDED, LIDO__RELAXED, LIDO__RELAXED);
    return lido__os_shutdown(stream->handle.fd, how[side]);
}

/* ---- Making and closing ------------------------------------------------------------------------ */

/* The kind of handle that a descriptor can be a stream of. -EBADF; -EINVAL: of none. */
static int kind_of(int fd)
{
    int type = 0, listens = 0;
    socklen_t length = sizeof(type);
    int file_type = lido__fd_type(fd);
    if (file_type < 0)
        return file_type;
    if (file_type == S_IFIFO)
        return LIDO__HANDLE_FILE;
    if (file_type == S_IFCHR)
        return LIDO__HANDLE_DEVICE;
    if (file_type != S_IFSOCK)
        return -EINVAL;
    int r = lido__os_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    if (r == 0)
        r = lido__os_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length);
    if (r < 0 || listens)
        return r < 0 ? r : -EINVAL;
    if (type != SOCK_STREAM)
        return -EINVAL;
    r = lido__socket_is_tcp(fd);
    if (r < 0)
        return r;
    return r ? LIDO__HANDLE_TCP : LIDO__HANDLE_SOCKET;
}

int lido_stream_from_fd(lido_stream **stream, int fd)
{
    struct lido__handle *handle;
    int r = lido__net_check();
    if (r < 0)
        return r;
    int kind = kind_of(fd);
    if (kind < 0)
        return kind;
    r = lido__net_take_over(&handle, fd, (enum lido__handle_kind)kind);
    if (r == 0)
        *stream = (lido_stream *)handle;
    return r;
}

int lido_stream_into_fd(lido_stream *stream)
{
    int fd = stream->handle.fd;
    if (lido__side_busy(&stream->handle, 0) || lido__side_busy(&stream->handle, 1))
        return -EBUSY;
    lido__net_close(&stream->handle, true);
    return fd;
}

int lido_stream_fd(const lido_stream *stream)
{
    return stream->handle.fd;
}

void lido_close(lido_stream *stream)
{
    if (stream)
        lido__net_close(&stream->handle, false);
}
