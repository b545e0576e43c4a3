/*
 * Sharing: how runnable tasks get from a worker that has too many to one that has none.
 *
 * A worker's queue is its own, and plain. Only when another worker has nothing to do (idle.h), and what is in the
 * queue has been there for a slice (about 100 us), does it put
 * every second task that may go into its ring (ring.h), from where others take half; and what they have not
 * taken by the next turn of its loop, or when its queue is empty, it takes back. So where all are busy, nothing is
 * shared and no atomic is touched; where one is idle, it waits for a turn of the loop, about 100 us at most, unless
 * that turn takes ten times as long: then its worker is rescued (rescue.h).
 *
 * Before a slice is over nothing is offered: what a look at the reactor has brought is mostly done by then. To
 * give half of it away at once, as Go and tokio do, wakes a thread and moves registrations for each small batch of
 * events: where all cores were taken, 1000 connections cost 1.2 to 1.3 times what they cost in an I/O pool.
 * Only a worker that has many more tasks than another evens that out before, and what came from others is offered on.
 *
 * Tasks that have no worker yet are injected: pushed on a stack of the pool, which any worker takes whole.
 *
 * A task that is given away carries SHARED in its state word, is on no worker's list, and has a token of the
 * pool of its own (pool.h). Whoever claims it makes it its own.
 *
 * Rejected: rings as the run queues themselves, as Go and tokio have them. They cost three atomic
 * read-modify-writes per poll where nobody wants to steal, and still leave timers, sockets and what was
 * sent to a worker behind a task that does not return. The idea of private queues that are shared on
 * demand: U. Acar, A. Charguéraud, M. Rainey, "Scheduling Parallel Programs by Work Stealing with
 * Private Deques" (PPoPP 2013).
 */
#ifndef LIDO_SCHED_SHARE_H
#define LIDO_SCHED_SHARE_H

#include "sched/worker.h"

/* Whether tasks may be given away at all: some are not pinned, and there is more than one worker. */
static inline bool lido__pool_shares(const struct lido__pool *pool)
{
    return lido__load(&pool->sharing, LIDO__RELAXED);
}

/* After the workers have been initialised, before the first is carried. */
void lido__share_init(struct lido__pool *pool);

/* ---- For the worker's loop. Inside the gate. ---------------------------------------------------- */

/* Once in each turn: takes back what nobody took, takes what was injected, and offers anew. */
void lido__share_turn(struct lido__worker *worker);

/* The first half of that: then all tasks that belong to nobody, or could be taken from this worker's ring, are its
   own. Also for who has seized the worker. */
void lido__share_gather(struct lido__worker *worker);

/*
 * There is nothing to run: searches. True: something was found. False: the worker counts as idle, and may
 * park; after that it calls lido__share_awake.
 */
bool lido__share_forage(struct lido__worker *worker);
void lido__share_awake(struct lido__worker *worker);

/* ---- For whoever has seized the gate of a worker ------------------------------------------------- */

/*
 * Moves runnable tasks that may go to the pool's stack, and calls somebody. How many. Looks among so many at
 * most, since the owner may wait; `*from` tells where to go on, and is NULL for the beginning, and when all have been
 * looked at. It is valid until the worker takes a task from its queue.
 */
unsigned lido__share_evacuate(struct lido__worker *worker, unsigned among,
                              struct lido__link ***from);

/* ---- Any thread ---------------------------------------------------------------------------------- */

/* The first task that is not pinned is about to be spawned. */
void lido__share_begin(struct lido__pool *pool);

/* A new task, with SHARED set and a token, for whoever takes it. The caller has another token. */
void lido__share_inject(struct lido__pool *pool, lido_task *task);

/* There may be work for somebody who sleeps: wakes one, if nobody searches. The caller has a token, or carries a
   worker: the pool may then have ended, but is not freed. */
void lido__share_call(struct lido__pool *pool);

#endif
