/*
 * The wait queue: the one way in which tasks wait for each other here. One-shots, channels, events,
 * mutexes, semaphores and scopes are each a state word, a queue of those who wait, and a few rules.
 *
 * The word belongs to the object, but for its two lowest bits:
 *
 *     BUSY     somebody holds the word, and with it the queue. Whoever does may change all of the word and
 *              gives it back with one plain store, which is also the last that he touches of the object:
 *              so the object may be freed by whoever sees the word after that.
 *     WAITERS  the queue is not empty.
 *
 * Fast paths are one compare-and-swap, from a word without BUSY. The word is held for a few instructions,
 * never across a wait, by any thread; so a spinlock will do, and a wait for a holder that has lost its cpu soon
 * sleeps (os/backoff.h). (A queue with a lock beside the word was rejected: two words to keep in step, and
 * nobody could say when the object may be freed.)
 *
 * A waiter is a node on the stack of the one who waits, or embedded in its future. Waiters are *granted* what
 * they wait for, by whoever has it, while the word is held: a permit, a message, a mutex. A waiter that is
 * interrupted at that moment takes the word too, and finds out who was first: either it has left the queue
 * and nothing was consumed, or it has what it was granted, and says so. Nothing is granted to
 * somebody who is not there any more, so nothing is lost.
 *
 * A waiter does not go on before it has seen the word free (lido__wait_sleep, lido__wait_check): so its
 * task is alive while the word is held, and is marked as woken then, which keeps it alive. The wake-up
 * itself may be a system call, and is sent when the word is free (struct lido__wakes); by then nothing
 * of the waiter is looked at any more, which may have gone with its stack.
 *
 * Model-checked in tests/model/test_waitq.c.
 */
#ifndef LIDO_SYNC_WAITQ_H
#define LIDO_SYNC_WAITQ_H

#include <lido.h>

#include "base/atomic.h"
#include "fiber/fiber.h"
#include "os/os.h"

#define LIDO__BUSY 1u
#define LIDO__WAITERS 2u
#define LIDO__WORD_OWN 4u /* the first bit that is the object's */

struct lido__wait;

/* What is particular to waiting for one thing of one kind of object. */
struct lido__wait_kind {
    /* A listed waiter gives up: leaves its queue, and what that changes for the others. The word is held;
       returns the new one. */
    uint32_t (*leave)(struct lido__wait *wait, uint32_t word, struct lido__wakes *wakes);
    /* Or, if more than the word is to be held: all of it (see lido__wait_withdraw). */
    bool (*withdraw)(struct lido__wait *wait);
    /* A waiter does not want what it has been granted: it goes to the next. The word is not held. */
    void (*undo)(struct lido__wait *wait);
};

enum lido__wait_state {
    LIDO__WAIT_IDLE,    /* not in use; all zero */
    LIDO__WAIT_LISTED,  /* in a queue */
    LIDO__WAIT_CHOSEN,  /* in a queue, and cannot leave: it is about to be granted (events) */
    LIDO__WAIT_NUDGED,  /* in a queue, and told to look at the word (mutexes) */
    LIDO__WAIT_GRANTED, /* in no queue any more, and what it waited for is its own */
};

struct lido__wait {
    struct lido__wait *next; /* in the queue; under the word */
    struct lido__wait *prev;
    lido__shared uint32_t *word;
    const struct lido__wait_kind *kind;
    lido_task *task;
    lido__shared uint32_t state; /* written while the word is held */
    uint32_t wants;              /* how many permits; of events: whether it was given the one */
};

/* First come, first served. All zero is an empty one, and an empty one may be moved. */
struct lido__waitq {
    struct lido__wait *first;
    struct lido__wait *last;
};

/* ---- The word. Any thread ------------------------------------------------------------------------- */

uint32_t lido__word_lock_slowly(uint32_t *word);

/* Returns the word as it was, without BUSY. Acquire: pairs with the release in unlock. */
static inline uint32_t lido__word_lock(uint32_t *word)
{
    uint32_t old = lido__load(word, LIDO__RELAXED);
    if (__builtin_expect(!(old & LIDO__BUSY), 1) &&
        lido__cas(word, &old, old | LIDO__BUSY, LIDO__ACQUIRE, LIDO__RELAXED))
        return old;
    return lido__word_lock_slowly(word);
}

static inline void lido__word_unlock(uint32_t *word, uint32_t value)
{
    lido__store(word, value, LIDO__RELEASE);
}

/* The same, and wakes those to whom something has been granted. */
static inline void lido__word_unlock_and_wake(uint32_t *word, uint32_t value,
                                              struct lido__wakes *wakes)
{
    lido__word_unlock(word, value);
    lido__wakes_send(wakes);
}

uint32_t lido__word_settled_slowly(const uint32_t *word);

/* The word when nobody holds it. Acquire: what the last holder did is over, and seen. */
static inline uint32_t lido__word_settled(const uint32_t *word)
{
    uint32_t value = lido__load(word, LIDO__ACQUIRE);
    if (__builtin_expect(!(value & LIDO__BUSY), 1))
        return value;
    return lido__word_settled_slowly(word);
}

