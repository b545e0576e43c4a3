/*
 * The reactor over Linux epoll.
 *
 * Each side of a handle is registered once, edge-triggered, when an op on it must wait for the first
 * time; no epoll_ctl per op. wake is a write to an eventfd, itself edge-triggered, so that nobody
 * needs to read it.
 */
#ifndef LIDO_REACTOR_EPOLL_H
#define LIDO_REACTOR_EPOLL_H

#include "reactor/reactor.h"

extern const struct lido__reactor_ops lido__epoll;

#endif
