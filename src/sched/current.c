/* Questions to the current worker and task, as the public asks them. */
#include <errno.h>
#include <stdlib.h>

#include "base/ledger.h"
#include "os/os.h"
#include "sched/section.h"
#include "sched/wake.h"

__thread const lido_task *lido__task_blocking __attribute__((tls_model("initial-exec")));

uint64_t lido_now(void)
{
    return lido__clock_now();
}

lido_task *lido_self(void)
{
    struct lido__worker *worker = lido__worker_current();
    return worker ? worker->current : NULL;
}

/* Not inlined: two thread-local variables in one function have an address in common, which would be kept. */
static __attribute__((noinline)) const lido_task *blocking_task(void)
{
    return lido__task_blocking;
}

const lido_task *lido__task_of_thread(void)
{
    const struct lido__worker *worker = lido__worker_current();
    return worker ? worker->current : blocking_task();
}

lido_runtime *lido_runtime_current(void)
{
    struct lido__worker *worker = lido__worker_current();
    return worker && worker->current ? (lido_runtime *)worker->pool : NULL;
}

int lido_worker_index(void)
{
    struct lido__worker *worker = lido__worker_current();
    return worker ? (int)worker->index : -ENXIO;
}

int lido_worker_count(void)
{
    struct lido__worker *worker = lido__worker_current();
    return worker ? (int)worker->pool->count : -ENXIO;
}

const char *lido_reactor_name(void)
{
    struct lido__worker *worker = lido__worker_current();
    return worker ? worker->reactor->ops->name : NULL;
}

bool lido_is_cancelled(void)
{
    lido_task *task = lido_self();
    return task && lido__state_cancelled(&task->state);
}

bool lido_task_is_done(const lido_task *task)
{
    lido__task_require_alive(task);
    return lido__state_done(&task->state);
}

const char *lido_task_name(const lido_task *task)
{
    lido__task_require_alive(task);
    return task->name;
}

void lido_detach(lido_task *task)
{
    if (!task)
        return;
    lido__ledger_strike(task);
    lido__task_give_back(task);
}

uint64_t lido__time_after(uint64_t now, int64_t ms)
{
    if (ms <= 0)
        return now;
    if ((uint64_t)ms > (LIDO__NEVER - now) / 1000000)
        return LIDO__NEVER;
    return now + (uint64_t)ms * 1000000;
}

lido_deadline lido_deadline_push(int64_t ms)
{
    struct lido__worker *worker = lido__worker_current();
    if (!worker || !worker->current)
        return (lido_deadline){LIDO__NEVER};
    lido_task *task = worker->current;
    lido_deadline scope = {task->deadline};
    /* The clock has been read: so a deadline of 0 has passed at once. */
    worker->now = lido__clock_now();
    uint64_t at = lido__time_after(worker->now, ms);
    if (at < task->deadline)
        task->deadline = at;
    return scope;
}

void lido_deadline_pop(lido_deadline *scope)
{
    lido_task *task = lido_self();
    if (task)
        task->deadline = scope->outer;
}
