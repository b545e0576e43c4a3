#include "sched/spawn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fork.h"
#include "sched/share.h"
#include "sched/wake.h"

void lido__spawn_discard(lido_task *task)
{
    if (task->flags & LIDO__TASK_EXTRA)
        free(task->extra);
    lido__task_free(task);
}

/* A spawn whose options have been looked at. */
struct spawning {
    const struct lido__spawn *spawn;
    const lido_spawn_options *options;
    struct lido__pool *pool;
    struct lido__worker *self;   /* whose task spawns, or NULL */
    lido_placement placement;    /* LOCAL: on `self`. DEFAULT: by whoever takes it */
    struct lido__worker *worker; /* where to, once it is placed; or NULL */
    uint32_t flags;
};

/* The inbox's reference is the NOTIFIED one: the first wake-up of a task is its birth. */
static void mail_task(const struct spawning *plan, lido_task *task, uint32_t refs)
{
    struct lido__worker *worker = plan->worker;
    lido__state_init_notified(&task->state, refs + 1);
    task->flags |= LIDO__TASK_ARRIVING;
    if (plan->placement == LIDO_PLACE_LEAST_LOADED || task->flags & LIDO__TASK_MOVABLE) {
        task->flags |= LIDO__TASK_COUNTED;
        lido__fetch_add(&worker->incoming, 1, LIDO__RELAXED);
    }
    lido__worker_mail(worker, &task->mail);
}

/* For whichever worker takes it. There are two tokens; the second is the caller's, for the task may have ended, and
   the pool with it, before this has called somebody. */
static void inject_task(struct lido__pool *pool, lido_task *task, uint32_t refs)
{
    lido__state_init_shared(&task->state, refs);
    task->flags |= LIDO__TASK_QUEUED;
    lido__share_inject(pool, task);
    lido__pool_leave(pool, 1);
}

/* Chooses the worker, and touches it: a token, or a task of the pool, keeps it there. */
static int place_task(struct spawning *plan)
{
    if (plan->flags & LIDO__TASK_MOVABLE && !lido__pool_shares(plan->pool))
        lido__share_begin(plan->pool);
    switch (plan->placement) {
    case LIDO_PLACE_LOCAL: plan->worker = plan->self; return 0;
    case LIDO_PLACE_DEFAULT: return lido__pool_open(plan->pool);
    default:
        return lido__pool_place(plan->pool, plan->placement, plan->options->worker, &plan->worker);
    }
}

/* The token comes first: a pool that is over has no workers any more. */
static int launch_from_outside(struct spawning *plan, lido_task *task, uint32_t refs)
{
    struct lido__pool *pool = plan->pool;
    uint64_t tokens = plan->placement == LIDO_PLACE_DEFAULT ? 2 : 1;
    int r = lido__pool_enter(pool, tokens, LIDO__POOL_CLOSED);
    if (r < 0)
        return r;
    r = place_task(plan);
    if (r < 0) {
        lido__pool_leave(pool, tokens);
        return r;
    }
    task->worker = plan->worker;
    if (plan->worker)
        mail_task(plan, task, refs);
    else
        inject_task(pool, task, refs);
    return 0;
}

/* The task that spawns has its worker, and that a token. */
static int launch_from_within(struct spawning *plan, lido_task *task, uint32_t refs)
{
    int r = place_task(plan);
    if (r < 0)
        return r;
    task->worker = plan->worker;
    if (plan->worker == plan->self)
        return lido__spawn_local(plan->worker, task);
    r = lido__pool_enter(plan->pool, 1, LIDO__POOL_BARRED);
    if (r == 0)
        mail_task(plan, task, refs);
    return r;
}

static int launch(struct spawning *plan, lido_task **handle)
{
    uint32_t refs = 1 + (handle != NULL);
    lido_task *task = lido__task_new(refs, plan->flags, plan->options->name, plan->spawn->where);
    if (!task)
        return -ENOMEM;
    int r = lido__spawn_furnish(task, plan->spawn,
                                plan->self ? plan->self->current->deadline : LIDO__NEVER);
    if (r == 0)
        r = plan->self ? launch_from_within(plan, task, refs)
                       : launch_from_outside(plan, task, refs);
    if (r < 0)
        lido__spawn_discard(task);
    else if (handle)
        *handle = lido__spawn_noted(task);
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

/* The task's flags; UINT32_MAX: there is no such mobility. */
static uint32_t mobility_of(const struct spawning *spawning)
{
    switch (spawning->options->mobility) {
    case LIDO_MOBILITY_DEFAULT: return spawning->pool->mobility;
    case LIDO_PINNED: return 0;
    case LIDO_RESCUABLE: return LIDO__TASK_RESCUABLE;
    case LIDO_STEALABLE: return LIDO__TASK_STEALABLE;
    default: return UINT32_MAX;
    }
}

/*
 * Where to. A task on the pool spawns on its own worker; a root, and who is outside, deals, unless the task
 * can find its worker by itself. -EINVAL: there is no such placement or worker.
 */
static int choose_placement(struct spawning *plan)
{
    const struct lido__worker *self = plan->self;
    lido_placement placement = plan->options->placement;
    bool free = plan->pool->hurries && plan->flags & LIDO__TASK_STEALABLE && plan->pool->count > 1;
    bool none = placement == LIDO_PLACE_DEFAULT || placement == LIDO_PLACE_LOCAL;
    bool deals = !free && placement == LIDO_PLACE_DEFAULT && self &&
                 lido__task_flags(self->current) & LIDO__TASK_ROOT;
    plan->placement = placement;
    if (none && self && !deals)
        plan->placement = LIDO_PLACE_LOCAL;
    else if (none)
        plan->placement = free ? LIDO_PLACE_DEFAULT : plan->pool->placement;
    else if ((unsigned)placement > LIDO_PLACE_WORKER)
        return -EINVAL;
    else if (placement == LIDO_PLACE_WORKER && plan->options->worker >= plan->pool->count)
        return -EINVAL;
    return 0;
}

__attribute__((noinline)) int lido__spawn_elsewhere(const struct lido__spawn *spawn,
                                                    struct lido__worker *self, lido_task **handle)
{
    lido_spawn_options room;
    struct spawning plan = {.spawn = spawn, .options = widen(spawn->options, &room), .self = self};
    if (!plan.options)
        return -EINVAL;
    if (plan.self && (!plan.self->current || (spawn->pool && spawn->pool != plan.self->pool)))
        plan.self = NULL; /* from a hook, or into another runtime: as from a plain thread */
    plan.pool = plan.self ? plan.self->pool : spawn->pool;
    if (!plan.pool)
        return -ENXIO;
    if (lido__forked)
        return -ENOTRECOVERABLE;
    uint32_t mobility = mobility_of(&plan);
    if (mobility == UINT32_MAX)
        return -EINVAL;
    plan.flags = spawn->flags | mobility;
    return choose_placement(&plan) < 0 ? -EINVAL : launch(&plan, handle);
}

int lido__spawn(const struct lido__spawn *spawn, lido_task **handle)
{
    struct lido__worker *self = lido__worker_current();
    return lido__spawn_is_plain(spawn, self) ? lido__spawn_here(spawn, self, handle)
                                             : lido__spawn_elsewhere(spawn, self, handle);
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
