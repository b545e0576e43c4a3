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

/* Sees to it that a reactor watches the op's side of its handle; 0 or a negative errno. */
typedef int lido__watch(struct lido__reactor *reactor, const struct lido__op *op);

/*
 * The submit of a readiness reactor. `watch` is called when the op must wait and this reactor does not
 * watch its side yet; edge-triggered, so that this is once for each side and not for each op.
 */
bool lido__ready_submit(struct lido__reactor *reactor, struct lido__op *op, lido__watch *watch);

/* The cancel of a readiness reactor. */
bool lido__ready_cancel(struct lido__reactor *reactor, struct lido__op *op, int reason);

/* An event: `side` of `handle` became ready (READY or HUNG). Appends the op that was armed, if any. */
size_t lido__ready_event(struct lido__handle *handle, unsigned side, uintptr_t what,
                         struct lido__fifo *handed);

/*
 * Takes the ops off both sides of a handle that is going away: those that are armed, and those that have
 * been handed back but were not tried again yet. The caller delivers them.
 */
void lido__ready_take(struct lido__handle *handle, struct lido__fifo *taken);

#endif
