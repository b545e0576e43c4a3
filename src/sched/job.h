/*
 * A job: work that may block, for a thread of the runtime that carries no worker (rt/crew.h). Rooms below rt
 * have theirs done through pool->employ.
 */
#ifndef LIDO_SCHED_JOB_H
#define LIDO_SCHED_JOB_H

#include <lido.h>

#include "base/list.h"

/* Embedded. Not touched any more once `run` has been called. */
struct lido__job {
    struct lido__link link;
    void (*run)(struct lido__job *job); /* on that thread */
    lido_blocking_pool
        pool; /* of whose capacity it has a share, which is given back when it has run */
    /* The runtime may end without waiting for `run`, which so must touch nothing of it. One that has not
       begun by then is run as the threads have ended, and must return at once. */
    bool loose;
};

#endif
