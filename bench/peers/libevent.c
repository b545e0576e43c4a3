/*
 * The peer on libevent. Each worker is a thread with a base and a listener of its own. Raw edge-triggered
 * events and not bufferevents: they are the cheapest that libevent has. A connection's one event is for
 * both directions and stays as it is, so the system is told of it once, and a list of changes
 * (EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) would save nothing.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "pipe.h"
#include "protocol.h"
#include "timers.h"

#define ALL (EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST)

struct worker {
    struct event_base *base;
    struct event event; /* of the listener, or of the datagram socket */
    const struct peer_options *options;
    const struct protocol *protocol; /* NULL: a proxy */
    struct peer_pipe *pipes;         /* empty ones */
    struct event writable;           /* of the datagram socket, awaited while it takes nothing */
    size_t late;               /* size of the datagram in the buffer that could not be sent yet */
    struct bench_address from; /* and whose it is */
    char buffer[PEER_READ_SHARED];
};

/* One connection, and where what is read from it goes: back, or to the other end of a proxy. */
struct end {
    struct event event;
    struct worker *worker;
    struct end *to;
    struct protocol_state state;
    bool connecting;
    bool closing; /* the other side has said that it ends */
    bool ended;   /* all that came from it has been read */
    char *rest;   /* what it has not taken yet: nothing is read for it meanwhile */
    size_t begin; /* of what is left of it */
    size_t size;
    struct peer_pipe *pipe; /* or it is in there, `left` bytes */
    size_t left;
};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        bench_die("memory");
    return memory;
}

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        bench_die("memory");
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (!base)
        bench_die("an event base");
    return base;
}

static void add(struct event *event)
{
    if (event_add(event, NULL) < 0)
        bench_die("event_add");
}

/* ---- Connections --------------------------------------------------------------------------------- */

static int fd_of(const struct end *end)
{
    return event_get_fd(&end->event);
}

static void free_end(struct end *end)
{
    event_del(&end->event);
    close(fd_of(end));
    free(end->rest);
    peer_pipe_close(end->pipe);
    free(end);
}

static void hang_up(struct end *end)
{
    if (end->to != end)
        free_end(end->to);
    free_end(end);
}

static void keep(struct end *end, const char *bytes, size_t size)
{
    end->rest = allocate(size);
    memcpy(end->rest, bytes, size);
    end->begin = 0;
    end->size = size;
}

/* False: it is gone. */
static bool give(struct end *end, const char *bytes, size_t size)
{
    ssize_t done = write(fd_of(end), bytes, size);
    if (done == (ssize_t)size)
        return true;
    if (done < 0 && errno != EAGAIN) {
        hang_up(end);
        return false;
    }
    size_t taken = done < 0 ? 0 : (size_t)done;
    keep(end, bytes + taken, size - taken);
    return true;
}

/* Of a proxy the other direction goes on. Where there is only one, it has ended, too. False: it is gone. */
static bool end_of_stream(struct end *end)
{
    end->ended = true;
    if (!end->to->ended && shutdown(fd_of(end->to), SHUT_WR) == 0)
        return true;
    hang_up(end);
    return false;
}

static struct protocol_bytes reply_to(struct end *end, size_t size)
{
    struct worker *worker = end->worker;
    if (worker->protocol)
        return protocol_reply(worker->protocol, &end->state, worker->buffer, size);
    return (struct protocol_bytes){worker->buffer, size};
}

/*
 * True if another read is needed to know that nothing is there and nothing wrong. A short read has drained
 * the socket, but an end or an error may lie behind what was read, with no further edge. libevent tells the
 * end; an error only shows when something is written.
 */
static bool may_have_more(const struct end *end, size_t size, bool answered)
{
    return size == PEER_READ_SHARED || end->closing || !answered || end->to != end;
}

/* What the pipe has for it, as much as it takes. False: it is gone. */
static bool empty_pipe(struct end *end)
{
    while (end->left > 0) {
        ssize_t done = peer_splice_out(end->pipe, fd_of(end), end->left);
        if (done < 0 && errno == EAGAIN)
            return true;
        if (done < 0) {
            hang_up(end);
            return false;
        }
        end->left -= (size_t)done;
    }
    peer_pipe_give_back(&end->worker->pipes, end->pipe);
    end->pipe = NULL;
    return true;
}

