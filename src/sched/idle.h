/*
 * Who sleeps and who searches: so that no work lies about while a worker sleeps, and no more are
 * woken than find something.
 *
 * A worker without work searches the queues of the others, and goes to sleep when it finds nothing.
 * Whoever publishes work wakes one that sleeps, unless somebody searches already: that one will find it,
 * and when the last searcher finds something it calls the next, in case there is more. So wake-ups
 * follow each other in a chain, as long as each finds something, and a burst of work wakes no herd.
 *
 *     publisher                             worker
 *     publish the work                      change the word: -1 searching, +1 idle
 *     fence                                 fence
 *     read the word: call somebody?         nobody searches now? then look at all queues once more
 *
 * It is Dekker's argument: at least one of the two sees what the other has written. In full, work
 * that was published is not forgotten, because the publisher reads in the word
 *   - that somebody sleeps and nobody searches: then it wakes one, who searches;
 *   - that somebody searches: that one ends its search by a change of the word that comes after. If it
 *     was the last, it either looks once more (enter) or has found something and calls another, who
 *     looks (found); if not, the same holds for the one who is still searching;
 *   - that all are awake and nobody searches: the next who goes to sleep or searches changes the word
 *     after this, and looks after that.
 * Not only the last searcher looks again, but whoever goes to sleep while nobody searches: one who was
 * refused a search, because others were at it, may go to sleep after they have all found something.
 *
 * The second look does not take: if there is something it *calls*, for where there is one link there may
 * be two, and the chain above begins with a searcher. The one called is mostly the one who looked,
 * being on top of the stack.
 *
 * Those who sleep are a stack: the one that slept last has the warmest caches, and the others may
 * sleep on. The stack is under a spinlock, held for a few instructions; the word changes under it
 * too where both change, so that the number of idle ones never exceeds the stack. The word
 * alone can be read, and searches begin and end, without the lock.
 *
 * The scheme is Go's (spinning Ms, D. Vyukov), and tokio's after it. Model-checked in
 * tests/model/test_idle.c.
 */
#ifndef LIDO_SCHED_IDLE_H
#define LIDO_SCHED_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/list.h"

/* Embedded in a worker. All fields are under the lock. */
struct lido__idler {
    struct lido__node node; /* in the stack, if listed */
    bool listed;            /* asleep, or about to be, and not called yet */
    bool called;            /* taken off the stack by a call, and counted as searching */
};

/*
 * A cache line for each: the word is read at each turn by all who have work, those who want the lock
 * write it again and again, and the stack is written by the one who has it.
 */
struct lido__idle {
    lido__shared uint64_t word __attribute__((aligned(64))); /* searching; idle in the high half */
    unsigned workers;                                        /* read with the word */
    lido__shared uint32_t lock __attribute__((aligned(64)));
    struct lido__node stack __attribute__((aligned(64))); /* of idlers; the last slept last */
    /* Whether one can come if it is called, or is known not to: then nobody is. Under the lock; or NULL. */
    bool (*can_come)(const struct lido__idler *idler);
};

_Static_assert(LIDO__APART(struct lido__idle, word, lock) &&
                   LIDO__APART(struct lido__idle, lock, stack) &&
                   LIDO__APART(struct lido__idle, word, stack),
               "as said above");

#define LIDO__IDLE_SEARCHING ((uint64_t)1)
#define LIDO__IDLE_SLEEPING ((uint64_t)1 << 32)

/* All `workers` count as awake. */
void lido__idle_init(struct lido__idle *idle, unsigned workers);

static inline void lido__idler_init(struct lido__idler *idler)
{
    idler->listed = idler->called = false;
}

/* Whether somebody sleeps or searches, so that it pays to share work. A hint. */
static inline bool lido__idle_hungry(const struct lido__idle *idle)
{
    return lido__load(&idle->word, LIDO__RELAXED) != 0;
}

/*
 * Work has been published: whom to wake. It counts as searching from now on. NULL: nobody sleeps, or
 * somebody searches. Any thread.
 */
struct lido__idler *lido__idle_call(struct lido__idle *idle);

/*
 * Who was called cannot come: no thread can be had for it. It sleeps on, at the bottom of the stack. True: nobody
 * searches now, and another must be called. Any thread.
 *
 * So those who have never had a thread lie below all others: if the one on top has none, all that could search are
 * awake, and look before they go to sleep. That is why nobody need be called while no thread can be had (can_come), and
 * why the call that comes after is found in time: the one on top is asked again by whoever publishes next.
 */
bool lido__idle_excuse(struct lido__idle *idle, struct lido__idler *idler);

/* ---- For workers ------------------------------------------------------------------------------ */

/*
 * An awake worker without work wants to search. False: half of those who are awake do, and more would
 * only be in each other's way.
 */
bool lido__idle_search(struct lido__idle *idle);

/* A searcher has found work, and is none any more. True: it was the last, and must call another. */
bool lido__idle_found(struct lido__idle *idle);

/*
 * Goes to sleep. True: nobody searches now, and the worker must look at all queues once more before it
 * sleeps, and if there is anything, call (it may be called itself).
 */
bool lido__idle_enter(struct lido__idle *idle, struct lido__idler *idler, bool searching);

/*
 * Is awake, for whatever reason. True: it was called, and is a searcher, also if it has work of its own:
 * then it says so with found.
 */
bool lido__idle_leave(struct lido__idle *idle, struct lido__idler *idler);

#endif
