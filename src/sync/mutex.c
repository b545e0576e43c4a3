/*
 * Mutexes. To hand a mutex to the first who waits is fair, and slow: until that task runs, perhaps on another
 * worker, nobody is in the critical section. To leave it to whoever comes first is fast, and some never get
 * it. So this one is released, and the first waiter *nudged*; those who run may take it in the meantime, and
 * as long as the nudged one is on its way, releasing costs what it costs without waiters. If that one finds
 * it taken, it asks to have it handed over, which the next release does.
 */
#include <errno.h>

#include "sync/waitq.h"

#define LOCKED (LIDO__WORD_OWN << 0)
#define NUDGED (LIDO__WORD_OWN << 1)  /* the first waiter has been woken to take it */
#define HANDOFF (LIDO__WORD_OWN << 2) /* the first waiter is to be given it; only while LOCKED */

struct mutex {
    lido__shared uint32_t word;
    struct lido__waitq queue;
};

_Static_assert(sizeof(struct mutex) <= sizeof(lido_mutex), "lido_mutex is its public face");

static struct mutex *mutex_of(lido_mutex *mutex)
{
    return (struct mutex *)mutex;
}

/* The mutex is free and nobody is on the way to it: the first waiter is sent. Returns the new word. */
static uint32_t nudge(struct mutex *mutex, uint32_t word, struct lido__wakes *wakes)
{
    struct lido__wait *first = mutex->queue.first;
    if (!first)
        return word;
    lido__store(&first->state, LIDO__WAIT_NUDGED, LIDO__RELEASE);
    lido__wakes_add(wakes, first->task, 0);
    return word | NUDGED;
}

static uint32_t leave(struct lido__wait *wait, uint32_t word, struct lido__wakes *wakes)
{
    struct mutex *mutex = lido__container_of(wait->word, struct mutex, word);
    if (wait == mutex->queue.first)
        word &= ~(NUDGED | HANDOFF); /* which were about it */
    lido__waitq_remove(&mutex->queue, wait);
    word = lido__waitq_mark(&mutex->queue, word);
    return word & (LOCKED | NUDGED) ? word : nudge(mutex, word, wakes);
}

static void undo(struct lido__wait *wait)
{
    lido_mutex_unlock((lido_mutex *)lido__container_of(wait->word, struct mutex, word));
}

static const struct lido__wait_kind kind = {.leave = leave, .undo = undo};

/* ---- Locking -------------------------------------------------------------------------------------- */

/* Mostly it is free, and nobody waits: that is tried without a look. Acquire: pairs with the release of whoever
   had it before. */
static inline bool take(struct mutex *mutex)
{
    uint32_t word = 0;
    while (!lido__cas(&mutex->word, &word, word | LOCKED, LIDO__ACQUIRE, LIDO__RELAXED)) {
        if (word & LIDO__BUSY)
            word = lido__word_settled(&mutex->word);
        if (word & LOCKED)
            return false;
    }
    return true;
}

/* True if it is free after all; otherwise the waiter is listed. */
static bool take_or_list(struct mutex *mutex, struct lido__wait *wait)
{
    uint32_t word = lido__word_lock(&mutex->word);
    bool taken = !(word & LOCKED);
    if (!taken)
        lido__waitq_push(&mutex->queue, wait);
    lido__word_unlock(&mutex->word, lido__waitq_mark(&mutex->queue, word | LOCKED));
    return taken;
}

/* The nudged waiter has come. False: others were faster, and it goes on waiting. */
static bool take_or_insist(struct mutex *mutex, struct lido__wait *wait)
{
    uint32_t word = lido__word_lock(&mutex->word) & ~NUDGED;
    bool taken = !(word & LOCKED);
    if (taken) {
        lido__waitq_remove(&mutex->queue, wait);
        word = lido__waitq_mark(&mutex->queue, word | LOCKED);
    } else {
        lido__store(&wait->state, LIDO__WAIT_LISTED, LIDO__RELAXED);
        word |= HANDOFF;
    }
    lido__word_unlock(&mutex->word, word);
    return taken;
}

static __attribute__((noinline)) int lock_slowly(struct lido__worker *worker, struct mutex *mutex)
{
    struct lido__wait wait;
    int r = 0;
    lido__wait_init(&wait, &kind, &mutex->word, worker->current);
    if (take_or_list(mutex, &wait))
        return 0;
    do {
        r = lido__wait_sleep(&wait, "mutex");
    } while (r == 0 && lido__wait_state(&wait) == LIDO__WAIT_NUDGED &&
             !take_or_insist(mutex, &wait));
    return r;
}

static inline int lock(struct lido__worker *worker, struct mutex *mutex)
{
    return take(mutex) ? 0 : lock_slowly(worker, mutex);
}

int lido_mutex_lock(lido_mutex *mutex)
{
    int error;
    struct lido__worker *worker = lido__wait_begin(&error);
    return worker ? lock(worker, mutex_of(mutex)) : error;
}

int lido_mutex_lock_anyway(lido_mutex *mutex)
{
    int error;
    struct lido__worker *worker = lido__fiber_worker(&error);
    if (!worker)
        return error;
    uint32_t shield = lido__task_shield();
    int r = lock(worker, mutex_of(mutex));
    lido__task_unshield(shield);
    return r;
}

int lido_mutex_lock_poll(lido_mutex *public, lido_wait *public_wait, const lido_waker *waker)
{
    struct mutex *mutex = mutex_of(public);
    struct lido__wait *wait = lido__wait_of(public_wait);
    enum lido__wait_state state;
    do {
        int r = lido__wait_check(wait, waker);
        if (r)
            return r;
        state = lido__wait_state(wait);
    } while (state == LIDO__WAIT_NUDGED && !take_or_insist(mutex, wait));
    if (state == LIDO__WAIT_IDLE && !take(mutex)) {
        lido__wait_init(wait, &kind, &mutex->word, wait->task);
        if (!take_or_list(mutex, wait))
            return LIDO_PENDING;
    }
    wait->state = LIDO__WAIT_IDLE;
    return 0;
}

int lido_mutex_try_lock(lido_mutex *mutex)
{
    return take(mutex_of(mutex)) ? 0 : -EAGAIN;
}

/* ---- Unlocking ------------------------------------------------------------------------------------ */

static int unlock_slowly(struct mutex *mutex)
{
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&mutex->word);
    if (!(word & LOCKED)) {
        lido__word_unlock(&mutex->word, word);
        return -EPERM;
    }
    if (word & HANDOFF) {
        lido__waitq_grant(&mutex->queue, mutex->queue.first, &wakes);
        word = lido__waitq_mark(&mutex->queue, word & ~HANDOFF);
    } else {
        word &= ~LOCKED;
        if (!(word & NUDGED))
            word = nudge(mutex, word, &wakes);
    }
    lido__word_unlock_and_wake(&mutex->word, word, &wakes);
    return 0;
}

/* Whether releasing is all that there is to do. */
static bool is_simple(uint32_t word)
{
    if (!(word & LOCKED) || word & (LIDO__BUSY | HANDOFF))
        return false;
    return !(word & LIDO__WAITERS) || word & NUDGED;
}

int lido_mutex_unlock(lido_mutex *public)
{
    struct mutex *mutex = mutex_of(public);
    uint32_t word = LOCKED;
    do {
        if (lido__cas(&mutex->word, &word, word & ~LOCKED, LIDO__RELEASE, LIDO__RELAXED))
            return 0;
    } while (is_simple(word));
    return unlock_slowly(mutex);
}