/* ---- The queue. The word is held ------------------------------------------------------------------ */

static inline void lido__waitq_push(struct lido__waitq *queue, struct lido__wait *wait)
{
    wait->next = NULL;
    wait->prev = queue->last;
    if (queue->last)
        queue->last->next = wait;
    else
        queue->first = wait;
    queue->last = wait;
    lido__store(&wait->state, LIDO__WAIT_LISTED, LIDO__RELAXED);
}

static inline void lido__waitq_remove(struct lido__waitq *queue, struct lido__wait *wait)
{
    if (wait->prev)
        wait->prev->next = wait->next;
    else
        queue->first = wait->next;
    if (wait->next)
        wait->next->prev = wait->prev;
    else
        queue->last = wait->prev;
}

/*
 * A waiter leaves the queue and is given what it waits for; `wakes` is to be sent when the word is free.
 * Release: what was done before is seen by the waiter, which may look at its state without the word.
 */
static inline void lido__waitq_grant(struct lido__waitq *queue, struct lido__wait *wait,
                                     struct lido__wakes *wakes)
{
    lido__waitq_remove(queue, wait);
    lido__store(&wait->state, LIDO__WAIT_GRANTED, LIDO__RELEASE);
    lido__wakes_add(wakes, wait->task, 0);
}

/* `word` with WAITERS as the queue has it. */
static inline uint32_t lido__waitq_mark(const struct lido__waitq *queue, uint32_t word)
{
    return queue->first ? word | LIDO__WAITERS : word & ~LIDO__WAITERS;
}

static inline void lido__wait_init(struct lido__wait *wait, const struct lido__wait_kind *kind,
                                   uint32_t *word, lido_task *task)
{
    wait->word = word;
    wait->kind = kind;
    wait->task = task;
    wait->state = LIDO__WAIT_IDLE;
    wait->wants = 1;
}

static inline enum lido__wait_state lido__wait_state(const struct lido__wait *wait)
{
    return (enum lido__wait_state)lido__load(&wait->state, LIDO__ACQUIRE);
}

/* Whether it still has to wait. */
static inline bool lido__wait_is_pending(enum lido__wait_state state)
{
    return state == LIDO__WAIT_LISTED || state == LIDO__WAIT_CHOSEN;
}

/* A waiter that was listed wants to leave. False: too late, it has been granted what it waited for, or
   chosen for that. */
bool lido__wait_withdraw(struct lido__wait *wait);

/* ---- Fibers --------------------------------------------------------------------------------------- */

/*
 * The beginning of each call that may wait: the worker, or NULL and in *error why not: -ENXIO, -EDEADLK,
 * -ECANCELED, -ETIMEDOUT. It counts as an operation, after so many of which the neighbours run (law 11).
 */
static inline struct lido__worker *lido__wait_begin(int *error)
{
    struct lido__worker *worker = lido__fiber_worker(error);
    if (__builtin_expect(!worker, 0))
        return NULL;
    if (__builtin_expect(worker->budget == 0, 0)) {
        lido_yield();
        worker = lido__worker_current();
    }
    worker->budget--;
    *error = lido__task_interrupted(worker, worker->current);
    return *error ? NULL : worker;
}

/*
 * Sleeps until the waiter, which has been listed, is granted what it waits for, or nudged: 0. Or
 * -ECANCELED, -ETIMEDOUT: it has left the queue. `awaits` is for reports. Inline, because each frame of one
 * who sleeps may have left the caches when it goes on.
 */
static inline __attribute__((always_inline)) int lido__wait_sleep(struct lido__wait *wait,
                                                                  const char *awaits)
{
    enum lido__wait_state state;
    while (lido__wait_is_pending(state = lido__wait_state(wait))) {
        struct lido__worker *worker = lido__worker_current();
        int reason = lido__task_interrupted(worker, worker->current);
        if (reason && lido__wait_withdraw(wait))
            return reason;
        if (!reason || state == LIDO__WAIT_CHOSEN)
            lido__fiber_suspend(worker, awaits);
    }
    lido__word_settled(wait->word);
    return 0;
}

/* ---- Futures -------------------------------------------------------------------------------------- */

_Static_assert(sizeof(struct lido__wait) <= sizeof(lido_wait),
               "lido_wait is a waiter's public face");

static inline struct lido__wait *lido__wait_of(lido_wait *wait)
{
    return (struct lido__wait *)wait;
}

static inline lido_wait *lido__wait_public(struct lido__wait *wait)
{
    return (lido_wait *)wait;
}

/*
 * The beginning of each poll: 0 if there is more to do for the caller, which then looks at the state: IDLE
 * (it has just begun), GRANTED or NUDGED. Otherwise what the poll returns: LIDO_PENDING, -ENXIO,
 * -ECANCELED, -ETIMEDOUT.
 */
int lido__wait_check(struct lido__wait *wait, const lido_waker *waker);

#endif
