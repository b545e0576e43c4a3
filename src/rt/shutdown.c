/*
 * The end of a runtime: a ladder of ways to bring it about, and the wait for it.
 *
 * Whoever waits does so in the way of its kind: a plain thread on the pool's futex, a task of another runtime
 * for the permit of a semaphore, which the pool gives when it has ended. What then blocks for a moment, joining
 * the threads, a fiber does in a blocking section: its worker goes on.
 *
 * A wait that ends too early takes back that the pool ends when it is idle, in the same word in which
 * the pool ends (pool.h): it either has ended, and nothing is left to report, or goes on. That it refuses
 * new tasks is not taken back.
 */
#include <errno.h>

#include "base/fork.h"
#include "rt/runtime.h"

void lido__runtime_ended(struct lido__pool *pool)
{
    struct lido_runtime *runtime = pool->runtime;
    lido__semaphore_release(&runtime->ended, 1);
}

/* ---- Who may wait ------------------------------------------------------------------------------ */

static bool is_fiber(const lido_task *task)
{
    return task && task->flags & LIDO__TASK_FIBER;
}

/* Why the calling task must not begin, or not wait on. A plain thread always may. */
static int interrupted(void)
{
    struct lido__worker *self = lido__worker_current();
    return self ? lido__task_interrupted(self, self->current) : 0;
}

/* In runtime->closing. */
static uintptr_t caller(void)
{
    lido_task *self = lido_self();
    return self ? (uintptr_t)self : LIDO__CLOSING_THREAD;
}

static int begin(struct lido_runtime *runtime)
{
    const struct lido__worker *self = lido__worker_current();
    uintptr_t holder = LIDO__CLOSING_NOBODY;
    if (lido__forked)
        return -ENOTRECOVERABLE;
    if (lido__load(&runtime->closing, LIDO__RELAXED) == LIDO__CLOSING_ENDED)
        return -ESHUTDOWN;
    if (self && self->pool == &runtime->pool)
        return -EDEADLK;
    if (runtime->crew.first) /* the caller of lido_run is of the crew */
        return -EPERM;
    int r = interrupted();
    if (r == 0 && !lido__cas(&runtime->closing, &holder, caller(), LIDO__ACQUIRE, LIDO__RELAXED))
        r = holder == LIDO__CLOSING_ENDED ? -ESHUTDOWN : -EBUSY;
    return r;
}

/* ---- Waiting ----------------------------------------------------------------------------------- */

static int thread_awaits_end(struct lido__pool *pool, int64_t timeout_ms)
{
    uint64_t until = timeout_ms < 0 ? LIDO__FOREVER
                                    : lido__time_after(lido__clock_now(), timeout_ms);
    for (;;) {
        if (lido__load(&pool->stopped, LIDO__ACQUIRE))
            return 0;
        uint64_t now = until == LIDO__FOREVER ? 0 : lido__clock_now();
        if (now >= until)
            return -ETIMEDOUT;
        lido__futex_wait(&pool->stopped, 0, until == LIDO__FOREVER ? until : until - now);
    }
}

static int fiber_awaits_end(struct lido_runtime *runtime, int64_t timeout_ms)
{
    if (timeout_ms < 0)
        return lido__semaphore_acquire(&runtime->ended, 1);
    lido_within(timeout_ms);
    return lido__semaphore_acquire(&runtime->ended, 1);
}

static int await_end(struct lido_runtime *runtime, int64_t timeout_ms)
{
    if (lido__worker_current())
        return fiber_awaits_end(runtime, timeout_ms);
    return thread_awaits_end(&runtime->pool, timeout_ms);
}

/* Calls what may block: a fiber's worker goes on without it. */
static int aside(lido_fn fn, void *arg)
{
    struct lido__worker *self = lido__worker_current();
    if (!self)
        return fn(arg);
    struct lido__section section = {.fn = fn, .arg = arg, .entered = lido__lifeguard_call};
    return lido__fiber_section(self, &section);
}

/* ---- The ladder -------------------------------------------------------------------------------- */

struct rung {
    lido_shutdown_how how;
    int64_t timeout_ms;
};

/* What is done about new tasks and old ones; then the pool ends when none is left. */
static void step_on(struct lido_runtime *runtime, lido_shutdown_how how)
{
    struct lido__pool *pool = &runtime->pool;
    if (how == LIDO_SHUTDOWN_DRAIN)
        lido__pool_close(pool);
    if (how == LIDO_SHUTDOWN_NOW)
        lido__pool_cancel_all(pool);
    lido__pool_end_on_idle(pool);
}

