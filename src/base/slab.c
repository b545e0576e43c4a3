#include "base/slab.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/fault.h"
#include "base/sanitize.h"

#define BATCH 64u             /* objects that go to or come from the depot at once */
#define MAGAZINE (2 * BATCH)  /* so a thread at the edge does not go to the depot each time */
#define CHUNK_BYTES (1 << 16) /* taken from malloc at once */

/* A free object. Only this word of it belongs to the slab. */
struct lido__slab_object {
    struct lido__slab_object *next;
};

/* Finds a full batch in the depot: its objects have but one word to spare, and that links them. */
struct lido__slab_batch {
    struct lido__slab_batch *next;
    struct lido__slab_object *first;
};

/*
 * Memory from calloc and not from mmap, so that a leak checker finds what the objects point to.
 * After the descriptors come the objects.
 */
struct lido__slab_chunk {
    struct lido__slab_chunk *next;
    struct lido__slab_batch batches[];
};

/* The free objects of one thread and one class, the last freed first. */
struct magazine {
    struct lido__slab_object *first;
    uint32_t count;
    uint32_t limit;          /* MAGAZINE; 0 before the first use and after the thread's flush */
    struct lido__slab *slab; /* whose they are; valid while limit is not 0 */
};

static __thread
    __attribute__((tls_model("initial-exec"))) struct magazine magazines[LIDO__SLAB_CLASSES];

static void push(struct lido__slab *slab, struct magazine *magazine,
                 struct lido__slab_object *object)
{
    object->next = magazine->first;
    magazine->first = object;
    magazine->count++;
    if (slab->poison)
        lido__poison(object + 1, slab->size - sizeof(*object));
}

static void *pop(struct lido__slab *slab, struct magazine *magazine)
{
    struct lido__slab_object *object = magazine->first;
    magazine->first = object->next;
    magazine->count--;
    if (slab->poison)
        lido__unpoison(object + 1, slab->size - sizeof(*object));
    object->next = NULL;
    return object;
}

/* ---- The depot: slab->lock is held ------------------------------------------------------------ */

static void put_full(struct lido__slab *slab, struct lido__slab_object *first)
{
    struct lido__slab_batch *batch = slab->spare;
    LIDO__ASSERT(batch); /* one was made for each 64 objects */
    slab->spare = batch->next;
    batch->first = first;
    batch->next = slab->full;
    slab->full = batch;
}

static struct lido__slab_object *take_full(struct lido__slab *slab)
{
    struct lido__slab_batch *batch = slab->full;
    slab->full = batch->next;
    batch->next = slab->spare;
    slab->spare = batch;
    return batch->first;
}

static void put_loose(struct lido__slab *slab, struct lido__slab_object *object)
{
    object->next = slab->loose;
    slab->loose = object;
    if (++slab->loose_count < BATCH)
        return;
    put_full(slab, slab->loose);
    slab->loose = NULL;
    slab->loose_count = 0;
}

static struct lido__slab_object *take_loose(struct lido__slab *slab, uint32_t *count)
{
    struct lido__slab_object *first = slab->loose;
    *count = slab->loose_count;
    slab->loose = NULL;
    slab->loose_count = 0;
    return first;
}

static bool grow(struct lido__slab *slab)
{
    size_t batch_bytes = sizeof(struct lido__slab_batch) + BATCH * (size_t)slab->size;
    size_t batches = CHUNK_BYTES / batch_bytes;
    if (batches == 0)
        batches = 1;

    struct lido__slab_chunk *chunk =
        lido__fault("slab") ? NULL : calloc(1, sizeof(*chunk) + batches * batch_bytes);
    if (!chunk)
        return false;
    chunk->next = slab->chunks;
    slab->chunks = chunk;

    for (size_t i = 0; i < batches; i++) {
        chunk->batches[i].next = slab->spare;
        slab->spare = &chunk->batches[i];
    }
    slab->fresh = (char *)&chunk->batches[batches];
    slab->fresh_batches = (uint32_t)batches;
    return true;
}

/* 64 objects side by side that nobody has touched yet, or NULL. */
static char *take_fresh(struct lido__slab *slab)
{
    if (slab->fresh_batches == 0 && !grow(slab))
        return NULL;
    char *fresh = slab->fresh;
    slab->fresh += BATCH * (size_t)slab->size;
    slab->fresh_batches--;
    return fresh;
}

/* ---- Between a magazine and the depot --------------------------------------------------------- */

/* In such an order that they are handed out by ascending address. */
static void push_fresh(struct lido__slab *slab, struct magazine *magazine, char *fresh)
{
    for (uint32_t i = BATCH; i-- > 0;)
        push(slab, magazine, (struct lido__slab_object *)(fresh + i * (size_t)slab->size));
}

