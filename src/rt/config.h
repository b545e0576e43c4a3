/*
 * Configuration: from what the caller and the operator wrote to what a runtime is built from, with
 * every default filled in and every range checked. Pure but for the environment and the number of cpus.
 */
#ifndef LIDO_RT_CONFIG_H
#define LIDO_RT_CONFIG_H

#include <lido.h>

#include "reactor/reactor.h"

enum lido__scheduler {
    LIDO__IO_POOL,        /* tasks are dealt, and stay where they are */
    LIDO__WORK_STEALING,  /* tasks go where there is room; threads start when they are needed */
    LIDO__CURRENT_THREAD, /* one worker, on the thread that waits for it */
};

struct lido__settings {
    lido_config config; /* no field is zero that has a default */
    const struct lido__reactor_ops *reactor;
    enum lido__scheduler scheduler;
    bool debug; /* LIDO_DEBUG=1 */
};

/* 0 or -EINVAL; then `problem` (may be NULL) says which field, and why. Any thread. */
int lido__config_resolve(struct lido__settings *settings, const lido_config *config, char *problem,
                         size_t problem_size);

#endif
