#define _GNU_SOURCE

#include <errno.h>
#include <lido.h>
#include <limits.h>
#include <string.h>

/*
 * The errors for which lido has more to say than the C library does: what they mean here, and what
 * the caller can do. All others mean what they always mean.
 */
static const char *own_text(int error)
{
    switch (error) {
    case 0: return "success";
    case EADDRINUSE: return "address already in use: another socket is bound to it";
    case EBUSY: return "another task is already waiting for the same: only one can at a time";
    case ECANCELED: return "the task was cancelled";
    case ECONNABORTED: return "the connection was aborted before it was accepted";
    case ECONNREFUSED: return "connection refused: nobody listens there";
    case ECONNRESET: return "connection reset by the peer";
    case EDEADLK:
        return "cannot wait here: a future awaits with lido_op_*, lido_*_poll or a fiber that it "
               "spawns, and what stops a worker is called from a plain thread";
    case EHOSTDOWN: return "the peer does not answer any more: the system has given it up";
    case EMFILE: return "too many open descriptors in this process (RLIMIT_NOFILE)";
    case ENAMETOOLONG: return "name too long: it does not fit into the address";
    case ENFILE: return "too many open descriptors in the whole system";
    case ENOENT: return "not found: there is no host of that name, or no such path";
    case ENOSYS: return "the system refuses a call that this needs (docs/sandbox.md)";
    case ENOTRECOVERABLE:
        return "forked from a process with a runtime: only exec and _exit work here";
    case ENXIO: return "no current reactor: call this from a task of a runtime";
    case EPIPE: return "the peer does not read any more";
    case ESHUTDOWN: return "the runtime is shutting down";
    case ETIMEDOUT: return "the deadline has passed";
    default: return NULL;
    }
}

/* strerror itself may share a buffer between threads. */
static const char *libc_text(int error)
{
#ifdef __GLIBC__
    return strerrordesc_np(error);
#else
    static __thread char text[128];
    return strerror_r(error, text, sizeof(text)) == 0 ? text : NULL;
#endif
}

const char *lido_strerror(int error)
{
    if (error < 0)
        error = error == INT_MIN ? INT_MAX : -error;

    const char *text = own_text(error);
    if (!text)
        text = libc_text(error);
    return text ? text : "unknown error";
}