/* As copy_from; but that splice took less than it may says nothing: there are pages in a pipe. */
static bool splice_from(struct end *end)
{
    while (!end->ended && !end->to->pipe) {
        struct peer_pipe *pipe = peer_pipe_take(&end->worker->pipes);
        ssize_t done = peer_splice_in(fd_of(end), pipe);
        if (done > 0) {
            end->to->pipe = pipe;
            end->to->left = (size_t)done;
            if (!empty_pipe(end->to))
                return false;
            continue;
        }
        peer_pipe_give_back(&end->worker->pipes, pipe);
        if (done == 0)
            return end_of_stream(end);
        if (errno == EAGAIN)
            return true;
        hang_up(end);
        return false;
    }
    return true;
}

/* Through the buffer, as what is answered is, too. */
static bool copy_from(struct end *end)
{
    size_t size;
    struct protocol_bytes bytes;
    do {
        if (end->ended || end->to->rest)
            return true;
        ssize_t done = read(fd_of(end), end->worker->buffer, PEER_READ_SHARED);
        if (done == 0)
            return end_of_stream(end);
        if (done < 0 && errno == EAGAIN)
            return true;
        if (done < 0) {
            hang_up(end);
            return false;
        }
        size = (size_t)done;
        bytes = reply_to(end, size);
        if (bytes.size && !give(end->to, bytes.data, bytes.size))
            return false;
    } while (may_have_more(end, size, bytes.size > 0));
    return true;
}

/* False: it is gone. */
static bool read_from(struct end *end)
{
    const struct worker *worker = end->worker;
    return worker->protocol || worker->options->copy ? copy_from(end) : splice_from(end);
}

/* False: it is gone. */
static bool write_rest(struct end *end)
{
    ssize_t done = write(fd_of(end), end->rest + end->begin, end->size - end->begin);
    if (done < 0 && errno != EAGAIN) {
        hang_up(end);
        return false;
    }
    end->begin += done < 0 ? 0 : (size_t)done;
    if (end->begin < end->size)
        return true;
    free(end->rest);
    end->rest = NULL;
    return true;
}

/* Then reads what came for it meanwhile. False: it is gone. */
static bool go_on_writing(struct end *end)
{
    if (!end->rest && !end->pipe)
        return true;
    if (!(end->pipe ? empty_pipe(end) : write_rest(end)))
        return false;
    return end->rest || end->pipe || read_from(end->to); /* the two are each other's */
}

static void connected(struct end *end)
{
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(fd_of(end), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        hang_up(end);
        return;
    }
    end->connecting = false;
    add(&end->to->event); /* reports at once what came meanwhile */
    read_from(end);
}

static void on_event(int fd, short what, void *arg)
{
    struct end *end = arg;
    (void)fd;
    if (what & EV_CLOSED)
        end->closing = true;
    if (end->connecting)
        connected(end);
    else if (!(what & EV_WRITE) || go_on_writing(end))
        read_from(end);
}

/* ---- Listening ----------------------------------------------------------------------------------- */

static struct end *make_end(struct worker *worker, int fd)
{
    struct end *end = allocate(sizeof(*end));
    end->worker = worker;
    end->to = end;
    event_assign(&end->event, worker->base, fd, ALL, on_event, end);
    return end;
}

