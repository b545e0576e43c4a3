/*
 * The runtime: the pool, its threads, and what the whole of it owns.
 *
 * Threads: a handle may be used from all threads at once; the one that calls lido_shutdown joins the
 * workers' threads and frees everything, when that returns 0.
 */
#ifndef LIDO_RT_RUNTIME_H
#define LIDO_RT_RUNTIME_H

#include <pthread.h>

#include "fiber/fiber.h"
#include "os/os.h"
#include "rt/config.h"
#include "sched/pool.h"

struct lido__seat {
    struct lido__thread thread;
    struct lido__carrier carrier;
    struct lido_runtime *runtime;
    struct lido__worker *worker;
    lido__shared uint32_t ready; /* a futex: 0, or STARTED, or a negative errno */
    lido__shared uint32_t
        reported; /* a futex: the round of the report that this worker has answered */
    struct lido__fault_stack *signal_stack;
};

struct lido_runtime {
    struct lido__pool pool; /* first: a runtime can be seen as its pool */
    struct lido__settings settings;
    char *name_prefix;
    struct lido__stack_depot stacks;
    struct lido__seat *seats;
    unsigned
        running; /* seats whose threads have started; the caller's in lido_run is not counted */
    bool caller_seated; /* lido_run: seat 0 is carried by the calling thread */

    /* Of a report under way (report.c). */
    pthread_mutex_t report_lock;
    uint32_t report_round;
    void (*report)(void *report_arg, const lido_stuck *stuck);
    void *report_arg;
};

/* The workers have been told to stop: joins their threads and frees all. */
void lido__runtime_destroy(struct lido_runtime *runtime);

/* worker->report: this worker's part of a report of the tasks that are left. */
void lido__report_worker(struct lido__worker *worker);

#endif
