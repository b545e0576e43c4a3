/*
 * From readiness to completion: what epoll and kqueue share.
 *
 * An op is tried at once, by the thread of its task. If it would have to wait it is armed on the
 * side of its handle; an event hands it back, and the task tries again: the kernel's work, nine
 * tenths of what an echo costs, is done where the task is. A short transfer proves a stream
 * drained, so that the next op arms without a system call that is known to fail.
 */
#ifndef LIDO_REACTOR_READY_H
#define LIDO_REACTOR_READY_H

#include "reactor/reactor.h"

/*
 * The submit of a readiness reactor. Its `watch` is called when the op must wait and this reactor does not
 * watch its side yet; edge-triggered, so that this is once for each side and not for each op.
 */
bool lido__ready_submit(struct lido__reactor *reactor, struct lido__op *op);

/* The retry of a readiness reactor. */
bool lido__ready_retry(struct lido__reactor *reactor, struct lido__op *op);

/* The cancel of a readiness reactor. */
bool lido__ready_cancel(struct lido__reactor *reactor, struct lido__op *op, int reason);

/* An event: `side` of `handle`, which had that generation, became ready (READY or HUNG). Appends the op that was
   armed, if any. */
void lido__ready_event(struct lido__handle *handle, unsigned side, uintptr_t what,
                       uint16_t generation, struct lido__fifo *handed);

/* The same for the event of nearly every request: an op waits there for input. */
static inline void lido__ready_input(struct lido__handle *handle, uint16_t generation,
                                     struct lido__fifo *handed)
{
    uintptr_t *where = &handle->side[0];
    uintptr_t word = lido__load(where, LIDO__RELAXED);
    uintptr_t armed = word;
    /* Acq_rel: as in lido__ready_event. */
    bool took = lido__side_armed(word) &&
                lido__cas(where, &armed, word | LIDO__SIDE_READY, LIDO__ACQ_REL, LIDO__RELAXED);
    if (__builtin_expect(took, 1))
        lido__fifo_push(handed, &((struct lido__op *)word)->link);
    else
        lido__ready_event(handle, 0, LIDO__SIDE_READY, generation, handed);
}

/*
 * Takes the ops off both sides of a handle that is going away: those that are armed, and those that have
 * been handed back but were not tried again yet. The caller delivers them.
 */
void lido__ready_take(struct lido__handle *handle, struct lido__fifo *taken);

#endif
