/*
 * Writing to what is not a socket, without SIGPIPE.
 *
 * Since Linux 6.18 a flag of pwritev2 says so. Before, the signal is kept from the thread during
 * the call and, if the call has raised it, taken away again; this costs four more syscalls, which
 * is why sockets have functions of their own. (Blocking SIGPIPE in all workers for good would
 * be cheaper, but children would inherit it, and the thread that calls lido_run is not ours.)
 */
#define _GNU_SOURCE

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/call.h"
#include "os/os.h"

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
    ssize_t n = write_flagged(fds[1], &part, 1);
    enum support found = n < 0 && errno == EPIPE ? SUPPORTED : UNSUPPORTED;
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
    static const struct timespec at_once;
    sigset_t sigpipe, before, pending;

    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
    sigpending(&pending);

    ssize_t n = LIDO__CALL_AGAIN("write", writev(fd, parts, count));
    /* One that was pending before is not ours to take. */
    if (n == -EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&sigpipe, NULL, &at_once) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return n;
}

ssize_t lido__os_writev(int fd, const struct iovec *parts, int count)
{
    if (ask_support() == SUPPORTED) {
        ssize_t n = LIDO__CALL_AGAIN("write", write_flagged(fd, parts, count));
        if (n != -EOPNOTSUPP)
            return n;
    }
    return write_masked(fd, parts, count);
}

ssize_t lido__os_write(int fd, const void *buffer, size_t bytes)
{
    struct iovec part = {.iov_base = (void *)buffer, .iov_len = bytes};
    return lido__os_writev(fd, &part, 1);
}
