/*
 * Wake-ups: from a waker, a settled op, a timer or a cancellation to a runnable task.
 *
 * On the task's own worker a wake-up is plain; from anywhere else it goes through the task's state
 * word and the worker's inbox.
 */
#ifndef LIDO_SCHED_WAKE_H
#define LIDO_SCHED_WAKE_H

#include "sched/worker.h"

/* Makes a task run again. The caller holds a reference, or is on its worker. Any thread. */
void lido__wake(lido_task *task);

/* The same for a task that is alive, on its worker's thread, inside the gate. */
static inline void lido__wake_here(struct lido__worker *worker, lido_task *task)
{
    if (!(task->flags & LIDO__TASK_ARRIVING))
        lido__worker_ready(worker, task);
}

/*
 * Wake-ups that are begun while something is held for which others spin, and sent when it is free:
 * what is slow about them is the system call that wakes a worker.
 *
 * A task of the current worker is made runnable at once. Any other one is marked as notified, which
 * gives the inbox of its worker a reference (task/state.h): so until it is sent the task stays
 * alive, and its worker too, though the task may have gone on meanwhile; and its `mail` belongs to
 * this list, as nobody else sends a task that is notified already.
 */
struct lido__wakes {
    struct lido__fifo mail; /* of struct lido_task.mail */
};

static inline void lido__wakes_init(struct lido__wakes *wakes)
{
    lido__fifo_init(&wakes->mail);
}

/* `flags`: CANCELLED or 0. The task is alive for other reasons. Never waits. Any thread. */
void lido__wakes_add(struct lido__wakes *wakes, lido_task *task, uint32_t flags);
/* In the order in which they were added. Nothing is held any more. */
void lido__wakes_send_all(struct lido__wakes *wakes);

static inline void lido__wakes_send(struct lido__wakes *wakes)
{
    if (!lido__fifo_empty(&wakes->mail))
        lido__wakes_send_all(wakes);
}

/* Uses a waker up: wakes, and drops its reference if it has one. Any thread. */
void lido__wake_consume(lido_waker waker);

/* What a reactor (or the closing of a handle) has handed back: `state` READY, or SETTLED with
   `result`. Wakes the tasks. Any thread. */
void lido__deliver(struct lido__fifo *handed, enum lido__op_state state, ssize_t result);

/*
 * Starts an op, which is IDLE, for `task`, which is the current one: true when it is settled. Looks
 * for cancellation and deadline first, so that an op that is interrupted has consumed nothing.
 */
static inline bool lido__op_start(struct lido__worker *worker, lido_task *task, struct lido__op *op)
{
    struct lido__reactor *reactor = worker->reactor;
    int reason = lido__task_interrupted(worker, task);
    if (__builtin_expect(reason, 0))
        return reactor->ops->cancel(reactor, op, reason);
    op->waker = lido__waker_borrow(task); /* later it may be read by whoever closes the handle */
    return reactor->ops->submit(reactor, op);
}

/* Goes on with one that has been started, whatever has happened to it. */
bool lido__op_resume_any(struct lido__worker *worker, lido_task *task, struct lido__op *op);

/* Goes on with one that has been started; likewise. */
static inline bool lido__op_resume(struct lido__worker *worker, lido_task *task,
                                   struct lido__op *op)
{
    struct lido__reactor *reactor = worker->reactor;
    if (__builtin_expect(lido__op_state(op) == LIDO__OP_READY, 1) &&
        __builtin_expect(!lido__task_interrupted(worker, task), 1))
        return reactor->ops->retry(reactor, op);
    return lido__op_resume_any(worker, task, op);
}

/* The one or the other. */
static inline bool lido__op_advance(struct lido__worker *worker, lido_task *task,
                                    struct lido__op *op)
{
    return lido__op_state(op) == LIDO__OP_IDLE ? lido__op_start(worker, task, op)
                                               : lido__op_resume(worker, task, op);
}

/* Settles an op that has been started: with -EAGAIN if it still has to wait. */
void lido__op_give_up(struct lido__worker *worker, struct lido__op *op);

/*
 * Starts an op without waiting: it is settled, with -EAGAIN if it would have to wait. Does not look
 * for cancellation and deadline, which end waits: for writing what is lost if it is not written
 * now.
 */
static inline void lido__op_try(struct lido__worker *worker, lido_task *task, struct lido__op *op)
{
    struct lido__reactor *reactor = worker->reactor;
    op->waker = lido__waker_borrow(task);
    if (!reactor->ops->submit(reactor, op))
        lido__op_give_up(worker, op);
}

/*
 * `self`, the current task, waits for `task`: registers its waker. 0 (`task` may be done already),
 * or -EBUSY: somebody else waits.
 */
int lido__join_register(struct lido__worker *worker, lido_task *task, lido_task *self);
/* The waiter gives up. False: too late, the task is done. */
bool lido__join_forgo(struct lido__worker *worker, lido_task *task);
/*
 * A task whose waiter lends it a waker, being of the same worker, is given away. Inside the gate.
 */
void lido__join_detach(lido_task *task);

/* `ms` after `now`, in ns; never past LIDO__NEVER. */
uint64_t lido__time_after(uint64_t now, int64_t ms);

/* An alarm: a timer of the current worker that wakes a task of that worker, which stays there as
   long as it is armed. Embedded. */
struct lido__alarm {
    struct lido__timer timer;
    lido_task *task;
};

/* The current task's. Armed. */
void lido__alarm_set(struct lido__worker *worker, struct lido__alarm *alarm, uint64_t at);
/* One that is not armed is left alone. */
void lido__alarm_stop(struct lido__alarm *alarm);
bool lido__alarm_is_armed(const struct lido__alarm *alarm);
/*
 * What the current task's wait for an alarm has come to, which has rung: 0 or why it was
 * interrupted. The deadline may have passed by now, too: if it came first then that it did must not
 * depend on who looked at the clock when.
 */
int lido__alarm_came(struct lido__worker *worker, uint64_t at);

/*
 * What most tasks never need, kept out of the task: the timer of its deadline and its task-locals.
 * A fiber has one on its stack; a future gets one from malloc when it first needs it.
 */
struct lido__extra {
    struct lido__alarm deadline;
    struct lido__local_value *locals;
};

static inline bool lido__alarm_is_deadline(const struct lido__alarm *alarm)
{
    const lido_task *task = alarm->task;
    return task->flags & LIDO__TASK_EXTRA && alarm == &task->extra->deadline;
}

/* The extra of a task of the current worker, put to use; NULL when out of memory. Inside the gate,
   or before the task can be seen. */
struct lido__extra *lido__extra_of(lido_task *task);
void lido__extra_destroy(lido_task *task);

/* The current task is over: destroys its locals and stops its timer. Outside the gate: others' code
   is called. */
static inline void lido__extra_end(lido_task *task)
{
    if (__builtin_expect(lido__task_flags(task) & LIDO__TASK_EXTRA, 0))
        lido__extra_destroy(task);
}

/*
 * Between these two, neither cancellation nor deadline end the waits of the current task: for those
 * that must be. Returns what to give back.
 */
static inline uint32_t lido__task_shield(void)
{
    struct lido__worker *worker = lido__worker_current();
    uint32_t before = lido__task_flags(worker->current) & LIDO__TASK_STOPPING;
    if (!before)
        lido__worker_mark(worker, LIDO__TASK_STOPPING, 0);
    return before;
}

static inline void lido__task_unshield(uint32_t before)
{
    if (!before)
        lido__worker_mark(lido__worker_current(), 0, LIDO__TASK_STOPPING);
}

#endif
