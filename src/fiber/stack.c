#define _GNU_SOURCE

#include "fiber/stack.h"

#include <stdlib.h>
#include <string.h>

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

/* A slot that was free for so long is emptied: 60 stamps are a second. */
#define PERIOD_STAMPS 60u
/* How many slots are emptied while the lock is held, and before the worker looks for something better to do. */
#define EMPTIED_AT_ONCE 16u

/* One mapping. Its slots are touched one by one, when first used. */
struct lido__chunk {
    struct lido__node node; /* in depot->partial unless all slots are in use */
    char *base;
    unsigned slots;
    unsigned fresh;      /* slots from here on have never been used */
    unsigned free_count; /* of those before them */
    unsigned cold;       /* the first of `free` are emptied */
    unsigned least; /* the smallest free_count of this period: so many were free all the time */
    struct lido__fiber *free[CHUNK_SLOTS];
};

static size_t slot_size(const struct lido__stack_depot *depot)
{
    return depot->stack_size + depot->guard_size;
}

static size_t chunk_size(const struct lido__stack_depot *depot, unsigned slots)
{
    return slot_size(depot) * slots;
}

static struct lido__chunk *chunk_of(struct lido__node *node)
{
    return lido__container_of(node, struct lido__chunk, node);
}

void lido__stack_depot_init(struct lido__stack_depot *depot, size_t stack_size, bool clears)
{
    size_t page = lido__page_size();
    *depot = (struct lido__stack_depot){.clears = clears};
    pthread_mutex_init(&depot->lock, NULL);
    depot->guard_size = lido__round_up(LIDO__STACK_GUARD, page);
    depot->stack_size = lido__round_up(stack_size, page);
    if (slot_size(depot) / page % 2 == 0) /* an odd number of pages */
        depot->stack_size += page;
    lido__list_init(&depot->partial);
    depot->next = &depot->partial;
}

/* ---- Chunks ------------------------------------------------------------------------------------ */

/* -ENOMEM: it may be that the system has room for fewer. */
static int chunk_map(const struct lido__stack_depot *depot, struct lido__chunk *chunk,
                     unsigned slots)
{
    void *base;
    int r = lido__pages_reserve(&base, chunk_size(depot, slots));
    if (r < 0)
        return r;
    r = lido__pages_guard(base, slot_size(depot), depot->guard_size, slots);
    if (r < 0) {
        (void)lido__pages_release(base, chunk_size(depot, slots)); /* or it is lost: addresses */
        return r;
    }
    chunk->base = base;
    chunk->slots = slots;
    return 0;
}

/* Smaller ones, where a limit (RLIMIT_AS, vm.max_map_count) leaves no room for a whole one. */
static struct lido__chunk *chunk_new(struct lido__stack_depot *depot)
{
    struct lido__chunk *chunk = lido__fault("malloc") < 0 ? NULL : calloc(1, sizeof(*chunk));
    int r = -ENOMEM;
    if (!chunk)
        return NULL;
    for (unsigned slots = CHUNK_SLOTS; slots > 0 && r < 0; slots /= 2)
        r = chunk_map(depot, chunk, slots);
    if (r < 0) {
        free(chunk);
        return NULL;
    }
    lido__list_push(&depot->partial, &chunk->node);
    depot->chunks++;
    return chunk;
}

static void chunk_unlist(struct lido__stack_depot *depot, struct lido__chunk *chunk)
{
    if (depot->next == &chunk->node)
        depot->next = chunk->node.next;
    lido__list_remove(&chunk->node);
}

static void count_warm(struct lido__stack_depot *depot, unsigned more, unsigned less)
{
    /* Relaxed: others only look whether there is something to do. */
    lido__store(&depot->warm, depot->warm + more - less, LIDO__RELAXED);
}

/* Tools are told that the stack of a free slot is memory like other memory. */
static void slot_forget(struct lido__fiber *fiber)
{
    lido__annotate_reused(&fiber->annotation);
    lido__annotate_stack_ended(fiber->valgrind_id);
}

static void slot_empty(const struct lido__stack_depot *depot, char *slot, int *refused)
{
    int r = lido__pages_discard(slot + depot->guard_size, depot->stack_size);
    *refused = *refused ? *refused : r;
}

/* As if it had never been used; none of its slots is in use. */
static void chunk_reset(struct lido__stack_depot *depot, struct lido__chunk *chunk)
{
    int refused = 0;
    for (unsigned i = 0; i < chunk->fresh; i++)
        slot_empty(depot, chunk->base + slot_size(depot) * i, &refused);
    chunk->fresh = chunk->free_count = chunk->cold = chunk->least = 0;
}

