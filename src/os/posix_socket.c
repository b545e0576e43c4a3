#define _GNU_SOURCE

#include <fcntl.h>
#include <unistd.h>

#include "os/call.h"
#include "os/os.h"

/* Of a datagram that is too long, MSG_TRUNC returns the true length. */
ssize_t lido__os_recv_datagram(int fd, struct msghdr *message)
{
    const struct iovec *part = message->msg_iov;
    socklen_t *length = message->msg_name ? &message->msg_namelen : NULL;
    ssize_t r = LIDO__CALL_AGAIN("recvfrom", recvfrom(fd, part->iov_base, part->iov_len, MSG_TRUNC,
                                                      message->msg_name, length));
    bool truncated = r > (ssize_t)part->iov_len;
    message->msg_flags = truncated ? MSG_TRUNC : 0;
    return truncated ? (ssize_t)part->iov_len : r;
}

ssize_t lido__os_send_datagram(int fd, const struct msghdr *message)
{
    const struct iovec *part = message->msg_iov;
    return LIDO__CALL_AGAIN("sendto", sendto(fd, part->iov_base, part->iov_len, MSG_NOSIGNAL,
                                             message->msg_name, message->msg_namelen));
}

ssize_t lido__os_sendv(int fd, const struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    return LIDO__CALL_AGAIN("sendmsg", sendmsg(fd, &message, MSG_NOSIGNAL));
}

int lido__os_socket(int domain, int type, int protocol)
{
    return lido__fd_lift(
        LIDO__CALL("socket", socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)));
}

int lido__os_socketpair(int domain, int type, int ret_fds[2])
{
    int fds[2]; /* Linux writes to it even when it fails */
    int r =
        LIDO__CALL("socketpair", socketpair(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
    if (r < 0)
        return r;
    ret_fds[0] = lido__fd_lift(fds[0]);
    ret_fds[1] = lido__fd_lift(fds[1]);
    return 0;
}

/* A sandbox may know the older call only. */
static int accept_plainly(int fd, struct sockaddr *address, socklen_t *length)
{
    int r = LIDO__CALL_AGAIN("accept", accept(fd, address, length));
    if (r < 0)
        return r;
    int blocks = lido__fd_set_nonblocking(r);
    if (blocks == 0)
        blocks = LIDO__CALL("fcntl", fcntl(r, F_SETFD, FD_CLOEXEC));
    if (blocks < 0)
        close(r);
    return blocks < 0 ? blocks : r;
}

int lido__os_accept(int fd, struct sockaddr *address, socklen_t *length)
{
    int r = LIDO__CALL_AGAIN("accept", accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (__builtin_expect(lido__is_refusal(r), 0))
        r = accept_plainly(fd, address, length);
    return lido__fd_lift(r);
}

int lido__os_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    return LIDO__CALL("connect", connect(fd, address, length));
}

int lido__os_bind(int fd, const struct sockaddr *address, socklen_t length)
{
    return LIDO__CALL("bind", bind(fd, address, length));
}

int lido__os_listen(int fd, int backlog)
{
    return LIDO__CALL("listen", listen(fd, backlog));
}

int lido__os_shutdown(int fd, int how)
{
    return LIDO__CALL("shutdown", shutdown(fd, how));
}

int lido__os_getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
    return LIDO__CALL("getsockname", getsockname(fd, address, length));
}

int lido__os_getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    return LIDO__CALL("getpeername", getpeername(fd, address, length));
}

int lido__os_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    return LIDO__CALL("getsockopt", getsockopt(fd, level, name, value, length));
}

int lido__os_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    return LIDO__CALL("setsockopt", setsockopt(fd, level, name, value, length));
}
