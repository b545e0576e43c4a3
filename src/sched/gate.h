/*
 * The gate of a worker: a lock that is biased towards one thread.
 *
 * The thread that carries the worker is inside all the time and pays two plain stores and a load for it;
 * another thread (the lifeguard, or a report) wants to get in hardly ever, and pays for both: it makes every thread
 * of the process pass a full memory barrier (lido__barrier_all).
 *
 *     owner                                   seizer
 *     enter:  inside = 1                      seize:  wanted 0 -> 1, or there is another seizer
 *             barrier to the compiler                 barrier to all threads
 *             wanted? then step back and wait         wait until inside is 0
 *     ...                                     ...
 *     leave:  inside = 0                      release: wanted = 0, wake the owner
 *
 * The owner's thread passes the seizer's barrier somewhere. Is it before the owner looks at `wanted`, then
 * the owner finds it 1 and steps back. Is it after that, then `inside` = 1 lies before the barrier,
 * and the seizer sees it. So never are both inside.
 *
 * The barrier only settles who sees what. That one sees what the other wrote while it was inside
 * follows from the values that are read, as ever: the seizer reads with acquire the `inside` = 0 that the
 * owner has stored with release when it left, and the owner reads with acquire the `wanted` = 0 that
 * the seizer stored with release. So ThreadSanitizer needs to know nothing of the barrier.
 *
 * Without such a barrier (`fenced`) both sides use sequentially consistent operations instead. Then
 * `wanted` always has the bit FENCED, which leads the owner to the slow path, where it does so; so
 * the fast path is one and the same, and does not ask. A gate becomes so in the middle of its life if the system
 * refuses the barrier from some time on: when the seizer that has waited for the last one releases it.
 *
 * Many gates are seized for the price of one: each is claimed, then comes one barrier, then each is asked
 * whether its owner is out.
 *
 * A seizer that has found nothing leaves a mark in `wanted`. The owner's next enter takes the slow path for it and wipes it
 * off: so as long as it is there the owner has not been inside, and nothing that is behind the gate has changed. The
 * seizer's barrier sees to it that no enter after the release can miss the mark: such an enter reads `wanted` after
 * the barrier, and so what the claim has written or something later. This costs the owner one slow enter for each
 * seizure, and nothing else.
 *
 * The owner may be another thread from one time to the next, if the change is made outside and
 * ordered by other means.
 *
 * Rejected: a mutex, which is two atomic read-modify-writes for each time that somebody wants nothing.
 * The idea: D. Dice, H. Huang, M. Yang, "Asymmetric Dekker Synchronization" (2001).
 * Model-checked in tests/model/test_gate.c.
 */
#ifndef LIDO_SCHED_GATE_H
#define LIDO_SCHED_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

struct lido__gate {
    lido__shared uint32_t inside; /* the owner is; written by the owner */
    lido__shared uint32_t wanted; /* a futex: the bits below; written by the seizers */
};

#define LIDO__GATE_WANTED 1u
#define LIDO__GATE_FENCED 2u
#define LIDO__GATE_MARKED 4u

/* `fenced`: lido__barrier_init has failed. */
void lido__gate_init(struct lido__gate *gate, bool fenced);

/* The rest of the first enter, and of try_enter, when `wanted` is not 0. */
void lido__gate_enter_slowly(struct lido__gate *gate);
bool lido__gate_try_enter_slowly(struct lido__gate *gate);

/* ---- The owner -------------------------------------------------------------------------------- */

/* Waits while a seizer is in. Not when inside: a depth would have to be loaded, and each enter would wait
   for the leave before it. */
static inline void lido__gate_enter(struct lido__gate *gate)
{
    lido__store(&gate->inside, 1, LIDO__RELAXED);
    lido__fence_light();
    if (__builtin_expect(lido__load(&gate->wanted, LIDO__ACQUIRE) != 0, 0))
        lido__gate_enter_slowly(gate);
}

static inline void lido__gate_leave(struct lido__gate *gate)
{
    lido__store(&gate->inside, 0, LIDO__RELEASE);
}

/* False, at once: a seizer is in, or about to be. Not when inside. */
static inline bool lido__gate_try_enter(struct lido__gate *gate)
{
    lido__store(&gate->inside, 1, LIDO__RELAXED);
    lido__fence_light();
    return __builtin_expect(lido__load(&gate->wanted, LIDO__ACQUIRE) == 0, 1) ||
           lido__gate_try_enter_slowly(gate);
}

/* For what is called from both sides. False: it was inside already, and stays there. */
static inline bool lido__gate_enter_if_outside(struct lido__gate *gate)
{
    if (lido__load(&gate->inside, LIDO__RELAXED))
        return false;
    lido__gate_enter(gate);
    return true;
}

/* ---- Any other thread ------------------------------------------------------------------------- */

/* Waits until the owner is out, and keeps it out. */
void lido__gate_seize(struct lido__gate *gate);

/* The same if the owner is out, and no other seizer wants in; otherwise false, and nothing has changed. */
bool lido__gate_try_seize(struct lido__gate *gate);

/*
 * The same in three steps, for many gates: claim each (false: another seizer is at it), call the barrier once
 * unless all those are fenced, and confirm each that was claimed (false: the owner is inside, and the
 * claim is taken back). Nothing that waits may come in between: each owner that comes waits for the last step.
 */
bool lido__gate_claim(struct lido__gate *gate);
void lido__gate_barrier(void);
bool lido__gate_confirm(struct lido__gate *gate);

/* Whether it needs no barrier. Of a gate that the caller has claimed. */
static inline bool lido__gate_fenced(const struct lido__gate *gate)
{
    return lido__load(&gate->wanted, LIDO__RELAXED) & LIDO__GATE_FENCED;
}

void lido__gate_release(struct lido__gate *gate);

/* The same, and leaves the mark. */
void lido__gate_release_marked(struct lido__gate *gate);

/* Whether that is still there: the owner has not been inside since. A hint: what it has just done is seen later. */
static inline bool lido__gate_is_marked(const struct lido__gate *gate)
{
    return lido__load(&gate->wanted, LIDO__RELAXED) & LIDO__GATE_MARKED;
}

#endif
