#include "reactor/epoll.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/error.h"
#include "base/fault.h"
#include "os/hot.h"
#include "os/os.h"
#include "reactor/lost.h"
#include "reactor/ready.h"

/* Events that one wait can return: enough that a thousand busy connections share a system call. */
#define EVENTS 512

/* How many events ahead an op is fetched, and its handle as many before that: an atomic change of a handle
   that is far away stops everything. */
#define AHEAD 4

struct epoll {
    struct lido__reactor base;
    int fd;
    int wake_fd;
    struct lido__handle woken;         /* of the wake descriptor; nobody waits there */
    struct epoll_event events[EVENTS]; /* packed: behind a bool they would straddle words */
    bool no_pwait2;                    /* refused: there are only millisecond timeouts */
    lido__shared uint64_t seen;        /* ns, coarse: when a wake last saw that all is well */
};

/*
 * What an event carries: the handle in the lower 48 bits (user space on x86-64 and aarch64 has no
 * more), its generation above.
 */
static uint64_t token_of(const struct lido__handle *handle)
{
    uint16_t generation = lido__load(&handle->generation, LIDO__RELAXED);
    return (uint64_t)(uintptr_t)handle | (uint64_t)generation << 48;
}

static struct lido__handle *address_of(uint64_t token)
{
    return (struct lido__handle *)(uintptr_t)(token & 0xffffffffffffu);
}

static uint16_t generation_of(uint64_t token)
{
    return (uint16_t)(token >> 48);
}

static void check_descriptors(const struct epoll *epoll)
{
    lido__lost_check(epoll->fd, epoll->wake_fd, epoll->base.worker);
}

static int control(struct epoll *epoll, int what, int fd, uint32_t events, uint64_t token)
{
    struct epoll_event event = {.events = events, .data.u64 = token};
    int r = lido__fault("epoll_ctl");
    if (r == 0 && epoll_ctl(epoll->fd, what, fd, &event) < 0)
        r = -errno;
    if (__builtin_expect(r == -EBADF || r == -EINVAL, 0))
        check_descriptors(epoll); /* or it is the caller's that is bad */
    return lido__error_of_system(r);
}

static void remove_from(struct epoll *epoll, const struct lido__handle *handle)
{
    struct epoll_event none = {0};
    epoll_ctl(epoll->fd, EPOLL_CTL_DEL, handle->fd, &none);
}

static void epoll_release(struct lido__reactor *reactor, struct lido__handle *handle)
{
    struct epoll *epoll = (struct epoll *)reactor;
    /* Explicit, although close would do: a child between fork and exec may hold the file open, and
       its registration would then outlive the handle. Cannot fail for a registered descriptor. */
    remove_from(epoll, handle);
    lido__fetch_add(&handle->generation, 1, LIDO__RELAXED);
    lido__handle_register(handle, NULL, 0);
}

static uint32_t events_of(uintptr_t sides)
{
    return (sides & 1 ? EPOLLIN | EPOLLPRI | EPOLLRDHUP : 0u) | (sides & 2 ? EPOLLOUT : 0u) |
           EPOLLET;
}

static struct epoll *epoll_of(uintptr_t registration)
{
    return (struct epoll *)(registration & ~LIDO__BOTH_SIDES);
}

static bool is_registered_as(const struct lido__handle *handle, uintptr_t registration)
{
    return lido__load(&handle->registration, LIDO__RELAXED) == registration;
}

/*
 * Relaxed: the word only names an instance, and those outlive the handles. What the instances hold is
 * ordered by their locks in the kernel: an ADD precedes the word that names it, and a DEL follows
 * the word that names another.
 */
static bool publish(struct lido__handle *handle, uintptr_t before, uintptr_t after)
{
    return lido__cas(&handle->registration, &before, after, LIDO__RELAXED, LIDO__RELAXED);
}

/*
 * Registers it here, and then no longer where it was. So at each moment it is registered where the word
 * says: a task on another worker that has looked at the word and arms the other side is told. A
 * refusal changes nothing. The generation stays, for it is the same handle. 1: another worker has
 * changed the word meanwhile.
 */
static int enlist(struct epoll *here, struct lido__handle *handle, uintptr_t before,
                  uintptr_t sides)
{
    int r = control(here, EPOLL_CTL_ADD, handle->fd, events_of(sides), token_of(handle));
    if (r == -EEXIST) /* the program has registered it, or the number was closed and came back */
        r = control(here, EPOLL_CTL_MOD, handle->fd, events_of(sides), token_of(handle));
    if (r < 0)
        return r;
    bool mine = publish(handle, before, (uintptr_t)&here->base | sides);
    struct epoll *superfluous = mine ? epoll_of(before) : here;
    if (superfluous && (superfluous != here || !mine))
        remove_from(superfluous, handle);
    return !mine;
}

