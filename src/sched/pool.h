/*
 * The pool: the workers of one runtime, who gets a new task, and when all of it is over.
 *
 * Idle is judged for the pool as a whole, in one word, `busy`: a token for each worker that has live
 * tasks, and a token for each task that is on its way to one. A spawn within a worker touches
 * nothing that is shared, because that worker has its token already. A sender takes a token before
 * it looks whether the pool is closed; a worker gives tokens back only after it has taken in what they
 * stood for. So `busy` holds no token only when no task exists and none is on its way, and the change from
 * there to OVER is one compare-and-swap: no spawn can be lost in between, and whoever does not want
 * to wait any longer for it learns from the same word whether it has happened.
 *
 * Threads: everything here may be called from any thread, unless said otherwise.
 */
#ifndef LIDO_SCHED_POOL_H
#define LIDO_SCHED_POOL_H

#include <lido.h>

#include "base/atomic.h"
#include "base/inbox.h"
#include "sched/idle.h"

struct lido__job;
struct lido__worker;

#define LIDO__POOL_CLOSED ((uint64_t)1 << 63) /* no task comes from outside any more */
#define LIDO__POOL_BARRED ((uint64_t)1 << 62) /* nor from within; CLOSED too */
#define LIDO__POOL_ENDING ((uint64_t)1 << 61) /* it ends when no token is left */
#define LIDO__POOL_OVER ((uint64_t)1 << 60)   /* it has ended; BARRED, and ENDING at that moment */
#define LIDO__POOL_TOKENS (LIDO__POOL_OVER - 1)

/*
 * Three parts with cache lines of their own: what is written by spawns from outside and by workers
 * that fall asleep; what all workers read at each turn, and spawns of a pool that shares write; and
 * what all read, and hardly anybody writes.
 */
struct lido__pool {
    lido__shared uint64_t busy __attribute__((aligned(64))); /* the flags above, and tokens */
    lido__shared uint32_t round;   /* the next worker of the round-robin */
    lido__shared uint32_t stopped; /* a futex: 1 when the workers have been told to stop */
    /* The last worker that looked for the end of a job did well: see linger.h. */
    lido__shared uint32_t lingers;

    /* Of share.h: struct lido_task.run, for whoever takes it. */
    struct lido__inbox inject __attribute__((aligned(64)));
    lido__shared uint32_t offers; /* workers whose rings may not be empty */
    struct lido__idle idle;

    /* The lifeguard sleeps until a worker wakes. */
    lido__shared uint32_t unwatched __attribute__((aligned(64)));
    /* Some tasks may be given away, and there is who could take them. */
    lido__shared uint32_t sharing;
    /* ns: no thread could be started lately, and none is tried before; 0: one may be. Written by `seat`. */
    lido__shared uint64_t no_thread_until;

    /* Written before the first worker starts. */
    unsigned count;
    bool fenced;       /* lido__barrier_init has failed: see gate.h */
    bool hurries;      /* the scheduler is work-stealing: see lido__worker_hurry */
    uint32_t mobility; /* the flags of tasks that say nothing of it: STEALABLE or 0 */
    struct lido__worker *workers;
    lido_placement placement;
    unsigned budget;
    size_t stack_size;
    /* Gives a fiber that has not started its stack and future; -ENOMEM. On its worker. */
    int (*start)(struct lido__worker *worker, lido_task *task);
    /* The worker is about to sleep: what is kept for tasks to come may be less. Returns after how many ns it is to be
       called again, even if nothing happens; UINT64_MAX: it need not be. On its thread. Or NULL. */
    uint64_t (*rest)(struct lido__worker *worker);
    /* Sees to it that a thread carries a worker; -EAGAIN, -ENOMEM. Any thread; again if it likes. One that does
       not `insist` is refused at once for a while after none could be started (no_thread_until). */
    int (*seat)(struct lido__worker *worker, bool insist);
    /* Nobody watches (`unwatched`), and a worker has just woken. On its thread. */
    void (*watch)(struct lido__pool *pool);
    /* The workers have been told to stop; before `stopped` is set. Or NULL. Any thread. */
    void (*ended)(struct lido__pool *pool);
    /* Has a job done by a thread that is no worker's, for the current fiber, which waits for its turn. -ECANCELED,
       -ETIMEDOUT, -EAGAIN, -ENOMEM: it will not be done. */
    int (*employ)(struct lido__pool *pool, struct lido__job *job);
    /* The current task, which nobody joins, has returned an error. Or NULL. On its worker, outside the gate. */
    void (*failed)(struct lido__pool *pool, const char *name, const char *where, int result);
    const lido_park *park; /* or NULL: workers sleep in the reactor */
    void *runtime;
};

_Static_assert(LIDO__APART(struct lido__pool, busy, inject) &&
                   LIDO__APART(struct lido__pool, busy, sharing) &&
                   LIDO__APART(struct lido__pool, inject, sharing) &&
                   LIDO__APART(struct lido__pool, idle.stack, unwatched),
               "as said above");

/*
 * Takes tokens. -ESHUTDOWN: none was taken, for the pool has one of the flags in `barrier`: BARRED for the
 * spawns of its own tasks, CLOSED for all others.
 */
int lido__pool_enter(struct lido__pool *pool, uint64_t tokens, uint64_t barrier);

/* Gives tokens back; the last one may end the pool. */
void lido__pool_leave(struct lido__pool *pool, uint64_t tokens);

/* From now on the pool ends when it is idle (it may be already): its workers are told to stop. */
void lido__pool_end_on_idle(struct lido__pool *pool);

/* Takes that back. False: too late, it has ended. */
bool lido__pool_go_on(struct lido__pool *pool);

/* Refuses tasks from outside; those that live, and are on their way, may spawn others. */
void lido__pool_close(struct lido__pool *pool);

/* Refuses all new tasks and cancels those that live or are on their way. */
void lido__pool_cancel_all(struct lido__pool *pool);

/*
 * A worker for a new task, that has a thread: by ROUND_ROBIN, LEAST_LOADED, or WORKER, whose `index` exists. If none can
 * be started for the one whose turn it is, it goes to one that has a thread; one that was named has no other in
 * its place. The caller has a token, or is a task of the pool. -EAGAIN, -ENOMEM: there is no thread.
 */
int lido__pool_place(struct lido__pool *pool, lido_placement placement, unsigned index,
                     struct lido__worker **ret_worker);

/* Sees to it that some worker has a thread, for a task that any of them may take. As above. */
int lido__pool_open(struct lido__pool *pool);

/* Whether it is worth while to try to start a thread. A hint, from any thread. */
bool lido__pool_may_start(const struct lido__pool *pool);

#endif
