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
 *
 * To seize a gate disturbs all threads of the process. So it is done once for all workers that are stuck, and only where
 * something may be found: a worker that has no movable task, or none but the one that it sits in, is not
 * looked into, and neither is one that had nothing to move, before that may have changed. What can change it is
 * seen from outside:
 *
 *     the task that runs wakes or spawns another    the owner enters its gate, which wipes off the mark (gate.h)
 *     something is sent to the worker               its inbox is not empty
 *     a socket                                      its reactor's descriptor is readable
 *     a timer                                       the time of the next one is known since the last look
 *     another turn of its loop                      whoever watches says so (lido__rescue_reset)
 *
 * Model-checked in tests/model/test_rescue.c and test_monitor.c.
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

/* What is known of a worker by the one who rescues it; for one thread. Embedded; all zero but for `worker`. */
struct lido__rescue {
    struct lido__rescue *next; /* of those that are rescued together */
    struct lido__worker *worker;
    uint64_t position;        /* of its queue, when last looked into */
    struct lido__link **from; /* where in its queue to go on, while that is the same; or NULL */
    uint64_t expiry;          /* ns: when its next timer is due */
    bool vain;                /* it has been looked into, and there was no more to move */
};

/* The worker has begun another turn, or begins to be watched: what was found is not true any more. */
static inline void lido__rescue_reset(struct lido__rescue *rescue)
{
    rescue->from = NULL;
    rescue->vain = false;
}

/* Whether something may be found. A hint: what comes just now is seen by the next question. */
bool lido__rescue_promises(const struct lido__rescue *rescue, uint64_t now);

/*
 * Moves from all workers of a list what can be moved, but of each queue a part only: true, there is more, and this is
 * to be called again soon. How many tasks have moved is added to *moved, unless NULL. A worker that is back in its loop is
 * left alone. One barrier for all.
 */
bool lido__rescue_all(struct lido__rescue *first, unsigned *moved);

#endif
