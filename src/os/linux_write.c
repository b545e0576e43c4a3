/*
 * Writing to what is not a socket, without SIGPIPE.
 *
 * Since Linux 6.18 a flag of pwritev2 says so. Before, the signal is held back (sigpipe.h), which costs
 * two more syscalls: that is why sockets have functions of their own.
 */
#define _GNU_SOURCE

#include <unistd.h>

#include "base/atomic.h"
#include "os/call.h"
#include "os/os.h"
#include "os/sigpipe.h"

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100
#endif

enum support { UNKNOWN, SUPPORTED, UNSUPPORTED };

static lido__shared uint32_t nosignal = UNKNOWN;

static ssize_t write_flagged(int fd, const struct iovec *parts, int count)
{
    return pwritev2(fd, parts, count, -1, RWF_NOSIGNAL);
}

/*
 * Asks a pipe that nobody reads. The real write cannot be the probe: its error may also mean that
 * this kind of file takes no flags. A kernel that does not know the flag refuses before it writes.
 */
static enum support probe(void)
{
    int fds[2];
    if (lido__os_pipe(fds) < 0)
        return UNKNOWN;
    close(fds[0]);
    struct iovec part = {.iov_base = "", .iov_len = 1};
    ssize_t n = LIDO__CALL_PLAIN(write_flagged(fds[1], &part, 1));
    enum support found = n == -EPIPE ? SUPPORTED : UNSUPPORTED;
    close(fds[1]);
    return found;
}

static enum support ask_support(void)
{
    enum support known = lido__load(&nosignal, LIDO__RELAXED);
    if (known == UNKNOWN) {
        known = probe();
        lido__store(&nosignal, known, LIDO__RELAXED);
    }
    return known;
}

static ssize_t write_masked(int fd, const struct iovec *parts, int count)
{
    struct lido__sigpipe sigpipe;
    ssize_t n = lido__sigpipe_hold(&sigpipe);
    if (n < 0)
        return n; /* it might end the process */
    n = LIDO__CALL_AGAIN("write", writev(fd, parts, count));
    lido__sigpipe_let_go(&sigpipe, n);
    return n;
}

ssize_t lido__os_writev(int fd, const struct iovec *parts, int count)
{
    if (ask_support() == SUPPORTED) {
        ssize_t n = LIDO__CALL_AGAIN("write", write_flagged(fd, parts, count));
        if (n != -EOPNOTSUPP && !lido__is_refusal(n))
            return n;
    }
    return write_masked(fd, parts, count);
}

ssize_t lido__os_write(int fd, const void *buffer, size_t bytes)
{
    struct iovec part = {.iov_base = (void *)buffer, .iov_len = bytes};
    return lido__os_writev(fd, &part, 1);
}