/* Watches both sides where it is registered. 1: look again. */
static int widen(struct epoll *here, struct lido__handle *handle, uintptr_t before)
{
    struct epoll *there = epoll_of(before);
    int r =
        control(there, EPOLL_CTL_MOD, handle->fd, events_of(LIDO__BOTH_SIDES), token_of(handle));
    if (r == -ENOENT) /* it has just moved, or somebody has removed it behind our back */
        return is_registered_as(handle, before) ? enlist(here, handle, before, LIDO__BOTH_SIDES)
                                                : 1;
    return r < 0 ? r : !publish(handle, before, before | LIDO__BOTH_SIDES);
}

/* A refused move: it stays where it is, if that one still has it. Its events come across the workers. */
static int move(struct epoll *here, struct lido__handle *handle, uintptr_t before)
{
    int r = enlist(here, handle, before, LIDO__BOTH_SIDES);
    return r < 0 && r != -EBADF ? widen(here, handle, before) : r;
}

static int watch_once(struct epoll *here, const struct lido__op *op)
{
    struct lido__handle *handle = op->handle;
    unsigned side = lido__op_side(op);
    uintptr_t before = lido__load(&handle->registration, LIDO__RELAXED);
    if (!before)
        return enlist(here, handle, before, (uintptr_t)1 << side);
    if (epoll_of(before) != here && !lido__side_busy(handle, !side))
        return move(here, handle, before);
    return before & (uintptr_t)1 << side ? 0 : widen(here, handle, before);
}

/*
 * The handle is used from this worker now. It leaves the reactor on which it waited before, unless
 * somebody still waits there on its other side.
 *
 * A side is watched when somebody first waits on it, because the kernel has work with each: most
 * connections never wait for room to write. But whatever changes a registration makes it watch
 * both: a task on another worker may be arming the other side, and has looked before the change.
 */
static int watch(struct lido__reactor *reactor, const struct lido__op *op)
{
    int r;
    do
        r = watch_once((struct epoll *)reactor, op);
    while (r > 0);
    return r;
}

/* Of the read side; 0: nothing. An urgent mark ends reads before it: a short one proves nothing until one would
   wait. Without input there is just the mark, and what it marks is no input. */
