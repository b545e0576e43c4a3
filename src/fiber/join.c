/* Waiting for tasks, from fibers and from plain threads. */
#include <errno.h>

#include "fiber/fiber.h"
#include "os/os.h"

/* The task is DONE: hands its result and the caller's reference over. */
static int collect(lido_task *task, int *result)
{
    if (result)
        *result = task->result;
    lido__task_unref(task);
    return 0;
}

static bool somebody_waits(const lido_task *task)
{
    uint32_t word = lido__load(&task->state.word, LIDO__RELAXED);
    return !(word & LIDO__DONE) && word & (LIDO__JOINER | LIDO__THREAD);
}

static int thread_join(lido_task *task, int *result)
{
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
    if (reason)
        return reason;
    lido__join_register(worker, task, self);
    while (!lido__state_done(&task->state)) {
        lido__fiber_suspend(worker, "join");
        worker = lido__worker_current();
        reason = lido__task_interrupted(worker, self);
        if (reason && !lido__state_done(&task->state) && lido__join_forgo(task))
            return reason;
    }
    return collect(task, result);
}

int lido_join(lido_task *task, int *result)
{
    struct lido__worker *worker = lido__worker_current();
    if (worker && (!worker->current || worker->current == task ||
                   !(worker->current->flags & LIDO__TASK_FIBER)))
        return -EDEADLK;
    if (somebody_waits(task))
        return -EBUSY;
    return worker ? fiber_join(worker, task, result) : thread_join(task, result);
}

int lido_stop(lido_task *task, int *result)
{
    lido_task *self = lido_self();
    if (!task)
        return 0;
    if (self == task)
        return -EDEADLK;
    lido_cancel(task);
    if (!self)
        return lido_join(task, result);
    uint32_t before = self->flags & LIDO__TASK_STOPPING;
    self->flags |= LIDO__TASK_STOPPING;
    int r = lido_join(task, result);
    if (!before)
        self->flags &= ~LIDO__TASK_STOPPING;
    return r;
}
