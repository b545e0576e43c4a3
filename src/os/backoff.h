/*
 * How a thread waits for another one that is about to be done: a holder of a word that is held for
 * a few instructions, an op that is being handed back, an owner that leaves its gate.
 *
 *     struct lido__backoff backoff = {0};
 *     while (!done())
 *         lido__backoff(&backoff);
 *
 * The first tries spin, since the other thread mostly runs on another cpu; the next ones yield this
 * cpu; all further ones sleep, for times that grow up to a quarter of a millisecond. A spin that
 * only yields does not end under SCHED_FIFO and SCHED_RR: a yield there lets only threads of at
 * least the same priority run, and the one that is waited for may have a lower one and no other
 * cpu. So no yield alone may stand in a loop (tools/check-includes looks for that).
 *
 * The wait ends at most LIDO__BACKOFF_SLEEP_MAX_NS, and what the system adds, after the other
 * thread is done. Nothing wakes a sleeper: a wake would touch the word after its release, when the
 * object may be freed already.
 *
 * Each wait has a backoff of its own, which belongs to the waiting thread; all zero has tried
 * nothing yet. Any thread; async-signal-safe, no cancellation point, and errno stays as it is.
 * Under the model checker it is the explorer's yield.
 */
#ifndef LIDO_OS_BACKOFF_H
#define LIDO_OS_BACKOFF_H

#include <stdint.h>

#define LIDO__BACKOFF_SLEEP_MAX_NS ((uint64_t)1 << 18)

struct lido__backoff {
    uint32_t tries;
};

/* Lets the other thread get on. */
void lido__backoff(struct lido__backoff *backoff);

#endif
