/*
 * A semaphore: permits, and those who wait for some of them, first come, first served. A waiter that wants
 * many is not overtaken by those who want few.
 *
 * While nobody waits, acquire and release are one compare-and-swap each. Permits may be given back by
 * whoever has them, from any thread.
 */
#ifndef LIDO_SYNC_SEMAPHORE_H
#define LIDO_SYNC_SEMAPHORE_H

#include "sync/waitq.h"

struct lido__semaphore {
    lido__shared uint32_t word; /* free permits, times LIDO__WORD_OWN */
    const char *awaits;         /* what its waiters are said to await, in reports */
    struct lido__waitq queue;
};

#define LIDO__PERMITS_MAX (UINT32_MAX / LIDO__WORD_OWN)

static inline void lido__semaphore_init(struct lido__semaphore *semaphore, uint32_t permits,
                                        const char *awaits)
{
    semaphore->word = permits * LIDO__WORD_OWN;
    semaphore->awaits = awaits;
    semaphore->queue = (struct lido__waitq){0};
}

/* Takes `n` permits if it does not have to wait for them. Any thread. */
static inline bool lido__semaphore_try(struct lido__semaphore *semaphore, uint32_t n)
{
    uint32_t word = lido__load(&semaphore->word, LIDO__RELAXED);
    do {
        if (__builtin_expect(word & LIDO__BUSY, 0))
            word = lido__word_settled(&semaphore->word);
        if (word & LIDO__WAITERS || word / LIDO__WORD_OWN < n)
            return false;
        /* Acquire: pairs with the release of whoever gave them back. */
    } while (!lido__cas(&semaphore->word, &word, word - n * LIDO__WORD_OWN, LIDO__ACQUIRE,
                        LIDO__RELAXED));
    return true;
}

/*
 * Takes `n` permits, waits for them if it must. Fibers. Never fails without having to wait; then
 * -ECANCELED, -ETIMEDOUT of the task, and nothing was taken.
 */
int lido__semaphore_acquire(struct lido__semaphore *semaphore, uint32_t n);

/* The same for a future, and one permit: LIDO_PENDING, or as acquire. `wait` was all zero before the first
   poll, and is again after the last. */
int lido__semaphore_acquire_poll(struct lido__semaphore *semaphore, lido_wait *wait,
                                 const lido_waker *waker);

/* Gives permits back, or new ones. Any thread. */
void lido__semaphore_release(struct lido__semaphore *semaphore, uint32_t n);

/*
 * Gives one permit back, like release. But if a future is the first to wait, it has the permit, and its task is
 * not woken: the caller goes on in its place. That saves a way to its worker and back. Returns its `wait`, for
 * which `accept` has been called while the word was held: the task is alive, and what it learns of its
 * permit it learns after that. NULL: nobody waited, or those who did have been seen to. Any thread.
 */
lido_wait *lido__semaphore_pass(struct lido__semaphore *semaphore, void (*accept)(lido_wait *wait));

#endif
