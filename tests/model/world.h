/*
 * What the explorer knows while it walks a scenario.
 *
 * A part of explorer.c. One at a time, and static: the threads are simulated, so nobody shares it.
 */
#ifndef LIDO_TESTS_MODEL_WORLD_H
#define LIDO_TESTS_MODEL_WORLD_H

#include "coroutine.h"
#include "explorer.h"

enum {
    NOBODY = -1,
    OFFSTAGE = MODEL_MAX_THREADS, /* the thread that runs setup and check, alone */
    ALL_THREADS,
};

enum progress {
    READY,
    ASLEEP, /* until predicate(arg) */
    ENDED,
};

struct thread {
    struct coroutine coroutine;
    const char *name;
    void (*run)(void *arg);
    void *arg;
    void *per_thread; /* the value of the scenario's variable in this thread */
    enum progress progress;
    bool (*predicate)(const void *arg);
    const void *predicate_arg;
};

static struct {
    const struct model_scenario *scenario;
    int preemption_bound;

    struct coroutine main;
    struct thread threads[ALL_THREADS];
    int count; /* of the scenario's threads */
    int current;
    bool starting; /* the threads are being brought to their first points */
    bool quiet;    /* a predicate is being evaluated: its atomic operations are not points */
    int preemptions;
    int delay_bound;
    int delays;
    enum model_memory memory;
    bool races_are_ignored;

    size_t longest; /* schedule so far, in points */

    const char *failure;
    const char *failure_file;
    int failure_line;
    int failure_thread;
    volatile bool raced; /* set by TSan */
    bool race_is_expected;
    void (*offstage)(void);
} world;

#endif
