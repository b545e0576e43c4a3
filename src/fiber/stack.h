/*
 * Stacks: made in large mappings, guarded, coloured, and used again, the last one first.
 *
 * A slot is a guard and the usable stack above it. The guard is 64 KiB of addresses and no memory: a frame that is
 * smaller than that cannot skip it, and a larger one cannot if it was compiled with -fstack-clash-protection. At
 * the top of the stack lies the struct lido__fiber, so that an idle fiber costs one page and its task. The tops
 * are spread over 1 KiB (colour): stacks that all began at one page offset would compete for the same sets of the
 * cache. A slot is an odd number of pages, which does the same for the larger caches.
 *
 * A runtime has one depot, behind a mutex, of chunks of 64 slots, or of fewer where the system has no room for as many;
 * a worker keeps some free stacks, with their pages, and trades batches with the depot. A chunk whose slots are all
 * free is unmapped, except for the last 32: after a burst of connections the memory goes back to the system, and a
 * program whose number of fibers goes up and down by two thousand does not fault each page in again, which costs more
 * than all else that is done for a fiber. If the system refuses to unmap one it stays, as one of those.
 *
 * One fiber keeps its chunk, so pages go back also one by one: a slot that was free for a whole period (a second) is
 * emptied, by a worker that has nothing to do (lido__stack_depot_decay). Of an emptied slot nothing is in memory: it is
 * opened again as if it were new. Those that are taken and given back all the time are never among them.
 *
 * Threads: a cache belongs to its worker's thread; the depot is for all.
 */
#ifndef LIDO_FIBER_STACK_H
#define LIDO_FIBER_STACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/list.h"

/* What lies below each stack, in bytes: at least a page. */
#define LIDO__STACK_GUARD ((size_t)64 << 10)

/* Free stacks that a worker keeps. Each keeps its chunk from being unmapped. */
#define LIDO__STACK_CACHE_MAX 256u

struct lido__fiber;
struct lido__chunk;

struct lido__stack_depot {
    pthread_mutex_t lock;
    size_t stack_size;
    size_t guard_size;
    bool clears;               /* what a task leaves on its stack is not left to the next */
    struct lido__node partial; /* chunks with free or unused slots */
    struct lido__node *next; /* the chunk that decay comes to next; &partial: the period is over */
    size_t chunks;
    size_t spare;               /* chunks whose slots are all free; the last in `partial` */
    lido__shared uint32_t warm; /* free slots that are not emptied; read without the lock */
    lido__shared uint32_t due;  /* the stamp (sched/worker.h) at which a period ends; likewise */
    bool keeps;                 /* the system has refused to empty one: nobody asks again */
};

struct lido__stack_cache {
    struct lido__stack_depot *depot;
    bool clears; /* the depot's */
    unsigned count;
    struct lido__fiber *free[LIDO__STACK_CACHE_MAX + 1]; /* the last one first */
};

/* `stack_size`: usable bytes of each, rounded up to pages. */
void lido__stack_depot_init(struct lido__stack_depot *depot, size_t stack_size, bool clears);
/* All stacks have been given back. */
void lido__stack_depot_fini(struct lido__stack_depot *depot);

void lido__stack_cache_init(struct lido__stack_cache *cache, struct lido__stack_depot *depot);
/* Gives everything back to the depot. */
void lido__stack_cache_fini(struct lido__stack_cache *cache);

/* Takes a batch from the depot; without memory the cache stays empty. */
void lido__stack_cache_fill(struct lido__stack_cache *cache);
/* Gives all but so many to the depot. */
void lido__stack_cache_trim(struct lido__stack_cache *cache, unsigned keep);
/* Gives a batch to the depot. */
void lido__stack_cache_spill(struct lido__stack_cache *cache);

/* A slot that was free for so long is emptied, in ns. Whole milliseconds: reactors wait for these at less cost. */
#define LIDO__STACK_PERIOD_NS ((uint64_t)1000000000)

/*
 * Empties slots that were free for a whole period, some of them; the period is over. `stamp` is about now. Returns
 * after how many ns it wants to be called again, about: 0 if there is more to be done at once, UINT64_MAX if nothing
 * is to be emptied.
 */
uint64_t lido__stack_depot_decay(struct lido__stack_depot *depot, uint32_t stamp);

/* The same at any time, for a worker that has nothing to do. */
static inline uint64_t lido__stack_depot_rest(struct lido__stack_depot *depot, uint32_t stamp)
{
    if (__builtin_expect(lido__load(&depot->warm, LIDO__RELAXED) == 0, 1))
        return UINT64_MAX;
    if ((int32_t)(lido__load(&depot->due, LIDO__RELAXED) - stamp) > 0)
        return LIDO__STACK_PERIOD_NS;
    return lido__stack_depot_decay(depot, stamp);
}

/* Whether an address lies below the stack of a fiber, in the same mapping. Async-signal-safe. */
bool lido__stack_is_below(const struct lido__fiber *fiber, const void *address);

/* Of a stack that is free: nothing of what was on it can be read any more. */
void lido__stack_clear(const struct lido__fiber *fiber);

#endif
