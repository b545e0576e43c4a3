#include "fiber/stack.h"

#include <stdlib.h>

#include "base/bits.h"
#include "base/fault.h"
#include "fiber/fiber.h"
#include "os/os.h"

#define CHUNK_SLOTS 64u
/* How many chunks without a fiber stay: 2048 stacks, 8 MiB if each has touched one page. */
#define SPARE_MAX 32u
/* How many free stacks a worker trades with the depot at a time. */
#define CACHE_BATCH 64u
/* Tops of the stacks: 16 of them, a cache line apart. */
#define COLOURS 16u
#define CACHE_LINE 64u

/* One mapping. Its slots are touched one by one, when first used. */
struct lido__chunk {
    struct lido__node node; /* in depot->partial unless all slots are in use */
    char *base;
    unsigned fresh;      /* slots from here on have never been used */
    unsigned free_count; /* of those before them */
    struct lido__fiber *free[CHUNK_SLOTS];
};

static size_t slot_size(const struct lido__stack_depot *depot)
{
    return depot->stack_size + lido__page_size();
}

static size_t chunk_size(const struct lido__stack_depot *depot)
{
    return slot_size(depot) * CHUNK_SLOTS;
}

void lido__stack_depot_init(struct lido__stack_depot *depot, size_t stack_size)
{
    size_t page = lido__page_size();
    size_t rounded = lido__round_up(stack_size, page);
    pthread_mutex_init(&depot->lock, NULL);
    /* With the guard, an odd number of pages. */
    depot->stack_size = rounded / page % 2 ? rounded + page : rounded;
    lido__list_init(&depot->partial);
    depot->chunks = depot->spare = 0;
}

static struct lido__chunk *chunk_new(struct lido__stack_depot *depot)
{
    struct lido__chunk *chunk = lido__fault("malloc") < 0 ? NULL : calloc(1, sizeof(*chunk));
    void *base;
    if (!chunk)
        return NULL;
    if (lido__pages_reserve(&base, chunk_size(depot)) < 0)
        goto fail_reserve;
    if (lido__pages_guard(base, slot_size(depot), lido__page_size(), CHUNK_SLOTS) < 0)
        goto fail_guard;
    chunk->base = base;
    lido__list_push(&depot->partial, &chunk->node);
    depot->chunks++;
    return chunk;

fail_guard:
    lido__pages_release(base, chunk_size(depot));
fail_reserve:
    free(chunk);
    return NULL;
}

static void chunk_free(struct lido__stack_depot *depot, struct lido__chunk *chunk)
{
    for (unsigned i = 0; i < chunk->free_count; i++)
        lido__annotate_stack_ended(chunk->free[i]->valgrind_id);
    lido__list_remove(&chunk->node);
    lido__pages_release(chunk->base, chunk_size(depot));
    free(chunk);
    depot->chunks--;
}

void lido__stack_depot_fini(struct lido__stack_depot *depot)
{
    while (!lido__list_empty(&depot->partial))
        chunk_free(depot, lido__container_of(depot->partial.next, struct lido__chunk, node));
    pthread_mutex_destroy(&depot->lock);
}

/* A slot's first use: puts the fiber at its top. */
static struct lido__fiber *slot_open(struct lido__stack_depot *depot, struct lido__chunk *chunk)
{
    unsigned index = chunk->fresh++;
    char *low = chunk->base + slot_size(depot) * index + lido__page_size();
    char *high = low + depot->stack_size;
    size_t room = lido__round_up(sizeof(struct lido__fiber), CACHE_LINE);
    struct lido__fiber *fiber = (void *)(high - room - index % COLOURS * CACHE_LINE);
    fiber->chunk = chunk;
    fiber->annotation.low = low;
    fiber->annotation.size = (size_t)((char *)fiber - low);
    fiber->valgrind_id = lido__annotate_stack_made(low, fiber->annotation.size);
    return fiber;
}

/* None of its slots is in use, and some were. */
static bool is_spare(const struct lido__chunk *chunk)
{
    return chunk->free_count > 0 && chunk->free_count == chunk->fresh;
}

static bool is_full(const struct lido__chunk *chunk)
{
    return chunk->free_count == 0 && chunk->fresh == CHUNK_SLOTS;
}

/* All slots of the chunk have become free. Those that are in use are used up first. */
static void keep_or_free(struct lido__stack_depot *depot, struct lido__chunk *chunk)
{
    if (depot->spare >= SPARE_MAX) {
        chunk_free(depot, chunk);
        return;
    }
    depot->spare++;
    lido__list_remove(&chunk->node);
    lido__list_push(&depot->partial, &chunk->node);
}

/* One stack from the depot, which is locked. */
static struct lido__fiber *depot_take(struct lido__stack_depot *depot)
{
    struct lido__chunk *chunk =
        lido__list_empty(&depot->partial)
            ? chunk_new(depot)
            : lido__container_of(depot->partial.next, struct lido__chunk, node);
    if (!chunk)
        return NULL;
    depot->spare -= is_spare(chunk);
    struct lido__fiber *fiber = chunk->free_count > 0 ? chunk->free[--chunk->free_count]
                                                      : slot_open(depot, chunk);
    if (is_full(chunk))
        lido__list_remove(&chunk->node);
    return fiber;
}

static void depot_give(struct lido__stack_depot *depot, struct lido__fiber *fiber)
{
    struct lido__chunk *chunk = fiber->chunk;
    if (is_full(chunk))
        lido__list_push(&depot->partial, &chunk->node);
    chunk->free[chunk->free_count++] = fiber;
    if (is_spare(chunk))
        keep_or_free(depot, chunk);
}

void lido__stack_cache_init(struct lido__stack_cache *cache, struct lido__stack_depot *depot)
{
    cache->depot = depot;
    cache->count = 0;
}

void lido__stack_cache_trim(struct lido__stack_cache *cache, unsigned keep)
{
    pthread_mutex_lock(&cache->depot->lock);
    while (cache->count > keep)
        depot_give(cache->depot, cache->free[--cache->count]);
    pthread_mutex_unlock(&cache->depot->lock);
}

void lido__stack_cache_fini(struct lido__stack_cache *cache)
{
    lido__stack_cache_trim(cache, 0);
}

/*
 * Takes a batch only of slots that were used before: opening one touches its page, which should
 * happen for a fiber that needs it and for no other.
 */
void lido__stack_cache_fill(struct lido__stack_cache *cache)
{
    struct lido__stack_depot *depot = cache->depot;
    pthread_mutex_lock(&depot->lock);
    do {
        struct lido__fiber *fiber = depot_take(depot);
        if (!fiber)
            break;
        cache->free[cache->count++] = fiber;
    } while (cache->count < CACHE_BATCH && !lido__list_empty(&depot->partial) &&
             lido__container_of(depot->partial.next, struct lido__chunk, node)->free_count > 0);
    pthread_mutex_unlock(&depot->lock);
}

void lido__stack_cache_spill(struct lido__stack_cache *cache)
{
    lido__stack_cache_trim(cache, LIDO__STACK_CACHE_MAX - CACHE_BATCH);
}
