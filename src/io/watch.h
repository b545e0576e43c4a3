/*
 * The part of watch.c that the end of a worker needs. A worker keeps the idle watches of lido_poll_fd, so that the
 * next call for the same descriptor finds its file registered.
 */
#ifndef LIDO_IO_WATCH_H
#define LIDO_IO_WATCH_H

#include "sched/worker.h"

/* Closes those that the worker has kept, before its reactor ends. */
void lido__watches_fini(struct lido__worker *worker);

#endif
