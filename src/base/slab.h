/*
 * Type-stable pools of objects of one size.
 *
 * A slab hands out objects from chunks of memory that, once taken, stay with this slab until the
 * process ends. So a stale pointer to a freed object still points to an object of the same type: a
 * reactor that is told about a handle by a late kernel event may read its generation and see that it
 * is not the one it knew. That is the reason for the slab; its speed (an allocation is a pop from a
 * list of the thread's own) is the second one.
 *
 * Objects are packed densely and aligned to 8 bytes: 48 bytes are 48 bytes, for at a million
 * connections each byte counts.
 *
 * Any thread may allocate, any thread may free what another has allocated. Each thread keeps up to
 * 128 free objects of a class in a magazine that no other thread sees; in batches of 64 they go to
 * and come from a depot behind a mutex. The magazine of a thread that ends goes back to the depot.
 * (The idea: J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001. The magazines here are lists
 * through the free objects and not arrays of pointers: those would cost 8 bytes for each object.)
 */
#ifndef LIDO_BASE_SLAB_H
#define LIDO_BASE_SLAB_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One class for each slab of the process: the place of its magazine in a thread. */
enum lido__slab_class { LIDO__SLAB_TASK, LIDO__SLAB_HANDLE, LIDO__SLAB_CHILD, LIDO__SLAB_CLASSES };

struct lido__slab_object;
struct lido__slab_batch;
struct lido__slab_chunk;

/* A static variable of the file that uses it, set with one of the two initialisers below. */
struct lido__slab {
    enum lido__slab_class class;
    bool poison;
    uint32_t size;                   /* of an object; a multiple of 8 */
    pthread_mutex_t lock;            /* protects all that follows: the depot */
    struct lido__slab_batch *full;   /* batches of exactly 64 free objects */
    struct lido__slab_batch *spare;  /* descriptors without a batch: one for each 64 objects */
    struct lido__slab_object *loose; /* fewer than 64 free objects, left by threads that ended */
    uint32_t loose_count;
    uint32_t fresh_batches;          /* batches of the newest chunk that were never handed out */
    char *fresh;                     /* the first of them */
    struct lido__slab_chunk *chunks; /* all, the newest first */
};

/* Freed objects stay readable: for what is reached through pointers that may be stale. */
#define LIDO__SLAB_INIT(class_, size_)                                                             \
    {                                                                                              \
        .class = (class_), .size = (uint32_t)(((size_) + 7) & ~(size_t)7),                         \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }

/* Under AddressSanitizer each access to a freed object is reported, as for malloc. */
#define LIDO__SLAB_INIT_POISON(class_, size_)                                                      \
    {                                                                                              \
        .class = (class_), .poison = true, .size = (uint32_t)(((size_) + 7) & ~(size_t)7),         \
        .lock = PTHREAD_MUTEX_INITIALIZER                                                          \
    }

/*
 * An object, or NULL when there is no memory. Its first 8 bytes are zero; the rest is zero when the
 * object was never used before, and otherwise exactly as it was when it was freed, so that a
 * generation counter survives. Any thread.
 */
void *lido__slab_alloc(struct lido__slab *slab);

/* Gives an object back; only its first 8 bytes are overwritten. Any thread; NULL is allowed. */
void lido__slab_free(struct lido__slab *slab, void *object);

/* Around a fork, by the thread that forks, one at a time: so that in the child no depot is locked, and all are
   whole. */
void lido__slab_hold_all(void);
void lido__slab_let_go_all(void);

#endif