static void connect_to(struct end *client, const struct bench_address *address)
{
    int fd = socket(address->sockaddr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        bench_die("socket");
    peer_no_delay(fd);
    struct end *server = make_end(client->worker, fd);
    server->connecting = true;
    client->to = server;
    server->to = client;
    if (connect(fd, (const struct sockaddr *)&address->sockaddr, address->length) < 0 &&
        errno != EINPROGRESS)
        hang_up(client);
    else
        add(&server->event);
}

static void on_connections(int listener, short what, void *arg)
{
    struct worker *worker = arg;
    int fd;
    (void)what;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct end *end = make_end(worker, fd);
        if (worker->protocol)
            add(&end->event);
        else
            connect_to(end, &worker->options->to);
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        bench_die("accept");
}

static void dispatch(const struct peer_options *options, int fd, short events,
                     event_callback_fn callback)
{
    struct worker *worker = allocate(sizeof(*worker));
    worker->options = options;
    worker->protocol = protocol_of(options->job);
    worker->base = make_base();
    event_assign(&worker->event, worker->base, fd, events, callback, worker);
    event_assign(&worker->writable, worker->base, fd, EV_WRITE | EV_ET, callback, worker);
    add(&worker->event);
    event_base_dispatch(worker->base);
}

static void serve_streams(const struct peer_options *options, int fd)
{
    dispatch(options, fd, EV_READ | EV_PERSIST, on_connections);
}

static void run_streams(const struct peer_options *options)
{
    protocol_of(options->job); /* threads must not be the first to ask */
    peer_serve(options, SOCK_STREAM, serve_streams);
}

/* ---- Datagrams ----------------------------------------------------------------------------------- */

static bool receive(struct worker *worker, int fd)
{
    worker->from.length = sizeof(worker->from.sockaddr);
    ssize_t size = recvfrom(fd, worker->buffer, PEER_READ_SHARED, 0,
                            (struct sockaddr *)&worker->from.sockaddr, &worker->from.length);
    worker->late = size > 0 ? (size_t)size : 0;
    return size >= 0 || errno != EAGAIN; /* other errors are those of earlier sends */
}

/* False: it has to wait. What is lost for any other reason is lost, as datagrams may be. */
static bool send_back(struct worker *worker, int fd)
{
    if (sendto(fd, worker->buffer, worker->late, 0, (struct sockaddr *)&worker->from.sockaddr,
               worker->from.length) < 0 &&
        errno == EAGAIN) {
        add(&worker->writable);
        return false;
    }
    worker->late = 0;
    return true;
}

static void on_datagrams(int fd, short what, void *arg)
{
    struct worker *worker = arg;
    (void)what;
    if (worker->late && !send_back(worker, fd))
        return;
    while (receive(worker, fd))
        if (!send_back(worker, fd))
            return;
}

static void serve_datagrams(const struct peer_options *options, int fd)
{
    dispatch(options, fd, EV_READ | EV_ET | EV_PERSIST, on_datagrams);
}

static void run_udp(const struct peer_options *options)
{
    peer_serve(options, SOCK_DGRAM, serve_datagrams);
}

/* ---- Timers -------------------------------------------------------------------------------------- */

struct timers {
    struct event_base *base;
    struct event arming;
    const uint32_t *delays;
    uint64_t fired;
    struct event each[PEER_TIMERS];
};

static void on_timer(int fd, short what, void *arg)
{
    struct timers *timers = arg;
    (void)fd;
    (void)what;
    timers->fired++;
}

static void arm_all(int fd, short what, void *arg)
{
    struct timers *timers = arg;
    (void)fd;
    (void)what;
    for (unsigned i = 0; i < PEER_TIMERS; i++) {
        uint32_t ms = timers->delays[i];
        struct timeval delay = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
        evtimer_add(&timers->each[i], &delay);
    }
}

/* From a callback, as in a server: there the clock has been read once for all. */
static void arm_timers(void *self, const uint32_t *delays)
{
    struct timers *timers = self;
    timers->delays = delays;
    event_active(&timers->arming, EV_TIMEOUT, 1);
    event_base_loop(timers->base, EVLOOP_ONCE);
}

static void cancel_timers(void *self, const uint32_t *order)
{
    struct timers *timers = self;
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        evtimer_del(&timers->each[order[i]]);
}

static void await_timers(void *self)
{
    struct timers *timers = self;
    event_base_dispatch(timers->base);
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
    struct timers *timers = allocate(sizeof(*timers));
    timers->base = make_base();
    evtimer_assign(&timers->arming, timers->base, arm_all, timers);
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        evtimer_assign(&timers->each[i], timers->base, on_timer, timers);
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
    snprintf(version, sizeof(version), "libevent %s", event_get_version());
    return peer_main(argc, argv, version, jobs);
}
