/* Listening, and accepting. */
#include <errno.h>
#include <stdlib.h>

#include "net/addr.h"
#include "net/net.h"
#include "net/sibling.h"
#include "net/socket.h"
#include "os/os.h"

#define BACKLOG 4096

/* Reads no further than the caller's header knew. */
#define HAS(options, field)                                                                        \
    ((options) &&                                                                                  \
     (options)->size >= offsetof(lido_listen_options, field) + sizeof((options)->field))

/* ---- Making and closing ------------------------------------------------------------------------- */

/* Takes the bound socket over, also if it fails. */
static int listen_on(lido_listener **listener, int fd, int backlog, struct lido__unix_owner *owner)
{
    struct lido__handle *handle;
    int r = lido__os_listen(fd, backlog);
    if (r < 0) {
        lido__unbind_unix(owner);
        lido__os_close(fd);
        return r;
    }
    r = lido__net_adopt(&handle, fd, LIDO__HANDLE_LISTENER);
    if (r < 0) {
        lido__unbind_unix(owner);
        return r;
    }
    handle->owner = owner;
    *listener = (lido_listener *)handle;
    return 0;
}

int lido_listen_tcp_with(lido_listener **listener, const char *host_port,
                         const lido_listen_options *options)
{
    int backlog = HAS(options, backlog) ? options->backlog : 0;
    unsigned how = LIDO__BIND_REUSE_ADDRESS;
    if (HAS(options, reuse_port) && options->reuse_port)
        how |= LIDO__BIND_REUSE_PORT;
    if (HAS(options, v6_only) && options->v6_only)
        how |= LIDO__BIND_V6_ONLY;
    int fd = lido__bind_inet(host_port, SOCK_STREAM, how);
    if (fd < 0)
        return fd;
    int r = listen_on(listener, fd, backlog > 0 ? backlog : BACKLOG, NULL);
    if (r == 0)
        (*listener)->handle.flags |= LIDO__ACCEPTS_TCP;
    return r;
}

int lido_listen_tcp(lido_listener **listener, const char *host_port)
{
    return lido_listen_tcp_with(listener, host_port, NULL);
}

int lido_listen_unix(lido_listener **listener, const char *path)
{
    struct lido__unix_owner *owner;
    int r = lido__net_check();
    if (r < 0)
        return r;
    int fd = lido__bind_unix(path, SOCK_STREAM, &owner);
    return fd < 0 ? fd : listen_on(listener, fd, BACKLOG, owner);
}

/* 0 if the descriptor is a stream socket that listens. */
static int check_listens(int fd)
{
    int type = 0, listens = 0;
    socklen_t length = sizeof(int);
    int r = lido__os_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    if (r == 0)
        r = lido__os_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length);
    if (r < 0)
        return r == -ENOTSOCK ? -EINVAL : r;
    return listens && type == SOCK_STREAM ? 0 : -EINVAL;
}

int lido_listener_from_fd(lido_listener **listener, int fd)
{
    struct lido__handle *handle;
    int r = lido__net_check();
    if (r == 0)
        r = check_listens(fd);
    int tcp = r < 0 ? r : lido__socket_is_tcp(fd);
    if (tcp < 0)
        return tcp;
    r = lido__net_take_over(&handle, fd, LIDO__HANDLE_LISTENER);
    if (r < 0)
        return r;
    handle->flags |= (uint8_t)(LIDO__FD_SHARED | (tcp ? LIDO__ACCEPTS_TCP : 0));
    *listener = (lido_listener *)handle;
    return 0;
}

int lido_listener_fd(const lido_listener *listener)
{
    lido_listener *shared = (lido_listener *)listener;
    lido__door_open(shared);
    if (!lido__net_flagged(&shared->handle, LIDO__FD_SHARED))
        lido__net_flag(&shared->handle, LIDO__FD_SHARED, 0);
    return listener->handle.fd;
}

int lido_listener_local_address(const lido_listener *listener, lido_address *address)
{
    return lido__socket_local_address(listener->handle.fd, address);
}

void lido_listener_keep_path(lido_listener *listener)
{
    lido__keep_unix(listener->handle.owner);
    listener->handle.owner = NULL;
}

void lido_listener_close(lido_listener *listener)
{
    if (listener)
        lido__net_close(&listener->handle, false);
}

/* ---- Accepting ---------------------------------------------------------------------------------- */

bool lido__accept_passes_over(ssize_t result, unsigned *count)
{
    switch (result) {
    case -EPERM: /* of a firewall */
    case -ECONNABORTED:
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -EPIPE:
    case -EPROTO:
    case -ENOPROTOOPT:
    case -EOPNOTSUPP:
    case -EHOSTDOWN:
    case -EHOSTUNREACH:
    case -ENETDOWN:
    case -ENETRESET:
    case -ENETUNREACH:
    case -ENONET: return (*count)++ < LIDO__PASSED_OVER_MAX;
    default: return false;
    }
}

void lido__accept_into(struct lido__handle *stream, const struct lido__handle *listener, int fd)
{
    stream->fd = fd;
    stream->kind = lido__net_flagged(listener, LIDO__ACCEPTS_TCP) ? LIDO__HANDLE_TCP
                                                                  : LIDO__HANDLE_SOCKET;
    stream->flags = lido__net_flagged(listener, LIDO__LINGERS); /* as the socket inherits it */
}

/* The stream comes first: a connection that has been accepted is not to be lost for want of memory. */
int lido_accept(lido_listener *listener, lido_stream **stream, lido_address *peer)
{
    /* Before the stream, which may get this handle if it is free. */
    lido__net_require(&listener->handle, LIDO__HANDLE_LISTENER);
    struct lido__handle *accepted = lido__handle_new(-1, LIDO__HANDLE_SOCKET);
    unsigned passed_over = 0;
    ssize_t r;
    if (!accepted)
        return -ENOMEM;
    lido__door_open(listener);
    do
        r = lido__net_await(LIDO__OP_ACCEPT, &listener->handle, peer, 0);
    while (lido__accept_passes_over(r, &passed_over));
    if (r < 0) {
        lido__handle_free(accepted);
        return (int)r;
    }
    lido__accept_into(accepted, &listener->handle, (int)r);
    *stream = (lido_stream *)accepted;
    return 0;
}
