/* A connection on which requests are sent and answered: of a stream client, or of a churn client for one
   request. */
#ifndef LOAD_STREAM_H
#define LOAD_STREAM_H

#include "lane.h"

struct stream_client {
    struct client client;
    lido_future future;
    lido_waker waker; /* its own, from its first poll on; not if `single` */
    lido_stream *stream;
    lido_op read;
    lido_op write;
    struct parser parser;
    uint32_t answered; /* the number of the request that is to be answered next */
    size_t offset;     /* what has been written of the one that is to be sent next */
    bool single;       /* ends when what has been granted is answered, and does not ask for more */
    bool begun;
    bool polling;
    bool blocked; /* `write` waits for room */
    bool leaving; /* the server has announced that it ends the connection */
    bool late;    /* has been cancelled because no answer came */
};

static inline struct stream_client *stream_client_of(struct client *client)
{
    return (struct stream_client *)client; /* it is the first field */
}

/* Starts on a new stream, as a task of this worker, whose result is 0 or the error that ended it. It
   closes the stream. */
int stream_start(struct stream_client *self, lido_task **task);

#endif
