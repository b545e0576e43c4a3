/* Waiting for tasks, from fibers and from plain threads. */
#include <errno.h>

#include "base/fork.h"
#include "base/ledger.h"
#include "fiber/suspend.h"
#include "os/os.h"

/* The task is DONE: hands its result and the caller's reference over. */
static int collect(lido_task *task, int *result)
{
    if (result)
        *result = task->result;
    lido__ledger_strike(task);
    lido__task_give_back(task);
    return 0;
}

static int thread_join(lido_task *task, int *result)
{
    if (lido__task_is_joined(task) && !lido__state_done(&task->state))
        return -EBUSY;
    if (lido__forked && !lido__state_done(&task->state))
        return -ENOTRECOVERABLE;
    if (lido__state_await(&task->state, LIDO__THREAD))
        while (!lido__state_done(&task->state)) {
            uint32_t word = lido__load(&task->state.word, LIDO__RELAXED);
            if (!(word & LIDO__DONE))
                lido__futex_wait(&task->state.word, word, LIDO__FOREVER);
        }
    return collect(task, result);
}

static int fiber_join(struct lido__worker *worker, lido_task *task, int *result)
{
    lido_task *self = worker->current;
    int reason = lido__task_interrupted(worker, self);
    if (!reason && !lido__state_done(&task->state))
        reason = lido__join_register(worker, task, self);
    if (reason)
        return reason;
    while (!lido__state_done(&task->state)) {
        worker = lido__fiber_sleep(worker, "join", false);
        if (lido__state_done(&task->state))
            break;
        reason = lido__task_interrupted(worker, self);
        if (reason && lido__join_forgo(worker, task))
            return reason;
    }
    return collect(task, result);
}

/* Whether the caller must not wait for `task`: it is that task, or not a fiber. */
static bool would_deadlock(const struct lido__worker *worker, const lido_task *task)
{
    const lido_task *self = worker->current;
    return !self || self == task || !(lido__task_flags(self) & LIDO__TASK_FIBER);
}

int lido_join(lido_task *task, int *result)
{
    struct lido__worker *worker = lido__worker_current();
    if (worker && would_deadlock(worker, task))
        return -EDEADLK;
    lido__task_require_handle(task);
    return worker ? fiber_join(worker, task, result) : thread_join(task, result);
}

int lido_stop(lido_task *task, int *result)
{
    struct lido__worker *worker = lido__worker_current();
    if (!task)
        return 0;
    if (worker && would_deadlock(worker, task))
        return -EDEADLK;
    lido__task_require_handle(task);
    if (lido__task_is_joined(task) && !lido__state_done(&task->state))
        return -EBUSY;
    lido_cancel(task);
    if (!worker)
        return thread_join(task, result);
    uint32_t shield = lido__task_shield();
    int r = fiber_join(worker, task, result);
    lido__task_unshield(shield);
    return r;
}
