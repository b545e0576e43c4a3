/*
 * Fibers that wait, as the sync room sees them: each simulated thread is a fiber with a worker of its own,
 * that sleeps on a bell until it is woken. A task is memory that its fiber frees at its end, if nobody has a
 * handle any more: so whoever wakes one that may be gone is caught.
 */
#ifndef LIDO_TESTS_MODEL_WAITING_H
#define LIDO_TESTS_MODEL_WAITING_H

#include "explorer.h"
#include "props.h"
#include "sync/waitq.h"

struct model_fiber {
    lido_task task; /* first: its address is the fiber's */
    struct model_bell bell;
    uint32_t handles; /* of the fiber itself, and of others */
    uint32_t notified;
    int result;
};

__thread struct lido__worker *lido__worker_of_thread;

static struct lido__worker model_workers[MODEL_MAX_THREADS];

/* In setup. `handles`: how many others have one. */
static __attribute__((unused)) struct model_fiber *model_fiber_new(uint32_t handles,
                                                                   const char *name)
{
    struct model_fiber *fiber = model_alloc(sizeof(*fiber), name);
    lido__state_init(&fiber->task.state, 1);
    fiber->task.flags = LIDO__TASK_FIBER;
    fiber->task.deadline = UINT64_MAX;
    fiber->handles = 1 + handles;
    return fiber;
}

static __attribute__((unused)) void model_fiber_drop(struct model_fiber *fiber)
{
    if (lido__fetch_sub(&fiber->handles, 1, LIDO__ACQ_REL) == 1)
        model_free(fiber);
}

/* The first thing that a fiber does, with its place among the workers; and the last. */
static __attribute__((unused)) void model_fiber_begin(struct model_fiber *fiber, int place)
{
    struct lido__worker *worker = &model_workers[place];
    worker->current = &fiber->task;
    worker->budget = 1000;
    lido__worker_of_thread = worker;
}

static __attribute__((unused)) void model_fiber_end(struct model_fiber *fiber)
{
    lido__worker_of_thread = NULL;
    model_fiber_drop(fiber);
}

/* By one who has a handle, and gives it up. */
static __attribute__((unused)) void model_fiber_cancel(struct model_fiber *fiber)
{
    lido__state_cancel(&fiber->task.state);
    lido__wake(&fiber->task);
    model_fiber_drop(fiber);
}

/* ---- What the sync room calls -------------------------------------------------------------------------- */

void lido__wake(lido_task *task)
{
    model_touch(task);
    model_bell_ring(&((struct model_fiber *)task)->bell);
}

/*
 * As it is between two workers, of which that of the task takes it from its inbox at once: what is notified has a
 * reference, and whoever notifies it first has its mail until it is sent.
 */
void lido__wakes_add(struct lido__wakes *wakes, lido_task *task, uint32_t flags)
{
    struct model_fiber *fiber = (struct model_fiber *)task;
    model_touch(task);
    if (flags)
        lido__state_cancel(&task->state);
    if (lido__exchange(&fiber->notified, 1, LIDO__ACQ_REL))
        return;
    lido__fetch_add(&fiber->handles, 1, LIDO__RELAXED);
    lido__fifo_push(&wakes->mail, &task->mail);
}

void lido__wakes_send_all(struct lido__wakes *wakes)
{
    struct lido__link *link;
    while ((link = lido__fifo_pop(&wakes->mail))) {
        struct model_fiber *fiber = (struct model_fiber *)lido__container_of(link, lido_task, mail);
        model_touch(fiber);
        lido__exchange(&fiber->notified, 0, LIDO__ACQ_REL);
        model_bell_ring(&fiber->bell);
        model_fiber_drop(fiber);
    }
}

void lido__fiber_suspend(struct lido__worker *worker, const char *awaits)
{
    (void)awaits;
    model_bell_wait(&((struct model_fiber *)worker->current)->bell);
}

void lido__thread_yield(void)
{
    model_yield();
}

int lido__barrier_init(void)
{
    return 0;
}

void lido__barrier_all(void)
{
    model_barrier_all();
}

/* Nobody seizes a worker here. */
void lido__gate_enter_slowly(struct lido__gate *gate)
{
    (void)gate;
    model_assert(false);
}

/* Nobody uses up its budget here. */
int lido_yield(void)
{
    model_assert(false);
    return 0;
}

int *lido_errno_address(void)
{
    static int value;
    return &value;
}

#endif
