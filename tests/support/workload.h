/* A bit of everything that lido does, for tests that take something away from it. */
#ifndef TESTS_SUPPORT_WORKLOAD_H
#define TESTS_SUPPORT_WORKLOAD_H

#include <stdbool.h>

/* Whether the workload looks at the CPU time of the process while nothing is to be done: for that it needs a system
   call that lido does not. */
extern bool workload_measures;

/*
 * A lido_fn: echo over TCP and Unix sockets, UDP, a copy that is spliced, channels and spawns across workers, blocking
 * code, a lookup, a signal, sleeps. 0, or the first error of a step, whose number is in *step_failed (an int); the
 * others are done all the same. -ETIMEDOUT: a step hung. -ELOOP: the process was busy with nothing.
 */
int workload_run(void *step_failed);

#endif
