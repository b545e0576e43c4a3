#include "target.h"

#include <sys/socket.h>

#define ADDRESSES 16

static int try_each(struct target *target, const lido_address *addresses, int count)
{
    int r = -ENOENT;
    for (int i = 0; i < count; i++) {
        target->address = addresses[i];
        r = lido_connect(&target->first, &addresses[i]);
        if (r == 0)
            break;
    }
    return r;
}

int target_init(struct target *target, const struct options *options, const char **problem)
{
    lido_address addresses[ADDRESSES];
    int count = 1;
    *target = (struct target){.transport = options->transport, .reset = options->reset};
    *problem = "cannot look up";
    if (options->transport == TRANSPORT_UNIX)
        return lido_address_unix(&target->address, options->place);
    count = lido_resolve(options->place, addresses, ADDRESSES);
    if (count <= 0)
        return count;
    *problem = "cannot connect to";
    target->address = addresses[0];
    /* Of UDP nobody can say before something is sent. */
    return count == 1 || options->transport == TRANSPORT_UDP ? 0
                                                             : try_each(target, addresses, count);
}

void target_fini(struct target *target)
{
    lido_close(target->first);
}

int target_connect(struct target *target, bool first, lido_stream **stream)
{
    int r = 0;
    if (first && target->first) {
        *stream = target->first;
        target->first = NULL;
    } else {
        r = lido_connect(stream, &target->address);
    }
    /* As other clients do it, so that pipelined requests do not wait for each other's acknowledgements. */
    if (r == 0 && target->transport == TRANSPORT_TCP)
        lido_stream_set(*stream, LIDO_OPTION_NODELAY, 1);
    return r;
}

void target_close(const struct target *target, lido_stream *stream)
{
    if (stream && target->reset && target->transport == TRANSPORT_TCP)
        lido_stream_set(stream, LIDO_OPTION_LINGER, 0);
    lido_close(stream);
}

int target_bind(const struct target *target, lido_datagram **socket)
{
    size_t length;
    const struct sockaddr *server = lido_address_sockaddr(&target->address, &length);
    int r = lido_bind_udp(socket, server->sa_family == AF_INET6 ? "[::]:0" : "0.0.0.0:0");
    if (r < 0)
        return r;
    r = lido_datagram_connect(*socket, &target->address);
    if (r < 0)
        lido_datagram_close(*socket);
    return r;
}