static bool is_rung(lido_shutdown_how how)
{
    return (unsigned)how <= LIDO_SHUTDOWN_NOW;
}

static int destroy(void *runtime)
{
    lido__runtime_destroy(runtime);
    return 0;
}

struct listener {
    void (*report)(void *report_arg, const lido_stuck *stuck);
    void *arg;
};

static const struct listener nobody;

/* Others may try. Release: pairs with the acquire in begin. */
static void leave(struct lido_runtime *runtime)
{
    lido__store(&runtime->closing, LIDO__CLOSING_NOBODY, LIDO__RELEASE);
}

static int make_report(void *arg)
{
    lido_runtime *runtime = arg;
    lido__report_begin(&runtime->report);
    return lido__report_make(runtime);
}

/* `reason`: why nobody waits on. Returns it, or 0 if the pool has ended just before. */
static int give_up(struct lido_runtime *runtime, int reason, const struct listener *listener)
{
    if (!lido__pool_go_on(&runtime->pool))
        return 0;
    if (reason == -ETIMEDOUT && listener->report) {
        aside(make_report, runtime);
        lido__report_tell(&runtime->report, listener->report, listener->arg);
        lido__report_end(&runtime->report);
    }
    leave(runtime);
    return reason;
}

/* From each rung to the next when its time is over, unless the caller's own is. */
static int descend(struct lido_runtime *runtime, const struct rung *rungs, unsigned count,
                   const struct listener *listener)
{
    if (lido__worker_current() && !is_fiber(lido_self()))
        return -EDEADLK;
    int r = begin(runtime);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < count; i++) {
        step_on(runtime, rungs[i].how);
        r = await_end(runtime, rungs[i].timeout_ms);
        if (r != -ETIMEDOUT || interrupted())
            break;
    }
    if (r < 0)
        r = give_up(runtime, r, listener);
    return r < 0 ? r : aside(destroy, runtime);
}

/* ---- The public face ---------------------------------------------------------------------------- */

int lido_shutdown(lido_runtime *runtime, lido_shutdown_how how, int64_t timeout_ms,
                  void (*report)(void *report_arg, const lido_stuck *stuck), void *report_arg)
{
    const struct rung rung = {how, timeout_ms};
    const struct listener listener = {report, report_arg};
    return is_rung(how) ? descend(runtime, &rung, 1, &listener) : -EINVAL;
}

int lido_shutdown_within(lido_runtime *runtime, int64_t drain_ms, int64_t cancel_ms,
                         void (*report)(void *report_arg, const lido_stuck *stuck),
                         void *report_arg)
{
    const struct rung rungs[] = {{LIDO_SHUTDOWN_DRAIN, drain_ms}, {LIDO_SHUTDOWN_NOW, cancel_ms}};
    const struct listener listener = {report, report_arg};
    return descend(runtime, rungs, 2, &listener);
}

/* Another handle has ended it. */
static int give_back(lido_runtime *runtime, int r)
{
    if (r != -ESHUTDOWN)
        return r;
    lido_runtime_unref(runtime);
    return 0;
}

int lido_runtime_free(lido_runtime *runtime)
{
    const struct rung rung = {LIDO_SHUTDOWN_NOW, -1};
    if (!runtime)
        return 0;
    if (!is_fiber(lido_self()))
        return give_back(runtime, descend(runtime, &rung, 1, &nobody));
    uint32_t shield = lido__task_shield();
    int r = descend(runtime, &rung, 1, &nobody);
    lido__task_unshield(shield);
    return give_back(runtime, r);
}

/* ---- For futures -------------------------------------------------------------------------------- */

int lido_shutdown_poll(lido_runtime *runtime, lido_shutdown_how how, lido_wait *wait,
                       const lido_waker *waker)
{
    lido_task *self = lido__waker_task(*waker);
    if (lido_self() != self || !self)
        return -ENXIO;
    if (!is_rung(how))
        return -EINVAL;
    if (lido__load(&runtime->closing, LIDO__RELAXED) != (uintptr_t)self) {
        int r = begin(runtime);
        if (r < 0)
            return r;
        step_on(runtime, how);
    }
    int r = lido__semaphore_acquire_poll(&runtime->ended, wait, waker);
    if (r < 0 && r != LIDO_PENDING)
        r = give_up(runtime, r, &nobody);
    return r < 0 ? r : destroy(runtime);
}

void lido_shutdown_forgo(lido_runtime *runtime, lido_wait *wait)
{
    if (lido__load(&runtime->closing, LIDO__RELAXED) != caller())
        return;
    lido_wait_forgo(wait);
    lido__pool_go_on(&runtime->pool);
    leave(runtime);
}
