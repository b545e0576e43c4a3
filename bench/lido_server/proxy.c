/* A connection that is passed on. */
#include <errno.h>
#include <stdlib.h>

#include "lido_server/server.h"

/* As lido_copy, but through the process, however much there is. */
static ssize_t copy_plainly(lido_stream *to, lido_stream *from)
{
    ssize_t r;
    void *buffer = malloc(PEER_READ_SHARED);
    if (!buffer)
        return -ENOMEM;
    while ((r = lido_read(from, buffer, PEER_READ_SHARED)) > 0) {
        r = lido_write_all(to, buffer, (size_t)r, NULL);
        if (r < 0)
            break;
    }
    free(buffer);
    return r;
}

/* streams[0] is what it reads from. */
static int forward(void *arg)
{
    lido_stream **streams = arg;
    ssize_t r = server.options->copy ? copy_plainly(streams[1], streams[0])
                                     : lido_copy(streams[1], streams[0], NULL);
    if (r >= 0) {
        lido_shutdown_stream(streams[1], LIDO_SIDE_WRITE);
        return 0;
    }
    /* Ends the other direction, too. */
    lido_shutdown_stream(streams[0], LIDO_SIDE_BOTH);
    lido_shutdown_stream(streams[1], LIDO_SIDE_BOTH);
    return (int)r;
}

static int forward_both(lido_stream *here, lido_stream *there)
{
    lido_stream *out[] = {here, there}, *back[] = {there, here};
    lido_scoped(scope);
    int r = lido_scope_spawn(&scope, forward, out);
    if (r < 0)
        return r;
    forward(back);
    return lido_scope_wait(&scope);
}

int proxy_connection(void *arg)
{
    const struct bench_address *to = &server.options->to;
    lido_stream *here = arg, *there;
    lido_address address;
    int r = lido_address_from_sockaddr(&address, &to->sockaddr, to->length);
    if (r == 0)
        r = lido_connect(&there, &address);
    if (r == 0) {
        lido_stream_set(there, LIDO_OPTION_NODELAY, 1);
        r = forward_both(here, there);
        lido_close(there);
    }
    lido_close(here);
    return r;
}
