/*
 * Clients of an echo server: many connections, of which some send. Closed loop: a connection sends its
 * next message when the last one has come back, whole and unchanged.
 *
 * One thread; one client object at a time. What goes wrong with a connection is counted, and the
 * connection given up; a server that stays silent ends the program.
 */
#ifndef LIDO_BENCH_CLIENT_H
#define LIDO_BENCH_CLIENT_H

#include "support/tools.h"

struct bench_connection;

struct bench_client {
    struct bench_address server;
    size_t size; /* of a message */
    int epoll;
    unsigned count; /* of connections */
    struct bench_connection *connections;
    char *message;
    char *reply;

    uint64_t may_send;  /* messages that are still to be sent */
    unsigned in_flight; /* messages that are under way */
    uint64_t answered;
    uint64_t errors;
};

void bench_client_init(struct bench_client *client, const struct bench_address *server,
                       size_t size);

/*
 * Opens `count` connections, once, and echoes one message on each: so the server has accepted them all,
 * and has done on each what it does. Not counted in `answered`.
 */
void bench_client_connect(struct bench_client *client, unsigned count);

/* From now on the first `active` connections send, `messages` in all. */
void bench_client_start(struct bench_client *client, unsigned active, uint64_t messages);

/* Waits for answers, counts them and sends the next messages. */
void bench_client_turn(struct bench_client *client);

/* Ends all connections in order: returns when the server has closed each of them. */
void bench_client_finish(struct bench_client *client);

/* Resets the connections, so that their ports are free for the next run. */
void bench_client_fini(struct bench_client *client);

#endif
