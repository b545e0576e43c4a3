/*
 * proxy: what comes from one end goes to the other, by splice through a pipe that is held only while there is
 * something in it; with --copy through the worker's buffer. Both ends are watched for everything from the
 * beginning, edge-triggered, so that the kernel is told of each once.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bare_epoll.h"
#include "pipe.h"

#define ALL (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

enum stage { FLOWING, ENDED, PASSED_ON }; /* the end of the stream, last of all */

/* One connection, and what came from it. */
struct end {
    struct pair *pair;
    struct end *to;
    int fd;
    enum stage stage;
    bool closing; /* it has been said that the end will come */
    bool drained; /* by the last read */
    size_t kept;  /* bytes that `to` has not taken yet; while there are any, nothing is read */
    struct peer_pipe *pipe; /* that they are in */
    char *rest;             /* or where they begin */
    char *memory;           /* in what was allocated for them */
};

struct pair {
    struct end client;
    struct end server;
    bool connected;
    bool closed;
    struct pair *next; /* of those that are closed and for which there may still be an event */
};

struct worker {
    int epoll;
    int listener;
    const struct peer_options *options;
    struct peer_pipe *pipes; /* empty ones */
    struct pair *closed;
    struct epoll_event events[BARE_EVENTS];
    char buffer[PEER_READ_SHARED];
};

static void close_end(struct end *end)
{
    close(end->fd);
    peer_pipe_close(end->pipe);
    free(end->memory);
}

static void close_pair(struct worker *worker, struct pair *pair)
{
    if (pair->closed)
        return;
    pair->closed = true;
    close_end(&pair->client);
    close_end(&pair->server);
    pair->next = worker->closed;
    worker->closed = pair;
}

/* ---- Through a pipe ------------------------------------------------------------------------------ */

static void give_back_pipe(struct worker *worker, struct end *end)
{
    peer_pipe_give_back(&worker->pipes, end->pipe);
    end->pipe = NULL;
}

/* What could not be passed on stays in the pipe. */
static ssize_t splice_in(struct worker *worker, struct end *end)
{
    end->pipe = peer_pipe_take(&worker->pipes);
    ssize_t n = peer_splice_in(end->fd, end->pipe);
    if (n > 0)
        end->kept = (size_t)n;
    else
        give_back_pipe(worker, end);
    return n;
}

/* ---- Through the buffer -------------------------------------------------------------------------- */

static ssize_t copy_in(struct worker *worker, struct end *end)
{
    ssize_t n = read(end->fd, worker->buffer, sizeof(worker->buffer));
    if (n > 0) {
        end->kept = (size_t)n;
        end->rest = worker->buffer;
    }
    return n;
}

static ssize_t copy_out(struct end *end)
{
    ssize_t n = write(end->to->fd, end->rest, end->kept);
    if (n > 0)
        end->rest += n;
    return n;
}

/* The buffer is everybody's. */
static void keep(struct end *end)
{
    if (end->memory)
        return;
    end->memory = malloc(end->kept);
    if (!end->memory)
        bench_die("memory");
    end->rest = memcpy(end->memory, end->rest, end->kept);
}

static void let_go(struct worker *worker, struct end *end)
{
    if (end->pipe)
        give_back_pipe(worker, end);
    free(end->memory);
    end->memory = NULL;
}

/* ---- Either way ---------------------------------------------------------------------------------- */

/* False: it has to wait, or the pair is gone. */
static bool pass_on(struct worker *worker, struct end *end)
{
    while (end->kept > 0) {
        ssize_t n = end->pipe ? peer_splice_out(end->pipe, end->to->fd, end->kept) : copy_out(end);
        if (n < 0) {
            if (errno != EAGAIN)
                close_pair(worker, end->pair);
            else if (!end->pipe)
                keep(end);
            return false;
        }
        end->kept -= (size_t)n;
    }
    let_go(worker, end);
    return true;
}

