/*
 * What a round of the soak will be: drawn by dice of its own from the seed and the round's number, before anything
 * runs, so that both numbers bring it back. What threads do to each other in it is not in the plan.
 */
#ifndef TESTS_SOAK_PLAN_H
#define TESTS_SOAK_PLAN_H

#include <lido.h>
#include <stdio.h>

#include "support/stress.h"

/* How a runtime ends. */
enum rung {
    RUNG_ON_IDLE,
    RUNG_DRAIN,
    RUNG_NOW,
    RUNG_FREE,   /* lido_runtime_free */
    RUNG_WITHIN, /* lido_shutdown_within */
    RUNG_LADDER, /* one call for each rung, most of which give up soon */
    RUNG_COUNT
};

/* Who ends the first runtime; the last two are tasks of the second one. */
enum ender { ENDER_THREAD, ENDER_FIBER, ENDER_FUTURE };

struct host_plan {
    const char *scheduler;
    unsigned workers;
    size_t stack_size;
    unsigned budget;
    unsigned max_blocking;
    unsigned max_fs;
    unsigned max_dns;
    int64_t keep_alive_ms;
    lido_placement placement;
    unsigned watch_ms;
    bool pin_cpus;
    bool parks; /* it has a sleep of its own */
    bool wraps; /* around_worker */
    unsigned actors;
    enum rung rung;
    int64_t patience_ms; /* of the rungs that may give up */
};

#define HOSTS_MAX 2

/* What the operator has chosen, and the dice do not. */
struct plan_limits {
    const char *scheduler; /* or NULL: any */
    unsigned workers;      /* or 0: any number */
};

struct plan {
    uint64_t seed;
    uint64_t number;
    struct plan_limits limits;
    bool by_run; /* the first runtime is that of a lido_run */
    unsigned host_count;
    struct host_plan hosts[HOSTS_MAX];
    uint64_t scenes;    /* one bit for each that is played */
    unsigned outsiders; /* threads that use the first runtime from outside */
    unsigned play_ms;   /* how long actors begin new scenes */
    unsigned end_ms;    /* when the end of the runtime begins */
    enum ender ender;
};

void plan_draw(struct plan *plan, uint64_t seed, uint64_t number, const struct plan_limits *limits);

/* Two or three lines. */
void plan_print(FILE *to, const struct plan *plan);

#endif
