/* Tasks that stay on a worker, whatever the scheduler: what is of one lane is touched on one worker. */
#ifndef LOAD_SPAWN_H
#define LOAD_SPAWN_H

#include <lido.h>

static inline int spawn_on(lido_task **task, unsigned worker, lido_fn fn, void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker;
    options.mobility = LIDO_PINNED;
    return lido_spawn_with(task, fn, arg, &options);
}

static inline int spawn_here(lido_task **task, lido_fn fn, void *arg)
{
    return spawn_on(task, (unsigned)lido_worker_index(), fn, arg);
}

static inline int spawn_future_here(lido_task **task, lido_future *future)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_LOCAL;
    options.mobility = LIDO_PINNED;
    return lido_spawn_future_with(task, future, &options);
}

#endif