/* The same. */
static bool take(struct worker *worker, struct end *end)
{
    ssize_t n = worker->options->copy ? copy_in(worker, end) : splice_in(worker, end);
    if (n < 0) {
        if (errno != EAGAIN)
            close_pair(worker, end->pair);
        return false;
    }
    if (n == 0)
        end->stage = ENDED;
    /* That splice took less than it may says nothing: there are pages in a pipe and not bytes. */
    end->drained = worker->options->copy && n > 0 && (size_t)n < sizeof(worker->buffer);
    return true;
}

static void pass_on_end(struct worker *worker, struct end *end)
{
    end->stage = PASSED_ON;
    if (end->to->stage == PASSED_ON)
        close_pair(worker, end->pair);
    else
        shutdown(end->to->fd, SHUT_WR);
}

/* What comes from this end, until one of them has to be waited for. */
static void pump(struct worker *worker, struct end *end)
{
    if (end->pair->closed || (end->kept > 0 && !pass_on(worker, end)))
        return;
    while (end->stage == FLOWING)
        if (!take(worker, end) || !pass_on(worker, end) || (end->drained && !end->closing))
            return;
    if (end->stage == ENDED)
        pass_on_end(worker, end);
}

/* ---- Pairs --------------------------------------------------------------------------------------- */

static void watch(struct worker *worker, struct end *end)
{
    bare_watch(worker->epoll, EPOLL_CTL_ADD, end->fd, ALL, (epoll_data_t){.ptr = end});
}

static void connect_to(struct worker *worker, int client, int server)
{
    const struct bench_address *to = &worker->options->to;
    struct pair *pair = calloc(1, sizeof(*pair));
    if (!pair)
        bench_die("memory");
    pair->client = (struct end){.pair = pair, .to = &pair->server, .fd = client};
    pair->server = (struct end){.pair = pair, .to = &pair->client, .fd = server};
    peer_no_delay(server);
    if (connect(server, (const struct sockaddr *)&to->sockaddr, to->length) < 0 &&
        errno != EINPROGRESS)
        close_pair(worker, pair);
    else
        watch(worker, &pair->server);
}

static void welcome(struct worker *worker)
{
    int client;
    while ((client = accept4(worker->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        int server = socket(worker->options->to.sockaddr.ss_family,
                            SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (server < 0)
            bench_die("socket");
        connect_to(worker, client, server);
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        bench_die("accept");
}

static void on_event(struct worker *worker, struct end *end, uint32_t events)
{
    struct pair *pair = end->pair;
    if (events & EPOLLERR)
        close_pair(worker, pair);
    if (pair->closed)
        return;
    if (!pair->connected) {
        pair->connected = true;
        watch(worker, &pair->client); /* and reports at once what has come already */
    }
    if (events & (EPOLLRDHUP | EPOLLHUP))
        end->closing = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
        pump(worker, end);
    if (events & (EPOLLOUT | EPOLLHUP))
        pump(worker, end->to);
}

static void free_closed(struct worker *worker)
{
    while (worker->closed) {
        struct pair *pair = worker->closed;
        worker->closed = pair->next;
        free(pair);
    }
}

static void serve(const struct peer_options *options, int listener)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        bench_die("memory");
    worker->epoll = bare_epoll();
    worker->listener = listener;
    worker->options = options;
    bare_watch(worker->epoll, EPOLL_CTL_ADD, listener, EPOLLIN, (epoll_data_t){.ptr = NULL});
    for (;;) {
        int count = epoll_wait(worker->epoll, worker->events, BARE_EVENTS, -1);
        for (int i = 0; i < count; i++)
            if (worker->events[i].data.ptr)
                on_event(worker, worker->events[i].data.ptr, worker->events[i].events);
            else
                welcome(worker);
        free_closed(worker);
    }
}

void bare_proxy(const struct peer_options *options)
{
    peer_serve(options, SOCK_STREAM, serve);
}
