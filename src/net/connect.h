/*
 * One attempt to connect a byte stream, in the parts that a wait for one and a race of several
 * (race.h) share.
 *
 * Threads: from a task.
 */
#ifndef LIDO_NET_CONNECT_H
#define LIDO_NET_CONNECT_H

#include "net/net.h"

/* A socket for a connection to `to`, bound to `from` unless that is NULL. Errors of socket and
   bind; -ENOMEM. */
int lido__connect_open(struct lido__handle **ret_handle, const lido_address *to,
                       const lido_address *from);

/* What the result of a connect over TCP comes to: 0 or a negative errno. */
int lido__connect_verdict(const struct lido__handle *handle, int result);

#endif
