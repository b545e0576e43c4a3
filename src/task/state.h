/*
 * The state word of a task: flags and a reference count in one atomic word, and every transition
 * that it can make, by name. Nothing else touches the word.
 *
 *     NOTIFIED   a wake-up from another thread is under way: the task sits in its worker's inbox.
 *                The inbox holds one reference.
 *     CANCELLED  somebody asked the task to stop; never cleared.
 *     DONE       the future has returned its result; wake-ups are ignored from here on.
 *     JOINER     task->joiner is valid: a waker to be used when DONE is set.
 *     THREAD     a plain thread waits on this word for DONE, with the operating system's futex.
 *     SHARED     the task is runnable and belongs to no worker: whoever claims it first runs it.
 *     HANDLE     the handle that its spawn gave has not been given back: by join, stop or detach, once.
 *     refs       the scheduler (until DONE), the handle, each owned waker, the inbox.
 *
 * A task that has been freed has 0 in its word until its memory is another's: so what uses a handle that was given
 * back mostly finds neither HANDLE nor a reference, and says so (LIDO__REQUIRE in task.h).
 *
 * Wake-ups from the task's own worker do not come here: they are plain flags of the run queue
 * (task.h). That is what makes a yield and a local wake-up free of atomics.
 *
 * Each transition that can drop the last reference says so with its return value, and the caller
 * frees the task. Model-checked in tests/model/test_state.c and test_moving.c.
 */
#ifndef LIDO_TASK_STATE_H
#define LIDO_TASK_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

#define LIDO__NOTIFIED 1u
#define LIDO__CANCELLED 2u
#define LIDO__DONE 4u
#define LIDO__JOINER 8u
#define LIDO__THREAD 16u
#define LIDO__SHARED 32u
#define LIDO__HANDLE 64u
#define LIDO__REF 128u

struct lido__state {
    lido__shared uint32_t word;
};

/* A task that nobody else can see yet, with `refs` references: the scheduler's, and the handle's. */
static inline void lido__state_init(struct lido__state *state, uint32_t refs)
{
    state->word = refs * LIDO__REF | (refs > 1 ? LIDO__HANDLE : 0);
}

/* The same for a task that starts its life in an inbox: `refs` includes the inbox's. */
static inline void lido__state_init_notified(struct lido__state *state, uint32_t refs)
{
    lido__state_init(state, refs - 1);
    state->word += LIDO__REF | LIDO__NOTIFIED;
}

/* The same for a task that is given to whoever claims it. */
static inline void lido__state_init_shared(struct lido__state *state, uint32_t refs)
{
    lido__state_init(state, refs);
    state->word |= LIDO__SHARED;
}

/* Relaxed: a new reference is made from one that the caller holds, so nothing can be freed. */
static inline void lido__state_ref(struct lido__state *state)
{
    lido__fetch_add(&state->word, LIDO__REF, LIDO__RELAXED);
}

/*
 * Drops one reference; true if it was the last.
 * The holder of the only reference has nobody to race with, and skips the read-modify-write: its
 * acquire load pairs with the release of whoever dropped theirs before.
 */
static inline bool lido__state_unref(struct lido__state *state)
{
    uint32_t word = lido__load(&state->word, LIDO__ACQUIRE);
    if (word / LIDO__REF == 1)
        return true;
    return lido__fetch_sub(&state->word, LIDO__REF, LIDO__ACQ_REL) / LIDO__REF == 1;
}

/* Whether the handle has not been given back, or there is any reference: false tells of a mistake. */
static inline bool lido__state_has_handle(const struct lido__state *state)
{
    return lido__load(&state->word, LIDO__RELAXED) & LIDO__HANDLE;
}

static inline bool lido__state_is_alive(const struct lido__state *state)
{
    return lido__load(&state->word, LIDO__RELAXED) >= LIDO__REF;
}

/*
 * The handle is given back, with its reference. Returns the word as it was: without HANDLE it was given back before
 * (by another thread, at this moment: the caller has asked has_handle). One reference: the caller frees the task.
 * The orders and the shorter way are those of unref.
 */
static inline uint32_t lido__state_give_back(struct lido__state *state)
{
    uint32_t word = lido__load(&state->word, LIDO__ACQUIRE);
    if (word / LIDO__REF == 1)
        return word;
    return lido__fetch_sub(&state->word, LIDO__REF + LIDO__HANDLE, LIDO__ACQ_REL);
}

/*
 * A wake-up from another thread, with extra flags to set (CANCELLED or 0). True: the caller must
 * push the task into its worker's inbox, which now has a reference. The worker is read after this.
 *
 * Release: the event that the caller wakes for is seen by the poll after the take. When NOTIFIED or
 * SHARED was already set, the word is still written, for the same reason: take, or claim, reads from it.
 */
static inline bool lido__state_notify(struct lido__state *state, uint32_t flags)
{
    uint32_t old = lido__load(&state->word, LIDO__RELAXED);
    uint32_t new;
    do {
        new = old | flags;
        if (!(old & (LIDO__NOTIFIED | LIDO__DONE | LIDO__SHARED)))
            new = (new | LIDO__NOTIFIED) + LIDO__REF;
    } while (!lido__cas(&state->word, &old, new, LIDO__ACQ_REL, LIDO__RELAXED));
    return !(old & (LIDO__NOTIFIED | LIDO__DONE | LIDO__SHARED));
}

