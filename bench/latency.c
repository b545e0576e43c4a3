/*
 * latency [--connections N] [--size BYTES] [--seconds S] [--rate R] ADDRESS: how long an echo server
 * takes to answer.
 *
 * Each of N connections (16) has one message of BYTES (64) under way at a time. Without --rate it sends
 * the next one when the last has come back. With it R messages a second are due in all, evenly spread,
 * and counted from when they were due: so a connection that is stuck tells of all the messages that it
 * holds up, and not of one.
 *
 * Prints: requests N rate R p50 T p90 T p99 T p99.9 T max T, with T in ns.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "support/tools.h"

#define CONNECTIONS_MAX 1024
#define SIZE_MAX_OF_MESSAGE 65536
#define SILENCE_NS UINT64_C(10000000000)
#define SECOND UINT64_C(1000000000)

struct connection {
    int fd;
    bool busy;    /* a message is under way */
    uint64_t due; /* of that message, or of the next */
    size_t received;
};

struct options {
    struct bench_address server;
    unsigned connections;
    size_t size;
    uint64_t time;
    uint64_t rate; /* per second, in all; 0: closed loop */
};

static struct {
    struct connection connections[CONNECTIONS_MAX];
    struct pollfd polls[CONNECTIONS_MAX];
    unsigned count;
    size_t size;
    uint64_t period; /* ns between two messages of one connection; 0: closed loop */
    uint64_t end;    /* messages that are due later are not sent */
    char message[SIZE_MAX_OF_MESSAGE];
    char reply[SIZE_MAX_OF_MESSAGE];
} self;

/* ---- What was measured ------------------------------------------------------------------------- */

static struct {
    uint64_t *values;
    size_t count;
    size_t capacity;
} samples;

static void add_sample(uint64_t value)
{
    if (samples.count == samples.capacity) {
        samples.capacity = samples.capacity ? 2 * samples.capacity : 65536;
        samples.values = realloc(samples.values, samples.capacity * sizeof(*samples.values));
        if (!samples.values)
            bench_die("memory");
    }
    samples.values[samples.count++] = value;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What a part of all samples, which are sorted, does not exceed. */
static unsigned long long quantile(double part)
{
    size_t index = (size_t)(part * (double)samples.count);
    return samples.values[index < samples.count ? index : samples.count - 1];
}

static void report(uint64_t time)
{
    errno = 0;
    if (samples.count == 0)
        bench_die("nothing was answered");
    qsort(samples.values, samples.count, sizeof(*samples.values), ascending);
    printf("requests %zu rate %.0f p50 %llu p90 %llu p99 %llu p99.9 %llu max %llu\n", samples.count,
           (double)samples.count * 1e9 / (double)time, quantile(0.5), quantile(0.9), quantile(0.99),
           quantile(0.999), quantile(1));
}

/* ---- Connections ------------------------------------------------------------------------------- */

static void send_message(struct connection *connection)
{
    if (send(connection->fd, self.message, self.size, MSG_NOSIGNAL) != (ssize_t)self.size)
        bench_die("send");
    connection->busy = true;
    connection->received = 0;
}

/* Whether the message has come back whole. */
static bool receive(struct connection *connection)
{
    ssize_t n = recv(connection->fd, self.reply, self.size - connection->received, 0);
    if (n == 0)
        errno = ECONNRESET;
    if (n <= 0)
        bench_die("receive");
    if (memcmp(self.reply, self.message, (size_t)n) != 0) {
        errno = 0;
        bench_die("the answer is not what was sent");
    }
    connection->received += (size_t)n;
    return connection->received == self.size;
}

/* With an echo, so that the server has accepted it and has done what it does first. */
static void open_connection(const struct bench_address *server)
{
    struct connection *connection = &self.connections[self.count];
    int on = 1;
    connection->fd = socket(server->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
        bench_die("socket");
    if (connect(connection->fd, (const struct sockaddr *)&server->sockaddr, server->length) < 0)
        bench_die("connect");
    send_message(connection);
    while (!receive(connection))
        ;
    connection->busy = false;
    self.polls[self.count] = (struct pollfd){.fd = connection->fd, .events = POLLIN};
    self.count++;
}

/* ---- Sending and receiving --------------------------------------------------------------------- */

/* Sends what is due; returns when the next message is due, or 0 if nobody waits for anything. */
static uint64_t send_due(uint64_t now)
{
    uint64_t next = 0;
    for (unsigned i = 0; i < self.count; i++) {
        struct connection *connection = &self.connections[i];
        if (!connection->busy && connection->due < self.end && connection->due <= now)
            send_message(connection);
        uint64_t event = connection->busy ? now + SILENCE_NS : connection->due;
        if ((connection->busy || connection->due < self.end) && (!next || event < next))
            next = event;
    }
    return next;
}

static void receive_answers(void)
{
    uint64_t now = bench_now();
    for (unsigned i = 0; i < self.count; i++) {
        struct connection *connection = &self.connections[i];
        if (!self.polls[i].revents || !receive(connection))
            continue;
        add_sample(now - connection->due);
        connection->busy = false;
        connection->due = self.period ? connection->due + self.period : now;
    }
}

static void exchange(void)
{
    uint64_t now = bench_now();
    uint64_t next;
    while ((next = send_due(now)) != 0) {
        struct timespec timeout = {(time_t)((next - now) / SECOND), (long)((next - now) % SECOND)};
        int ready = ppoll(self.polls, self.count, &timeout, NULL);
        if (ready < 0)
            bench_die("ppoll");
        if (ready > 0)
            receive_answers();
        now = bench_now();
        errno = 0;
        if (ready == 0 && next - now <= SILENCE_NS && now >= self.end + SILENCE_NS)
            bench_die("the server does not answer");
    }
}

/* ---- Main -------------------------------------------------------------------------------------- */

static const char usage[] =
    "usage: latency [--connections N] [--size BYTES] [--seconds S] [--rate R] ADDRESS";

static void parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.connections = 16, .size = 64, .time = SECOND};
    if (argc % 2 != 0)
        bench_die("%s", usage);
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i];
        const char *value = argv[i + 1];
        if (strcmp(name, "--connections") == 0)
            options->connections = (unsigned)bench_number_of(name, value, 1);
        else if (strcmp(name, "--size") == 0)
            options->size = bench_number_of(name, value, 1);
        else if (strcmp(name, "--seconds") == 0)
            options->time = (uint64_t)(bench_seconds_of(name, value) * 1e9);
        else if (strcmp(name, "--rate") == 0)
            options->rate = bench_number_of(name, value, 1);
        else
            bench_die("%s", usage);
    }
    if (options->connections > CONNECTIONS_MAX || options->size > SIZE_MAX_OF_MESSAGE)
        bench_die("at most %d connections and %d bytes", CONNECTIONS_MAX, SIZE_MAX_OF_MESSAGE);
    options->server = bench_address_of(argv[argc - 1]);
}

int main(int argc, char **argv)
{
    struct options options;
    parse(&options, argc, argv);
    bench_raise_fd_limit();
    self.size = options.size;
    memset(self.message, 'x', self.size);
    for (unsigned i = 0; i < options.connections; i++)
        open_connection(&options.server);

    uint64_t began = bench_now();
    self.end = began + options.time;
    self.period = options.rate ? SECOND * self.count / options.rate : 0;
    for (unsigned i = 0; i < self.count; i++)
        self.connections[i].due = began + self.period * i / self.count;
    exchange();
    report(bench_now() - began);
    return 0;
}
