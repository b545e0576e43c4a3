/*
 * The operating system, as the rest of lido sees it.
 *
 * Above this file there is no #ifdef for a system: each section is implemented in a file of its own
 * (posix_*.c, linux_*.c) and the build picks the files. All functions may be called from any thread.
 * All errors are returned as negative errno values; errno itself is never read outside of os/,
 * because a fiber may go on in another thread. On error no out-parameter is touched.
 *
 * Every call that can fail first passes the fault-injection seam (base/fault.h) under the name of
 * the syscall, so that tests can make each one fail.
 */
#ifndef LIDO_OS_OS_H
#define LIDO_OS_OS_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "os/backoff.h"
#include "os/transfer.h"

/* Whether an error says that this process may not make that call: a seccomp filter says so in one of these ways. */
static inline bool lido__is_refusal(ssize_t error)
{
    return error == -EPERM || error == -EACCES || error == -ENOSYS;
}

/* ---- Clock ------------------------------------------------------------------------------------ */

/* Nanoseconds of the monotonic clock; never goes back, does not run while the machine sleeps. */
uint64_t lido__clock_now(void);

/* The same as of the last tick of the system, some milliseconds ago; a quarter of the cost. */
uint64_t lido__clock_coarse(void);

/* ---- Threads ---------------------------------------------------------------------------------- */

#define LIDO__THREAD_NAME_MAX 16 /* with the final NUL; the kernel keeps no more */
#define LIDO__CPU_ANY (-1)

struct lido__thread_config {
    const char *name; /* copied, cut to 15 characters; NULL: inherits the name of its starter */
    int cpu;          /* runs on this cpu only, from its first instruction; LIDO__CPU_ANY: on any */
    size_t stack_size; /* bytes, rounded up to what the system demands; 0: the system's default */
};

/* Embedded by the starter; must stay where it is until the thread has been joined. */
struct lido__thread {
    pthread_t id;
    void (*run)(void *arg);
    void *arg;
    char name[LIDO__THREAD_NAME_MAX];
};

/*
 * Runs run(arg) in a new thread. `config` may be NULL: no name, any cpu, the default stack.
 * -EAGAIN: no more threads (limit, memory, or a sandbox); -EINVAL: there is no such cpu; -EPERM: and a sandbox
 * lets it not be pinned; -ENOMEM.
 */
int lido__thread_start(struct lido__thread *thread, const struct lido__thread_config *config,
                       void (*run)(void *arg), void *arg);

/* Waits until run has returned. Once for each thread that was started; -EDEADLK from itself. */
int lido__thread_join(struct lido__thread *thread);

/* Instead of a join: what the thread leaves behind goes with its end. The struct may go at once. */
void lido__thread_detach(const struct lido__thread *thread);

/* The calling thread runs on this cpu only. -EINVAL: there is no such cpu, or it is not allowed. -EPERM: a sandbox. */
int lido__thread_pin(int cpu);

/* The cpus on which the calling thread may run, to be given back to it later. */
struct lido__cpus {
    uint64_t bits[8192 / 64]; /* as many as any kernel is built for */
};
int lido__thread_get_cpus(struct lido__cpus *ret_cpus);
int lido__thread_set_cpus(const struct lido__cpus *cpus);

/* Names the calling thread; cut to 15 characters. A name that cannot be set is no error. */
void lido__thread_set_name(const char *name);

/* From now on the calling thread's sleeps end when they should, at the cost of more interrupts, and not
   some 50 us later, with others. */
void lido__thread_sleep_precisely(void);

/* Lets another thread run. Not to wait for one in a loop, which is what lido__backoff is for. */
void lido__thread_yield(void);

/* The lowest address and the size of the calling thread's stack. -ENOMEM. */
int lido__thread_stack(void **ret_low, size_t *ret_size);

/* ---- Backtraces ------------------------------------------------------------------------------- */

#define LIDO__BACKTRACE_MAX 64u

/* Once before the next one is called, by a thread that is in no signal handler. */
void lido__backtrace_prepare(void);

/*
 * In a handler of a signal, with what it got as its third argument: where the thread was, and who had called
 * that, the innermost first; at least one and at most `capacity`. Async-signal-safe.
 */
size_t lido__backtrace_interrupted(const void *context, void **frames, size_t capacity);

/* Likewise: the stack pointer that the thread had. */
const void *lido__interrupted_stack(const void *context);

/* A line for each frame, with its function if that is known. */
void lido__backtrace_write(int fd, void *const *frames, size_t count);

/* ---- Park words ------------------------------------------------------------------------------- */

#define LIDO__FOREVER UINT64_MAX

