/*
 * A client: one connection to the server (or with --churn one after the other), and the requests that it
 * has been granted. There are three kinds: stream.c, churn.c, datagram.c. Who grants requests is its
 * lane.
 *
 * Requests are numbered from 0 as they are granted, and sent in that order; the numbers may overflow.
 * Those that are granted and not sent yet are in a ring, and with streams, which answer in order, those
 * that are not answered yet too.
 */
#ifndef LOAD_CLIENT_H
#define LOAD_CLIENT_H

#include <lido.h>
#include <stdlib.h>

struct lane;
struct client;

struct request {
    uint64_t begun; /* open loop: when it was due; otherwise when it was granted */
    bool held_back; /* it was due when there was no room for it */
};

struct client_kind {
    size_t size;
    /* In a fiber, before the run; may wait. */
    int (*connect)(struct client *client);
    /* Starts client->task, which ends when the lane says so (lane_is_done), is cancelled or has failed. */
    int (*start)(struct client *client);
    /* Has been granted its first request that is to be sent, or should look whether it is done. */
    void (*wake)(struct client *client);
    /* Looks from time to time for what has not been answered in time. NULL: does so itself. */
    void (*check)(struct client *client, uint64_t now);
    /* After its task has ended, or without one. */
    void (*fini)(struct client *client);
};

extern const struct client_kind stream_clients;
extern const struct client_kind churn_clients;
extern const struct client_kind datagram_clients;

struct client {
    const struct client_kind *kind;
    struct lane *lane;
    lido_task *task; /* NULL: has not started, or has been joined */
    unsigned number; /* among those of its lane */
    bool ended;      /* its task is over, or will be without another request */

    struct request *ring;
    uint32_t mask;
    uint32_t granted; /* the number of the next request to be granted */
    uint32_t sent;    /* of the next to be sent */
    uint32_t open;    /* how many have been granted and not ended */
    uint64_t heard;   /* when it last got an answer, or got busy */

    bool listed; /* in the lane's list of those who have room */
    struct client *next;
};

static inline struct request *client_request(struct client *client, uint32_t number)
{
    return &client->ring[number & client->mask];
}

#endif
