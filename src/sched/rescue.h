/*
 * Rescue: the work of a worker that sits in one task for long is taken to others.
 *
 * A worker that runs a task which does not come back shares nothing, looks at no socket and fires no timer; nor does
 * one for a while whose slice was measured by cheaper tasks than those that it has now.
 * Somebody who watches (the lifeguard) sees that it makes no turn, and that another has nothing to do; it
 * seizes the worker's gate, and does for it what the loop would do: looks at the reactor, at the timers and
 * into the inbox. Then all runnable tasks that may go are moved to the pool's stack. Pinned ones stay, and wait.
 *
 * The sockets of a task that went away follow it when it next waits on them.
 */
#ifndef LIDO_SCHED_RESCUE_H
#define LIDO_SCHED_RESCUE_H

#include "sched/worker.h"

/*
 * A number that changes whenever the worker begins a task or a turn of its loop; 0: it runs none. Seen twice
 * the same, the worker was in one task for all the time between. Any thread.
 */
uint64_t lido__worker_progress(const struct lido__worker *worker);

/* What of that changes with its turns only; 0 as above. */
static inline uint64_t lido__worker_turn(uint64_t progress)
{
    return progress >> 32;
}

/* Moves what can be moved; how many tasks. 0 too if the worker is back in its loop. Any thread. */
unsigned lido__worker_rescue(struct lido__worker *worker);

#endif
