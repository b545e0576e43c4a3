/*
 * Connecting to whichever of several addresses answers first: "Happy Eyeballs" (RFC 8305).
 *
 * An address that does not answer must not keep the others from being tried. So the next attempt
 * begins when one has failed, or when the latest has had 250 ms (the Connection Attempt Delay of
 * the RFC); those that are under way go on beside it. The first that connects is taken, and the
 * others are closed. Addresses of two families take turns, so that one family without a route costs
 * one attempt and not half of them.
 *
 * All of it happens in the fiber that calls: it waits for several ops at once, which are on its
 * stack.
 */
#ifndef LIDO_NET_RACE_H
#define LIDO_NET_RACE_H

#include "net/addr.h"
#include "net/net.h"

struct lido__route {
    const lido_address *to;
    const lido_address *from; /* NULL: the system chooses */
};

/* Lets the two families take turns, beginning with that of the first; each keeps its order. At most
   LIDO__ADDRESSES_MAX routes. */
void lido__routes_alternate(struct lido__route *routes, int count);

/*
 * Connects. 0, or the error of the attempt that failed last; -ENOENT without any route. An error of
 * this process or task (-EMFILE, -ENFILE, -ENOMEM, and those of an interrupted wait) begins no
 * further attempt. From a fiber.
 */
int lido__race_connect(lido_stream **stream, const struct lido__route *routes, int count);

#endif
