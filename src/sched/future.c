/* What futures await besides ops: timers and other tasks. */
#include <errno.h>

#include "os/os.h"
#include "sched/wake.h"

/* ---- Timers ------------------------------------------------------------------------------------ */

struct timer {
    struct lido__alarm alarm;
    uint64_t at;
    struct lido__worker *worker; /* on whose wheel the alarm is, or was */
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
    timer->worker = NULL;
}

void lido_timer_start(lido_timer *timer, int64_t ms)
{
    lido_timer_start_at(timer, lido__time_after(lido__clock_now(), ms));
}

void lido_timer_stop(lido_timer *public)
{
    struct timer *timer = timer_of(public);
    if (timer->worker)
        lido__alarm_stop(timer->worker, &timer->alarm);
}

int lido_timer_poll(lido_timer *public, const lido_waker *waker)
{
    struct timer *timer = timer_of(public);
    lido_task *task = lido__waker_task(*waker);
    struct lido__worker *worker = lido__worker_current();
    if (!worker || worker != task->worker)
        return -ENXIO;
    int reason = lido__task_interrupted(worker, task);
    if (reason) {
        lido_timer_stop(public);
        return reason;
    }
    if (lido__timer_armed(&timer->alarm.timer))
        return LIDO_PENDING;
    if (timer->at <= lido__clock_now())
        return 0;
    timer->worker = worker;
    lido__alarm_set(worker, &timer->alarm, task, timer->at);
    return LIDO_PENDING;
}

/* ---- Joining ----------------------------------------------------------------------------------- */

bool lido__join_register(struct lido__worker *worker, lido_task *task, lido_task *self)
{
    /* On one worker nobody can end between being seen and being woken; across workers, the one who
       wakes needs a reference. */
    lido_waker waker = task->worker == worker ? lido__waker_borrow(self) : lido__waker_own(self);
    task->joiner = waker;
    if (lido__state_await(&task->state, LIDO__JOINER))
        return true;
    if (lido__waker_owned(waker))
        lido__task_unref(self);
    return false;
}

bool lido__join_forgo(lido_task *task)
{
    lido_waker waker = task->joiner;
    if (!lido__state_forgo(&task->state))
        return false;
    if (lido__waker_owned(waker))
        lido__task_unref(lido__waker_task(waker));
    return true;
}

int lido_join_poll(lido_task *task, int *result, const lido_waker *waker)
{
    lido_task *self = lido__waker_task(*waker);
    struct lido__worker *worker = lido__worker_current();
    if (!worker || worker != self->worker)
        return -ENXIO;
    bool registered = lido__load(&task->state.word, LIDO__RELAXED) & LIDO__JOINER;
    if (registered && lido__waker_task(task->joiner) != self && !lido__state_done(&task->state))
        return -EBUSY;
    int reason = lido__task_interrupted(worker, self);
    if (reason && !lido__state_done(&task->state)) {
        if (!registered || lido__join_forgo(task))
            return reason;
    }
    if (!lido__state_done(&task->state) && (registered || lido__join_register(worker, task, self)))
        return LIDO_PENDING;
    if (result)
        *result = task->result;
    lido__task_unref(task);
    return 0;
}

void lido_join_forgo(lido_task *task)
{
    if (lido__load(&task->state.word, LIDO__RELAXED) & LIDO__JOINER)
        lido__join_forgo(task);
}
