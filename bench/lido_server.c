/*
 * lido_server JOB [OPTION...]: the jobs of bench/peers, done by lido. Beside the options that all peers have
 * (see bench/peers/README.md):
 *
 *     --style fiber|future    what a connection of echo, ping, http and hog is; all others are fibers
 *     --scheduler NAME        io-pool, work-stealing, current-thread
 *     --mobility M            of connections: pinned, rescuable, stealable; otherwise as the scheduler has it
 *     --deal here|loaded      all connections begin on the worker that accepts; or where the load is least
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lido_server/server.h"

struct server server = {.config = LIDO_CONFIG_INIT};

void server_check(const char *what, int r)
{
    if (r >= 0)
        return;
    errno = -r;
    bench_die("%s", what);
}

/* ---- Serving ----------------------------------------------------------------------------------- */

static int hog(void *arg)
{
    (void)arg;
    while (!lido_is_cancelled()) {
        uint64_t end = lido_now() + (uint64_t)server.options->hog_ms * 1000000;
        while (lido_now() < end)
            ;
        lido_sleep(server.options->hog_pause_ms);
    }
    return 0;
}

static int await_end(void *task)
{
    int r = lido_signal(SIGTERM);
    lido_cancel(task);
    return r < 0 ? r : 0;
}

static int serve_connections(lido_fn fiber)
{
    lido_serve_options options = LIDO_SERVE_OPTIONS_INIT;
    lido_listener *listener;
    int r;
    options.mobility = server.mobility;
    options.placement = server.placement;
    int fd = peer_listen(&server.options->listen, SOCK_STREAM, false);
    server_check("listen", lido_listener_from_fd(&listener, fd));
    peer_announce(fd);
    if (server.futures && server.protocol)
        r = lido_serve_futures(listener, future_of_connection, NULL, &options);
    else
        r = lido_serve_with(listener, fiber, &options);
    lido_listener_close(listener);
    return r;
}

/* Of what is served: the fiber of a connection; NULL: datagrams. */
struct service {
    lido_fn connection;
};

static int serve(void *arg)
{
    const struct service *service = arg;
    lido_task *end;
    server_check("spawn", lido_spawn(&end, await_end, lido_self()));
    if (server.options->hog_ms)
        server_check("spawn", lido_spawn(NULL, hog, NULL));
    int r = service->connection ? serve_connections(service->connection) : serve_datagrams();
    lido_stop(end, NULL);
    return r == -ECANCELED ? 0 : r;
}

static void run(const struct peer_options *options, const char *protocol, lido_fn connection)
{
    struct service service = {connection};
    char problem[200];
    server.options = options;
    server.protocol = protocol ? protocol_of(protocol) : NULL;
    server.echoes = protocol && strcmp(protocol, "echo") == 0;
    server.config.workers = options->workers;
    server.config.grace_ms = -1; /* connections end with the server */
    errno = 0;
    if (lido_config_check(&server.config, problem, sizeof(problem)) < 0)
        bench_die("%s", problem);
    server_check("run", lido_run(&server.config, serve, &service));
}

/* ---- Jobs -------------------------------------------------------------------------------------- */

static void run_echo(const struct peer_options *options)
{
    run(options, "echo", echo_connection);
}

static void run_answers(const struct peer_options *options)
{
    run(options, options->job, answer_connection);
}

static void run_udp(const struct peer_options *options)
{
    run(options, NULL, NULL);
}

static void run_proxy(const struct peer_options *options)
{
    errno = 0;
    if (!options->to.length)
        bench_die("proxy: --to is missing");
    run(options, NULL, proxy_connection);
}

static void run_hog(const struct peer_options *options)
{
    errno = 0;
    if (!options->hog_ms)
        bench_die("hog: --hog is missing");
    run_echo(options);
}

/* ---- Options that no other has ----------------------------------------------------------------- */

/* The place of `text` in a list of words that ends with NULL. */
static unsigned choice_of(const char *option, const char *text, const char *const *words)
{
    for (unsigned i = 0; words[i]; i++)
        if (text && strcmp(text, words[i]) == 0)
            return i;
    errno = 0;
    bench_die("%s: not understood: %s", option, text ? text : "(nothing)");
}

static bool take_option(const char *name, const char *value)
{
    static const char *const styles[] = {"fiber", "future", NULL};
    static const char *const mobilities[] = {"pinned", "rescuable", "stealable", NULL};
    static const char *const deals[] = {"here", "loaded", NULL};
    static const lido_placement placements[] = {LIDO_PLACE_LOCAL, LIDO_PLACE_LEAST_LOADED};
    if (strcmp(name, "--style") == 0)
        server.futures = choice_of(name, value, styles) == 1;
    else if (strcmp(name, "--mobility") == 0)
        server.mobility = LIDO_PINNED + choice_of(name, value, mobilities);
    else if (strcmp(name, "--deal") == 0)
        server.placement = placements[choice_of(name, value, deals)];
    else if (strcmp(name, "--scheduler") == 0)
        server.config.scheduler = value;
    else
        return false;
    return true;
}

/* Removes them; returns how many arguments are left. */
static int take_options(int argc, char **argv)
{
    int left = 0;
    for (int i = 0; i < argc; i++)
        if (i + 1 < argc && take_option(argv[i], argv[i + 1]))
            i++;
        else
            argv[left++] = argv[i];
    return left;
}

int main(int argc, char **argv)
{
    static const struct peer_job jobs[] = {
        {"echo", run_echo},   {"ping", run_answers}, {"http", run_answers}, {"udp", run_udp},
        {"proxy", run_proxy}, {"hog", run_hog},      {NULL, NULL},
    };
    argc = take_options(argc, argv);
    return peer_main(argc, argv,
                     "lido " LIDO_STRING(LIDO_VERSION_MAJOR) "." LIDO_STRING(
                         LIDO_VERSION_MINOR) "." LIDO_STRING(LIDO_VERSION_PATCH),
                     jobs);
}
