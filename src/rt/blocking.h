/*
 * What reports ask of blocking.c.
 */
#ifndef LIDO_RT_BLOCKING_H
#define LIDO_RT_BLOCKING_H

#include <lido.h>

/* Whether a task, which is a future and has not ended, is one of lido_spawn_blocking. */
bool lido__blocking_is_task(const lido_task *task);

#endif
