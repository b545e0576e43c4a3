/* A TCP echo server: a fiber for each connection. */
#include "support/server.h"

static int echo(void *arg)
{
    lido_stream *peer = arg;
    uint64_t bytes;
    ssize_t r = lido_copy(peer, peer, &bytes);
    lido_close(peer);
    server_count(bytes);
    return r < 0 ? (int)r : 0;
}

int main(int argc, char **argv)
{
    static const struct server server = {
        .name = "echo",
        .about = "Sends back what it is sent. A fiber for each connection.",
        .input = "echo hello",
        .fiber = echo,
    };
    return server_main(&server, argc, argv);
}
