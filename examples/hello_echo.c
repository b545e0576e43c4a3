/* The smallest whole server: TCP echo, on all cores. */
#include <lido.h>
#include <stdio.h>

static int echo(void *arg)
{
    lido_stream *peer = arg;
    ssize_t copied = lido_copy(peer, peer, NULL); /* until the peer closes */
    if (copied >= 0)
        printf("wrote %zd bytes\n", copied);
    lido_close(peer);
    return copied < 0 ? (int)copied : 0;
}

static int serve(void *arg)
{
    lido_listener *listener;
    int r = lido_listen_tcp(&listener, arg);
    if (r < 0)
        return r;
    return lido_serve(listener, echo); /* accepts, deals each connection to a worker */
}

int main(void)
{
    return lido_run(NULL, serve, "127.0.0.1:12345") < 0; /* NULL: one worker per core */
}
