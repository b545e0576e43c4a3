/*
 * A round of the soak as it runs: its runtimes ("hosts"), their actors, the threads outside, and the account that
 * is made when all of it has ended.
 *
 * Counts and flags are relaxed atomics wherever lido is to order things: the soak must not do that for it, or
 * ThreadSanitizer would not see when lido does not.
 */
#ifndef TESTS_SOAK_ROUND_H
#define TESTS_SOAK_ROUND_H

#include "soak/plan.h"

struct part;
struct round;

/* What the end of a runtime has been asked for, and so what may be refused or cancelled; set before the call. */
enum stage { STAGE_OPEN, STAGE_DRAINING, STAGE_CANCELLING };

struct host {
    struct round *round;
    const struct host_plan *plan;
    lido_runtime *runtime;
    struct host *other; /* that tasks of this one use too; it lives longer. Or NULL */
    lido_park park;
    lido__shared uint32_t stage;
    lido__shared uint32_t threads; /* that have called after_start, and not before_stop */
    lido__shared uint32_t starts;
    lido__shared uint32_t wraps;
    lido__shared uint32_t blocking[3]; /* how many run now, of each lido_blocking_pool */
};

struct round {
    const struct plan *plan;
    struct host hosts[HOSTS_MAX];
    uint64_t until;                  /* ns: no scene begins later */
    lido_mutex keep;                 /* locked: the first runtime does not end */
    lido__shared struct part *parts; /* all of the round, the last one first */
    lido__shared uint64_t live;      /* parts that have been made and have not ended */
    lido__shared uint64_t locals;    /* task-local values that have not been destroyed */
};

void round_play(const struct plan *plan);

/* ---- For those who play (hooks.c) ------------------------------------------------------------------- */

/* Everything that the plan says, and hooks that count. */
void host_configure(struct host *host, lido_config *config);

static inline enum stage host_stage(const struct host *host)
{
    return (enum stage)lido__load(&host->stage, LIDO__RELAXED);
}

/* ---- Outside (outside.c) ------------------------------------------------------------------------------ */

struct outsiders;

/* Threads that spawn, join, stop and block on the first runtime, until the round is over or they are refused. */
struct outsiders *outsiders_start(struct round *round);
void outsiders_join(struct outsiders *outsiders);

/* ---- The end (end.c) ------------------------------------------------------------------------------------ */

/* The calls that the plan has chosen for this runtime, by whom it has chosen; returns when it has ended. */
void host_end(struct host *host);
/* Only the first step: what may be refused is refused from now on. The runtime goes on. */
void host_begin_end(struct host *host);

#endif
