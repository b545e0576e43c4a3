/*
 * A closed-loop load on echo servers, and what a request costs each of them in CPU time.
 *
 * Several servers are put under load in turn, a slice of some milliseconds each, so that whatever else the
 * machine does is spread evenly over them. A slice ends when all that was sent has been answered.
 *
 * Prints a line for each server: requests R rate R/S cpu_ns N busy B errors E
 *     cpu_ns  CPU time of the server, user and system, per request; "-" without --pid, of which there
 *             may be several: some servers are several processes
 *     busy    CPU time of the server by time passed: how much of a cpu it used
 * Exit status 1 if there was an error: a connection that broke, an answer that is not what was sent.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/client.h"
#include "support/tools.h"

#define TARGETS 16
#define PROCESSES 8

/* One server, and the options that stood before its address. */
struct target {
    struct bench_address address;
    pid_t pids[PROCESSES];
    unsigned processes; /* 0: not told */
    unsigned connections;
    unsigned active; /* 0: all */
    size_t size;
    struct bench_client client;
    /* So far: */
    uint64_t requests;
    uint64_t time;
    uint64_t cpu;
};

struct run {
    struct target targets[TARGETS];
    unsigned count;
    uint64_t requests; /* 0: as many as there are in `time` */
    uint64_t time;     /* ns, for each server */
    uint64_t slice;
    uint64_t warmup;
    uint64_t random; /* in what order they take turns */
};

static const char usage[] =
    "usage: load [--seconds S | --requests N] [--slice S] [--warmup S] [--seed N] SERVER...\n"
    "where SERVER is [--connections N] [--active N] [--size BYTES] [--pid PID] ADDRESS";

static uint64_t ns_of(const char *name, const char *value)
{
    return (uint64_t)(bench_seconds_of(name, value) * 1e9);
}

static void add_process(struct target *target, pid_t pid)
{
    if (target->processes == PROCESSES)
        bench_die("more than %d processes", PROCESSES);
    target->pids[target->processes++] = pid;
}

static void parse_option(struct run *run, struct target *next, const char *name, const char *value)
{
    if (strcmp(name, "--connections") == 0)
        next->connections = (unsigned)bench_number_of(name, value, 1);
    else if (strcmp(name, "--active") == 0)
        next->active = (unsigned)bench_number_of(name, value, 1);
    else if (strcmp(name, "--size") == 0)
        next->size = bench_number_of(name, value, 1);
    else if (strcmp(name, "--pid") == 0)
        add_process(next, (pid_t)bench_number_of(name, value, 1));
    else if (strcmp(name, "--seconds") == 0)
        run->time = ns_of(name, value);
    else if (strcmp(name, "--requests") == 0)
        run->requests = bench_number_of(name, value, 1);
    else if (strcmp(name, "--slice") == 0)
        run->slice = ns_of(name, value);
    else if (strcmp(name, "--warmup") == 0)
        run->warmup = ns_of(name, value);
    else if (strcmp(name, "--seed") == 0)
        run->random = bench_number_of(name, value, 1);
    else
        bench_die("%s", usage);
}

static void parse(struct run *run, int argc, char **argv)
{
    struct target next = {.connections = 1, .size = 64};
    *run = (struct run){.time = 1000000000, .slice = 50000000, .warmup = 100000000, .random = 1};
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-') {
            const char *value = i + 1 < argc ? argv[i + 1] : NULL;
            parse_option(run, &next, argv[i++], value);
            continue;
        }
        if (run->count == TARGETS)
            bench_die("more than %d servers", TARGETS);
        next.address = bench_address_of(argv[i]);
        run->targets[run->count++] = next;
        next.processes = 0;
        next.active = 0;
    }
    if (run->count == 0)
        bench_die("%s", usage);
}

static void connect_to(struct target *target)
{
    if (target->active == 0 || target->active > target->connections)
        target->active = target->connections;
    bench_client_init(&target->client, &target->address, target->size);
    bench_client_connect(&target->client, target->connections);
}

static uint64_t cpu_of(const struct target *target)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < target->processes; i++)
        sum += bench_process_cpu(target->pids[i]);
    return sum;
}

/* Puts a server under load: for `time` ns, or if that is 0 for a number of requests. */
static void load(struct target *target, uint64_t time, uint64_t requests)
{
    struct bench_client *client = &target->client;
    uint64_t answered = client->answered;
    uint64_t cpu = cpu_of(target);
    uint64_t began = bench_now();

    bench_client_start(client, target->active, time ? UINT64_MAX : requests);
    while (client->in_flight > 0) {
        bench_client_turn(client);
        if (time && bench_now() - began >= time)
            client->may_send = 0;
    }
    target->time += bench_now() - began;
    target->cpu += cpu_of(target) - cpu;
    target->requests += client->answered - answered;
}

/* xorshift64: the same order in each run with the same seed. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void swap(unsigned *order, unsigned a, unsigned b)
{
    unsigned kept = order[a];
    order[a] = order[b];
    order[b] = kept;
}

/* None twice in a row: that would be a slice of twice the length, in which the system places threads
   otherwise. */
static void shuffle(unsigned *order, unsigned count, uint64_t *random)
{
    unsigned last = order[count - 1];
    for (unsigned i = count - 1; i > 0; i--)
        swap(order, i, (unsigned)(draw(random) % (i + 1)));
    if (order[0] == last)
        swap(order, 0, count - 1);
}

/* In an order that changes with each pass, so that none has the same neighbour before it each time. */
static void load_in_turn(struct run *run, uint64_t time)
{
    unsigned order[TARGETS];
    for (unsigned i = 0; i < run->count; i++)
        order[i] = i;
    for (uint64_t done = 0; done < time; done += run->slice) {
        shuffle(order, run->count, &run->random);
        for (unsigned i = 0; i < run->count; i++)
            load(&run->targets[order[i]], run->slice, 0);
    }
}

static void load_counted(struct run *run)
{
    for (unsigned i = 0; i < run->count; i++) {
        load(&run->targets[i], 0, run->requests);
        /* So that each run of the server does all of its work. */
        bench_client_finish(&run->targets[i].client);
    }
}

static void forget_warmup(struct target *target)
{
    target->requests = 0;
    target->time = 0;
    target->cpu = 0;
}

static void report(const struct target *target)
{
    double requests = (double)target->requests;
    double time = (double)target->time;
    double cpu = (double)target->cpu;
    printf("requests %.0f rate %.0f ", requests, time > 0 ? requests / time * 1e9 : 0);
    if (target->processes && requests > 0)
        printf("cpu_ns %.1f busy %.2f ", cpu / requests, cpu / time);
    else
        printf("cpu_ns - busy - ");
    printf("errors %llu\n", (unsigned long long)target->client.errors);
}

int main(int argc, char **argv)
{
    static struct run run;
    uint64_t errors = 0;
    parse(&run, argc, argv);
    bench_raise_fd_limit();
    for (unsigned i = 0; i < run.count; i++)
        connect_to(&run.targets[i]);
    if (run.requests) {
        load_counted(&run);
    } else {
        load_in_turn(&run, run.warmup);
        for (unsigned i = 0; i < run.count; i++)
            forget_warmup(&run.targets[i]);
        load_in_turn(&run, run.time);
    }
    for (unsigned i = 0; i < run.count; i++) {
        report(&run.targets[i]);
        errors += run.targets[i].client.errors;
        bench_client_fini(&run.targets[i].client);
    }
    return errors ? 1 : 0;
}
