/*
 * Stacks: made in large mappings, guarded, coloured, and used again, the last one first.
 *
 * A slot is a guard page and the usable stack above it. At its top lies the struct lido__fiber, so
 * that an idle fiber costs one page and its task. The tops are spread over 1 KiB (colour): stacks that
 * all began at one page offset would compete for the same sets of the cache. A slot is an odd number
 * of pages, which does the same for the larger caches.
 *
 * A runtime has one depot, behind a mutex, of chunks of 64 slots; a worker keeps some free stacks,
 * with their pages, and trades batches with the depot. A chunk whose slots are all free is unmapped, but for
 * the last 32: after a burst of connections the memory goes back to the system, and a program whose number
 * of fibers goes up and down by two thousand does not fault each page in again, which costs more than
 * all else that is done for a fiber.
 *
 * Threads: a cache belongs to its worker's thread; the depot is for all.
 */
#ifndef LIDO_FIBER_STACK_H
#define LIDO_FIBER_STACK_H

#include <pthread.h>
#include <stddef.h>

#include "base/list.h"

/* Free stacks that a worker keeps. Each keeps its chunk from being unmapped. */
#define LIDO__STACK_CACHE_MAX 256u

struct lido__fiber;
struct lido__chunk;

struct lido__stack_depot {
    pthread_mutex_t lock;
    size_t stack_size;
    struct lido__node partial; /* chunks with free or unused slots */
    size_t chunks;
    size_t spare; /* chunks whose slots are all free; the last in `partial` */
};

struct lido__stack_cache {
    struct lido__stack_depot *depot;
    unsigned count;
    struct lido__fiber *free[LIDO__STACK_CACHE_MAX + 1]; /* the last one first */
};

/* `stack_size`: usable bytes of each, rounded up to pages. */
void lido__stack_depot_init(struct lido__stack_depot *depot, size_t stack_size);
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

#endif
