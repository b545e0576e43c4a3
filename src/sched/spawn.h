/*
 * Bringing a task to life, on the worker that placement chooses. Used by the spawns of fibers and of
 * futures, which differ only in what the task begins with.
 */
#ifndef LIDO_SCHED_SPAWN_H
#define LIDO_SCHED_SPAWN_H

#include <errno.h>

#include "base/ledger.h"
#include "sched/wake.h"

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

/* The same, of what is not plain (see below); `self` is the current worker or NULL. */
int lido__spawn_elsewhere(const struct lido__spawn *spawn, struct lido__worker *self,
                          lido_task **handle);

/* ---- The common case: a task spawns on its own worker, and says nothing about it ---------------- */

static inline bool lido__spawn_is_plain(const struct lido__spawn *spawn,
                                        const struct lido__worker *self)
{
    return self && self->current && !spawn->pool && !spawn->options &&
           (!(lido__task_flags(self->current) & LIDO__TASK_ROOT) || self->hurries ||
            self->pool->count == 1);
}

/* What a new task begins with. A future's deadline needs memory; a fiber has it on its stack. */
static inline __attribute__((always_inline)) int lido__spawn_furnish(
    lido_task *task, const struct lido__spawn *spawn, uint64_t deadline)
{
    task->deadline = deadline;
    if (spawn->flags & LIDO__TASK_CHILD) {
        spawn->parent->task = task;
        task->joiner.lido_private = (uintptr_t)spawn->parent;
    }
    if (spawn->flags & LIDO__TASK_FIBER) {
        task->entry = spawn->entry;
        task->arg = spawn->arg;
        return 0;
    }
    task->future = spawn->future;
    return deadline != LIDO__NEVER && !lido__extra_of(task) ? -ENOMEM : 0;
}

/* A task that never came to life. */
void lido__spawn_discard(lido_task *task);

/* A handle of it is given to the user, who has to give it back. */
static inline lido_task *lido__spawn_noted(lido_task *task)
{
    lido__ledger_note(task, "handle", task->name, task->where);
    return task;
}

/* A spawn within the worker: nothing is shared yet, and nothing is atomic. */
static inline __attribute__((always_inline)) int lido__spawn_local(struct lido__worker *worker,
                                                                   lido_task *task)
{
    lido__worker_enter(worker);
    int r = worker->refusing ? -ESHUTDOWN : 0;
    if (r == 0) {
        lido__worker_adopt(worker, task);
        task->flags |= LIDO__TASK_QUEUED;
        lido__fifo_push(&worker->queue, &task->run);
    }
    lido__worker_leave(worker);
    return r;
}

/* Inline, so that what is known of `spawn` need not be written down. */
static inline __attribute__((always_inline)) int lido__spawn_here(const struct lido__spawn *spawn,
                                                                  struct lido__worker *self,
                                                                  lido_task **handle)
{
    uint32_t flags = spawn->flags | self->pool->mobility;
    lido_task *task = lido__task_new(1 + (handle != NULL), flags, NULL, spawn->where);
    if (!task)
        return -ENOMEM;
    task->worker = self;
    int r = lido__spawn_furnish(task, spawn, self->current->deadline);
    if (r == 0)
        r = lido__spawn_local(self, task);
    if (r < 0)
        lido__spawn_discard(task);
    else if (handle)
        *handle = lido__spawn_noted(task);
    return r;
}

#endif
