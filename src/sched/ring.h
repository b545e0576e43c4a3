/*
 * The ring of a worker: what it shares of its run queue. The worker puts links in at the tail; anyone,
 * the worker included, takes half of what there is, rounded up, from the head.
 *
 * To take is one compare-and-swap on the head, after the slots have been read. A taker that loses has
 * read slots that were not its own, and touches none of the links it found there. head and tail only
 * grow, and do not wrap within the life of a machine, so that a head that is still what it was has
 * not moved in between (no ABA): the slots between it and the tail were still full when the swap
 * succeeded, and held what was read.
 *
 * The orderings:
 *   tail  release in push, acquire in take: whoever sees the new tail sees the slot, and what the worker
 *         wrote to whatever the link lies in.
 *   head  release in take, acquire in push: a slot is filled again only after its taker has read it. A
 *         later swap by another continues the release sequence, so that its head will do as well.
 *         Acquire in take, before the tail is loaded: the tail is then at least as new as the one that
 *         the head was moved under, and is not behind it.
 *   slots relaxed: the two above order them. They are atomic, because a taker that is about to lose may
 *         read one that is being filled.
 *
 * Source of the idea: the run queues of the Go scheduler (D. Vyukov, 2012), which are fixed rings whose
 * thieves take half. Model-checked in tests/model/test_ring.c.
 */
#ifndef LIDO_SCHED_RING_H
#define LIDO_SCHED_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/list.h"

#ifdef LIDO_MODEL
#define LIDO__RING_SIZE 4u
#else
#define LIDO__RING_SIZE 256u
#endif

#define LIDO__RING_MOST (LIDO__RING_SIZE / 2) /* that one take gets */

_Static_assert((LIDO__RING_SIZE & (LIDO__RING_SIZE - 1)) == 0, "a slot is found by a mask");

struct lido__ring {
    lido__shared uint64_t head __attribute__((aligned(64))); /* moved by takers */
    lido__shared uint64_t tail __attribute__((aligned(64))); /* moved by the worker */
    lido__shared struct lido__link *slots[LIDO__RING_SIZE] __attribute__((aligned(64)));
};

static inline void lido__ring_init(struct lido__ring *ring)
{
    ring->head = ring->tail = 0;
}

static inline struct lido__link **lido__ring_slot(struct lido__ring *ring, uint64_t at)
{
    return &ring->slots[at & (LIDO__RING_SIZE - 1)];
}

/* The ring's worker only: how many pushes will succeed, at least. */
static inline uint32_t lido__ring_room(const struct lido__ring *ring)
{
    uint64_t head = lido__load(&ring->head, LIDO__ACQUIRE);
    return (uint32_t)(LIDO__RING_SIZE - (lido__load(&ring->tail, LIDO__RELAXED) - head));
}

/* The ring's worker only. False: it is full, and the link stays the caller's. */
static inline bool lido__ring_push(struct lido__ring *ring, struct lido__link *link)
{
    if (lido__ring_room(ring) == 0)
        return false;
    uint64_t tail = lido__load(&ring->tail, LIDO__RELAXED);
    lido__store(lido__ring_slot(ring, tail), link, LIDO__RELAXED);
    lido__store(&ring->tail, tail + 1, LIDO__RELEASE);
    return true;
}

/* The oldest half of what is in the ring, as of `head`; how many. None of it is the caller's yet. */
static inline unsigned lido__ring_peek(struct lido__ring *ring, uint64_t head,
                                       struct lido__link *found[LIDO__RING_MOST])
{
    uint64_t count = lido__load(&ring->tail, LIDO__ACQUIRE) - head;
    if (count > LIDO__RING_SIZE)
        count = LIDO__RING_SIZE; /* the head has moved: the swap will fail, whatever is read here */
    count -= count / 2;
    for (unsigned i = 0; i < count; i++)
        found[i] = lido__load(lido__ring_slot(ring, head + i), LIDO__RELAXED);
    return (unsigned)count;
}

/* Takes half of what there is and appends it to `taken`, oldest first; how many. 0: empty. Any thread. */
static inline unsigned lido__ring_take(struct lido__ring *ring, struct lido__fifo *taken)
{
    struct lido__link *found[LIDO__RING_MOST];
    uint64_t head = lido__load(&ring->head, LIDO__ACQUIRE);
    unsigned count;
    do {
        count = lido__ring_peek(ring, head, found);
        if (count == 0)
            return 0;
    } while (!lido__cas(&ring->head, &head, head + count, LIDO__ACQ_REL, LIDO__ACQUIRE));

    for (unsigned i = 0; i < count; i++)
        lido__fifo_push(taken, found[i]);
    return count;
}

/*
 * Any thread. True only if there was a moment at which it was empty; what is pushed after it says nothing
 * about. Who goes to sleep on it has announced that before, with a seq_cst fence in between (idle.h).
 */
static inline bool lido__ring_empty(const struct lido__ring *ring)
{
    uint64_t head = lido__load(&ring->head, LIDO__RELAXED);
    return lido__load(&ring->tail, LIDO__RELAXED) == head;
}

#endif
