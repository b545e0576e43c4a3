/*
 * The peer that lido is measured against: the TCP echo server that one would write by hand, with
 * nothing in it that the job does not ask for. Edge-triggered epoll, for each message one read and one
 * write and its share of an epoll_wait. One thread; with --workers N as many as that, which share
 * nothing: the first accepts and deals the connections in turn. With --idle-threads N further threads
 * that do nothing: the kernel counts references to descriptors only in a process of several threads.
 *
 * What must stay as it is in examples/echo, so that only lido is compared: the size of the read
 * buffer, the number of events per wait, the backlog, no TCP_NODELAY.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/tools.h"

#define EVENTS 512
#define BUFFER 65536
#define BACKLOG 4096
#define READING (EPOLLIN | EPOLLRDHUP | EPOLLET)
#define WRITING (EPOLLOUT | EPOLLET)

/* What a peer that reads too slowly has not taken yet. While there is any, nothing is read. */
struct rest {
    size_t length;
    char bytes[];
};

struct worker {
    int epoll;
    struct epoll_event events[EVENTS];
    char buffer[BUFFER];
};

static struct worker *workers;
static unsigned worker_count = 1;
static unsigned idle_count;
static int listener;
static struct rest **rests; /* by descriptor */

static void watch(struct worker *worker, int how, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(worker->epoll, how, fd, &event) < 0)
        bench_die("epoll_ctl");
}

static void hang_up(int fd)
{
    free(rests[fd]);
    rests[fd] = NULL;
    close(fd);
}

static void keep(int fd, const char *bytes, size_t length)
{
    struct rest *rest = malloc(sizeof(*rest) + length);
    if (!rest)
        bench_die("malloc");
    memcpy(rest->bytes, bytes, length);
    rest->length = length;
    free(rests[fd]);
    rests[fd] = rest;
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

static void echo(struct worker *worker, int fd, uint32_t events)
{
    ssize_t n;
    do {
        n = read(fd, worker->buffer, BUFFER);
        if (__builtin_expect(n <= 0, 0)) {
            if (n == 0 || errno != EAGAIN)
                hang_up(fd);
            return;
        }
        if (!give(worker, fd, worker->buffer, (size_t)n))
            return;
        /* A short read has drained the socket; but the end of the stream gives no further event. */
    } while (n == BUFFER || events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static void go_on_writing(struct worker *worker, int fd)
{
    struct rest *rest = rests[fd];
    rests[fd] = NULL;
    if (give(worker, fd, rest->bytes, rest->length))
        watch(worker, EPOLL_CTL_MOD, fd, READING); /* reports at once what came meanwhile */
    free(rest);
}

static void welcome(void)
{
    static unsigned next;
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        watch(&workers[next++ % worker_count], EPOLL_CTL_ADD, fd, READING);
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        bench_die("accept");
}

static void *serve(void *arg)
{
    struct worker *worker = arg;
    for (;;) {
        int count = epoll_wait(worker->epoll, worker->events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = worker->events[i].data.fd;
            uint32_t events = worker->events[i].events;
            if (fd == listener)
                welcome();
            else if (events & EPOLLOUT)
                go_on_writing(worker, fd);
            else
                echo(worker, fd, events);
        }
    }
    return NULL;
}

static int listen_on(const char *text)
{
    struct bench_address address = bench_address_of(text);
    int on = 1;
    int fd = socket(address.sockaddr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&address.sockaddr, address.length) < 0 ||
        listen(fd, BACKLOG) < 0)
        bench_die("%s", text);
    return fd;
}

static void say_where(void)
{
    struct bench_address address = {.length = sizeof(address.sockaddr)};
    if (getsockname(listener, (struct sockaddr *)&address.sockaddr, &address.length) < 0)
        bench_die("getsockname");
    printf("listening on %s\n", bench_address_text_of(&address).text);
    fflush(stdout);
}

static void on_sigterm(int signal)
{
    (void)signal;
    _exit(0);
}

static void *idle(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void start_thread(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, body, arg);
    if (errno)
        bench_die("a thread");
}

static void start_others(void)
{
    for (unsigned i = 1; i < worker_count; i++)
        start_thread(serve, &workers[i]);
    for (unsigned i = 0; i < idle_count; i++)
        start_thread(idle, NULL);
}

static const char *parse(int argc, char **argv)
{
    const char *address = "127.0.0.1:0";
    int i = 1;
    for (; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--listen") == 0)
            address = argv[i + 1];
        else if (strcmp(argv[i], "--workers") == 0)
            worker_count = (unsigned)bench_number_of(argv[i], argv[i + 1], 1);
        else if (strcmp(argv[i], "--idle-threads") == 0)
            idle_count = (unsigned)bench_number_of(argv[i], argv[i + 1], 0);
        else
            break;
    if (i == argc)
        return address;
    fprintf(stderr, "usage: bare_epoll [--listen ADDR] [--workers N] [--idle-threads N]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    const char *address = parse(argc, argv);
    signal(SIGTERM, on_sigterm);
    signal(SIGPIPE, SIG_IGN);
    bench_raise_fd_limit();
    rests = calloc((size_t)sysconf(_SC_OPEN_MAX), sizeof(*rests));
    workers = calloc(worker_count, sizeof(*workers));
    if (!rests || !workers)
        bench_die("memory");
    for (unsigned i = 0; i < worker_count; i++) {
        workers[i].epoll = epoll_create1(EPOLL_CLOEXEC);
        if (workers[i].epoll < 0)
            bench_die("epoll_create");
    }
    listener = listen_on(address);
    watch(&workers[0], EPOLL_CTL_ADD, listener, EPOLLIN);
    say_where();
    start_others();
    serve(&workers[0]);
}
