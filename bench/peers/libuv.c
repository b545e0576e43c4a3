/*
 * The peer on libuv. Each worker is a thread with a loop and a listener of its own. A reply is tried at once,
 * and only what the other side does not take is queued; nothing is read for it meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "peer.h"
#include "protocol.h"
#include "timers.h"

/* libuv takes several datagrams by one system call if the buffer has room for several of the largest. */
#define DATAGRAMS 20

struct worker {
    uv_loop_t loop;
    const struct peer_options *options;
    const struct protocol *protocol; /* NULL: a proxy */
    char *buffer;
    size_t buffer_size;
};

/* One connection, and where what is read from it goes: back, or to the other end of a proxy. */
struct end {
    uv_tcp_t tcp;
    struct end *to;
    struct protocol_state state;
    bool ended; /* nothing more comes from it */
    char *rest; /* what is being written to it */
    union {
        uv_connect_t connect;
        uv_write_t write;
        uv_shutdown_t shutdown;
    } request; /* no two at a time: what is read waits until the connection is there, the end for the rest */
};

static void check(const char *what, int r)
{
    if (r >= 0)
        return;
    errno = -r;
    bench_die("%s", what);
}

/* ---- Connections --------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_end(struct end *end)
{
    if (!uv_is_closing((uv_handle_t *)&end->tcp))
        uv_close((uv_handle_t *)&end->tcp, on_closed);
}

static void hang_up(struct end *end)
{
    close_end(end->to);
    close_end(end);
}

static struct end *make_end(uv_loop_t *loop)
{
    struct end *end = calloc(1, sizeof(*end));
    if (!end)
        bench_die("memory");
    check("tcp", uv_tcp_init(loop, &end->tcp));
    end->tcp.data = end;
    end->to = end;
    return end;
}

static struct worker *worker_of(uv_handle_t *handle)
{
    return handle->loop->data;
}

/* What is read is dealt with before the next read, so all connections of a loop have one buffer. */
static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct worker *worker = worker_of(handle);
    (void)suggested;
    *buffer = uv_buf_init(worker->buffer, (unsigned)worker->buffer_size);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer);

static void read_from(struct end *end)
{
    if (uv_read_start((uv_stream_t *)&end->tcp, lend, on_read) < 0)
        hang_up(end);
}

static struct end *source_of(struct end *end)
{
    return end->to; /* they are each other's */
}

static void on_written(uv_write_t *request, int status)
{
    struct end *end = request->handle->data;
    free(end->rest);
    end->rest = NULL;
    if (status == UV_ECANCELED)
        return; /* it is being closed */
    if (status < 0)
        hang_up(end);
    else
        read_from(source_of(end));
}

static void write_later(struct end *end, const char *bytes, size_t size)
{
    uv_buf_t rest;
    end->rest = malloc(size);
    if (!end->rest)
        bench_die("memory");
    memcpy(end->rest, bytes, size);
    rest = uv_buf_init(end->rest, (unsigned)size);
    uv_read_stop((uv_stream_t *)&source_of(end)->tcp);
    check("write", uv_write(&end->request.write, (uv_stream_t *)&end->tcp, &rest, 1, on_written));
}

static void give(struct end *end, const char *bytes, size_t size)
{
    uv_buf_t buffer = uv_buf_init((char *)bytes, (unsigned)size);
    int done = uv_try_write((uv_stream_t *)&end->tcp, &buffer, 1);
    if (done == UV_EAGAIN)
        done = 0;
    if (done < 0)
        hang_up(end);
    else if ((size_t)done < size)
        write_later(end, bytes + done, size - (size_t)done);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    if (status < 0 && status != UV_ECANCELED)
        hang_up(request->handle->data);
}

/* Of a proxy the other direction goes on. Where there is only one, it has ended, too. */
static void end_of_stream(struct end *end)
{
    struct end *to = end->to;
    end->ended = true;
    if (to->ended || uv_shutdown(&to->request.shutdown, (uv_stream_t *)&to->tcp, on_shutdown) < 0)
        hang_up(end);
    else
        uv_read_stop((uv_stream_t *)&end->tcp);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct end *end = stream->data;
    const struct protocol *protocol = worker_of((uv_handle_t *)stream)->protocol;
    struct protocol_bytes bytes = {buffer->base, (size_t)size};
    if (size == UV_EOF) {
        end_of_stream(end);
        return;
    }
    if (size < 0) {
        hang_up(end);
        return;
    }
    if (protocol)
        bytes = protocol_reply(protocol, &end->state, bytes.data, bytes.size);
    if (bytes.size)
        give(end->to, bytes.data, bytes.size);
}

/* ---- Listening ----------------------------------------------------------------------------------- */

static void on_connected(uv_connect_t *request, int status)
{
    struct end *end = request->handle->data;
    if (status == UV_ECANCELED)
        return;
    if (status < 0) {
        hang_up(end);
        return;
    }
    read_from(end);
    read_from(end->to);
}