/*
 * Sleeps while *word is `expected`, for at most timeout_ns nanoseconds, until woken. 0: woken (or
 * for no reason: look at the word again); -EAGAIN: *word was not `expected`; -ETIMEDOUT; -EINTR: a
 * signal came. The word is accessed by other threads only with base/atomic.h.
 */
int lido__futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns);

/* Wakes at most `count` of those who sleep on the word (INT_MAX: all). Returns how many. */
int lido__futex_wake(uint32_t *word, int count);

/* ---- Barriers in other threads ---------------------------------------------------------------- */

/*
 * Makes lido__barrier_all possible in this process. Once is enough, again is harmless. A negative errno:
 * the kernel has no such thing (-ENOSYS, -EINVAL), or does not let us (-EPERM), or has refused one before.
 */
int lido__barrier_init(void);

/*
 * A full memory barrier in the caller and in every other thread of the process, at some point of each
 * between the beginning and the end of the call. So a thread that is asked rarely pays nothing
 * for it elsewhere: there a barrier to the compiler (lido__fence_light) will do. Only after
 * lido__barrier_init has returned 0.
 *
 * A sandbox may come later, and refuse the system call. Then it waits until each cpu has been interrupted: some
 * 30 ms each time. Nobody is to rely on it any more (lido__barrier_refused), but those who do are still right.
 */
void lido__barrier_all(void);

/* Whether it has been refused, after lido__barrier_init had returned 0. It stays so. */
bool lido__barrier_refused(void);

/* ---- Cpus ------------------------------------------------------------------------------------- */

/*
 * How many cpus this process may keep busy: its affinity mask, cut to the cpu quota of its control
 * groups (v2 and v1, all ancestors), rounded up; at least 1. Reads files: not for a hot path.
 */
unsigned lido__cpu_count(void);

/* The number of the n-th cpu of the calling thread's affinity mask, modulo how many it has. */
int lido__cpu_nth(unsigned n);

/* ---- Pages ------------------------------------------------------------------------------------ */

size_t lido__page_size(void);

/*
 * Reserves address space that reads as zero and takes memory page by page when first written.
 * `bytes` is a multiple of the page size. Never uses huge pages: a fiber that touches 4 KiB of its
 * stack must not cost 2 MiB. -ENOMEM.
 */
int lido__pages_reserve(void **ret_base, size_t bytes);

/*
 * Ends a reservation: the same base and size. NULL is allowed. -ENOMEM: a process that has used up its mappings
 * (vm.max_map_count) cannot make the hole that this would be; or it is refused. Then all is as it was.
 */
int lido__pages_release(void *base, size_t bytes);

/* Gives the memory of these pages back; they read as zero after that. Of guards it must not be asked. -EINVAL:
   it is locked; or it is refused. Then the pages are as they were. */
int lido__pages_discard(void *base, size_t bytes);

/*
 * Makes guards: of each of the `count` strides from `base` on the first guard_bytes fault when they
 * are touched, and hold no memory. All sizes are multiples of the page size. Guards last until the
 * reservation is released. -ENOMEM: no memory, or too many mappings (only with mprotect: each guard
 * costs two of vm.max_map_count).
 *
 * After an error some of the guards may exist; release the reservation.
 */
int lido__pages_guard(void *base, size_t stride, size_t guard_bytes, size_t count);

/* How guards are made, the best first. A kernel that refuses one is not asked for it again. */
enum lido__guard_method {
    LIDO__GUARD_BATCH,   /* process_madvise(MADV_GUARD_INSTALL), hundreds in one syscall */
    LIDO__GUARD_SINGLE,  /* madvise(MADV_GUARD_INSTALL): no mapping of its own, Linux 6.13 */
    LIDO__GUARD_PROTECT, /* mprotect: works everywhere */
};

/* The method that the next guard is tried with. */
enum lido__guard_method lido__pages_guard_method(void);

/* For tests: start with this method, as if the kernel had refused those before it. */
void lido__pages_guard_force(enum lido__guard_method method);

/* ---- Files and sockets ------------------------------------------------------------------------ */

/*
 * Thin: one function, one syscall, its result or the negative errno. A call that a signal has
 * interrupted before anything happened is repeated, so -EINTR is never returned, except where said.
 * On sockets and pipes that are not blocking, -EAGAIN says that it would have to wait.
 *
 * Writing to a peer that has closed returns -EPIPE and never raises SIGPIPE: the library owns
 * no signal handler, and the default action would end the process.
 */

/* lido__os_read (any descriptor), lido__os_recv and lido__os_send (sockets) are in os/transfer.h. */

