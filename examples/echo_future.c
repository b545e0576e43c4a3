/*
 * The same server as echo.c with a poll-based future for each connection: a struct of 88 bytes instead
 * of a stack, for those who have a million of them.
 */
#include <stdlib.h>
#include <string.h>

#include "support/server.h"

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
    uint64_t bytes; /* sent */
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

/* Reads into a buffer that lido lends, and writes from it what goes through at once. */
static ssize_t echo(struct connection *connection, const lido_waker *waker)
{
    lido_op *op = &connection->op;
    ssize_t got = lido_op_poll(op, waker);
    if (got <= 0)
        return got;
    const char *data = lido_op_lent(op);
    lido_op_write(op, connection->peer, data, (size_t)got);
    ssize_t sent = lido_op_try(op, waker);
    if (sent == -EAGAIN)
        sent = 0;
    if (sent < 0)
        return sent;
    connection->bytes += (uint64_t)sent;
    if (sent == got) {
        read_more(connection);
        return got;
    }
    int r = keep(connection, data + sent, (size_t)(got - sent));
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
    connection->bytes += (uint64_t)sent;
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
    server_count(connection->bytes);
    free(connection->rest);
    free(connection);
    return result;
}

static int poll(lido_future *future, const lido_waker *waker)
{
    struct connection *connection = (struct connection *)future; /* it is the first field */
    ssize_t r;
    do
        r = connection->rest ? flush(connection, waker) : echo(connection, waker);
    while (r > 0);
    return r == LIDO_PENDING ? LIDO_PENDING : finish(connection, (int)r);
}

static lido_future *make(void *arg, lido_stream *peer)
{
    struct connection *connection = malloc(sizeof(*connection));
    (void)arg;
    if (!connection)
        return NULL;
    connection->future.poll = poll;
    connection->peer = peer;
    connection->rest = NULL;
    connection->bytes = 0;
    read_more(connection);
    return &connection->future;
}

int main(int argc, char **argv)
{
    static const struct server server = {
        .name = "echo_future",
        .about = "Sends back what it is sent. A poll-based future for each connection.",
        .input = "echo hello",
        .make = make,
    };
    return server_main(&server, argc, argv);
}
