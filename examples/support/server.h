/*
 * What the example servers share: flags, start, counts, and an end that lets connections finish.
 * An example gives the code of one connection, as a fiber or as a future.
 */
#ifndef EXAMPLES_SUPPORT_SERVER_H
#define EXAMPLES_SUPPORT_SERVER_H

#include <lido.h>

struct server {
    const char *name;  /* of the program */
    const char *about; /* what it does, for --help */
    const char *input; /* a shell command whose output is something to send */

    lido_fn fiber;                                        /* one connection, */
    lido_future *(*make)(void *arg, lido_stream *stream); /* or as in lido_serve_futures */
};

/* The whole of main: serves until SIGINT or SIGTERM. Returns the exit status. */
int server_main(const struct server *server, int argc, char **argv);

/* A connection has ended; called from its task. `bytes`: how many it was sent. */
void server_count(uint64_t bytes);

#endif
