/*
 * A spinlock that is biased towards one worker: the one that has taken it many times in a row. Most channels
 * connect tasks of one worker, which run one after the other on one thread; then the lock protects
 * from nobody, and an atomic operation per message would be most of what a message costs.
 *
 *     favourite's thread                      any other thread
 *     lock:   inside = 1                      lock:   word: BUSY
 *             barrier to the compiler                 is there a favourite? then
 *             still the favourite? otherwise             favourite = NULL
 *             inside = 0, and as any other               barrier to all threads
 *     unlock: inside = 0                                 wait until inside is 0
 *
 * Why that excludes is said in sched/gate.h, which works in the same way. Here the bias ends at once when
 * somebody else comes, and each time it takes longer until it begins again: so what its end costs (a barrier
 * in all threads) is never more than what it has saved before.
 *
 * No lock has more than one favourite in its life. For one that was may have been interrupted just before it
 * says that it is inside, and then says, however late, that it is not: if another were the favourite by then,
 * that would be said of this one.
 *
 * Held for a few instructions, never across a wait. All zero is a free lock.
 * Model-checked in tests/model/test_biased.c.
 */
#ifndef LIDO_SYNC_BIASED_H
#define LIDO_SYNC_BIASED_H

#include "base/atomic.h"
#include "sched/worker.h"
#include "sync/waitq.h"

struct lido__biased {
    lido__shared struct lido__worker *favourite; /* written while the word is held */
    lido__shared uint32_t inside;                /* whether it is; written by its thread */
    lido__shared uint32_t word;                  /* BUSY */
    /* While the word is held: */
    struct lido__worker
        *last;       /* who had it the last time; once the bias has ended: the favourite of then */
    uint32_t streak; /* how often in a row it had it before that */
    uint32_t lost;   /* how often the bias has ended */
};

/* The rest of lock, for all but the favourite. */
void lido__biased_lock_word(struct lido__biased *lock, struct lido__worker *worker);

/* `worker`: the caller's, or NULL. True: as the favourite; to be told to unlock. */
static inline bool lido__biased_lock(struct lido__biased *lock, struct lido__worker *worker)
{
    if (worker && lido__load(&lock->favourite, LIDO__RELAXED) == worker) {
        lido__store(&lock->inside, 1, LIDO__RELAXED);
        lido__fence_light();
        if (__builtin_expect(lido__load(&lock->favourite, LIDO__RELAXED) == worker, 1))
            return true;
        lido__store(&lock->inside, 0, LIDO__RELEASE);
    }
    lido__biased_lock_word(lock, worker);
    return false;
}

/* Release: pairs with the acquire of whoever takes the word next, or waits for the favourite. */
static inline void lido__biased_unlock(struct lido__biased *lock, bool favourite)
{
    if (favourite)
        lido__store(&lock->inside, 0, LIDO__RELEASE);
    else
        lido__word_unlock(&lock->word, 0);
}

#endif
