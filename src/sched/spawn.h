/*
 * Bringing a task to life, on the worker that placement chooses. Used by the spawns of fibers and of
 * futures, which differ only in what the task begins with.
 */
#ifndef LIDO_SCHED_SPAWN_H
#define LIDO_SCHED_SPAWN_H

#include "sched/worker.h"

struct lido__spawn {
    struct lido__pool *pool; /* NULL: the current one */
    const lido_spawn_options *options;
    const char *where;
    uint32_t flags;      /* of the task */
    lido_future *future; /* or */
    lido_fn entry;       /* with FIBER | UNSTARTED */
    void *arg;
    struct lido__parent *parent; /* with CHILD */
};

/* 0, or as lido_spawn. `handle` receives a reference unless it is NULL. Any thread. */
int lido__spawn(const struct lido__spawn *spawn, lido_task **handle);

#endif
