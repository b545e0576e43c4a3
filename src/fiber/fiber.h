/*
 * Fibers: futures that have a stack of their own, so that their code reads like blocking code.
 *
 * To the scheduler a fiber is a future whose poll switches to its stack. A fiber that waits does not
 * have to go back there: if the next task in the queue is a fiber too, it switches to it directly.
 * That halves the switches, and keeps each `ret` paired with the `call` that the processor's return
 * predictor expects, because the fibers that pass the worker on among themselves mostly do so from the
 * same place.
 *
 * Threads: a fiber belongs to its worker, like its task.
 */
#ifndef LIDO_FIBER_FIBER_H
#define LIDO_FIBER_FIBER_H

#include <lido.h>

#include "fiber/annotate.h"
#include "fiber/exceptions.h"
#include "fiber/stack.h"
#include "fiber/switch.h"
#include "sched/wake.h"
#include "sched/worker.h"

struct lido__fiber {
    lido_future future;
    struct lido__context context;
    lido_fn entry;
    void *arg;
    const char *awaits; /* for reports: a static string */
    struct lido__extra extra;
    struct lido__annotation annotation;
    struct lido__exceptions exceptions;

    /* Of the stack: */
    struct lido__chunk *chunk;
    unsigned valgrind_id;
};

/* What carries the fibers of one worker: the context of its loop, and its stacks. */
struct lido__carrier {
    struct lido__context loop;
    struct lido__annotation annotation;
    /* What is to be done after a switch: the address of the fiber that has ended, whose stack is to be given
       back, or 0, and LIDO__EXCHANGES. One word, so that a switch looks at one. */
    uintptr_t after;
    struct lido__exchange exchange;
    struct lido__section *section; /* to be run on the thread's stack */
    struct lido__stack_cache stacks;
};

/* There is a C++ runtime in the process: exceptions are exchanged. */
#define LIDO__EXCHANGES ((uintptr_t)1)

static inline struct lido__carrier *lido__carrier_of(struct lido__worker *worker)
{
    return worker->fibers;
}

/* How far down a sleeping fiber's stack is worth fetching before it runs. */
#define LIDO__FETCH_LINES 9

/* Into the near caches what a fiber touches first: its struct and the frames below it. */
static inline __attribute__((always_inline)) void lido__fiber_fetch(const void *fiber)
{
    const char *top = fiber;
#pragma GCC unroll 16
    for (int line = -LIDO__FETCH_LINES; line <= 0; line++)
        __builtin_prefetch(top + 64 * line);
}

/* With more tasks than this the next free stack is mostly not in the nearest cache. */
#define LIDO__FETCH_STACK_FROM 32u

/* The fiber at the top of a free stack, or NULL when there is no memory. */
static inline struct lido__fiber *lido__stack_take(struct lido__worker *worker)
{
    struct lido__stack_cache *cache = &lido__carrier_of(worker)->stacks;
    if (__builtin_expect(cache->count == 0, 0)) {
        lido__stack_cache_fill(cache);
        if (cache->count == 0)
            return NULL;
    }
    struct lido__fiber *fiber = cache->free[--cache->count];
    lido__annotate_reused(&fiber->annotation);
    if (cache->count > 0 && worker->live > LIDO__FETCH_STACK_FROM)
        lido__fiber_fetch(cache->free[cache->count - 1]);
    return fiber;
}

/* Not while running on it. */
static inline void lido__stack_give(struct lido__stack_cache *cache, struct lido__fiber *fiber)
{
    if (__builtin_expect(cache->clears, 0))
        lido__stack_clear(fiber);
    lido__annotate_free(&fiber->annotation);
    cache->free[cache->count++] = fiber;
    if (__builtin_expect(cache->count > LIDO__STACK_CACHE_MAX, 0))
        lido__stack_cache_spill(cache);
}

/* Prepares the worker to run fibers; and after it has ended. */
void lido__carrier_init(struct lido__carrier *carrier, struct lido__worker *worker,
                        struct lido__stack_depot *depot);
void lido__carrier_fini(struct lido__carrier *carrier);

/* The calling thread, whose own stack this is, is going to carry the worker. */
void lido__carrier_seat(struct lido__carrier *carrier, const void *stack_low, size_t stack_size);

/* Code that may block, to be run on the stack of the thread while its fiber waits. */
struct lido__section {
    lido_fn fn;
    void *arg;
    lido_task *task;
    int result;
    lido__shared uint32_t done;
    /* Called within the section, before fn, on the thread: that there is one. */
    void (*entered)(struct lido__worker *worker);
};

/*
 * Runs section->fn(arg) on the thread that carries the current fiber's worker, and returns its result.
 * If it takes long, another thread carries the worker meanwhile, and the fiber returns to the worker when
 * the section has ended, which neither cancellation nor deadline can bring about.
 */
int lido__fiber_section(struct lido__worker *worker, struct lido__section *section);

/* pool->start: gives a task that has not started its stack. -ENOMEM. */
int lido__fiber_start(struct lido__worker *worker, lido_task *task);

/* pool->rest: keeps no more free stacks than the worker has tasks, and a few; and empties some that are free for
   long. */
uint64_t lido__fiber_rest(struct lido__worker *worker);

static inline struct lido__fiber *lido__fiber_of(const lido_task *task)
{
    return lido__container_of(task->future, struct lido__fiber, future);
}

/* The worker, if the caller is a fiber; otherwise NULL and in *error -ENXIO or -EDEADLK. */
static inline struct lido__worker *lido__fiber_worker(int *error)
{
    struct lido__worker *worker = lido__worker_current();
    if (__builtin_expect(worker && worker->current, 1)) {
        if (__builtin_expect(lido__task_flags(worker->current) & LIDO__TASK_FIBER, 1))
            return worker;
        *error = -EDEADLK;
        return NULL;
    }
    *error = -ENXIO;
    return NULL;
}

/*
 * Puts the calling fiber to sleep until it is woken, by anyone and for any reason: the caller looks
 * again at what it waits for. `awaits` is a static string for reports.
 */
void lido__fiber_suspend(struct lido__worker *worker, const char *awaits);

/*
 * Waits for an op. Its result, or -ENXIO, -EDEADLK; then it was not started.
 */
ssize_t lido__await(struct lido__op *op);

#endif
