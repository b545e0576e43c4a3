/*
 * The micro-benchmarks: what the parts of lido cost, each by itself.
 *
 * A measurement is one repetition; micro.c repeats it and takes the median. What runs on one thread
 * that never sleeps is measured in CPU time of that thread, so that whoever else uses the machine does
 * not count; what takes several threads or sleeps is measured by the clock.
 */
#ifndef LIDO_BENCH_MICRO_H
#define LIDO_BENCH_MICRO_H

#include <lido.h>
#include <stdbool.h>

#include "support/tools.h"

#define MICRO_FIGURES 3

struct micro_figure {
    const char *name;
    const char *unit; /* NULL: ns */
};

struct micro {
    /* The first one's name is the benchmark's. */
    struct micro_figure figures[MICRO_FIGURES];
    /* One repetition; fills in one value per figure. */
    void (*measure)(double *values);
    bool
        on_fiber; /* measured by the root fiber of a runtime of one worker, otherwise by a plain thread */
    bool once; /* no warm-up: each repetition is a process of its own */
};

extern const struct micro micro_switch;
extern const struct micro micro_yield;
extern const struct micro micro_deadline_yield;
extern const struct micro micro_spawn_join;
extern const struct micro micro_spawn_local_future;
extern const struct micro micro_chained_spawn;
extern const struct micro micro_spawn_remote_idle;
extern const struct micro micro_spawn_remote_busy;
extern const struct micro micro_ping_pong;
extern const struct micro micro_ping_pong_futures;
extern const struct micro micro_oneshot_pair;
extern const struct micro micro_channel_100;
extern const struct micro micro_channel_1;
extern const struct micro micro_mutex;
extern const struct micro micro_event;
extern const struct micro micro_timer_arm_cancel;
extern const struct micro micro_blocking_section;
extern const struct micro micro_blocking_delay;
extern const struct micro micro_million_pages;
extern const struct micro micro_million_sleepers;

/* Ends the program unless `r`, what `what` returned, is 0. */
void micro_check(const char *what, int r);

/* The body of an empty fiber. */
int micro_nothing(void *arg);

/* A runtime of one worker, whatever the number of cores. */
lido_config micro_config(void);

/*
 * A one-shot: opened once, awaited once, both on the same worker. A future that somebody joins;
 * it is what the public face of lido has for a fiber that wakes another.
 */
struct micro_gate {
    lido_future future;
    lido_task *task;
    lido_waker waker;
    bool waits;
    bool open;
};

void micro_gate_init(struct micro_gate *gate);
void micro_gate_open(struct micro_gate *gate);
/* Ends the gate, too. */
void micro_gate_wait(struct micro_gate *gate);

#endif
