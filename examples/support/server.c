#include "support/server.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Each worker counts for itself, on a cache line of its own. */
struct counts {
    uint64_t connections;
    uint64_t bytes;
} __attribute__((aligned(64)));

/* Written before the first connection, but for what the workers count. */
static struct {
    const struct server *server;
    const char *listen;
    lido_config config;
    int64_t grace_ms;
    bool quiet;
    unsigned workers;
    struct counts *counts;
} self = {
    .listen = "127.0.0.1:12345",
    .config = LIDO_CONFIG_INIT,
    .grace_ms = 5000,
};

static int fail(const char *what, const char *which, int error)
{
    fprintf(stderr, "%s: %s%s: %s\n", self.server->name, what, which, lido_strerror(error));
    return error;
}

static int fail_to_listen(int error)
{
    if (error != -EINVAL)
        return fail("cannot listen on ", self.listen, error);
    fprintf(stderr, "%s: --listen %s: must be HOST:PORT\n", self.server->name, self.listen);
    return error;
}

/* ---- Flags ------------------------------------------------------------------------------------- */

enum flag { FLAG_LISTEN, FLAG_WORKERS, FLAG_SCHEDULER, FLAG_REACTOR, FLAG_GRACE, FLAG_QUIET, HELP };

static const struct option flags[] = {
    {"listen", required_argument, NULL, FLAG_LISTEN},
    {"workers", required_argument, NULL, FLAG_WORKERS},
    {"scheduler", required_argument, NULL, FLAG_SCHEDULER},
    {"reactor", required_argument, NULL, FLAG_REACTOR},
    {"grace", required_argument, NULL, FLAG_GRACE},
    {"quiet", no_argument, NULL, FLAG_QUIET},
    {"help", no_argument, NULL, HELP},
    {0},
};

static void usage(void)
{
    printf("usage: %s [FLAG...]\n"
           "\n"
           "%s\n"
           "\n"
           "  --listen ADDR     HOST:PORT, [IPV6]:PORT; port 0 picks one (%s)\n"
           "  --workers N       threads (one for each core)\n"
           "  --scheduler NAME  (io-pool)\n"
           "  --reactor NAME    (epoll)\n"
           "  --grace MS        how long connections may go on after SIGINT or SIGTERM (%d)\n"
           "  --quiet           no line for each connection\n",
           self.server->name, self.server->about, self.listen, (int)self.grace_ms);
}

/* A decimal number in least..most. */
static bool parse(const char *flag, const char *text, unsigned long least, unsigned long most,
                  unsigned long *ret)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value < least || value > most) {
        fprintf(stderr, "%s: --%s %s: must be a number from %lu to %lu\n", self.server->name, flag,
                text, least, most);
        return false;
    }
    *ret = value;
    return true;
}

/* Takes one flag; false: it is wrong, and the user has been told. */
static bool take_flag(int flag)
{
    unsigned long number;
    switch (flag) {
    case FLAG_LISTEN: self.listen = optarg; return true;
    case FLAG_SCHEDULER: self.config.scheduler = optarg; return true;
    case FLAG_REACTOR: self.config.reactor = optarg; return true;
    case FLAG_QUIET: self.quiet = true; return true;
    case FLAG_WORKERS:
        if (!parse("workers", optarg, 1, 32768, &number))
            return false;
        self.config.workers = (unsigned)number;
        return true;
    case FLAG_GRACE:
        if (!parse("grace", optarg, 0, INT32_MAX, &number))
            return false;
        self.grace_ms = (int64_t)number;
        return true;
    default: return false;
    }
}

/* Whether to go on; otherwise *status is what to exit with. */
static bool take_flags(int argc, char **argv, int *status)
{
    char problem[200];
    int flag;
    *status = 1;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) >= 0) {
        if (flag == HELP) {
            usage();
            *status = 0;
            return false;
        }
        if (!take_flag(flag))
            return false;
    }
    if (optind < argc) {
        fprintf(stderr, "%s: what is \"%s\"? see --help\n", self.server->name, argv[optind]);
        return false;
    }
    if (lido_config_check(&self.config, problem, sizeof(problem)) < 0) {
        fprintf(stderr, "%s: %s\n", self.server->name, problem);
        return false;
    }
    return true;
}

