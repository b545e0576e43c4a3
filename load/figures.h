/*
 * What a run is counted in. Each lane has figures of its own, which only its worker touches; they are
 * added up for the reader.
 *
 * A request that has begun ends as answered or as unanswered. Errors are counted beside that, by their
 * kind: one for a connection that breaks, however many requests were under way on it.
 */
#ifndef LOAD_FIGURES_H
#define LOAD_FIGURES_H

#include <stdint.h>

#include "histogram.h"

enum error_kind {
    ERROR_CONNECT, /* --churn: no connection. UDP: nobody was there */
    ERROR_RESET,
    ERROR_CLOSED,  /* the peer ended the connection before the end of the run */
    ERROR_TIMEOUT, /* no answer within --timeout */
    ERROR_ANSWER,  /* not what was sent, or not of the protocol */
    ERROR_STATUS,  /* HTTP: neither 2xx nor 3xx; the request is answered */
    ERROR_LOST,    /* UDP: no answer within --timeout */
    ERROR_OTHER,
    ERROR_KINDS
};

/* As in the JSON, and as a reader understands them. */
extern const char *const error_names[ERROR_KINDS];
extern const char *const error_texts[ERROR_KINDS];

struct figures {
    uint64_t answered;
    uint64_t unanswered;
    uint64_t bytes_sent;     /* of the requests that were answered */
    uint64_t bytes_received; /* of their answers */
    uint64_t held_back;      /* open loop: were due when no connection had room for them */
    uint64_t reconnects;     /* HTTP: after the server had announced an end */
    uint64_t late_answers;   /* UDP: came after they had been given up */
    uint64_t errors[ERROR_KINDS];
    uint64_t connections; /* that are there */
    uint64_t last_answer; /* when, in ns */
    struct histogram latency;
    struct histogram lateness; /* open loop: of sending, after the request was due */
};

void figures_merge(struct figures *figures, const struct figures *other);
uint64_t figures_errors(const struct figures *figures);

/* The kind of a negative errno value that ended a connection. */
enum error_kind error_kind_of(int error);

#endif