/* Fills an empty magazine. Used memory first, so that what nobody has touched costs nothing. */
static bool refill(struct lido__slab *slab, struct magazine *magazine)
{
    char *fresh = NULL;

    pthread_mutex_lock(&slab->lock);
    if (slab->full) {
        magazine->first = take_full(slab);
        magazine->count = BATCH;
    } else if (slab->loose) {
        magazine->first = take_loose(slab, &magazine->count);
    } else {
        fresh = take_fresh(slab);
    }
    pthread_mutex_unlock(&slab->lock);

    /* Not under the lock: this touches new pages. */
    if (fresh)
        push_fresh(slab, magazine, fresh);
    return magazine->first != NULL;
}

/* Keeps the 64 objects that were freed last, which are in this cpu's cache, and gives the rest. */
static void spill(struct lido__slab *slab, struct magazine *magazine)
{
    struct lido__slab_object *last = magazine->first;
    for (uint32_t i = 1; i < BATCH; i++)
        last = last->next;

    struct lido__slab_object *rest = last->next;
    last->next = NULL;
    magazine->count = BATCH;

    pthread_mutex_lock(&slab->lock);
    put_full(slab, rest);
    pthread_mutex_unlock(&slab->lock);
}

static void flush(struct magazine *magazine)
{
    struct lido__slab *slab = magazine->slab;
    struct lido__slab_object *object = magazine->first;

    pthread_mutex_lock(&slab->lock);
    while (object) {
        struct lido__slab_object *next = object->next;
        put_loose(slab, object);
        object = next;
    }
    pthread_mutex_unlock(&slab->lock);

    magazine->first = NULL;
    magazine->count = 0;
}

/* ---- Threads ---------------------------------------------------------------------------------- */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_made;

/*
 * A limit of 0 makes whoever frees in a later destructor of the same thread open the magazine again,
 * and with that ask for another flush.
 */
static void flush_all(void *unused)
{
    (void)unused;
    for (int class = 0; class < LIDO__SLAB_CLASSES; class ++) {
        if (!magazines[class].limit)
            continue;
        magazines[class].limit = 0;
        flush(&magazines[class]);
    }
}

static void make_key(void)
{
    key_made = pthread_key_create(&key, flush_all) == 0;
}

static lido__shared struct lido__slab *slabs[LIDO__SLAB_CLASSES]; /* that have been used */
static struct lido__slab *held[LIDO__SLAB_CLASSES];               /* over a fork */

/* Promises that what the magazine will hold is given back when the thread ends. */
static bool open_magazine(struct lido__slab *slab, struct magazine *magazine)
{
    if (magazine->limit) {
        LIDO__ASSERT(magazine->slab == slab); /* one slab for each class */
        return true;
    }
    pthread_once(&key_once, make_key);
    if (!key_made || pthread_setspecific(key, magazines) != 0)
        return false;
    magazine->slab = slab;
    magazine->limit = MAGAZINE;
    lido__store(&slabs[slab->class], slab, LIDO__RELAXED);
    return true;
}

static __attribute__((noinline)) void *alloc_slow(struct lido__slab *slab,
                                                  struct magazine *magazine)
{
    if (!open_magazine(slab, magazine) || !refill(slab, magazine))
        return NULL;
    return pop(slab, magazine);
}

static __attribute__((noinline)) void free_slow(struct lido__slab *slab, struct magazine *magazine,
                                                struct lido__slab_object *object)
{
    if (open_magazine(slab, magazine)) {
        if (magazine->count == MAGAZINE)
            spill(slab, magazine);
        push(slab, magazine, object);
        return;
    }
    /* A thread that cannot be told when it ends must not keep anything. */
    if (slab->poison)
        lido__poison(object + 1, slab->size - sizeof(*object));
    pthread_mutex_lock(&slab->lock);
    put_loose(slab, object);
    pthread_mutex_unlock(&slab->lock);
}

/*
 * These two must not be inlined into code that switches fibers: the compiler may keep the address of
 * the magazine across the switch, and the fiber go on in another thread. The call costs 1 ns.
 */
__attribute__((noinline)) void *lido__slab_alloc(struct lido__slab *slab)
{
    struct magazine *magazine = &magazines[slab->class];
    if (__builtin_expect(!magazine->first, 0))
        return alloc_slow(slab, magazine);
    return pop(slab, magazine);
}

__attribute__((noinline)) void lido__slab_free(struct lido__slab *slab, void *object)
{
    struct magazine *magazine = &magazines[slab->class];
    if (!object)
        return;
    if (__builtin_expect(magazine->count >= magazine->limit, 0))
        free_slow(slab, magazine, object);
    else
        push(slab, magazine, object);
}

/* ---- Fork ------------------------------------------------------------------------------------- */

void lido__slab_hold_all(void)
{
    for (int class = 0; class < LIDO__SLAB_CLASSES; class ++) {
        held[class] = lido__load(&slabs[class], LIDO__RELAXED);
        if (held[class])
            pthread_mutex_lock(&held[class]->lock);
    }
}

void lido__slab_let_go_all(void)
{
    for (int class = 0; class < LIDO__SLAB_CLASSES; class ++)
        if (held[class])
            pthread_mutex_unlock(&held[class]->lock);
}