/* ---- Serving ----------------------------------------------------------------------------------- */

void server_count(uint64_t bytes)
{
    struct counts *mine = &self.counts[lido_worker_index()];
    mine->connections++;
    mine->bytes += bytes;
    if (!self.quiet)
        printf("wrote %llu bytes\n", (unsigned long long)bytes);
}

/* Host and port as nc wants them; an address that means "any" is reached as localhost. */
static void print_how_to_try(const char *text, unsigned port)
{
    char host[LIDO_ADDRESS_TEXT];
    size_t length = (size_t)(strrchr(text, ':') - text);
    if (text[0] == '[')
        snprintf(host, sizeof(host), "%.*s", (int)length - 2, text + 1);
    else
        snprintf(host, sizeof(host), "%.*s", (int)length, text);
    bool any = !strcmp(host, "0.0.0.0") || !strcmp(host, "::");
    printf("try it:  %s | nc -N %s %u\n", self.server->input, any ? "localhost" : host, port);
}

static int announce(const lido_listener *listener)
{
    char text[LIDO_ADDRESS_TEXT];
    lido_address address;
    int r = lido_listener_local_address(listener, &address);
    if (r == 0)
        r = lido_address_format(&address, text, sizeof(text));
    if (r < 0)
        return r;
    printf("listening on %s\n", text);
    printf("workers: %u, reactor: %s\n", self.workers, lido_reactor_name());
    print_how_to_try(text, lido_address_port(&address));
    return 0;
}

/* Cancels the task that serves when the operator says so; the next signal ends the process. */
static int await_signal(void *arg)
{
    static const int signals[] = {SIGINT, SIGTERM};
    int r = lido_signal_any(signals, 2);
    if (r < 0)
        return r;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    lido_cancel(arg);
    return 0;
}

static int serve_until_signal(lido_listener *listener)
{
    lido_task *watch;
    int r = lido_spawn(&watch, await_signal, lido_self());
    if (r < 0)
        return fail("cannot start", "", r);
    if (self.server->fiber)
        r = lido_serve(listener, self.server->fiber);
    else
        r = lido_serve_futures(listener, self.server->make, NULL, NULL);
    bool told = lido_is_cancelled();
    lido_stop(watch, NULL);
    if (!told)
        return fail("cannot accept on ", self.listen, r);
    printf("stopping: open connections have %lld ms to end\n", (long long)self.grace_ms);
    return 0;
}

static int root(void *arg)
{
    lido_listener *listener;
    (void)arg;
    self.workers = (unsigned)lido_worker_count();
    self.counts = calloc(self.workers, sizeof(struct counts));
    if (!self.counts)
        return -ENOMEM;
    int r = lido_listen_tcp(&listener, self.listen);
    if (r < 0)
        return fail_to_listen(r);
    r = announce(listener);
    if (r == 0)
        r = serve_until_signal(listener);
    lido_listener_close(listener);
    return r;
}

/* ---- Beginning and end ------------------------------------------------------------------------- */

/* As many connections as the system allows. What it does not allow shows when they come. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void print_summary(void)
{
    struct counts all = {0};
    for (unsigned i = 0; i < self.workers; i++) {
        all.connections += self.counts[i].connections;
        all.bytes += self.counts[i].bytes;
    }
    printf("served %llu connections, %llu bytes\n", (unsigned long long)all.connections,
           (unsigned long long)all.bytes);
    for (unsigned i = 0; i < self.workers; i++)
        printf("  worker %u: %llu connections, %llu bytes\n", i + 1,
               (unsigned long long)self.counts[i].connections,
               (unsigned long long)self.counts[i].bytes);
}

int server_main(const struct server *server, int argc, char **argv)
{
    int status;
    self.server = server;
    self.config.report_faults = true;
    if (!take_flags(argc, argv, &status))
        return status;
    setvbuf(stdout, NULL, _IOLBF, 0);
    raise_descriptor_limit();
    /* Connections that are open when the root returns have this long; at once is a negative grace. */
    self.config.grace_ms = self.grace_ms ? self.grace_ms : -1;
    int r = lido_run(&self.config, root, NULL);
    if (r == 0)
        print_summary();
    else if (!self.counts)
        fail("cannot start", "", r);
    free(self.counts);
    return r < 0;
}
