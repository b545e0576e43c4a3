/*
 * Blocking code: sections, and tasks that consist of it.
 *
 * A section keeps its thread and may lose its worker: see sched/section.h for how, and lifeguard.h for when.
 * A task of lido_spawn_blocking is a future that waits for capacity and then for a job, which runs on a thread
 * of the crew. So it is joined, cancelled and counted like every other.
 */
#include "rt/blocking.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/fork.h"
#include "rt/runtime.h"
#include "sched/job.h"
#include "sched/section.h"

/* ---- Sections ---------------------------------------------------------------------------------- */

int lido_blocking(lido_fn fn, void *arg)
{
    int r;
    struct lido__worker *worker = lido__fiber_worker(&r);
    if (!worker)
        return r == -ENXIO ? fn(arg) : r;
    struct lido_runtime *runtime = worker->pool->runtime;
    if (__builtin_expect(worker->budget == 0, 0)) {
        lido_yield();
        worker = lido__worker_current();
    }
    worker->budget--;
    r = lido__semaphore_acquire(&runtime->capacity[LIDO_POOL_USER], 1);
    if (r < 0)
        return r;
    struct lido__section section = {.fn = fn, .arg = arg, .entered = lido__lifeguard_call};
    r = lido__fiber_section(lido__worker_current(), &section);
    lido__semaphore_release(&runtime->capacity[LIDO_POOL_USER], 1);
    return r;
}

/* ---- Jobs of other rooms ------------------------------------------------------------------------ */

int lido__blocking_employ(struct lido__pool *pool, struct lido__job *job)
{
    struct lido_runtime *runtime = pool->runtime;
    struct lido__semaphore *capacity = &runtime->capacity[job->pool];
    int r = lido__semaphore_acquire(capacity, 1);
    if (r < 0)
        return r;
    r = lido__crew_run(&runtime->crew, job);
    if (r < 0)
        lido__semaphore_release(capacity, 1);
    return r;
}

/* ---- Tasks ------------------------------------------------------------------------------------- */

/* The future; freed by its last poll. */
struct outsourced {
    lido_future future;
    struct lido__job job;
    struct lido_runtime *runtime;
    lido_fn fn;
    void *arg;
    lido_wait wait; /* for capacity */
    /* The job is on its way to a thread. Written by the task, or by whoever has passed capacity to it. */
    lido__shared uint32_t begun;
    lido_waker waker; /* owned, for the thread; from then on */
    int result;       /* the thread's, as `done` */
    lido__shared uint32_t done;
};

static void run_job(struct lido__job *job)
{
    struct outsourced *self = lido__container_of(job, struct outsourced, job);
    lido__task_blocking = lido__waker_task(self->waker);
    int result = self->fn(self->arg);
    lido__task_blocking = NULL;
    LIDO__ASSERT(!lido__forked); /* the child of a fork must not come back */
    lido_waker waker = self->waker;
    self->result = result == LIDO_PENDING ? -EINVAL : result; /* reserved, as for fibers */
    /* Release: the task sees the result. From here on it may be gone. */
    lido__store(&self->done, 1, LIDO__RELEASE);
    lido__wake_consume(waker);
}

static bool has_begun(const struct outsourced *self)
{
    return lido__load(&self->begun, LIDO__RELAXED);
}

/* With capacity. Relaxed: the task asks after it, or after it has seen that it has capacity. */
static void engage(struct outsourced *self, const lido_waker *waker)
{
    self->waker = lido_waker_clone(waker);
    lido__store(&self->begun, 1, LIDO__RELAXED);
}

static void engage_passed(lido_wait *wait)
{
    lido_waker waker = lido__waker_borrow(lido__wait_of(wait)->task);
    engage(lido__container_of(wait, struct outsourced, wait), &waker);
}

struct lido__job *lido__blocking_pass(struct lido__semaphore *capacity)
{
    lido_wait *wait = lido__semaphore_pass(capacity, engage_passed);
    return wait ? &lido__container_of(wait, struct outsourced, wait)->job : NULL;
}

static int begin(struct outsourced *self, const lido_waker *waker)
{
    struct lido_runtime *runtime = self->runtime;
    struct lido__semaphore *capacity = &runtime->capacity[self->job.pool];
    int r = lido__semaphore_acquire_poll(capacity, &self->wait, waker);
    if (r || has_begun(self))
        return r ? r : LIDO_PENDING;
    engage(self, waker);
    r = lido__crew_run(&runtime->crew, &self->job);
    lido__worker_current()->awaits_job = true;
    if (r == 0)
        return LIDO_PENDING;
    lido_waker_drop(&self->waker);
    lido__semaphore_release(capacity, 1);
    return r;
}

static int poll(lido_future *future, const lido_waker *waker)
{
    struct outsourced *self = lido__container_of(future, struct outsourced, future);
    int r = LIDO_PENDING;
    if (!has_begun(self))
        r = begin(self, waker);
    else if (lido__load(&self->done, LIDO__ACQUIRE))
        r = self->result;
    if (r != LIDO_PENDING)
        free(self);
    return r;
}

bool lido__blocking_is_task(const lido_task *task)
{
    return task->future->poll == poll;
}

/* As far as this library knows them; false: they have no size, or there is no such pool. */
static bool read_options(lido_blocking_options *known, const lido_blocking_options *options)
{
    *known = (lido_blocking_options)LIDO_BLOCKING_OPTIONS_INIT;
    if (!options)
        return true;
    if (options->size < sizeof(options->size))
        return false;
    memcpy(known, options, options->size < sizeof(*known) ? options->size : sizeof(*known));
    return (unsigned)known->pool < LIDO__POOLS;
}

int lido_spawn_blocking_at(lido_runtime *runtime, lido_task **task, lido_fn fn, void *arg,
                           const lido_blocking_options *options, const char *where)
{
    lido_blocking_options known;
    lido_spawn_options spawn = LIDO_SPAWN_OPTIONS_INIT;
    if (!read_options(&known, options))
        return -EINVAL;
    if (!runtime)
        runtime = lido_runtime_current();
    if (!runtime)
        return -ENXIO;
    struct outsourced *self = lido__fault("malloc") < 0 ? NULL : calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    self->future.poll = poll;
    self->job.run = run_job;
    self->job.pool = known.pool;
    self->runtime = runtime;
    self->fn = fn;
    self->arg = arg;
    spawn.name = known.name;
    int r = lido_spawn_future_at(runtime, task, &self->future, &spawn, where);
    if (r < 0)
        free(self);
    return r;
}
