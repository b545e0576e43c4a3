#include "sync/biased.h"

#include "base/assert.h"
#include "base/fork.h"

/* How often in a row a worker takes the lock until it is the favourite, the first time. */
#define STREAK_FIRST 1024u
/* After so many times twice that often, it is not tried any more. */
#define LOST_MAX 16u

/* The favourite is one no more. Acquire: what it did when it was inside is seen. */
static void end_bias(struct lido__biased *lock)
{
    lido__store(&lock->favourite, NULL, LIDO__RELAXED);
    lido__barrier_all();
    struct lido__backoff backoff = {0};
    while (lido__load(&lock->inside, LIDO__ACQUIRE)) {
        LIDO__ASSERT(!lido__forked); /* who is inside is not in the child */
        lido__backoff(&backoff);
    }
    lock->lost++;
    lock->streak = 0;
}

/* Without the barrier there is no favourite. One that is refused later costs each lock that has one 30 ms, once. */
static void begin_bias(struct lido__biased *lock, struct lido__worker *worker)
{
    if (lido__barrier_init() == 0)
        lido__store(&lock->favourite, worker, LIDO__RELAXED);
    else
        lock->lost = LOST_MAX;
}

void lido__biased_lock_word(struct lido__biased *lock, struct lido__worker *worker)
{
    lido__word_lock(&lock->word);
    if (__builtin_expect(lock->favourite != NULL, 0))
        end_bias(lock);
    if (lock->last != worker) {
        if (lock->lost == 0)
            lock->last = worker;
        lock->streak = 0;
    } else if (worker && lock->lost < LOST_MAX && ++lock->streak >= STREAK_FIRST << lock->lost) {
        begin_bias(lock, worker);
    }
}
