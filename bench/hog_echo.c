/*
 * hog_echo [--listen ADDRESS] [--scheduler NAME] [--workers N] [--hog MS:PERIOD] [--mobility M]: sends
 * back what it is sent, beside a task that computes for MS of every PERIOD milliseconds without waiting
 * for anything. M is what connections are: pinned, rescuable, stealable; otherwise as the scheduler has
 * it. Its twin is bench/peers/tokio/src/hog.rs.
 */
#include <errno.h>
#include <inttypes.h>
#include <lido.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/tools.h"

static struct {
    const char *listen;
    lido_config config;
    int64_t computes_ms; /* 0: there is no hog */
    int64_t pauses_ms;
    lido_spawn_options connections;
} self = {
    .listen = "127.0.0.1:0", .config = LIDO_CONFIG_INIT, .connections = LIDO_SPAWN_OPTIONS_INIT};

static void check(const char *what, int r)
{
    if (r >= 0)
        return;
    errno = -r;
    bench_die("%s", what);
}

static int echo(void *arg)
{
    lido_stream *peer = arg;
    lido_stream_set(peer, LIDO_OPTION_NODELAY, 1);
    ssize_t r = lido_copy(peer, peer, NULL);
    lido_close(peer);
    return r < 0 ? (int)r : 0;
}

static int hog(void *arg)
{
    (void)arg;
    while (!lido_is_cancelled()) {
        uint64_t end = lido_now() + (uint64_t)self.computes_ms * 1000000;
        while (lido_now() < end)
            ;
        lido_sleep(self.pauses_ms);
    }
    return 0;
}

static int await_end(void *server)
{
    int r = lido_signal(SIGTERM);
    lido_cancel(server);
    return r < 0 ? r : 0;
}

static void announce(const lido_listener *listener)
{
    char text[LIDO_ADDRESS_TEXT];
    lido_address address;
    check("address", lido_listener_local_address(listener, &address));
    check("address", lido_address_format(&address, text, sizeof(text)));
    printf("listening on %s\n", text);
    fflush(stdout);
}

static int accept_all(lido_listener *listener)
{
    lido_stream *peer;
    int r;
    while ((r = lido_accept(listener, &peer, NULL)) == 0)
        check("spawn", lido_spawn_with(NULL, echo, peer, &self.connections));
    return r;
}

static int serve(void *arg)
{
    lido_listener *listener;
    lido_task *end;
    (void)arg;
    check("listen", lido_listen_tcp(&listener, self.listen));
    check("spawn", lido_spawn(&end, await_end, lido_self()));
    announce(listener);
    if (self.computes_ms > 0)
        check("spawn", lido_spawn(NULL, hog, NULL));
    int r = accept_all(listener);
    lido_stop(end, NULL);
    lido_listener_close(listener);
    return r == -ECANCELED ? 0 : r;
}

static void parse_hog(const char *text)
{
    int64_t period;
    char rest;
    if (sscanf(text, "%" SCNd64 ":%" SCNd64 "%c", &self.computes_ms, &period, &rest) != 2 ||
        self.computes_ms < 1 || period < self.computes_ms) {
        errno = 0;
        bench_die("--hog: not understood: %s", text);
    }
    self.pauses_ms = period - self.computes_ms;
}

static void parse_mobility(const char *text)
{
    static const char *const names[] = {
        [LIDO_PINNED] = "pinned", [LIDO_RESCUABLE] = "rescuable", [LIDO_STEALABLE] = "stealable"};
    for (int i = LIDO_PINNED; i <= LIDO_STEALABLE; i++)
        if (strcmp(text, names[i]) == 0)
            self.connections.mobility = (lido_mobility)i;
    errno = 0;
    if (self.connections.mobility == LIDO_MOBILITY_DEFAULT)
        bench_die("--mobility: not understood: %s", text);
}

static void parse_option(const char *name, const char *value)
{
    if (value && strcmp(name, "--listen") == 0)
        self.listen = value;
    else if (value && strcmp(name, "--scheduler") == 0)
        self.config.scheduler = value;
    else if (value && strcmp(name, "--workers") == 0)
        self.config.workers = (unsigned)bench_number_of(name, value, 1);
    else if (value && strcmp(name, "--hog") == 0)
        parse_hog(value);
    else if (value && strcmp(name, "--mobility") == 0)
        parse_mobility(value);
    else
        bench_die("usage: hog_echo [--listen ADDRESS] [--scheduler NAME] [--workers N] "
                  "[--hog MS:PERIOD] [--mobility M]");
}

int main(int argc, char **argv)
{
    char problem[200];
    self.config.workers = 1;
    self.config.grace_ms = -1;
    for (int i = 1; i < argc; i += 2)
        parse_option(argv[i], argv[i + 1]);
    errno = 0;
    if (lido_config_check(&self.config, problem, sizeof(problem)) < 0)
        bench_die("%s", problem);
    check("run", lido_run(&self.config, serve, NULL));
    return 0;
}
