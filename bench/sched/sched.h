/*
 * The scheduler benchmarks: tokio's own, and the like, as seen by who uses lido. bench/peers/tokio has
 * the same jobs with the same parameters under the same names; who changes one changes both.
 *
 * All of them are measured on a runtime that is there, and by the clock, for what several threads do
 * for each other is a part of it.
 */
#ifndef LIDO_BENCH_SCHED_H
#define LIDO_BENCH_SCHED_H

#include <lido.h>
#include <stdbool.h>

#include "support/tools.h"

struct sched_job {
    const char *name;
    /* One repetition, in ns per operation. Called by a plain thread. */
    double (*measure)(lido_runtime *runtime);
};

extern const struct sched_job sched_spawn_many_local;
extern const struct sched_job sched_spawn_many_task;
extern const struct sched_job sched_spawn_many_remote_idle;
extern const struct sched_job sched_chained_spawn;
extern const struct sched_job sched_spawn_join;
extern const struct sched_job sched_yield_many;
extern const struct sched_job sched_ping_pong;
extern const struct sched_job sched_notify_many;
extern const struct sched_job sched_channel;
extern const struct sched_job sched_channel_contended;
extern const struct sched_job sched_oneshot;
extern const struct sched_job sched_cpu_bound;
extern const struct sched_job sched_cpu_bound_spawn;
extern const struct sched_job sched_section;
extern const struct sched_job sched_section_yield;
extern const struct sched_job sched_section_spawn;
extern const struct sched_job sched_section_delay;

/* Ends the program unless `r`, what `what` returned, is 0. */
void sched_check(const char *what, int r);

/* One-shots that carry nothing. */
void sched_send(lido_oneshot *oneshot);
void sched_receive(lido_oneshot *oneshot);

/* From now on what is measured is the CPU time of the process and not the time that passes. */
void sched_measure_cpu_time(void);

/* ns, of the clock that is measured by; and what an operation took, since `began`. */
uint64_t sched_clock(void);
double sched_per_operation(uint64_t began, unsigned operations);

/* Measures `iterations` of a job of so many operations, run by the root, whose spawns are dealt over the
   workers; or by a task, whose spawns begin on its worker. */
double sched_on_root(lido_runtime *runtime, unsigned iterations, unsigned operations,
                     void (*job)(void));
double sched_on_task(lido_runtime *runtime, unsigned iterations, unsigned operations,
                     void (*job)(void));

/* Tasks count down; the last one wakes the one that waits. */
struct sched_countdown {
    uint32_t left;
    lido_oneshot over;
};

void sched_countdown_init(struct sched_countdown *countdown, unsigned count);
void sched_countdown_one(struct sched_countdown *countdown);
void sched_countdown_await(struct sched_countdown *countdown);

#endif
