/*
 * Reports: which tasks are left when the end of a runtime takes too long.
 *
 * Each worker that has a thread is ordered to list its tasks, and does so in its loop, where they hold
 * still. One that does not answer sits in a task that does not come back, or its thread in a blocking
 * section: then its gate is seized, and its mail, where the order lies, is taken for it. So all of its tasks are
 * listed, and not only the one that it sits in. Runnable tasks that belong to nobody just then are
 * gathered before that (share.h); one that goes from worker to worker meanwhile can still be listed twice, or
 * not at all: it is not what keeps the runtime from ending.
 *
 * The list is told by whoever asked for it, when it is complete: the callback may use the runtime, and
 * wait. What it says is a copy: a task can end between the two.
 *
 * Threads: make and tell by one at a time, between begin and end.
 */
#ifndef LIDO_RT_REPORT_H
#define LIDO_RT_REPORT_H

#include <lido.h>
#include <pthread.h>
#include <stdbool.h>

#include "base/atomic.h"

struct lido__worker;
struct lido__told;

struct lido__report {
    pthread_mutex_t lock; /* for all that follows */
    bool open;            /* answers are listed; later ones are not */
    uint32_t round;
    lido__shared uint32_t taken; /* a report is being made, or told */
    uint32_t lost;               /* tasks that there was no memory to list */
    struct lido__told *first;
    struct lido__told **last;
};

void lido__report_init(struct lido__report *report);
void lido__report_fini(struct lido__report *report);

/* One report at a time: False: there is one already. The other waits for it; it blocks. */
bool lido__report_try_begin(struct lido__report *report);
void lido__report_begin(struct lido__report *report);
void lido__report_end(struct lido__report *report);

/* A lido_fn, because it waits for the workers: makes the list of a runtime. 0. */
int lido__report_make(void *runtime);

/* Calls `fn` for each entry of the list, which stays. */
void lido__report_each(struct lido__report *report, void (*fn)(void *arg, const lido_stuck *stuck),
                       void *arg);

/* Empties the list. */
void lido__report_drop(struct lido__report *report);

/* Calls `fn` for each entry of the list, which is empty after that. */
void lido__report_tell(struct lido__report *report, void (*fn)(void *arg, const lido_stuck *stuck),
                       void *arg);

/* worker->report: a worker's answer. Inside its gate. */
void lido__report_worker(struct lido__worker *worker);

#endif
