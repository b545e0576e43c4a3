/* The end of a runtime, and the report of what does not want to end. */
#include <errno.h>

#include "rt/runtime.h"

/* How long a worker may take to answer; one that does not is running a task that does not return. */
#define ANSWER_NS 100000000u

/* ---- Report ------------------------------------------------------------------------------------ */

static const char *awaits(const struct lido__worker *worker, const lido_task *task)
{
    if (task == worker->current)
        return "running";
    if (task->flags & LIDO__TASK_UNSTARTED)
        return "start";
    return task->flags & LIDO__TASK_FIBER ? lido__fiber_of(task)->awaits : "future";
}

static void tell(struct lido_runtime *runtime, struct lido__worker *worker)
{
    for (struct lido__node *n = worker->tasks.next; n != &worker->tasks; n = n->next) {
        const lido_task *task = lido__container_of(n, lido_task, live);
        lido_stuck stuck = {worker->index, task->name, task->where, awaits(worker, task)};
        runtime->report(runtime->report_arg, &stuck);
    }
}

void lido__report_worker(struct lido__worker *worker)
{
    struct lido_runtime *runtime = worker->pool->runtime;
    struct lido__seat *seat = &runtime->seats[worker->index];
    pthread_mutex_lock(&runtime->report_lock);
    if (runtime->report)
        tell(runtime, worker);
    /* Release: what the callback wrote is seen by the caller of lido_shutdown. */
    lido__store(&seat->reported, runtime->report_round, LIDO__RELEASE);
    pthread_mutex_unlock(&runtime->report_lock);
    lido__futex_wake(&seat->reported, 1);
}

static bool answered(struct lido__seat *seat, uint32_t round)
{
    uint64_t until = lido__clock_now() + ANSWER_NS;
    for (;;) {
        uint32_t reported = lido__load(&seat->reported, LIDO__ACQUIRE);
        uint64_t now = lido__clock_now();
        if (reported == round)
            return true;
        if (now >= until)
            return false;
        lido__futex_wait(&seat->reported, reported, until - now);
    }
}

/*
 * A worker that does not answer is in the poll of a task: that one is named. Its memory is a slab's
 * and stays readable even if it ends just now; `name` and `where` are static strings by contract.
 */
static void tell_silent(struct lido_runtime *runtime, struct lido__worker *worker)
{
    const lido_task *task = lido__load(&worker->current, LIDO__RELAXED);
    lido_stuck stuck = {worker->index, NULL, "unknown", "running"};
    if (task) {
        stuck.name = task->name;
        stuck.where = task->where;
    }
    runtime->report(runtime->report_arg, &stuck);
}

/* No task gets to a worker before a thread does, and a worker without a thread has nobody to answer. */
static bool has_tasks(const struct lido__worker *worker)
{
    return lido__load(&worker->seated, LIDO__ACQUIRE);
}

/* Reports the tasks of all workers, also of those that do not answer. */
static void report_all(struct lido_runtime *runtime,
                       void (*report)(void *report_arg, const lido_stuck *stuck), void *report_arg)
{
    pthread_mutex_lock(&runtime->report_lock);
    uint32_t round = ++runtime->report_round;
    runtime->report = report;
    runtime->report_arg = report_arg;
    pthread_mutex_unlock(&runtime->report_lock);
    for (unsigned i = 0; i < runtime->pool.count; i++)
        lido__worker_order(&runtime->pool.workers[i], LIDO__ORDER_REPORT);
    for (unsigned i = 0; i < runtime->pool.count; i++) {
        if (!has_tasks(&runtime->pool.workers[i]) || answered(&runtime->seats[i], round))
            continue;
        pthread_mutex_lock(&runtime->report_lock);
        tell_silent(runtime, &runtime->pool.workers[i]);
        pthread_mutex_unlock(&runtime->report_lock);
    }
    /* From here on a late answer says nothing: the callback's argument may be gone. */
    pthread_mutex_lock(&runtime->report_lock);
    runtime->report = NULL;
    pthread_mutex_unlock(&runtime->report_lock);
}

/* ---- Shutdown ---------------------------------------------------------------------------------- */

static bool stopped_by(struct lido__pool *pool, int64_t timeout_ms)
{
    uint64_t until = timeout_ms < 0 ? LIDO__FOREVER
                                    : lido__time_after(lido__clock_now(), timeout_ms);
    for (;;) {
        if (lido__load(&pool->stopped, LIDO__ACQUIRE))
            return true;
        uint64_t now = until == LIDO__FOREVER ? 0 : lido__clock_now();
        if (now >= until)
            return false;
        lido__futex_wait(&pool->stopped, 0, until == LIDO__FOREVER ? until : until - now);
    }
}

int lido_shutdown(lido_runtime *runtime, lido_shutdown_how how, int64_t timeout_ms,
                  void (*report)(void *report_arg, const lido_stuck *stuck), void *report_arg)
{
    struct lido__pool *pool = &runtime->pool;
    struct lido__worker *self = lido__worker_current();
    if (self && self->pool == pool)
        return -EDEADLK;
    if (how != LIDO_SHUTDOWN_ON_IDLE && how != LIDO_SHUTDOWN_NOW)
        return -EINVAL;
    if (how == LIDO_SHUTDOWN_NOW)
        lido__pool_cancel_all(pool);
    lido__pool_end_on_idle(pool);
    if (!stopped_by(pool, timeout_ms)) {
        if (lido__pool_go_on(pool)) {
            if (report)
                report_all(runtime, report, report_arg);
            return -ETIMEDOUT;
        }
        /* It ended in the last moment, and whoever ended it is about to say so. */
        stopped_by(pool, -1);
    }
    lido__runtime_destroy(runtime);
    return 0;
}
