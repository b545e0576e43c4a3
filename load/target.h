/* The server, and connections to it. */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include <lido.h>

#include "options.h"

struct target {
    enum transport transport;
    bool reset; /* end connections so */
    lido_address address;
    lido_stream *first; /* the connection that was made to find the address out, or NULL */
};

/*
 * Finds out which address of the server answers, if its name has several; from a task. What fails is said
 * in `problem`, and the error is that of lido_resolve or lido_connect.
 */
int target_init(struct target *target, const struct options *options, const char **problem);
/* Closes `first`, if nobody has taken it. */
void target_fini(struct target *target);

/* Errors as lido_connect. `first`: may take the connection that is there; one caller may say so. */
int target_connect(struct target *target, bool first, lido_stream **stream);
/* Closes it in the way that was asked for; NULL is ignored. */
void target_close(const struct target *target, lido_stream *stream);

/* A socket whose peer is the server. Errors as lido_bind_udp. */
int target_bind(const struct target *target, lido_datagram **socket);

#endif
