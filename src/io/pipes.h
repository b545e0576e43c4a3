/*
 * Pipes that bytes pass through on their way from socket to socket, without being copied.
 *
 * A task has one only while there is something in it. Empty ones are kept by the worker, a few; a task that
 * has gone on to another worker meanwhile gives its pipe to that one. A process has a bounded number of
 * them, since each is two descriptors, and what a pipe may hold counts against a limit of the user's:
 * who gets none does without.
 *
 * Threads: all of it for the current worker's; the worker's end by whoever frees it.
 */
#ifndef LIDO_IO_PIPES_H
#define LIDO_IO_PIPES_H

#include <stddef.h>

#include "sched/worker.h"

/*
 * What a pipe holds. Twice as much saves no more than a few parts in a hundred, and the half costs a third
 * more; and an unprivileged user may have 128 of this size.
 */
#define LIDO__PIPE_SIZE ((size_t)512 * 1024)

/* Of the process. */
#define LIDO__PIPES_MAX 64u

struct lido__pipe {
    int ends[2]; /* [0] is the one to read from */
};

/* An empty pipe. A negative errno: there is none to be had. */
int lido__pipes_take(struct lido__worker *worker, struct lido__pipe *ret_pipe);

/* It is empty again. */
void lido__pipes_give(struct lido__worker *worker, const struct lido__pipe *pipe);

/* Closes it, with what is in it. */
void lido__pipe_close(const struct lido__pipe *pipe);

/* Closes those that the worker has kept. */
void lido__pipes_fini(struct lido__worker *worker);

#endif