enum lido__taken {
    LIDO__TAKEN_RUN,  /* make it runnable */
    LIDO__TAKEN_DROP, /* it is done already: nothing to run */
    LIDO__TAKEN_FREE, /* it is done, and the inbox held the last reference */
};

/*
 * The worker has taken the task from its inbox: clears NOTIFIED and drops the inbox's reference.
 * Acquire: pairs with the release in notify.
 */
static inline enum lido__taken lido__state_take(struct lido__state *state)
{
    uint32_t old = lido__fetch_sub(&state->word, LIDO__NOTIFIED + LIDO__REF, LIDO__ACQ_REL);
    if (!(old & LIDO__DONE))
        return LIDO__TAKEN_RUN;
    return old / LIDO__REF == 1 ? LIDO__TAKEN_FREE : LIDO__TAKEN_DROP;
}

/*
 * A runnable task leaves its worker. Release: whoever claims it, and whoever wakes it from here on, comes
 * after what its worker did with it.
 */
static inline void lido__state_share(struct lido__state *state)
{
    lido__fetch_or(&state->word, LIDO__SHARED, LIDO__RELEASE);
}

/*
 * A task that was shared has a worker again, which has been written. Release: it is seen by whoever finds
 * SHARED gone. Acquire: the poll that follows sees what all those woke the task for who found SHARED.
 */
static inline void lido__state_claim(struct lido__state *state)
{
    lido__fetch_and(&state->word, ~LIDO__SHARED, LIDO__ACQ_REL);
}

/*
 * A worker has taken from its inbox a task that has left it. True: the wake-up is over, since the task is
 * about to be claimed and run; the inbox's reference is gone. False: it belongs to another worker, read
 * after this, whose inbox must have it.
 * Release: pairs with claim, as in notify.
 */
static inline bool lido__state_pass(struct lido__state *state)
{
    uint32_t old = lido__load(&state->word, LIDO__ACQUIRE);
    do {
        if (!(old & LIDO__SHARED))
            return false;
    } while (!lido__cas(&state->word, &old, (old & ~LIDO__NOTIFIED) - LIDO__REF, LIDO__ACQ_REL,
                        LIDO__ACQUIRE));
    return true;
}

/* From the task's own worker; other threads cancel through notify. */
static inline void lido__state_cancel(struct lido__state *state)
{
    lido__fetch_or(&state->word, LIDO__CANCELLED, LIDO__RELAXED);
}

static inline bool lido__state_cancelled(const struct lido__state *state)
{
    return lido__load(&state->word, LIDO__RELAXED) & LIDO__CANCELLED;
}

static inline bool lido__state_done(const struct lido__state *state)
{
    return lido__load(&state->word, LIDO__ACQUIRE) & LIDO__DONE;
}

/*
 * Somebody wants to be told of DONE: `flag` is JOINER (task->joiner has been written) or THREAD.
 * False: DONE is set already, nothing was registered, and the result may be read.
 * Release: the joiner's waker is seen by finish. Acquire: on false, the result is.
 */
static inline bool lido__state_await(struct lido__state *state, uint32_t flag)
{
    uint32_t old = lido__load(&state->word, LIDO__ACQUIRE);
    do {
        if (old & LIDO__DONE)
            return false;
    } while (!lido__cas(&state->word, &old, old | flag, LIDO__ACQ_REL, LIDO__ACQUIRE));
    return true;
}

/*
 * Takes the registration back (the joiner's own wait was cut short). False: DONE is set, and
 * whoever set it has used the waker or is about to: the result may be read.
 */
static inline bool lido__state_forgo(struct lido__state *state)
{
    uint32_t old = lido__load(&state->word, LIDO__ACQUIRE);
    do {
        if (old & LIDO__DONE)
            return false;
    } while (!lido__cas(&state->word, &old, old & ~LIDO__JOINER, LIDO__ACQ_REL, LIDO__ACQUIRE));
    return true;
}

/*
 * The future has returned: sets DONE, and drops the scheduler's reference in the same step, unless
 * `keep` says that the run queue still holds it, or a JOINER is to be told: telling needs the task, and
 * the joiner may see DONE and drop its handle at any moment from here on.
 *
 * Returns the word as it was. JOINER: use the waker, then unref. THREAD: wake the futex (the memory is
 * type-stable, so its address is good whatever happens). NOTIFIED: a wake-up is under way, the last
 * one, and will yet arrive in the inbox. One reference and neither `keep` nor JOINER: free.
 * Release: the result is seen by whoever sees DONE. Acquire: pairs with the release in await.
 *
 * If the scheduler's reference is the only one nobody else can see the word, as in unref, and it stays as it is.
 */
static inline uint32_t lido__state_finish(struct lido__state *state, bool keep)
{
    uint32_t old = lido__load(&state->word, LIDO__ACQUIRE);
    uint32_t new;
    if (!keep && (old & ~LIDO__CANCELLED) == LIDO__REF)
        return old;
    do {
        new = old | LIDO__DONE;
        if (!keep && !(old & LIDO__JOINER))
            new -= LIDO__REF;
    } while (!lido__cas(&state->word, &old, new, LIDO__ACQ_REL, LIDO__ACQUIRE));
    return old;
}

#endif
