/*
 * Signals, for those who ask for one.
 *
 * A handler marks who waits for the signal and writes a byte to the pipe of each, on whose other end
 * their tasks wait (D. J. Bernstein's self-pipe). What the handler and the tasks share is behind a
 * spinlock that is only ever held with all signals blocked: so the handler cannot interrupt the
 * thread that holds it, and may itself spin. Rejected: waking the task from the handler, for that
 * would demand of every reactor that its `wake` be async-signal-safe; and one pipe for the process,
 * which would have to be read by one of several runtimes.
 *
 * Threads: all. The waiters of all runtimes of the process are in one list.
 */
#include "io/signal.h"

#include <errno.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/fault.h"
#include "base/list.h"
#include "fiber/fiber.h"
#include "net/net.h"
#include "os/os.h"

#define SIGNAL_MAX 64

struct waiter {
    struct lido__node node;
    uint64_t wanted;
    int arrived; /* the signal, or 0 */
    int pipe;    /* the end to write to */
};

/* All of it under the lock. Signal s is bit s - 1. */
static struct {
    lido__shared uint32_t lock;
    uint64_t handled; /* our handler is installed */
    uint64_t kept;    /* came while nobody waited */
    struct lido__node waiters;
} signals = {.waiters = {&signals.waiters, &signals.waiters}};

static uint64_t bit_of(int signal)
{
    return (uint64_t)1 << (signal - 1);
}

/* With all signals blocked, or in the handler. */
static void lock(void)
{
    struct lido__backoff backoff = {0}; /* async-signal-safe */
    /* Acquire: pairs with the release in unlock. */
    while (lido__exchange(&signals.lock, 1, LIDO__ACQUIRE))
        lido__backoff(&backoff);
}

static void unlock(void)
{
    lido__store(&signals.lock, 0, LIDO__RELEASE);
}

static void enter(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    lock();
}

static void leave(const sigset_t *before)
{
    unlock();
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* ---- Around a fork ----------------------------------------------------------------------------- */

static sigset_t before_hold; /* under the lock */

void lido__signals_hold(void)
{
    sigset_t before;
    enter(&before);
    before_hold = before;
}

void lido__signals_let_go(void)
{
    sigset_t before = before_hold;
    leave(&before);
}

void lido__signals_forget(void)
{
    lido__list_init(&signals.waiters);
}

/* ---- The handler ------------------------------------------------------------------------------- */

/* The first byte in the pipe, whose other end is open: nothing can go wrong, but that a sandbox refuses the one call. */
static void send_byte(int pipe)
{
    struct iovec part = {.iov_base = "", .iov_len = 1};
    ssize_t r = write(pipe, "", 1);
    if (r < 0)
        r = writev(pipe, &part, 1);
    (void)r;
}

/* A waiter that has been told of a signal does not wait any more, although it may not have left yet. */
static bool tell(struct waiter *waiter, int signal)
{
    if (!(waiter->wanted & bit_of(signal)) || waiter->arrived)
        return false;
    waiter->arrived = signal;
    send_byte(waiter->pipe);
    return true;
}

/* The handler. Runs with all signals blocked. */
static void on_signal(int signal)
{
    int saved_errno = errno;
    bool told = false;
    lock();
    for (struct lido__node *n = signals.waiters.next; n != &signals.waiters; n = n->next)
        told |= tell(lido__container_of(n, struct waiter, node), signal);
    if (!told)
        signals.kept |= bit_of(signal);
    unlock();
    errno = saved_errno;
}

/* ---- Waiting ----------------------------------------------------------------------------------- */

/* Under the lock. -EINVAL: the system does not let this one be caught. */
static int handle(uint64_t wanted)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    for (int signal = 1; signal <= SIGNAL_MAX; signal++) {
        if (!(wanted & ~signals.handled & bit_of(signal)))
            continue;
        if (lido__fault("sigaction") < 0 || sigaction(signal, &action, NULL) < 0)
            return -EINVAL;
        signals.handled |= bit_of(signal);
    }
    return 0;
}

/* Under the lock: the lowest signal of `wanted` that was kept, or 0. */
static int take_kept(uint64_t wanted)
{
    uint64_t kept = signals.kept & wanted;
    if (!kept)
        return 0;
    signals.kept &= ~(kept & -kept);
    return (int)lido__bits_lowest(kept) + 1;
}

/* 0: the waiter is in the list; otherwise the signal, or an error. */
static int begin(struct waiter *waiter)
{
    sigset_t before;
    enter(&before);
    int r = handle(waiter->wanted);
    if (r == 0)
        r = take_kept(waiter->wanted);
    if (r == 0)
        lido__list_push(&signals.waiters, &waiter->node);
    leave(&before);
    return r;
}

/* From here on the handler does not know the waiter. Returns the signal that it was told of, or 0. */
static int end(struct waiter *waiter)
{
    sigset_t before;
    enter(&before);
    lido__list_remove(&waiter->node);
    leave(&before);
    return waiter->arrived;
}

static int await(struct waiter *waiter, struct lido__handle *pipe)
{
    char byte;
    int r = begin(waiter);
    if (r != 0)
        return r;
    ssize_t n = lido__net_await(LIDO__OP_READ, pipe, &byte, 1);
    int arrived = end(waiter);
    /* A signal that came in the same moment as the cancellation has been taken, so it is told. */
    return arrived ? arrived : (int)n;
}

/*
 * Those that cannot be caught; those by which the processor says that an instruction cannot be
 * executed, which a handler that returns only makes it try again, for ever; and those that the C
 * library keeps for itself.
 */
static bool is_refused(int signal)
{
    switch (signal) {
    case SIGKILL:
    case SIGSTOP:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGSEGV:
    case SIGSYS:
    case SIGTRAP: return true;
    default: return signal >= 32 && signal < SIGRTMIN;
    }
}

static int wanted_of(const int *list, size_t count, uint64_t *ret_wanted)
{
    uint64_t wanted = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i] < 1 || list[i] > SIGNAL_MAX || is_refused(list[i]))
            return -EINVAL;
        wanted |= bit_of(list[i]);
    }
    *ret_wanted = wanted;
    return wanted ? 0 : -EINVAL;
}

int lido_signal_any(const int *list, size_t count)
{
    struct waiter waiter = {.arrived = 0};
    struct lido__handle *handle_of_pipe;
    int fds[2];
    int r;
    struct lido__worker *worker = lido__fiber_worker(&r);
    if (!worker)
        return r;
    r = lido__task_interrupted(worker, worker->current);
    if (r == 0)
        r = wanted_of(list, count, &waiter.wanted);
    if (r == 0)
        r = lido__os_pipe(fds);
    if (r < 0)
        return r;
    waiter.pipe = fds[1];
    r = lido__net_adopt(&handle_of_pipe, fds[0], LIDO__HANDLE_FILE);
    if (r == 0) {
        r = await(&waiter, handle_of_pipe);
        lido__net_close(handle_of_pipe, false);
    }
    lido__os_close(fds[1]);
    return r;
}

int lido_signal(int signal)
{
    return lido_signal_any(&signal, 1);
}