static void connect_to(struct end *client, const struct bench_address *address)
{
    struct end *server = make_end(client->tcp.loop);
    client->to = server;
    server->to = client;
    if (uv_tcp_connect(&server->request.connect, &server->tcp,
                       (const struct sockaddr *)&address->sockaddr, on_connected) < 0)
        hang_up(client);
    else
        uv_tcp_nodelay(&server->tcp, 1);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct worker *worker = worker_of((uv_handle_t *)listener);
    if (status == UV_ECONNABORTED)
        return;
    check("accept", status);
    struct end *end = make_end(&worker->loop);
    check("accept", uv_accept(listener, (uv_stream_t *)&end->tcp));
    if (worker->protocol)
        read_from(end);
    else
        connect_to(end, &worker->options->to);
}

static void init_worker(struct worker *worker, const struct peer_options *options, size_t buffer)
{
    *worker = (struct worker){.options = options, .buffer_size = buffer};
    worker->buffer = malloc(buffer);
    if (!worker->buffer)
        bench_die("memory");
    check("loop", uv_loop_init(&worker->loop));
    worker->loop.data = worker;
}

static void serve_streams(const struct peer_options *options, int fd)
{
    struct worker worker;
    uv_tcp_t listener;
    init_worker(&worker, options, PEER_READ_SHARED);
    worker.protocol = protocol_of(options->job);
    check("tcp", uv_tcp_init(&worker.loop, &listener));
    check("open", uv_tcp_open(&listener, fd));
    check("listen", uv_listen((uv_stream_t *)&listener, PEER_BACKLOG, on_connection));
    uv_run(&worker.loop, UV_RUN_DEFAULT);
}

static void run_streams(const struct peer_options *options)
{
    protocol_of(options->job); /* threads must not be the first to ask */
    peer_serve(options, SOCK_STREAM, serve_streams);
}

/* ---- Datagrams ----------------------------------------------------------------------------------- */

/* With the datagram behind it. */
struct late_datagram {
    uv_udp_send_t request;
    char bytes[];
};

static void on_sent(uv_udp_send_t *request, int status)
{
    (void)status; /* datagrams may be lost */
    free(request);
}

static void send_later(uv_udp_t *udp, const uv_buf_t *bytes, const struct sockaddr *to)
{
    struct late_datagram *late = malloc(sizeof(*late) + bytes->len);
    if (!late)
        bench_die("memory");
    memcpy(late->bytes, bytes->base, bytes->len);
    uv_buf_t kept = uv_buf_init(late->bytes, (unsigned)bytes->len);
    if (uv_udp_send(&late->request, udp, &kept, 1, to, on_sent) < 0)
        free(late);
}

static void on_datagram(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                        const struct sockaddr *from, unsigned flags)
{
    uv_buf_t bytes = uv_buf_init(buffer->base, (unsigned)size);
    (void)flags;
    if (size < 0 || !from)
        return; /* an error of an earlier send, or there is no more */
    if (uv_udp_try_send(udp, &bytes, 1, from) == UV_EAGAIN)
        send_later(udp, &bytes, from);
}

static void serve_datagrams(const struct peer_options *options, int fd)
{
    struct worker worker;
    uv_udp_t udp;
    init_worker(&worker, options, (size_t)DATAGRAMS * PEER_READ_SHARED);
    check("udp", uv_udp_init_ex(&worker.loop, &udp, AF_UNSPEC | UV_UDP_RECVMMSG));
    check("open", uv_udp_open(&udp, fd));
    check("receive", uv_udp_recv_start(&udp, lend, on_datagram));
    uv_run(&worker.loop, UV_RUN_DEFAULT);
}

static void run_udp(const struct peer_options *options)
{
    peer_serve(options, SOCK_DGRAM, serve_datagrams);
}

/* ---- Timers -------------------------------------------------------------------------------------- */

struct timers {
    uv_loop_t loop;
    uint64_t fired;
    uv_timer_t each[PEER_TIMERS];
};

static void on_timer(uv_timer_t *timer)
{
    struct timers *timers = timer->loop->data;
    timers->fired++;
}

static void arm_timers(void *self, const uint32_t *delays)
{
    struct timers *timers = self;
    uv_update_time(&timers->loop);
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        uv_timer_start(&timers->each[i], on_timer, delays[i], 0);
}

static void cancel_timers(void *self, const uint32_t *order)
{
    struct timers *timers = self;
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        uv_timer_stop(&timers->each[order[i]]);
}

static void await_timers(void *self)
{
    struct timers *timers = self;
    uv_run(&timers->loop, UV_RUN_DEFAULT);
}

static uint64_t fired_timers(void *self)
{
    struct timers *timers = self;
    return timers->fired;
}

static void run_timers(const struct peer_options *options)
{
    static const struct peer_timers job = {
        .arm = arm_timers, .cancel = cancel_timers, .run = await_timers, .fired = fired_timers};
    struct timers *timers = calloc(1, sizeof(*timers));
    if (!timers)
        bench_die("memory");
    check("loop", uv_loop_init(&timers->loop));
    timers->loop.data = timers;
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        uv_timer_init(&timers->loop, &timers->each[i]);
    peer_timers_measure(&job, timers, options);
}

/* -------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    static const struct peer_job jobs[] = {
        {"echo", run_streams},  {"ping", run_streams},  {"http", run_streams}, {"udp", run_udp},
        {"proxy", run_streams}, {"timers", run_timers}, {NULL, NULL},
    };
    char version[64];
    snprintf(version, sizeof(version), "libuv %s", uv_version_string());
    return peer_main(argc, argv, version, jobs);
}