static uintptr_t input_of(uint32_t what)
{
    if (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        return LIDO__SIDE_HUNG;
    if (what & EPOLLIN)
        return what & EPOLLPRI ? LIDO__SIDE_HUNG : LIDO__SIDE_READY;
    return 0;
}

static __attribute__((noinline)) void dispatch_any(struct lido__handle *handle, uint32_t what,
                                                   uint16_t generation, struct lido__fifo *handed)
{
    uintptr_t input = input_of(what);
    if (input)
        lido__ready_event(handle, 0, input, generation, handed);
    if (what & (EPOLLHUP | EPOLLERR))
        lido__ready_event(handle, 1, LIDO__SIDE_HUNG, generation, handed);
    else if (what & EPOLLOUT)
        lido__ready_event(handle, 1, LIDO__SIDE_READY, generation, handed);
}

static inline void dispatch(const struct epoll_event *event, struct lido__fifo *handed)
{
    struct lido__handle *handle = address_of(event->data.u64);
    uint16_t generation = generation_of(event->data.u64);
    if (!lido__handle_is_current(handle, generation))
        return;
    if (event->events == EPOLLIN) /* mostly */
        lido__ready_input(handle, generation, handed);
    else
        dispatch_any(handle, event->events, generation, handed);
}

/* Rounded up, so that a timer that is due then is due when the wait returns. */
static int milliseconds(uint64_t ns)
{
    uint64_t ms = ns / 1000000 + (ns % 1000000 != 0);
    return (int)lido__min_u64(ms, INT32_MAX);
}

static int wait_pwait2(struct epoll *epoll, uint64_t timeout)
{
    struct timespec ts = {.tv_sec = (time_t)(timeout / 1000000000),
                          .tv_nsec = (long)(timeout % 1000000000)};
    int r = lido__fault("epoll_pwait2");
    if (r == 0)
        r = epoll_pwait2(epoll->fd, epoll->events, EVENTS, timeout == UINT64_MAX ? NULL : &ts,
                         NULL);
    return r == -1 ? -errno : r;
}

static int wait_pwait(struct epoll *epoll, int ms)
{
    int r = lido__fault("epoll_pwait");
    if (r == 0)
        r = epoll_pwait(epoll->fd, epoll->events, EVENTS, ms, NULL);
    return r == -1 ? -errno : r;
}

/*
 * For a time that is neither 0 nor for ever. However it is refused, the older call is tried. That is
 * the cheaper one, and knows of whole milliseconds.
 */
static __attribute__((noinline)) int wait_until(struct epoll *epoll, uint64_t timeout)
{
    if (!epoll->no_pwait2 && timeout % 1000000 != 0) {
        int n = wait_pwait2(epoll, timeout);
        if (n >= 0 || n == -EINTR)
            return n;
        epoll->no_pwait2 = true;
    }
    return lido__hot_epoll_wait(epoll->fd, epoll->events, EVENTS, milliseconds(timeout));
}

static inline int wait_events(struct epoll *epoll, uint64_t timeout)
{
    int r = lido__fault("epoll_wait");
    if (r < 0)
        return r;
    /* The plain call for the two common cases: it is the cheaper one. */
    if (timeout == 0 || timeout == UINT64_MAX)
        return lido__hot_epoll_wait(epoll->fd, epoll->events, EVENTS, timeout ? -1 : 0);
    return wait_until(epoll, timeout);
}

/*
 * A wait has failed. A sandbox that refuses one of the calls mostly knows another. (That the one is tried each time
 * costs those who are refused a hundred ns, and the others nothing.) Negative: none of them is allowed.
 */
static __attribute__((cold, noinline)) int wait_otherwise(struct epoll *epoll, uint64_t timeout,
                                                          int error)
{
    if (error == -EINTR)
        return 0;
    if (error == -EBADF || error == -EINVAL)
        check_descriptors(epoll);
    int n = wait_pwait(epoll, timeout == UINT64_MAX ? -1 : milliseconds(timeout));
    if (n < 0 && n != -EINTR)
        n = wait_pwait2(epoll, timeout);
    return n == -EINTR ? 0 : n;
}

/*
 * Of a thousand connections neither the handle nor the op that waits there is in a near cache, and one leads
 * to the other. A handle that has been freed may be looked at, for its memory stays a handle's; what it holds
 * may be stale, and is only fetched.
 */
static inline void foresee_handle(const struct epoll_event *event)
{
    __builtin_prefetch(address_of(event->data.u64), 1);
}

/* Mostly it is input that is waited for. */
static inline void foresee_op(const struct epoll_event *event)
{
    const struct lido__handle *handle = address_of(event->data.u64);
    __builtin_prefetch(lido__side_op(lido__load(&handle->side[0], LIDO__RELAXED)), 1);
}

/* `n` of them, behind which stand twice AHEAD more. Returns `n`. */
static __attribute__((noinline)) int dispatch_many(const struct epoll_event *events, int n,
                                                   struct lido__fifo *handed)
{
    for (int i = 0; i < n; i++) {
        foresee_handle(&events[i + 2 * AHEAD]);
        foresee_op(&events[i + AHEAD]);
        dispatch(&events[i], handed);
    }
    return n;
}

static __attribute__((cold, noinline)) void wait_again(struct epoll *epoll, uint64_t timeout,
                                                       int error, struct lido__fifo *handed)
{
    int n = wait_otherwise(epoll, timeout, error);
    if (n < 0)
        lido__misused("a sandbox refuses epoll_wait, epoll_pwait and epoll_pwait2");
    for (int i = 0; i < n; i++)
        dispatch(&epoll->events[i], handed);
}

static void epoll_wait_ops(struct lido__reactor *reactor, uint64_t timeout,
                           struct lido__fifo *handed)
{
    struct epoll *epoll = (struct epoll *)reactor;
    int n = wait_events(epoll, timeout);
    if (__builtin_expect(n <= 0, 0)) {
        if (n < 0)
            wait_again(epoll, timeout, n, handed);
        return;
    }
    int i = n > 2 * AHEAD ? dispatch_many(epoll->events, n - 2 * AHEAD, handed) : 0;
    do {
        if (i + AHEAD < n)
            foresee_op(&epoll->events[i + AHEAD]);
        dispatch(&epoll->events[i], handed);
    } while (++i < n);
}

/* ---- Waking ------------------------------------------------------------------------------------ */

/* A descriptor that can be written to is an event at once, when it is asked whether it is. */
static __attribute__((cold, noinline)) void wake_otherwise(struct epoll *epoll)
{
    check_descriptors(epoll);
    if (control(epoll, EPOLL_CTL_MOD, epoll->wake_fd, EPOLLIN | EPOLLOUT | EPOLLET,
                token_of(&epoll->woken)) < 0)
        lido__misused("a sandbox refuses both write and epoll_ctl: a worker cannot be woken");
}

/*
 * The number of a descriptor that was closed may be that of a file, and what is written there is lost in two ways. So in
 * each tick of the clock the first wake looks whether it is still what it was.
 */
static inline void check_at_times(struct epoll *epoll)
{
    uint64_t now = lido__clock_coarse();
    if (lido__load(&epoll->seen, LIDO__RELAXED) == now)
        return;
    lido__store(&epoll->seen, now, LIDO__RELAXED);
    check_descriptors(epoll);
}

static void epoll_wake(struct lido__reactor *reactor)
{
    struct epoll *epoll = (struct epoll *)reactor;
    uint64_t one = 1;
    int before = errno;
    check_at_times(epoll);
    int r = lido__fault("eventfd_write");
    /* -EAGAIN: 2^64 - 2 wakes have added up, and then the descriptor is readable anyway. */
    if (r < 0 || (write(epoll->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN))
        wake_otherwise(epoll);
    errno = before;
}

/* ---- Beginning and end ------------------------------------------------------------------------- */

/* The result of a call, which is remembered if it has failed. */
static int step(struct epoll *epoll, const char *call, int result)
{
    if (result < 0)
        epoll->base.failed = call;
    return result;
}

/* Above the standard ones: what a program prints without having a standard output would wake its workers. */
static int open_epoll(void)
{
    int r = lido__fault("epoll_create");
    if (r == 0)
        r = epoll_create1(EPOLL_CLOEXEC);
    return r == -1 ? -errno : lido__fd_lift(r);
}

static int open_eventfd(void)
{
    int r = lido__fault("eventfd");
    if (r == 0)
        r = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return r == -1 ? -errno : lido__fd_lift(r);
}

static int add_wake_fd(struct epoll *epoll)
{
    return control(epoll, EPOLL_CTL_ADD, epoll->wake_fd, EPOLLIN | EPOLLET,
                   token_of(&epoll->woken));
}

/* Whether one can wait at all. */
static int try_to_wait(struct epoll *epoll)
{
    int n = wait_events(epoll, 0);
    return n < 0 ? wait_otherwise(epoll, 0, n) : 0;
}

static int open_both(struct epoll *epoll)
{
    int r = epoll->fd = step(epoll, "epoll_create1", open_epoll());
    if (r >= 0)
        r = epoll->wake_fd = step(epoll, "eventfd2", open_eventfd());
    if (r >= 0)
        r = step(epoll, "epoll_ctl", add_wake_fd(epoll));
    if (r >= 0)
        r = step(epoll, "epoll_wait", try_to_wait(epoll));
    return r;
}

static int epoll_init(struct lido__reactor *reactor)
{
    struct epoll *epoll = (struct epoll *)reactor;
    epoll->fd = epoll->wake_fd = -1;
    epoll->no_pwait2 = false;
    int r = open_both(epoll);
    if (r >= 0)
        return 0;
    if (epoll->wake_fd >= 0)
        close(epoll->wake_fd);
    if (epoll->fd >= 0)
        close(epoll->fd);
    return lido__is_refusal(r) ? -ENOSYS : r;
}

/* What has these numbers must be ours to close. */
static void epoll_fini(struct lido__reactor *reactor)
{
    struct epoll *epoll = (struct epoll *)reactor;
    check_descriptors(epoll);
    close(epoll->wake_fd);
    close(epoll->fd);
}

static int epoll_descriptor(const struct lido__reactor *reactor)
{
    return ((const struct epoll *)reactor)->fd;
}

const struct lido__reactor_ops lido__epoll = {
    .name = "epoll",
    .size = sizeof(struct epoll),
    .init = epoll_init,
    .fini = epoll_fini,
    .submit = lido__ready_submit,
    .retry = lido__ready_retry,
    .cancel = lido__ready_cancel,
    .watch = watch,
    .release = epoll_release,
    .wait = epoll_wait_ops,
    .descriptor = epoll_descriptor,
    .wake = epoll_wake,
};