/* None of its slots is in use. False: the system refuses to unmap it (see os.h); then it is as new. */
static bool chunk_free(struct lido__stack_depot *depot, struct lido__chunk *chunk)
{
    for (unsigned i = chunk->cold; i < chunk->free_count; i++)
        slot_forget(chunk->free[i]);
    count_warm(depot, 0, chunk->free_count - chunk->cold);
    if (lido__pages_release(chunk->base, chunk_size(depot, chunk->slots)) < 0) {
        chunk_reset(depot, chunk);
        return false;
    }
    chunk_unlist(depot, chunk);
    free(chunk);
    depot->chunks--;
    return true;
}

/* Unmaps what it can. Returns how many chunks are left. */
static size_t unmap_all(struct lido__stack_depot *depot)
{
    for (struct lido__node *next, *n = depot->partial.next; n != &depot->partial; n = next) {
        next = n->next;
        chunk_free(depot, chunk_of(n));
    }
    return depot->chunks;
}

/*
 * Each one that is unmapped may make room for another that was refused. In the end a mapping that the system does not
 * take back is lost to the process; its memory is not.
 */
void lido__stack_depot_fini(struct lido__stack_depot *depot)
{
    size_t before = SIZE_MAX;
    size_t left = unmap_all(depot);
    while (left > 0 && left < before) {
        before = left;
        left = unmap_all(depot);
    }
    while (!lido__list_empty(&depot->partial)) {
        struct lido__chunk *chunk = chunk_of(depot->partial.next);
        lido__list_remove(&chunk->node);
        free(chunk);
    }
    pthread_mutex_destroy(&depot->lock);
}

/* ---- Slots ------------------------------------------------------------------------------------- */

/* Puts the fiber at the top of a slot that was never used, or has been emptied. */
static struct lido__fiber *slot_open(struct lido__stack_depot *depot, struct lido__chunk *chunk,
                                     size_t index)
{
    char *low = chunk->base + slot_size(depot) * index + depot->guard_size;
    char *high = low + depot->stack_size;
    size_t room = lido__round_up(sizeof(struct lido__fiber), CACHE_LINE);
    struct lido__fiber *fiber = (void *)(high - room - index % COLOURS * CACHE_LINE);
    fiber->chunk = chunk;
    fiber->annotation.low = low;
    fiber->annotation.size = (size_t)((char *)fiber - low);
    fiber->valgrind_id = lido__annotate_stack_made(low, fiber->annotation.size);
    return fiber;
}

static size_t index_of(const struct lido__stack_depot *depot, const struct lido__chunk *chunk,
                       const struct lido__fiber *fiber)
{
    return (size_t)((const char *)fiber - chunk->base) / slot_size(depot);
}

static struct lido__fiber *slot_take(struct lido__stack_depot *depot, struct lido__chunk *chunk)
{
    if (chunk->free_count == 0)
        return slot_open(depot, chunk, chunk->fresh++);
    struct lido__fiber *fiber = chunk->free[--chunk->free_count];
    if (chunk->least > chunk->free_count)
        chunk->least = chunk->free_count;
    if (chunk->cold <= chunk->free_count) {
        count_warm(depot, 0, 1);
        return fiber;
    }
    chunk->cold = chunk->free_count;
    return slot_open(depot, chunk, index_of(depot, chunk, fiber));
}

/* None of its slots is in use, and some were. */
static bool is_spare(const struct lido__chunk *chunk)
{
    return chunk->free_count > 0 && chunk->free_count == chunk->fresh;
}

static bool is_full(const struct lido__chunk *chunk)
{
    return chunk->free_count == 0 && chunk->fresh == chunk->slots;
}

/* All slots of the chunk have become free. Those that are in use are used up first. */
static void keep_or_free(struct lido__stack_depot *depot, struct lido__chunk *chunk)
{
    if (depot->spare >= SPARE_MAX && chunk_free(depot, chunk))
        return;
    depot->spare += is_spare(chunk);
    chunk_unlist(depot, chunk);
    lido__list_push(&depot->partial, &chunk->node);
}

/* One stack from the depot, which is locked. */
static struct lido__fiber *depot_take(struct lido__stack_depot *depot)
{
    struct lido__chunk *chunk = lido__list_empty(&depot->partial) ? chunk_new(depot)
                                                                  : chunk_of(depot->partial.next);
    if (!chunk)
        return NULL;
    depot->spare -= is_spare(chunk);
    struct lido__fiber *fiber = slot_take(depot, chunk);
    if (is_full(chunk))
        chunk_unlist(depot, chunk);
    return fiber;
}