ssize_t lido__os_readv(int fd, const struct iovec *parts, int count);

/* For what is not a socket (files, pipes, terminals): for sockets lido__os_send is cheaper. */
ssize_t lido__os_write(int fd, const void *buffer, size_t bytes);
ssize_t lido__os_writev(int fd, const struct iovec *parts, int count);

/*
 * Sockets for datagrams only. The message has one part and no ancillary data, so it goes through recvfrom and
 * sendto, for which the kernel has no struct to fetch and to return. A receive sets MSG_TRUNC in msg_flags, or
 * none.
 */
ssize_t lido__os_recv_datagram(int fd, struct msghdr *message);
ssize_t lido__os_send_datagram(int fd, const struct msghdr *message);

/* For a connected socket, in parts. */
ssize_t lido__os_sendv(int fd, const struct iovec *parts, int count);

/*
 * Gives a new descriptor a number above the standard ones (0, 1, 2), which a program may have been started without:
 * what it prints would go there. The number that it has then; or the same, if there is no other. Errors are passed on.
 */
int lido__fd_lift(int fd);

/* Each new descriptor is non-blocking and closed on exec, and above the standard ones. */
int lido__os_socket(int domain, int type, int protocol);
int lido__os_socketpair(int domain, int type, int ret_fds[2]);
int lido__os_pipe(int ret_fds[2]); /* [0] is the end to read from */

/* How many bytes a pipe can hold, rounded up. -EPERM: more than this user may have. */
int lido__os_pipe_resize(int pipe, size_t bytes);

/*
 * Moves bytes between a socket and a pipe without copying them through the process. Also of a stream a short
 * transfer does not say that it is drained: the pipe may have no place for further pieces, however small.
 * -EINVAL: not from a socket like this; -ENOSYS.
 */
ssize_t lido__os_splice_in(int fd, int pipe, size_t bytes);
ssize_t lido__os_splice_out(int pipe, int fd, size_t bytes);

/* The new descriptor; `address` and `length` may be NULL. */
int lido__os_accept(int fd, struct sockaddr *address, socklen_t *length);

/*
 * Not repeated after a signal, because the connection goes on being made: -EINTR and -EINPROGRESS
 * both mean: wait until the socket is writable, then ask for SO_ERROR.
 */
int lido__os_connect(int fd, const struct sockaddr *address, socklen_t length);

int lido__os_bind(int fd, const struct sockaddr *address, socklen_t length);
int lido__os_listen(int fd, int backlog);
int lido__os_shutdown(int fd, int how); /* SHUT_RD, SHUT_WR, SHUT_RDWR */
int lido__os_getsockname(int fd, struct sockaddr *address, socklen_t *length);
int lido__os_getpeername(int fd, struct sockaddr *address, socklen_t *length);
int lido__os_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
int lido__os_setsockopt(int fd, int level, int name, const void *value, socklen_t length);

/* Who was at the other end of a connected Unix socket when it connected; pid -1: unknown. */
int lido__os_peer_credentials(int fd, int64_t *ret_pid, uint32_t *ret_uid, uint32_t *ret_gid);

/*
 * Closes. Not repeated after a signal: on Linux the descriptor is gone whatever close returns, and
 * a second close could hit one that another thread has just opened. So -EINTR is told as 0.
 */
int lido__os_close(int fd);

int lido__fd_set_nonblocking(int fd);
/* Of a valid descriptor, as is the last of these. */
void lido__fd_set_blocking(int fd);
/* 1: it blocks. 0: it does not. -EBADF. */
int lido__fd_blocks(int fd);
void lido__fd_close_on_exec(int fd);

/* What it is a descriptor of: S_IFIFO, S_IFSOCK, ... */
int lido__fd_type(int fd);

/* Which of `events` (POLLIN, ...) hold at this moment, and POLLERR, POLLHUP; 0: none. -EBADF. */
int lido__os_poll(int fd, short events);

/* Whether there is something to read at this moment, or it cannot be known. */
bool lido__os_readable(int fd);

/*
 * A descriptor, closed on exec, that is readable while one of `events` (POLLIN, ...), an error or a hang-up holds for
 * `fd`. It is of the file that `fd` is of now, and does not keep it open. -EPERM: it cannot be polled.
 */
int lido__os_watch(int fd, short events);
/* The same with other events. -ENOENT: `fd` is of another file by now. */
int lido__os_watch_again(int watch, int fd, short events);
/* Which hold at this moment, as lido__os_poll; 0: none. */
int lido__os_watch_ask(int watch);

/* Raises the limit of open descriptors to the most that is allowed; returns it (or -errno). */
int lido__fd_limit_raise(void);

#endif
