/*
 * What the crew and reports ask of blocking.c.
 */
#ifndef LIDO_RT_BLOCKING_H
#define LIDO_RT_BLOCKING_H

#include <lido.h>

struct lido__job;
struct lido__semaphore;

/* A job has run: gives its capacity back, or passes it to one that waits for it. That one is returned, and the
   caller runs it, or sees to it that it is run. */
struct lido__job *lido__blocking_pass(struct lido__semaphore *capacity);

/* Whether a task, which is a future and has not ended, is one of lido_spawn_blocking. */
bool lido__blocking_is_task(const lido_task *task);

#endif
