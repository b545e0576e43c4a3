/* Datagrams, sent back to whom they came from. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "lido_server/server.h"

static int echo(void *arg)
{
    lido_datagram *socket = arg;
    lido_address from;
    ssize_t r;
    char *buffer = malloc(PEER_READ_SHARED);
    if (!buffer)
        return -ENOMEM;
    /* One that cannot be sent is lost, as datagrams are. */
    while ((r = lido_recv_from(socket, buffer, PEER_READ_SHARED, &from, NULL)) != -ECANCELED)
        if (r >= 0)
            lido_send_to(socket, buffer, (size_t)r, &from);
    free(buffer);
    lido_datagram_close(socket);
    return 0;
}

static void start(lido_scope *scope, unsigned worker, int fd)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_datagram *socket;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker;
    options.mobility = LIDO_PINNED;
    server_check("socket", lido_datagram_from_fd(&socket, fd));
    server_check("spawn", lido_scope_spawn_with(scope, NULL, echo, socket, &options));
}

int serve_datagrams(void)
{
    struct bench_address address = server.options->listen;
    unsigned count = server.options->workers;
    lido_scoped(scope);
    for (unsigned i = 0; i < count; i++) {
        int fd = peer_listen(&address, SOCK_DGRAM, count > 1);
        address = peer_address_of(fd);
        start(&scope, i, fd);
        if (i + 1 == count)
            peer_announce(fd);
    }
    return lido_scope_wait(&scope);
}
