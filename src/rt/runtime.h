/*
 * The runtime: the pool, its crew of threads, and what the whole of it owns.
 *
 * Threads: a handle may be used from all threads at once; the one that calls lido_shutdown joins the
 * crew and frees what the runtime owns, when that returns 0.
 *
 * The struct itself is counted: it lasts as long as there is a handle, and then says -ESHUTDOWN. Of one that has ended
 * nothing is used but `busy`, which is BARRED and OVER, what was written before the first worker started, `closing` and
 * `handles`. So a spawn takes its token from `busy` before it looks at anything else that may be gone
 * (sched/spawn.c), and only what ends the runtime asks `closing`.
 */
#ifndef LIDO_RT_RUNTIME_H
#define LIDO_RT_RUNTIME_H

#include <pthread.h>

#include "fiber/fiber.h"
#include "os/os.h"
#include "rt/config.h"
#include "rt/crew.h"
#include "rt/debug.h"
#include "rt/lifeguard.h"
#include "rt/report.h"
#include "sched/pool.h"
#include "sync/semaphore.h"

#define LIDO__POOLS (LIDO_POOL_DNS + 1)

/* What a worker has besides what the scheduler knows of. */
struct lido__seat {
    struct lido__carrier carrier;
    int cpu;                        /* for whoever carries it, or LIDO__CPU_ANY */
    struct lido__member *member;    /* who carries it, or is about to; under the crew's lock */
    struct lido__watched watched;   /* the lifeguard's */
    uint32_t asked;                 /* the round of the last report that was asked for */
    uint32_t before;                /* the one that was answered before that */
    bool claimed;                   /* its gate is, by the one who asks */
    lido__shared uint32_t reported; /* a futex: the round of the last report that was answered */
};

struct lido_runtime {
    struct lido__pool pool; /* first: a runtime can be seen as its pool */
    struct lido__settings settings;
    char *name_prefix;
    struct lido__stack_depot stacks;
    struct lido__seat *seats; /* by index of the worker */
    struct lido__crew crew;
    struct lido__lifeguard lifeguard;
    struct lido__semaphore capacity[LIDO__POOLS]; /* of blocking code, by enum lido_blocking_pool */
    struct lido__semaphore
        ended; /* a permit when the pool has: for the task that ends the runtime */
    lido__shared uintptr_t closing; /* who waits for the end: the address of a task, or as below */
    lido__shared uint32_t handles;  /* lido_runtime_new's, and those of lido_runtime_ref */
    struct lido__report report;
    struct lido__debug debug;
};

/* runtime->closing */
#define LIDO__CLOSING_NOBODY ((uintptr_t)0)
#define LIDO__CLOSING_THREAD ((uintptr_t)1) /* a plain thread waits */
#define LIDO__CLOSING_ENDED ((uintptr_t)2)  /* nobody will any more */

/* The workers have been told to stop: joins the crew, frees all that the runtime owns, and gives the caller's handle
   back. The caller has `closing`. */
void lido__runtime_destroy(struct lido_runtime *runtime);

/* It has ended, and has no handle any more: its memory, sooner or later. */
void lido__runtime_bury(struct lido_runtime *runtime);

/* pool->ended. */
void lido__runtime_ended(struct lido__pool *pool);

/* pool->seat. */
int lido__runtime_seat(struct lido__worker *worker, bool insist);

/* pool->employ. */
int lido__blocking_employ(struct lido__pool *pool, struct lido__job *job);

#endif
