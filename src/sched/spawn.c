#include "sched/spawn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sched/wake.h"

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
static int spawn_remote(struct lido__worker *worker, lido_task *task, uint32_t refs,
                        lido_placement placement)
{
    if (placement == LIDO_PLACE_DEFAULT || placement == LIDO_PLACE_LOCAL)
        placement = worker->pool->placement;
    int r = lido__pool_enter(worker->pool);
    if (r < 0)
        return r;
    lido__state_init_notified(&task->state, refs + 1);
    task->flags |= LIDO__TASK_ARRIVING;
    if (placement == LIDO_PLACE_LEAST_LOADED) {
        task->flags |= LIDO__TASK_COUNTED;
        lido__fetch_add(&worker->incoming, 1, LIDO__RELAXED);
    }
    lido__worker_mail(worker, &task->mail);
    return 0;
}

/* What a new task begins with. A future's deadline needs memory; a fiber has it on its stack. */
static int furnish(lido_task *task, const struct lido__spawn *spawn, uint64_t deadline)
{
    task->deadline = deadline;
    if (spawn->flags & LIDO__TASK_FIBER) {
        task->entry = spawn->entry;
        task->arg = spawn->arg;
        return 0;
    }
    task->future = spawn->future;
    return deadline != LIDO__NEVER && !lido__extra_of(task) ? -ENOMEM : 0;
}

/* A task that never came to life. */
static void discard(lido_task *task)
{
    if (task->flags & LIDO__TASK_EXTRA)
        free(task->extra);
    lido__task_free(task);
}

static int launch(const struct lido__spawn *spawn, const lido_spawn_options *options,
                  struct lido__worker *self, struct lido__worker *worker, lido_task **handle)
{
    uint32_t refs = 1 + (handle != NULL);
    lido_task *task = lido__task_new(refs, spawn->flags, options->name, spawn->where);
    if (!task)
        return -ENOMEM;
    task->worker = worker;
    int r = furnish(task, spawn, self ? self->current->deadline : LIDO__NEVER);
    if (r == 0)
        r = worker == self ? spawn_local(worker, task)
                           : spawn_remote(worker, task, refs, options->placement);
    if (r < 0)
        discard(task);
    else if (handle)
        *handle = task;
    return r;
}

/* The options as this library knows them, from a caller that was compiled with another header. NULL:
   they have no size. */
static const lido_spawn_options *widen(const lido_spawn_options *options, lido_spawn_options *room)
{
    static const lido_spawn_options none = LIDO_SPAWN_OPTIONS_INIT;
    if (!options)
        return &none;
    if (options->size >= sizeof(*options))
        return options;
    if (options->size < sizeof(options->size))
        return NULL;
    memset(room, 0, sizeof(*room));
    memcpy(room, options, options->size);
    return room;
}

/* The common case, in a line: a task on the pool spawns on its own worker. */
static bool stays(const struct lido__worker *self, lido_placement placement)
{
    if (!self || placement == LIDO_PLACE_LOCAL)
        return self;
    return placement == LIDO_PLACE_DEFAULT && !(self->current->flags & LIDO__TASK_ROOT);
}

int lido__spawn(const struct lido__spawn *spawn, lido_task **handle)
{
    lido_spawn_options room;
    const lido_spawn_options *options = widen(spawn->options, &room);
    if (!options)
        return -EINVAL;
    struct lido__worker *self = lido__worker_current();
    if (self && (!self->current || (spawn->pool && spawn->pool != self->pool)))
        self = NULL; /* from a hook, or into another runtime: as from a plain thread */
    struct lido__pool *pool = self ? self->pool : spawn->pool;
    if (!pool)
        return -ENXIO;
    struct lido__worker *worker =
        stays(self, options->placement)
            ? self
            : lido__pool_place(pool, self, options->placement, options->worker);
    if (!worker)
        return -EINVAL;
    return launch(spawn, options, self, worker, handle);
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
