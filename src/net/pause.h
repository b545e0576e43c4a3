/*
 * Pauses of acceptors: out of descriptors or memory, a task waits until a descriptor of lido's has been
 * closed, or for a while that grows from pause to pause, since others may free what is lacking and
 * tell nobody.
 *
 * A task enters, tries again what has failed (something may have been freed before it was listed),
 * waits and tries as long as it fails, and leaves. All of it is for fibers.
 */
#ifndef LIDO_NET_PAUSE_H
#define LIDO_NET_PAUSE_H

#include "base/atomic.h"
#include "base/list.h"
#include "sched/worker.h"

struct lido__pause {
    struct lido__node node; /* in the list of all, under its lock */
    lido_task *task;
    lido__shared uint32_t freed; /* something has been, since the last wait */
    int64_t patience;            /* ms, how long the next wait is at most */
};

/* Whether an error says that something has run out that may be free again later. */
bool lido__pause_helps(int error);

void lido__pause_enter(struct lido__pause *pause);
/* 0: try again. -ECANCELED, -ETIMEDOUT: of the task. */
int lido__pause_wait(struct lido__pause *pause);
void lido__pause_leave(struct lido__pause *pause);

/* How many tasks are in a pause: descriptors are counted by process, and so are these. */
extern lido__shared uint32_t lido__paused;

void lido__pause_end_all(void);

/* A descriptor has been closed. Any thread. */
static inline void lido__pause_descriptor_freed(void)
{
    /* Relaxed: should a task that enters just now be overlooked, its wait is short. */
    if (__builtin_expect(lido__load(&lido__paused, LIDO__RELAXED) != 0, 0))
        lido__pause_end_all();
}

#endif
