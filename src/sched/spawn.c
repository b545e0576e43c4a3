#include "sched/spawn.h"

#include <errno.h>
#include <stdlib.h>

#include "sched/wake.h"

/* Reads no further than the caller's header knew. */
#define HAS(options, field)                                                                        \
    ((options) && (options)->size >= offsetof(lido_spawn_options, field) + sizeof((options)->field))

/* A spawn within the worker: nothing is shared yet, and nothing is atomic. */
static int spawn_local(struct lido__worker *worker, lido_task *task)
{
    if (worker->refusing)
        return -ESHUTDOWN;
    lido__worker_adopt(worker, task);
    lido__worker_queue(worker, task);
    return 0;
}

/* The inbox's reference is the NOTIFIED one: the first wake-up of a task is its birth. */
static int spawn_remote(struct lido__worker *worker, lido_task *task, uint32_t refs, bool counted)
{
    int r = lido__pool_enter(worker->pool);
    if (r < 0)
        return r;
    lido__state_init_notified(&task->state, refs + 1);
    task->flags |= LIDO__TASK_ARRIVING;
    if (counted) {
        task->flags |= LIDO__TASK_COUNTED;
        lido__fetch_add(&worker->incoming, 1, LIDO__RELAXED);
    }
    lido__worker_mail(worker, &task->mail);
    return 0;
}

static lido_task *new_task(const struct lido__spawn *spawn, uint32_t refs, uint64_t deadline)
{
    const char *name = HAS(spawn->options, name) ? spawn->options->name : NULL;
    lido_task *task = lido__task_new(refs, spawn->flags, name, spawn->where);
    if (!task)
        return NULL;
    task->deadline = deadline;
    if (spawn->flags & LIDO__TASK_FIBER) {
        task->entry = spawn->entry;
        task->arg = spawn->arg;
        return task;
    }
    task->future = spawn->future;
    /* A future's deadline needs memory; a fiber has it on its stack. */
    if (deadline != LIDO__NEVER && !lido__extra_of(task)) {
        lido__task_free(task);
        return NULL;
    }
    return task;
}

static void discard(lido_task *task)
{
    if (task->flags & LIDO__TASK_OWN_EXTRA)
        free(task->extra);
    lido__task_free(task);
}

int lido__spawn(const struct lido__spawn *spawn, lido_task **handle)
{
    struct lido__worker *self = lido__worker_current();
    if (self && (!self->current || (spawn->pool && spawn->pool != self->pool)))
        self = NULL; /* from a hook, or into another runtime: as from a plain thread */
    struct lido__pool *pool = self ? self->pool : spawn->pool;
    if (!pool)
        return -ENXIO;
    lido_placement placement = HAS(spawn->options, placement) ? spawn->options->placement
                                                              : LIDO_PLACE_DEFAULT;
    unsigned index = HAS(spawn->options, worker) ? spawn->options->worker : 0;
    bool counted = placement == LIDO_PLACE_LEAST_LOADED ||
                   (placement == LIDO_PLACE_DEFAULT && pool->placement == LIDO_PLACE_LEAST_LOADED);
    struct lido__worker *worker = lido__pool_place(pool, self, placement, index);
    if (!worker)
        return -EINVAL;
    uint32_t refs = 1 + (handle != NULL);
    lido_task *task = new_task(spawn, refs, self ? self->current->deadline : LIDO__NEVER);
    if (!task)
        return -ENOMEM;
    task->worker = worker;
    int r = worker == self ? spawn_local(worker, task) : spawn_remote(worker, task, refs, counted);
    if (r < 0)
        discard(task);
    else if (handle)
        *handle = task;
    return r;
}

int lido_spawn_future_at(lido_runtime *runtime, lido_task **task, lido_future *future,
                         const lido_spawn_options *options, const char *where)
{
    struct lido__spawn spawn = {
        .pool = (struct lido__pool *)runtime, /* a runtime begins with its pool */
        .options = options,
        .where = where,
        .future = future,
    };
    return lido__spawn(&spawn, task);
}
