/*
 * How a fiber leaves its stack. Inline, so that each place that waits has its own switch, which the processor
 * predicts by itself; and so that one in a loop has no registers to save for its caller.
 */
#ifndef LIDO_FIBER_SUSPEND_H
#define LIDO_FIBER_SUSPEND_H

#include "fiber/fiber.h"
#include "sched/wake.h"

/* The flags by which a task is known to be one that runs on a stack: FIBER of these. */
#define LIDO__FIBER_MASK (LIDO__TASK_FIBER | LIDO__TASK_ENDED)

/* Exceptions follow the fiber. `loop`: it is the carrier's loop that goes on, and not the current task. */
void lido__fiber_exchange(struct lido__worker *worker, bool loop);

/* On the stack that goes on, inside the gate: frees the one of a fiber that ended by switching here. */
static inline __attribute__((always_inline)) void lido__fiber_bury(struct lido__worker *worker,
                                                                   bool loop)
{
    struct lido__carrier *carrier = lido__carrier_of(worker);
    uintptr_t after = carrier->after;
    if (__builtin_expect(after == 0, 1))
        return;
    if (after & LIDO__EXCHANGES)
        lido__fiber_exchange(worker, loop);
    struct lido__fiber *dead = (struct lido__fiber *)(after & ~LIDO__EXCHANGES);
    if (dead) {
        carrier->after = after & LIDO__EXCHANGES;
        lido__annotate_end(&dead->annotation, dead->context.sp);
        lido__stack_give(&carrier->stacks, dead);
    }
}

/* The next fiber that this worker can switch to without going back to its loop, or NULL. */
static inline __attribute__((always_inline)) struct lido__fiber *lido__fiber_next(
    struct lido__worker *worker)
{
    lido_task *task;
    while ((task = lido__worker_next(worker, LIDO__FIBER_MASK, LIDO__TASK_FIBER))) {
        if (__builtin_expect(!(task->flags & LIDO__TASK_UNSTARTED), 1) ||
            lido__fiber_start(worker, task) == 0)
            return lido__fiber_of(task);
        lido__worker_starve(worker, task);
    }
    return NULL;
}

/* The fiber after the one that runs next: with a thousand connections it is in no near cache. */
static inline __attribute__((always_inline)) void lido__fiber_foresee(
    const struct lido__worker *worker)
{
    const struct lido__link *head = worker->queue.head;
    if (head)
        lido__fiber_fetch(lido__container_of(head, lido_task, run)->future);
}

/*
 * Goes on elsewhere. Returns on the worker on which the fiber goes on, which may be another, and another
 * thread's: that is what is handed over, rather than looked up, since what a compiler knows of
 * thread-local variables may be from before.
 */
static inline __attribute__((always_inline)) struct lido__worker *lido__fiber_switch(
    struct lido__worker *worker, struct lido__fiber *self, struct lido__context *context,
    const struct lido__annotation *annotation, bool last)
{
    lido__annotate_leave(&self->annotation, annotation, last);
    worker = lido__switch(&self->context, context, worker);
    lido__annotate_arrive(&self->annotation);
    lido__fiber_bury(worker, false);
    return worker;
}

/* The same, to `next`, or to the loop if that is NULL. */
static inline __attribute__((always_inline)) struct lido__worker *lido__fiber_go_to(
    struct lido__worker *worker, struct lido__fiber *self, struct lido__fiber *next, bool last)
{
    struct lido__carrier *carrier = lido__carrier_of(worker);
    return lido__fiber_switch(worker, self, next ? &next->context : &carrier->loop,
                              next ? &next->annotation : &carrier->annotation, last);
}

/*
 * Leaves the stack of the current fiber: for the next fiber if there is one, for the loop otherwise.
 * `again`: only for a turn of the others, who mostly are in the caches. Inside the gate; and inside that of the
 * worker that it returns.
 */
static inline __attribute__((always_inline)) struct lido__worker *lido__fiber_leave(
    struct lido__worker *worker, lido_task *current, bool again)
{
    struct lido__fiber *self = lido__fiber_of(current);
    struct lido__fiber *next = lido__fiber_next(worker);
    if (next == self)
        return worker;
    if (!again)
        lido__fiber_foresee(worker);
    if (!next)
        lido__worker_set_current(worker, current); /* the loop is told who came back */
    return lido__fiber_go_to(worker, self, next, false);
}

/*
 * Puts the current fiber to sleep; `again`: it is only the others' turn. `awaits` is a static string for reports.
 * Returns the worker on which it goes on.
 */
static inline __attribute__((always_inline)) struct lido__worker *lido__fiber_sleep(
    struct lido__worker *worker, const char *awaits, bool again)
{
    lido_task *task = worker->current;
    int saved_errno = *worker->errno_address;
    lido__fiber_of(task)->awaits = awaits;
    /* From here on others may give the task away; they wait until its stack has been left. */
    lido__worker_enter(worker);
    if (again)
        lido__worker_queue(worker, task);
    else
        task->since = worker->stamp;
    lido__worker_suspend(worker, task);
    worker = lido__fiber_leave(worker, task, again);
    lido__worker_leave(worker);
    *worker->errno_address = saved_errno;
    return worker;
}

/* For a fiber that has used up its budget: the others' turn. Otherwise as lido__fiber_sleep. */
struct lido__worker *lido__fiber_pause(struct lido__worker *worker);

/* lido__await, for the fiber that is the current task of `worker`. `awaits`: as above. */
static inline __attribute__((always_inline)) ssize_t lido__fiber_await(struct lido__worker *worker,
                                                                       struct lido__op *op,
                                                                       const char *awaits)
{
    if (__builtin_expect(worker->budget == 0, 0))
        worker = lido__fiber_pause(worker);
    worker->budget--;
    if (lido__op_start(worker, worker->current, op))
        return op->result;
    do
        worker = lido__fiber_sleep(worker, awaits, false);
    while (!lido__op_resume(worker, worker->current, op));
    return op->result;
}

#endif
