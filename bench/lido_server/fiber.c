/* A connection as a fiber. */
#include "lido_server/server.h"

int echo_connection(void *arg)
{
    lido_stream *peer = arg;
    ssize_t r = lido_copy(peer, peer, NULL);
    lido_close(peer);
    return r < 0 ? (int)r : 0;
}

int answer_connection(void *arg)
{
    lido_stream *peer = arg;
    struct protocol_state state = {0};
    char buffer[PEER_READ_OWN];
    ssize_t r;
    while ((r = lido_read(peer, buffer, sizeof(buffer))) > 0) {
        struct protocol_bytes reply = protocol_reply(server.protocol, &state, buffer, (size_t)r);
        r = lido_write_all(peer, reply.data, reply.size, NULL);
        if (r < 0)
            break;
    }
    lido_close(peer);
    return (int)r;
}