static void depot_give(struct lido__stack_depot *depot, struct lido__fiber *fiber)
{
    struct lido__chunk *chunk = fiber->chunk;
    if (is_full(chunk))
        lido__list_push(&depot->partial, &chunk->node);
    chunk->free[chunk->free_count++] = fiber;
    count_warm(depot, 1, 0);
    if (is_spare(chunk))
        keep_or_free(depot, chunk);
}

/* ---- Emptying ---------------------------------------------------------------------------------- */

/* Slots of the chunk that were free for the whole period, `most` at most. Returns how many. */
static unsigned chunk_empty(struct lido__stack_depot *depot, struct lido__chunk *chunk,
                            unsigned most)
{
    unsigned before = chunk->cold;
    int refused = 0;
    while (chunk->cold < chunk->least && chunk->cold - before < most && !refused) {
        struct lido__fiber *fiber = chunk->free[chunk->cold];
        char *slot = chunk->base + slot_size(depot) * index_of(depot, chunk, fiber);
        slot_forget(fiber);
        slot_empty(depot, slot, &refused);
        if (refused) {
            fiber->valgrind_id =
                lido__annotate_stack_made(slot + depot->guard_size, fiber->annotation.size);
            lido__annotate_free(&fiber->annotation);
        } else {
            chunk->cold++;
        }
    }
    depot->keeps = refused;
    count_warm(depot, 0, chunk->cold - before);
    return chunk->cold - before;
}

/* With the lock held. True: there is more to be done in this period. */
static bool decay_some(struct lido__stack_depot *depot)
{
    unsigned most = EMPTIED_AT_ONCE;
    for (unsigned seen = 0; seen < CHUNK_SLOTS && depot->next != &depot->partial; seen++) {
        struct lido__chunk *chunk = chunk_of(depot->next);
        most -= chunk_empty(depot, chunk, most);
        if (depot->keeps)
            return false;
        if (most == 0)
            return true;
        chunk->least = chunk->free_count;
        depot->next = chunk->node.next;
    }
    return depot->next != &depot->partial;
}

/* With the lock held. */
static uint64_t decay(struct lido__stack_depot *depot, uint32_t stamp)
{
    if (depot->next == &depot->partial)
        depot->next = depot->partial.next;
    if (decay_some(depot))
        return 0;
    /* Relaxed: whoever looks at it without the lock comes to look at it with the lock. */
    lido__store(&depot->due, stamp + PERIOD_STAMPS, LIDO__RELAXED);
    return LIDO__STACK_PERIOD_NS;
}

uint64_t lido__stack_depot_decay(struct lido__stack_depot *depot, uint32_t stamp)
{
    /* Not waited for: somebody uses the depot, perhaps for just this. */
    if (pthread_mutex_trylock(&depot->lock) != 0)
        return LIDO__STACK_PERIOD_NS;
    uint64_t next = depot->keeps ? UINT64_MAX : decay(depot, stamp);
    pthread_mutex_unlock(&depot->lock);
    return next;
}

bool lido__stack_is_below(const struct lido__fiber *fiber, const void *address)
{
    uintptr_t at = (uintptr_t)address;
    return at < (uintptr_t)fiber->annotation.low && at >= (uintptr_t)fiber->chunk->base;
}

void lido__stack_clear(const struct lido__fiber *fiber)
{
    char *low = (char *)(uintptr_t)fiber->annotation.low;
    char *top = (char *)(uintptr_t)fiber;
    char *page = (char *)((uintptr_t)fiber & ~((uintptr_t)lido__page_size() - 1));
    if (lido__pages_discard(low, (size_t)(page - low)) < 0)
        page = low;
    explicit_bzero(page, (size_t)(top - page));
}

/* ---- What a worker keeps ------------------------------------------------------------------------ */

void lido__stack_cache_init(struct lido__stack_cache *cache, struct lido__stack_depot *depot)
{
    cache->depot = depot;
    cache->clears = depot->clears;
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

/* Whether the next slot of the depot is in memory. */
static bool next_is_warm(const struct lido__stack_depot *depot)
{
    if (lido__list_empty(&depot->partial))
        return false;
    const struct lido__chunk *chunk = chunk_of(depot->partial.next);
    return chunk->free_count > chunk->cold;
}

/*
 * Takes a batch only of slots that are in memory: opening one touches its page, which should happen
 * for a fiber that needs it and for no other.
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
    } while (cache->count < CACHE_BATCH && next_is_warm(depot));
    pthread_mutex_unlock(&depot->lock);
}

void lido__stack_cache_spill(struct lido__stack_cache *cache)
{
    lido__stack_cache_trim(cache, LIDO__STACK_CACHE_MAX - CACHE_BATCH);
}
