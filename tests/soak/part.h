/*
 * Parts: the tasks of the soak, and the account of each. A part runs exactly once, and only errors that somebody has
 * provoked (a cancel, a deadline, the end of the runtime) may come back to it; it says so to part_judge, which
 * ends the soak otherwise. Parts are freed when their round is over, so that the account is complete.
 */
#ifndef TESTS_SOAK_PART_H
#define TESTS_SOAK_PART_H

#include "soak/round.h"

struct part {
    struct part *next; /* in the round */
    struct host *host;
    struct part *
        owner; /* of the scope that it is in: what interrupts that one may cancel this one. Or NULL */
    const char *name;
    int (*body)(struct part *part);                          /* of a fiber or job */
    int (*poll)(struct part *part, const lido_waker *waker); /* of a future */
    void *arg;
    lido_future future;
    struct dice dice;
    bool outside; /* a plain thread */
    bool job;     /* of lido_spawn_blocking: one that is interrupted in time never runs */
    lido_blocking_pool pool;
    bool refused; /* the spawn was */
    bool skipped; /* a job was interrupted in time, and whoever joined it has been told so */
    bool pinned;
    int home; /* the worker of a fiber that is pinned */
    int result;
    lido__shared uint32_t began;
    lido__shared uint32_t ended;
    lido__shared uint32_t provoked; /* somebody has cancelled it, or is just about to */
    lido__shared uint64_t deadline; /* ns, that it knows of */
    lido__shared const char *doing; /* the call that it is in, or NULL */
};

#define NO_DEADLINE UINT64_MAX

/* ---- Making and spawning --------------------------------------------------------------------------------- */

/* A fiber-to-be in the same runtime, or sometimes in the one that it uses; dice derived from those of `parent`. */
struct part *part_new(struct part *parent, const char *name, int (*body)(struct part *part),
                      void *arg);
/* The same, but surely on that host. */
struct part *part_new_on(struct host *host, struct part *parent, const char *name,
                         int (*body)(struct part *part), void *arg);

/*
 * Spawns it, with options that dice choose. 0; or -ESHUTDOWN where that is to be expected, and it will not run.
 * `task`: as lido_spawn.
 */
#define part_spawn(caller, part, task) part_spawn_at((caller), (part), (task), LIDO_HERE)
int part_spawn_at(struct part *caller, struct part *part, lido_task **task, const char *where);
/* Into a scope of the caller's runtime, which the part belongs to; also -ECANCELED. */
int part_scope_spawn(struct part *caller, struct part *part, lido_scope *scope, int *result);
/* As a job of blocking code, in a pool that dice choose. */
int part_spawn_job(struct part *caller, struct part *part, lido_task **task);
/* lido_block_on, by a plain thread. */
int part_block_on(struct part *caller, struct part *part);

/* Its body, on the calling thread, which is a plain one. */
int part_run_here(struct part *part);

/* ---- Ending ----------------------------------------------------------------------------------------------- */

/* Gives the handle back, when the part has ended; returns its result. If the caller is interrupted it stops it. */
int part_join(struct part *caller, struct part *part, lido_task *task);
int part_stop(struct part *caller, struct part *part, lido_task *task);
/* Joins or stops or cancels and joins it, as the dice have it. */
int part_finish(struct part *caller, struct part *part, lido_task *task);
/* It may be cancelled from now on. */
void part_provoke(struct part *part);

/* The account, when nothing runs any more; frees all of them. */
void parts_settle(struct round *round);
/* How many have been settled. */
uint64_t parts_counted(void);

/* ---- Within a part ---------------------------------------------------------------------------------------- */

/*
 * Makes a call of lido that may wait, as the part, and returns its result, which is no error that nobody
 * provoked. `expected` is an error that may come all the same.
 */
#define attempt_or(part, expected, call)                                                           \
    part_judge((part), (part_does((part), #call), (call)), (expected), #call, LIDO_HERE)
#define attempt(part, call) attempt_or((part), 0, call)

void part_does(struct part *part, const char *call);
ssize_t part_judge(struct part *part, ssize_t result, int expected, const char *call,
                   const char *where);

/* Whether the part may get this error now: it was provoked. */
bool part_may_get(const struct part *part, int error);

/* Whether it should end: the round is over, or it is cancelled. */
bool part_is_over(struct part *part);

/* A deadline for what follows, until limit_end: lido_within, and the part knows. */
struct limit {
    lido_deadline lido;
    uint64_t outer;
};
struct limit limit_begin(struct part *part, int64_t ms);
void limit_end(struct part *part, struct limit *limit);

/* 0..sides-1, of the part's own dice. */
static inline uint32_t draw(struct part *part, uint32_t sides)
{
    return roll(&part->dice, sides);
}

/* ---- Idle and busy pastimes (pastime.c) --------------------------------------------------------------------- */

/* Does nothing, or yields, sleeps, computes or blocks for a moment. 0, or why it was interrupted. */
int pause_some(struct part *part);
/* Awaits, in one of many ways, what never comes. Returns why it was interrupted. */
int wait_for_ever(struct part *part);
/* Computes; also on plain threads. */
void spin_us(uint64_t us);
/* lido_blocking. Counts, and checks max_blocking. */
int part_section(struct part *part, lido_fn fn, void *arg);
/* How many run in a pool, against its limit. */
void pool_enter(struct host *host, lido_blocking_pool pool);
void pool_leave(struct host *host, lido_blocking_pool pool);

#endif
