/*
 * A closed-loop load on an echo server, and what a request costs the server in CPU time.
 *
 * Prints one line: requests R rate R/S cpu_ns N busy B errors E
 *     cpu_ns  CPU time of the server process, user and system, per request; "-" without --pid
 *     busy    CPU time of the server by time passed: how much of a cpu it used
 * Only what lies between the end of the warm-up and the end of the run is counted. Exit status 1 if
 * there was an error: a connection that broke, an answer that is not what was sent.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/client.h"
#include "support/tools.h"

struct options {
    struct bench_address server;
    unsigned connections;
    unsigned active; /* 0: all */
    size_t size;
    double seconds;
    uint64_t requests; /* 0: as many as there are in `seconds` */
    double warmup;
    pid_t pid; /* 0: not told */
};

struct moment {
    uint64_t time;
    uint64_t cpu;
    uint64_t answered;
};

static void usage(void) __attribute__((noreturn));
static void usage(void)
{
    errno = 0;
    bench_die(
        "usage: load [--connections N] [--active N] [--size BYTES] [--seconds S | --requests N]\n"
        "            [--warmup S] [--pid PID] ADDRESS");
}

static void parse_option(struct options *options, const char *name, const char *value)
{
    if (strcmp(name, "--connections") == 0)
        options->connections = (unsigned)bench_number_of(name, value, 1);
    else if (strcmp(name, "--active") == 0)
        options->active = (unsigned)bench_number_of(name, value, 1);
    else if (strcmp(name, "--size") == 0)
        options->size = bench_number_of(name, value, 1);
    else if (strcmp(name, "--seconds") == 0)
        options->seconds = bench_seconds_of(name, value);
    else if (strcmp(name, "--requests") == 0)
        options->requests = bench_number_of(name, value, 1);
    else if (strcmp(name, "--warmup") == 0)
        options->warmup = bench_seconds_of(name, value);
    else if (strcmp(name, "--pid") == 0)
        options->pid = (pid_t)bench_number_of(name, value, 1);
    else
        usage();
}

static struct options parse(int argc, char **argv)
{
    struct options options = {.connections = 1, .size = 64, .seconds = 1, .warmup = -1};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i += 2)
        parse_option(&options, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
    if (i != argc - 1)
        usage();
    options.server = bench_address_of(argv[i]);
    if (options.active == 0 || options.active > options.connections)
        options.active = options.connections;
    if (options.warmup < 0)
        options.warmup = options.requests ? 0 : 0.2;
    return options;
}

static struct moment moment_of(const struct bench_client *client, pid_t pid)
{
    return (struct moment){
        .time = bench_now(), .cpu = pid ? bench_process_cpu(pid) : 0, .answered = client->answered};
}

static void run_for(struct bench_client *client, double seconds)
{
    uint64_t end = bench_now() + (uint64_t)(seconds * 1e9);
    while (client->in_flight > 0 && bench_now() < end)
        bench_client_turn(client);
}

static void run_out(struct bench_client *client)
{
    while (client->in_flight > 0)
        bench_client_turn(client);
}

static void report(const struct options *options, const struct moment *from,
                   const struct moment *to, uint64_t errors)
{
    double requests = (double)(to->answered - from->answered);
    double time = (double)(to->time - from->time);
    double cpu = (double)(to->cpu - from->cpu);
    printf("requests %.0f rate %.0f ", requests, requests / time * 1e9);
    if (options->pid && requests > 0)
        printf("cpu_ns %.1f busy %.2f ", cpu / requests, cpu / time);
    else
        printf("cpu_ns - busy - ");
    printf("errors %llu\n", (unsigned long long)errors);
}

int main(int argc, char **argv)
{
    struct options options = parse(argc, argv);
    struct bench_client client;
    bench_raise_fd_limit();
    bench_client_init(&client, &options.server, options.size);
    bench_client_connect(&client, options.connections);

    /* A number of requests is meant for counting: then the warm-up must not add any. */
    bool counted = options.requests > 0;
    if (!counted || options.warmup > 0)
        bench_client_start(&client, options.active, UINT64_MAX);
    run_for(&client, options.warmup);
    if (counted && options.warmup > 0) {
        client.may_send = 0;
        run_out(&client);
    }

    struct moment from = moment_of(&client, options.pid);
    if (counted) {
        bench_client_start(&client, options.active, options.requests);
        run_out(&client);
    } else {
        run_for(&client, options.seconds);
    }
    struct moment to = moment_of(&client, options.pid);
    if (counted)
        bench_client_finish(&client); /* so that each run of the server does all of its work */
    report(&options, &from, &to, client.errors);
    bench_client_fini(&client);
    return client.errors ? 1 : 0;
}
