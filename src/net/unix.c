/* What only Unix sockets have, and the addresses of a stream. */
#include <errno.h>

#include "net/addr.h"
#include "net/net.h"
#include "net/socket.h"
#include "os/os.h"

int lido__socket_pair(struct lido__handle *ret_pair[2], int type)
{
    enum lido__handle_kind kind = type == SOCK_STREAM ? LIDO__HANDLE_SOCKET : LIDO__HANDLE_DATAGRAM;
    struct lido__handle *first;
    int fds[2];
    int r = lido__net_check();
    if (r == 0)
        r = lido__os_socketpair(AF_UNIX, type, fds);
    if (r < 0)
        return r;
    r = lido__net_adopt(&first, fds[0], kind);
    if (r < 0) {
        lido__os_close(fds[1]);
        return r;
    }
    r = lido__net_adopt(&ret_pair[1], fds[1], kind);
    if (r < 0)
        lido__net_close(first, false);
    else
        ret_pair[0] = first;
    return r;
}

int lido_stream_pair(lido_stream *pair[2])
{
    struct lido__handle *handles[2];
    int r = lido__socket_pair(handles, SOCK_STREAM);
    if (r < 0)
        return r;
    pair[0] = (lido_stream *)handles[0];
    pair[1] = (lido_stream *)handles[1];
    return 0;
}

int lido_stream_local_address(const lido_stream *stream, lido_address *address)
{
    return lido__socket_local_address(stream->handle.fd, address);
}

int lido_stream_peer_address(const lido_stream *stream, lido_address *address)
{
    return lido__socket_peer_address(stream->handle.fd, address);
}

int lido_stream_peer_credentials(const lido_stream *stream, lido_credentials *credentials)
{
    lido_address local;
    lido_credentials peer;
    int fd = stream->handle.fd;
    int r = lido__socket_local_address(fd, &local);
    if (r == -ENOTSOCK || (r == 0 && lido__address_family(&local) != AF_UNIX))
        r = -ENOTSUP;
    if (r == 0)
        r = lido__os_peer_credentials(fd, &peer.pid, &peer.uid, &peer.gid);
    if (r == 0)
        *credentials = peer;
    return r;
}
