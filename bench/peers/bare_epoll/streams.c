/*
 * echo, ping and http: for each message one read and one write and its share of an epoll_wait.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bare_epoll.h"
#include "protocol.h"

#define READING (EPOLLIN | EPOLLRDHUP | EPOLLET)
#define WRITING (EPOLLOUT | EPOLLET)

/* What a peer that reads too slowly has not taken yet. While there is any, nothing is read. */
struct rest {
    size_t length;
    char bytes[];
};

struct connection {
    struct rest *rest;
    struct protocol_state state;
};

struct worker {
    int epoll;
    int listener;
    const struct protocol *protocol;
    struct epoll_event events[BARE_EVENTS];
    char buffer[PEER_READ_SHARED];
};

static struct connection
    *connections; /* by descriptor; each is used by the worker that accepted it */

static void watch(struct worker *worker, int how, int fd, uint32_t events)
{
    bare_watch(worker->epoll, how, fd, events, (epoll_data_t){.fd = fd});
}

static void hang_up(int fd)
{
    free(connections[fd].rest);
    connections[fd] = (struct connection){0};
    close(fd);
}

static void keep(int fd, const char *bytes, size_t length)
{
    struct rest *rest = malloc(sizeof(*rest) + length);
    if (!rest)
        bench_die("malloc");
    memcpy(rest->bytes, bytes, length);
    rest->length = length;
    connections[fd].rest = rest;
}

/* False: the rest has to wait, or the connection is gone. */
static bool give(struct worker *worker, int fd, const char *bytes, size_t length)
{
    ssize_t n = write(fd, bytes, length);
    if (__builtin_expect(n == (ssize_t)length, 1))
        return true;
    if (n < 0 && errno != EAGAIN) {
        hang_up(fd);
        return false;
    }
    size_t done = n < 0 ? 0 : (size_t)n;
    keep(fd, bytes + done, length - done);
    watch(worker, EPOLL_CTL_MOD, fd, WRITING);
    return false;
}

/* True: there is nothing to be sent, or it has been. */
static bool answer(struct worker *worker, int fd, size_t size)
{
    struct protocol_bytes bytes =
        protocol_reply(worker->protocol, &connections[fd].state, worker->buffer, size);
    return bytes.size == 0 || give(worker, fd, bytes.data, bytes.size);
}

static void converse(struct worker *worker, int fd, uint32_t events)
{
    ssize_t n;
    do {
        n = read(fd, worker->buffer, sizeof(worker->buffer));
        if (__builtin_expect(n <= 0, 0)) {
            if (n == 0 || errno != EAGAIN)
                hang_up(fd);
            return;
        }
        if (!answer(worker, fd, (size_t)n))
            return;
        /* A short read has drained the socket; but the end of the stream gives no further event. */
    } while (n == sizeof(worker->buffer) || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static void go_on_writing(struct worker *worker, int fd)
{
    struct rest *rest = connections[fd].rest;
    connections[fd].rest = NULL;
    if (give(worker, fd, rest->bytes, rest->length))
        watch(worker, EPOLL_CTL_MOD, fd, READING); /* reports at once what came meanwhile */
    free(rest);
}

static void welcome(struct worker *worker)
{
    int fd;
    while ((fd = accept4(worker->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        watch(worker, EPOLL_CTL_ADD, fd, READING);
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        bench_die("accept");
}

static void loop(struct worker *worker)
{
    for (;;) {
        int count = epoll_wait(worker->epoll, worker->events, BARE_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = worker->events[i].data.fd;
            uint32_t events = worker->events[i].events;
            if (fd == worker->listener)
                welcome(worker);
            else if (events & EPOLLOUT)
                go_on_writing(worker, fd);
            else
                converse(worker, fd, events);
        }
    }
}

static void serve(const struct peer_options *options, int listener)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (!worker)
        bench_die("memory");
    worker->epoll = bare_epoll();
    worker->listener = listener;
    worker->protocol = protocol_of(options->job);
    watch(worker, EPOLL_CTL_ADD, listener, EPOLLIN);
    loop(worker);
}

void bare_streams(const struct peer_options *options)
{
    protocol_of(options->job); /* threads must not be the first to ask */
    connections = calloc((size_t)sysconf(_SC_OPEN_MAX), sizeof(*connections));
    if (!connections)
        bench_die("memory");
    peer_serve(options, SOCK_STREAM, serve);
}
