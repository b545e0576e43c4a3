/* Datagrams: UDP and Unix. */
#include <errno.h>
#include <string.h>

#include "net/addr.h"
#include "net/net.h"
#include "net/socket.h"
#include "os/os.h"

/* How long to leave the full queue of a Unix socket alone: at first, and at most. */
#define QUEUE_FIRST_MS 1
#define QUEUE_MOST_MS 64

/* ---- Making and closing ------------------------------------------------------------------------ */

int lido_bind_udp(lido_datagram **socket, const char *host_port)
{
    struct lido__handle *handle;
    int fd = lido__bind_inet(host_port, SOCK_DGRAM, 0);
    int r = fd < 0 ? fd : lido__net_adopt(&handle, fd, LIDO__HANDLE_DATAGRAM);
    if (r == 0)
        *socket = (lido_datagram *)handle;
    return r;
}

int lido_bind_unix_datagram(lido_datagram **socket, const char *path)
{
    struct lido__handle *handle;
    struct lido__unix_owner *owner;
    int r = lido__net_check();
    if (r < 0)
        return r;
    int fd = lido__bind_unix(path, SOCK_DGRAM, &owner);
    if (fd < 0)
        return fd;
    r = lido__net_adopt(&handle, fd, LIDO__HANDLE_DATAGRAM);
    if (r < 0) {
        lido__unbind_unix(owner);
        return r;
    }
    handle->owner = owner;
    *socket = (lido_datagram *)handle;
    return 0;
}

int lido_datagram_pair(lido_datagram *pair[2])
{
    struct lido__handle *handles[2];
    int r = lido__socket_pair(handles, SOCK_DGRAM);
    if (r < 0)
        return r;
    pair[0] = (lido_datagram *)handles[0];
    pair[1] = (lido_datagram *)handles[1];
    return 0;
}

int lido_datagram_from_fd(lido_datagram **socket, int fd)
{
    int type = 0;
    socklen_t length = sizeof(type);
    int r = lido__net_check();
    if (r == 0)
        r = lido__os_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    if (r == -ENOTSOCK || (r == 0 && type != SOCK_DGRAM))
        r = -EINVAL;
    if (r < 0)
        return r;
    struct lido__handle *handle;
    r = lido__net_take_over(&handle, fd, LIDO__HANDLE_DATAGRAM);
    if (r == 0)
        *socket = (lido_datagram *)handle;
    return r;
}

int lido_datagram_fd(const lido_datagram *socket)
{
    return socket->handle.fd;
}

int lido_datagram_connect(lido_datagram *socket, const lido_address *peer)
{
    return lido__os_connect(socket->handle.fd, lido__address_raw(peer), peer->length);
}

int lido_datagram_local_address(const lido_datagram *socket, lido_address *address)
{
    return lido__socket_local_address(socket->handle.fd, address);
}

int lido_datagram_peer_address(const lido_datagram *socket, lido_address *address)
{
    return lido__socket_peer_address(socket->handle.fd, address);
}

void lido_datagram_keep_path(lido_datagram *socket)
{
    lido__keep_unix(socket->handle.owner);
    socket->handle.owner = NULL;
}

void lido_datagram_close(lido_datagram *socket)
{
    if (socket)
        lido__net_close(&socket->handle, false);
}

/* ---- Sending ----------------------------------------------------------------------------------- */

static ssize_t send_message(lido_datagram *socket, struct msghdr *message)
{
    return lido__net_await(LIDO__OP_SEND_DATAGRAM, &socket->handle, message, 0);
}

ssize_t lido_send(lido_datagram *socket, const void *buffer, size_t size)
{
    struct iovec part = {(void *)buffer, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return send_message(socket, &message);
}

ssize_t lido_send_to(lido_datagram *socket, const void *buffer, size_t size, const lido_address *to)
{
    struct iovec part = {(void *)buffer, size};
    struct msghdr message = {.msg_name = (void *)lido__address_raw(to),
                             .msg_namelen = to->length,
                             .msg_iov = &part,
                             .msg_iovlen = 1};
    int64_t pause = QUEUE_FIRST_MS;
    ssize_t r;
    /* -EALREADY: the queue of a Unix socket is full, and there is no event for when it has room. */
    while ((r = send_message(socket, &message)) == -EALREADY) {
        r = lido_sleep(pause);
        if (r < 0)
            break;
        pause = pause < QUEUE_MOST_MS ? 2 * pause : pause;
    }
    return r;
}

/* ---- Receiving --------------------------------------------------------------------------------- */

static ssize_t receive(lido_datagram *socket, struct msghdr *message, bool *truncated)
{
    ssize_t r = lido__net_await(LIDO__OP_RECV_DATAGRAM, &socket->handle, message, 0);
    if (r >= 0 && truncated)
        *truncated = message->msg_flags & MSG_TRUNC;
    return r;
}

ssize_t lido_recv(lido_datagram *socket, void *buffer, size_t size, bool *truncated)
{
    struct iovec part = {buffer, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return receive(socket, &message, truncated);
}

ssize_t lido_recv_from(lido_datagram *socket, void *buffer, size_t size, lido_address *from,
                       bool *truncated)
{
    union lido__sockaddr sender;
    struct iovec part = {buffer, size};
    struct msghdr message = {
        .msg_name = &sender, .msg_namelen = sizeof(sender), .msg_iov = &part, .msg_iovlen = 1};
    ssize_t r = receive(socket, &message, truncated);
    if (r >= 0 && from)
        lido__address_set(from, &sender, message.msg_namelen);
    return r;
}
