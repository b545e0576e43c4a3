#include "sched/wake.h"

#include <errno.h>

#include "os/os.h"

/* How many ops ahead a task is fetched. */
#define AHEAD 4

/* Inside the gate. False: the task is not the worker's own. */
static inline __attribute__((always_inline)) bool wake_inside(struct lido__worker *worker,
                                                              lido_task *task, uint32_t flags)
{
    uint32_t word = lido__load(&task->state.word, LIDO__ACQUIRE);
    bool own = lido__task_belongs(task, worker, word);
    if (own && flags)
        lido__state_cancel(&task->state);
    if (own && !(word & LIDO__DONE))
        lido__wake_here(worker, task);
    return own;
}

/*
 * Plainly, if the task is the current worker's own. The gate: whoever seizes it may give the task away,
 * and not between the question and what follows from the answer.
 */
static inline __attribute__((always_inline)) bool wake_own(lido_task *task, uint32_t flags)
{
    struct lido__worker *worker = lido__worker_current();
    if (!worker)
        return false;
    bool entered = lido__gate_enter_if_outside(&worker->gate);
    bool own = wake_inside(worker, task, flags);
    if (entered)
        lido__worker_leave(worker);
    return own;
}

/* `flags`: CANCELLED or 0. */
static inline __attribute__((always_inline)) void wake(lido_task *task, uint32_t flags)
{
    if (!wake_own(task, flags) && lido__state_notify(&task->state, flags))
        lido__worker_mail(lido__task_worker(task), &task->mail);
}

void lido__wake(lido_task *task)
{
    wake(task, 0);
}

/* The same without waiting for a seizer: then it is woken as by any other thread. */
static bool wake_own_at_once(lido_task *task, uint32_t flags)
{
    struct lido__worker *worker = lido__worker_current();
    if (!worker)
        return false;
    bool inside = lido__load(&worker->gate.inside, LIDO__RELAXED);
    if (!inside && !lido__gate_try_enter(&worker->gate))
        return false;
    bool own = wake_inside(worker, task, flags);
    if (!inside)
        lido__worker_leave(worker);
    return own;
}

void lido__wakes_add(struct lido__wakes *wakes, lido_task *task, uint32_t flags)
{
    if (!wake_own_at_once(task, flags) && lido__state_notify(&task->state, flags))
        lido__fifo_push(&wakes->mail, &task->mail);
}

/* Once its link is in an inbox the task may be gone. */
void lido__wakes_send_all(struct lido__wakes *wakes)
{
    struct lido__link *link;
    while ((link = lido__fifo_pop(&wakes->mail)))
        lido__worker_mail(lido__task_worker(lido__container_of(link, lido_task, mail)), link);
}

void lido__wake_consume(lido_waker waker)
{
    lido_task *task = lido__waker_task(waker);
    lido__wake(task);
    if (lido__waker_owned(waker))
        lido__task_unref(task);
}

static lido_task *waiting_on(const struct lido__op *op)
{
    return (lido_task *)op->waker.lido_private; /* it is borrowed */
}

/* The task of an op that will be delivered soon. The ops are near, since the reactor has just linked them. */
static struct lido__link *foresee(struct lido__link *link)
{
    if (!link)
        return NULL;
    __builtin_prefetch(waiting_on(lido__op_from_link(link)), 1);
    return link->next;
}

/* Release: its task goes on from what is in the op. */
static inline void hand_over(struct lido__op *op, enum lido__op_state state, ssize_t result)
{
    op->result = result;
    lido__store(&op->state, (uint8_t)state, LIDO__RELEASE);
}

/* To a task of another worker: once the state is stored, that one may see it and be gone. It cannot be before, so a
   reference can still be taken. */
static __attribute__((noinline)) void deliver_abroad(struct lido__op *op, enum lido__op_state state,
                                                     ssize_t result)
{
    lido_waker waker = lido__waker_own(waiting_on(op));
    hand_over(op, state, result);
    lido__wake_consume(waker);
}

/* `self`: of this thread, which is inside the gate; or NULL. */
static inline void deliver_one(struct lido__worker *self, struct lido__op *op,
                               enum lido__op_state state, ssize_t result)
{
    lido_task *task = waiting_on(op);
    if (!lido__task_belongs(task, self, lido__load(&task->state.word, LIDO__ACQUIRE))) {
        deliver_abroad(op, state, result);
        return;
    }
    hand_over(op, state, result);
    lido__worker_queue(self, task); /* it has run and waits, so it has arrived and is not done */
}

void lido__deliver(struct lido__fifo *handed, enum lido__op_state state, ssize_t result)
{
    struct lido__worker *self = lido__worker_current();
    bool entered = self && lido__gate_enter_if_outside(&self->gate);
    struct lido__link *ahead = handed->head;
    for (unsigned i = 0; i < AHEAD; i++)
        ahead = foresee(ahead);
    for (struct lido__link *link = handed->head, *next; link; link = next) {
        next = link->next; /* of an op that has been handed over nothing may be looked at */
        ahead = foresee(ahead);
        deliver_one(self, lido__op_from_link(link), state, result);
    }
    lido__fifo_init(handed);
    if (entered)
        lido__worker_leave(self);
}

bool lido__op_resume_any(struct lido__worker *worker, lido_task *task, struct lido__op *op)
{
    struct lido__reactor *reactor = worker->reactor;
    enum lido__op_state state = lido__op_state(op);
    if (state == LIDO__OP_SETTLED)
        return true;
    int reason = lido__task_interrupted(worker, task);
    if (reason)
        return reactor->ops->cancel(reactor, op, reason);
    return state == LIDO__OP_READY && reactor->ops->retry(reactor, op);
}

void lido__op_give_up(struct lido__worker *worker, struct lido__op *op)
{
    struct lido__reactor *reactor = worker->reactor;
    enum lido__op_state state;
    struct lido__backoff backoff = {0};
    while ((state = lido__op_state(op)) != LIDO__OP_SETTLED) {
        if (state == LIDO__OP_READY && reactor->ops->retry(reactor, op))
            return;
        if (reactor->ops->cancel(reactor, op, -EAGAIN))
            return;
        /* Another worker's thread hands it back just now, or somebody's closes the handle. */
        lido__backoff(&backoff);
    }
}

/* ---- Wakers and cancellation, as the public sees them ------------------------------------------- */

lido_waker lido_waker_clone(const lido_waker *waker)
{
    return lido__waker_own(lido__waker_task(*waker));
}

void lido_waker_wake(const lido_waker *waker)
{
    lido__wake(lido__waker_task(*waker));
}

void lido_waker_drop(lido_waker *waker)
{
    if (waker->lido_private == 0)
        return;
    lido__task_unref(lido__waker_task(*waker));
    waker->lido_private = 0;
}

void lido_cancel(lido_task *task)
{
    lido__task_require_alive(task);
    wake(task, LIDO__CANCELLED);
}
