/* What futures await besides ops: timers and other tasks. */
#include <errno.h>

#include "base/ledger.h"
#include "os/os.h"
#include "sched/wake.h"

/* ---- Timers ------------------------------------------------------------------------------------ */

struct timer {
    struct lido__alarm alarm;
    uint64_t at;
    bool started; /* the alarm has been set, and must be stopped */
};

_Static_assert(sizeof(struct timer) <= sizeof(lido_timer), "lido_timer is a timer's public face");

static struct timer *timer_of(lido_timer *timer)
{
    return (struct timer *)timer;
}

void lido_timer_start_at(lido_timer *public, uint64_t ns)
{
    struct timer *timer = timer_of(public);
    lido__timer_init(&timer->alarm.timer);
    timer->at = ns;
    timer->started = false;
}

void lido_timer_start(lido_timer *timer, int64_t ms)
{
    lido_timer_start_at(timer, lido__time_after(lido__clock_now(), ms));
}

void lido_timer_stop(lido_timer *public)
{
    struct timer *timer = timer_of(public);
    if (timer->started && lido__worker_current()) /* the child of a fork has none */
        lido__alarm_stop(&timer->alarm);
    timer->started = false;
}

int lido_timer_poll(lido_timer *public, const lido_waker *waker)
{
    struct timer *timer = timer_of(public);
    lido_task *task = lido__waker_task(*waker);
    struct lido__worker *worker = lido__worker_current();
    if (!worker || worker->current != task)
        return -ENXIO;
    bool armed = timer->started && lido__alarm_is_armed(&timer->alarm);
    bool came = timer->started && !armed;
    if (!timer->started)
        worker->now = lido__clock_now(); /* the deadline is held against it */
    int reason = came ? lido__alarm_came(worker, timer->at) : lido__task_interrupted(worker, task);
    if (reason) {
        lido_timer_stop(public);
        return reason;
    }
    if (armed)
        return LIDO_PENDING;
    if (came || timer->at <= worker->now)
        return 0;
    timer->started = true;
    lido__alarm_set(worker, &timer->alarm, timer->at);
    return LIDO_PENDING;
}

/* ---- Joining ----------------------------------------------------------------------------------- */

static void set_joiner(lido_task *task, lido_waker waker)
{
    lido__store(&task->joiner.lido_private, waker.lido_private, LIDO__RELAXED);
}

static bool is_own(const struct lido__worker *worker, const lido_task *task)
{
    return lido__task_belongs(task, worker, lido__load(&task->state.word, LIDO__ACQUIRE));
}

/* If it ends on this thread: no read-modify-write, and the waker can be borrowed. So `self` may not leave. */
static bool join_own(struct lido__worker *worker, lido_task *task, lido_task *self)
{
    lido__worker_enter(worker);
    bool own = is_own(worker, task);
    if (own) {
        set_joiner(task, lido__waker_borrow(self));
        task->flags |= LIDO__TASK_JOINED;
        task->anchors++;
        self->anchors++;
    }
    lido__worker_leave(worker);
    return own;
}

/* Whether `self` has joined it in that way. Then it is held here until it is done. Inside the gate. */
static bool joins_here(struct lido__worker *worker, const lido_task *task, const lido_task *self)
{
    return is_own(worker, task) && task->flags & LIDO__TASK_JOINED &&
           lido__waker_task(task->joiner) == self;
}

static bool joins_own(struct lido__worker *worker, const lido_task *task, const lido_task *self)
{
    lido__worker_enter(worker);
    bool joins = joins_here(worker, task, self);
    lido__worker_leave(worker);
    return joins;
}

/* If `self` has joined it in that way, and it is not done: takes that back. Returns whether it had joined. */
static bool forgo_own(struct lido__worker *worker, lido_task *task, lido_task *self)
{
    lido__worker_enter(worker);
    bool joins = joins_here(worker, task, self);
    if (joins && !lido__state_done(&task->state)) {
        task->flags &= ~LIDO__TASK_JOINED;
        set_joiner(task, (lido_waker){0});
        task->anchors--;
        self->anchors--;
    }
    lido__worker_leave(worker);
    return joins;
}

/* It is not done: whoever finishes it finds the waker, which is now its own. */
void lido__join_detach(lido_task *task)
{
    lido_task *joiner = lido__waker_task(task->joiner);
    task->flags &= ~LIDO__TASK_JOINED;
    task->anchors--;
    joiner->anchors--;
    set_joiner(task, lido__waker_own(joiner));
    lido__state_await(&task->state, LIDO__JOINER);
}

int lido__join_register(struct lido__worker *worker, lido_task *task, lido_task *self)
{
    if (lido__task_is_joined(task))
        return lido__state_done(&task->state) ? 0 : -EBUSY;
    if (join_own(worker, task, self))
        return 0;
    set_joiner(task, lido__waker_own(self));
    if (!lido__state_await(&task->state, LIDO__JOINER))
        lido__task_unref(self); /* done already */
    return 0;
}

bool lido__join_forgo(struct lido__worker *worker, lido_task *task)
{
    if (forgo_own(worker, task, worker->current)) /* and it may have gone, and ended, since */
        return !lido__state_done(&task->state);
    lido_waker waker = task->joiner;
    if (!lido__state_forgo(&task->state))
        return false;
    set_joiner(task, (lido_waker){0});
    lido__task_unref(lido__waker_task(waker));
    return true;
}

/* Whether `self` has registered with `task`, which is not done. In this order: it may be given away in between. */
static bool joins(struct lido__worker *worker, const lido_task *task, const lido_task *self)
{
    if (joins_own(worker, task, self))
        return true;
    return lido__load(&task->state.word, LIDO__ACQUIRE) & LIDO__JOINER &&
           lido__waker_task(task->joiner) == self;
}

static int join_step(struct lido__worker *worker, lido_task *task, lido_task *self)
{
    int reason = lido__task_interrupted(worker, self);
    bool registered = joins(worker, task, self);
    if (reason && (!registered || lido__join_forgo(worker, task)))
        return reason;
    if (!registered)
        reason = lido__join_register(worker, task, self);
    return reason ? reason : LIDO_PENDING;
}

int lido_join_poll(lido_task *task, int *result, const lido_waker *waker)
{
    lido_task *self = lido__waker_task(*waker);
    struct lido__worker *worker = lido__worker_current();
    if (!worker || worker->current != self)
        return -ENXIO;
    if (task == self)
        return -EDEADLK;
    lido__task_require_handle(task);
    if (!lido__state_done(&task->state)) {
        int r = join_step(worker, task, self);
        if (!lido__state_done(&task->state))
            return r;
    }
    if (result)
        *result = task->result;
    lido__ledger_strike(task);
    lido__task_give_back(task);
    return 0;
}

void lido_join_forgo(lido_task *task)
{
    struct lido__worker *worker = lido__worker_current();
    if (worker && worker->current && !lido__state_done(&task->state) &&
        joins(worker, task, worker->current))
        lido__join_forgo(worker, task);
}
