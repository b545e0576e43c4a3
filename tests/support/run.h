/* Running code of a test in a runtime, and tasks that must start and end well. */
#ifndef TESTS_SUPPORT_RUN_H
#define TESTS_SUPPORT_RUN_H

#include "support/check.h"

/* lido_run with that many workers; the cmocka test fails unless `fn` returns 0. */
void run_on(unsigned workers, lido_fn fn, void *arg);

/* The same with one worker, and no argument: most tests. */
void run(lido_fn fn);

/* The same by a task that stays on the first worker, whatever the scheduler; and what it starts in the ways
   that follow stays, too: for tests that say which task runs when, or where. */
void run_pinned_on(unsigned workers, lido_fn fn, void *arg);

/* A fiber on the caller's worker, or on the one of that index. */
lido_task *start(lido_fn fn, void *arg);
lido_task *start_on(unsigned worker, lido_fn fn, void *arg);
/* What they are told: pinned if the caller is. */
lido_mobility mobility_of_caller(void);

/* The same, and it stays there, whatever the scheduler. */
lido_task *start_pinned(unsigned worker, lido_fn fn, void *arg);

/* Joins a task and returns its result. */
int finish(lido_task *task);

/*
 * Lets other tasks and threads run until `happened` says true, and fails the test if it does not
 * within many seconds: how a test waits for what no event tells it.
 */
void await_that(bool (*happened)(void *arg), void *arg);

#endif
