/* A connection as a poll-based future: examples/echo_future.c, with answers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lido_server/server.h"

/* What the peer does not take yet of what it is to be sent. */
struct rest {
    size_t size;
    size_t sent;
    char data[];
};

struct connection {
    lido_future future;
    lido_op op; /* writes `rest` if there is one, reads otherwise */
    lido_stream *peer;
    struct rest *rest;
    struct protocol_state state;
};

static void read_more(struct connection *connection)
{
    lido_op_read(&connection->op, connection->peer, NULL, 0);
}

static void write_more(struct connection *connection)
{
    struct rest *rest = connection->rest;
    lido_op_write(&connection->op, connection->peer, rest->data + rest->sent,
                  rest->size - rest->sent);
}

static int keep(struct connection *connection, const char *data, size_t size)
{
    struct rest *rest = malloc(sizeof(*rest) + size);
    if (!rest)
        return -ENOMEM;
    rest->size = size;
    rest->sent = 0;
    memcpy(rest->data, data, size);
    connection->rest = rest;
    return 0;
}

/* What was read itself is spared the way through the protocol. */
static inline struct protocol_bytes reply_to(struct connection *connection, size_t size)
{
    const void *bytes = lido_op_lent(&connection->op);
    if (server.echoes)
        return (struct protocol_bytes){bytes, size};
    return protocol_reply(server.protocol, &connection->state, bytes, size);
}

/* Reads into a buffer that lido lends, and writes what goes through at once. */
static ssize_t answer(struct connection *connection, const lido_waker *waker)
{
    lido_op *op = &connection->op;
    ssize_t got = lido_op_poll(op, waker);
    if (got <= 0)
        return got;
    struct protocol_bytes reply = reply_to(connection, (size_t)got);
    size_t sent = 0;
    if (reply.size) {
        lido_op_write(op, connection->peer, reply.data, reply.size);
        ssize_t r = lido_op_try(op, waker);
        if (r < 0 && r != -EAGAIN)
            return r;
        sent = r < 0 ? 0 : (size_t)r;
    }
    if (sent == reply.size) {
        read_more(connection);
        return got;
    }
    int r = keep(connection, (const char *)reply.data + sent, reply.size - sent);
    if (r < 0)
        return r;
    write_more(connection);
    return got;
}

static ssize_t flush(struct connection *connection, const lido_waker *waker)
{
    struct rest *rest = connection->rest;
    ssize_t sent = lido_op_poll(&connection->op, waker);
    if (sent < 0)
        return sent;
    rest->sent += (size_t)sent;
    if (rest->sent < rest->size) {
        write_more(connection);
        return sent;
    }
    free(rest);
    connection->rest = NULL;
    read_more(connection);
    return sent;
}

static int finish(struct connection *connection, int result)
{
    lido_close(connection->peer);
    free(connection->rest);
    free(connection);
    return result;
}

static int poll(lido_future *future, const lido_waker *waker)
{
    struct connection *connection = (struct connection *)future; /* it is the first field */
    ssize_t r;
    do
        r = connection->rest ? flush(connection, waker) : answer(connection, waker);
    while (r > 0);
    return r == LIDO_PENDING ? LIDO_PENDING : finish(connection, (int)r);
}

lido_future *future_of_connection(void *unused, lido_stream *stream)
{
    (void)unused;
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->future.poll = poll;
    connection->peer = stream;
    read_more(connection);
    return &connection->future;
}
