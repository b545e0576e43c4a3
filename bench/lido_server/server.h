/*
 * What the parts of lido_server share: the options, which are set before a job begins, and the jobs.
 */
#ifndef LIDO_BENCH_SERVER_H
#define LIDO_BENCH_SERVER_H

#include <lido.h>

#include "peer.h"
#include "protocol.h"

struct server {
    const struct peer_options *options;
    lido_config config;
    lido_mobility mobility;   /* of connections */
    lido_placement placement; /* likewise */
    bool futures;             /* connections are futures, not fibers */
    const struct protocol *protocol;
    bool echoes; /* its answer is the request */
};

extern struct server server;

/* Ends the program if `r` is an error. */
void server_check(const char *what, int r);

/* The fibers of a connection. */
int echo_connection(void *stream);
int answer_connection(void *stream); /* by server.protocol */
int proxy_connection(void *stream);

/* The same as a future, which does what server.protocol says. */
lido_future *future_of_connection(void *unused, lido_stream *stream);

/* A fiber for each worker, with a socket of its own. Until the calling task is cancelled. */
int serve_datagrams(void);

#endif
