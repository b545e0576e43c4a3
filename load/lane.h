/*
 * A lane: what one worker of lido does of the load. It has its share of the clients, of the rate and of the
 * requests, and figures of its own; all of it is touched by tasks of that worker only, so nothing is
 * locked.
 *
 * Closed loop: a client is granted as many requests as it has room for (--depth), when it has got answers.
 *
 * Open loop: request n of all is due n/rate after the start; they are dealt to the lanes in turn. In a
 * lane there is one schedule for all clients, and the client that has had room for the longest time takes
 * the next request. So one slow connection does not hold up requests that others could carry, as in a
 * program with a pool of connections; and what is due but finds no room needs no memory: it is the
 * distance from the next request of the schedule to now. (wrk2 gives each connection a schedule of its
 * own.) Whenever it is sent, its latency counts from when it was due.
 */
#ifndef LOAD_LANE_H
#define LOAD_LANE_H

#include "client.h"
#include "figures.h"
#include "pace.h"
#include "target.h"

struct lane {
    const struct options *options;
    const struct protocol *protocol;
    struct target *target;
    unsigned index;
    unsigned lanes; /* how many there are */

    struct client **clients;
    unsigned count;
    unsigned opened; /* of them, that have begun to connect */
    int connect_error;
    struct staging staging;

    uint64_t start; /* of the schedule */
    uint64_t begin; /* what begins before is warm-up, and not counted */
    uint64_t end;   /* nothing is due any more */
    uint64_t left;  /* requests that may still begin */
    bool past_end;
    bool over; /* nothing will be granted any more */

    /* Open loop: */
    uint64_t next;               /* request of its schedule */
    uint64_t due;                /* when that is; UINT64_MAX: there is none */
    struct client *first, *last; /* who has room */
    bool starved;                /* nobody has had room since the last grant */
    struct pacer pacer;
    lido_waker waker; /* of the task that looks what is due */
    lido_future pump;

    struct figures figures;
};

/* -ENOMEM. Needs lane_fini either way. */
int lane_init(struct lane *lane, const struct options *options, const struct protocol *protocol,
              struct target *target, unsigned index, unsigned lanes);
void lane_fini(struct lane *lane);

/* Fibers of the lane's worker; the argument is the lane. Both end early when they are cancelled. */

/* Opens all connections. The first error: -EMFILE, -ECONNREFUSED, ...; `opened` says how many there are. */
int lane_connect(void *lane);
/* All of the run, from `start` on (see lane_plan). -ENOMEM. */
int lane_run(void *lane);

/* When it starts. Before lane_run. */
void lane_plan(struct lane *lane, uint64_t start);

/* ---- For clients ------------------------------------------------------------------------------- */

/* It may have room for more. Grants what there is, to it or to others. */
void lane_refill(struct client *client, uint64_t now);

/* A request has been sent, `at` this time. */
void lane_sent(struct lane *lane, const struct request *request, uint64_t at);

/* A request has been answered by so many bytes; or never will be, as `count` others. */
void lane_answered(struct client *client, const struct request *request, uint64_t now,
                   size_t bytes);
void lane_unanswered(struct client *client, uint32_t count);

void lane_error(struct lane *lane, enum error_kind kind);

/* The client's task is about to end; `error` has ended it, or 0 or -ECANCELED. What is open has no
   answer. */
void lane_left(struct client *client, int error);

/* Whether the client has nothing left to do. */
static inline bool lane_is_done(const struct client *client)
{
    return client->lane->over && client->open == 0;
}

/* Whether latency is counted from a schedule. */
static inline bool lane_is_open_loop(const struct lane *lane)
{
    return lane->options->rate > 0;
}

#endif
