#define _GNU_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/call.h"
#include "os/os.h"

ssize_t lido__os_readv(int fd, const struct iovec *parts, int count)
{
    return LIDO__CALL_AGAIN("readv", readv(fd, parts, count));
}

static __attribute__((noinline)) int lift(int fd)
{
    int lifted = LIDO__CALL("fcntl", fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (lifted < 0)
        return fd;
    close(fd);
    return lifted;
}

int lido__fd_lift(int fd)
{
    bool standard = fd >= 0 && fd <= STDERR_FILENO;
    return __builtin_expect(standard, 0) ? lift(fd) : fd;
}

int lido__os_pipe(int ret_fds[2])
{
    int r = LIDO__CALL("pipe", pipe2(ret_fds, O_NONBLOCK | O_CLOEXEC));
    if (r < 0)
        return r;
    ret_fds[0] = lido__fd_lift(ret_fds[0]);
    ret_fds[1] = lido__fd_lift(ret_fds[1]);
    return 0;
}

int lido__os_close(int fd)
{
    /* A fault must not leak the descriptor: close frees it whatever it returns. */
    int fault = lido__fault("close");
    int r = LIDO__CALL_PLAIN(close(fd));
    if (fault)
        return fault;
    return r == -EINTR ? 0 : r;
}

int lido__fd_set_nonblocking(int fd)
{
    int on = 1;
    return LIDO__CALL("ioctl", ioctl(fd, FIONBIO, &on));
}

void lido__fd_set_blocking(int fd)
{
    int off = 0;
    (void)LIDO__CALL_PLAIN(ioctl(fd, FIONBIO, &off)); /* as the other way went */
}

int lido__fd_blocks(int fd)
{
    int r = LIDO__CALL("fcntl", fcntl(fd, F_GETFL));
    return r < 0 ? r : !(r & O_NONBLOCK);
}

void lido__fd_close_on_exec(int fd)
{
    (void)LIDO__CALL_PLAIN(fcntl(fd, F_SETFD, FD_CLOEXEC)); /* cannot fail for a descriptor */
}

int lido__fd_type(int fd)
{
    struct stat status;
    int r = LIDO__CALL("fstat", fstat(fd, &status));
    return r < 0 ? r : (int)(status.st_mode & S_IFMT);
}

int lido__os_poll(int fd, short events)
{
    struct pollfd ask = {.fd = fd, .events = events};
    int r = LIDO__CALL_AGAIN("poll", poll(&ask, 1, 0));
    if (r < 0)
        return r;
    return ask.revents & POLLNVAL ? -EBADF : ask.revents;
}

bool lido__os_readable(int fd)
{
    return lido__os_poll(fd, POLLIN) != 0;
}

int lido__fd_limit_raise(void)
{
    struct rlimit limit;
    int r = LIDO__CALL("getrlimit", getrlimit(RLIMIT_NOFILE, &limit));
    if (r < 0)
        return r;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        r = LIDO__CALL("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
        if (r < 0)
            return r;
    }
    return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int)limit.rlim_cur;
}
