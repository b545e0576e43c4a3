/*
 * Threads that cannot be started: RLIMIT_NPROC, a container's limit of pids. A server goes on with those that it has,
 * and nobody is lost. Each scenario is a process of its own, since a limit is not taken back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/death.h"
#include "support/net.h"
#include "support/runtime.h"

enum { WORKERS = 4, CLIENTS = 8, REQUESTS = 10, ALL = CLIENTS * REQUESTS, MOST = 12 };

/* ---- A server and its clients --------------------------------------------------------------------- */

struct service {
    lido_listener *listener;
    lido_serve_options options;
    bool futures;
    uint32_t served;
    uint32_t blocked;
    uint32_t workers; /* a bit for each that has served somebody */
};

static struct service service;

static int sleep_a_little(void *arg)
{
    (void)arg;
    usleep(200);
    return 0;
}

static int serve_one(void *arg)
{
    lido_stream *stream = arg;
    char text[4];
    check_int(lido_read_all(stream, text, 4, NULL), 4);
    lido__fetch_or(&service.workers, 1u << lido_worker_index(), LIDO__RELAXED);
    if (lido__fetch_add(&service.served, 1, LIDO__RELAXED) % 4 == 0)
        check_int(lido_blocking(sleep_a_little, NULL), 0);
    check_int(lido_write_all(stream, text, 4, NULL), 4);
    lido_close(stream);
    return 0;
}

static int server(void *arg)
{
    (void)arg;
    int r = lido_serve_with(service.listener, serve_one, &service.options);
    check_int(r, -ECANCELED);
    return 0;
}

static int client(void *arg)
{
    lido_address address = net_address(arg);
    for (int i = 0; i < REQUESTS; i++) {
        lido_stream *stream;
        char text[4] = "ahoy";
        check_int(lido_connect(&stream, &address), 0);
        check_int(lido_write_all(stream, text, 4, NULL), 4);
        check_int(lido_read_all(stream, text, 4, NULL), 4);
        check_bytes(text, "ahoy", 4);
        lido_close(stream);
    }
    return 0;
}

static void make_requests(void)
{
    lido_task *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        check_int(lido_spawn(&clients[i], client, service.listener), 0);
    for (int i = 0; i < CLIENTS; i++)
        check_int(finish(clients[i]), 0);
}

static void listen_anywhere(bool reuse_port)
{
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    options.reuse_port = reuse_port;
    check_int(lido_listen_tcp_with(&service.listener, "127.0.0.1:0", &options), 0);
}

/* Nobody is lost, and it has not ended. */
static int serve_them(void *arg)
{
    lido_placement placement = *(const lido_placement *)arg;
    lido_within(30000);
    service = (struct service){.options = LIDO_SERVE_OPTIONS_INIT};
    service.options.placement = placement;
    listen_anywhere(placement == LIDO_PLACE_REUSEPORT);
    lido_task *task = start(server, NULL);
    make_requests();
    check_int(service.served, ALL);
    check(!lido_task_is_done(task));
    check_int(lido_stop(task, NULL), 0);
    lido_listener_close(service.listener);
    return 0;
}

/* ---- Limits --------------------------------------------------------------------------------------- */

/* A user that nobody else is, who may have `threads`. The limit does not hold for root. */
static void be_limited(unsigned threads)
{
    struct rlimit limit = {threads, threads};
    uid_t user = 100000 + (uid_t)getpid();
    check_int(setrlimit(RLIMIT_NPROC, &limit), 0);
    check_int(setresuid(user, user, user), 0);
}

static void need_root(void)
{
    if (geteuid() == 0)
        return;
    fprintf(stderr, "skipped: only root can become a user that has no other threads\n");
    skip();
}

struct plan {
    const char *scheduler;
    unsigned threads; /* that may be had */
    lido_placement placement;
    void (*limit)(unsigned threads);
};

static void play(void *arg)
{
    struct plan *plan = arg;
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = WORKERS;
    config.scheduler = plan->scheduler;
    plan->limit(plan->threads);
    unsetenv("LIDO_SCHEDULER");
    int r = lido_run(&config, serve_them, &plan->placement);
    /* Its threads start with the runtime: it says so if they cannot be had. */
    if (plan->threads < WORKERS && strcmp(plan->scheduler, "io-pool") == 0)
        check_int(r, -EAGAIN);
    else
        check_int(r, 0);
}

static void survive(struct plan plan)
{
    struct death death;
    death_of(play, &plan, &death);
    if (death.status != 0)
        fprintf(stderr, "%s, %u threads, placement %d:\n%s", plan.scheduler, plan.threads,
                (int)plan.placement, death.told);
    assert_int_equal(death.status, 0);
}

static void survive_each(const char *scheduler, void (*limit)(unsigned threads))
{
    static const lido_placement placements[] = {LIDO_PLACE_DEFAULT, LIDO_PLACE_ROUND_ROBIN,
                                                LIDO_PLACE_LEAST_LOADED, LIDO_PLACE_LOCAL,
                                                LIDO_PLACE_REUSEPORT};
    for (unsigned threads = 1; threads <= MOST; threads++)
        for (size_t i = 0; i < COUNT(placements); i++)
            survive((struct plan){scheduler, threads, placements[i], limit});
}

static void a_server_goes_on_with_the_threads_that_it_has(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* it has threads of its own */
    need_root();
    for (size_t i = 0; i < COUNT(schedulers); i++)
        survive_each(schedulers[i], be_limited);
}

/* ---- A container's limit of pids ------------------------------------------------------------------- */

static char group[128];

static bool write_to(const char *name, unsigned number)
{
    char path[160], text[16];
    snprintf(path, sizeof(path), "%s/%s", group, name);
    int length = snprintf(text, sizeof(text), "%u", number);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, (size_t)length) == length;
    if (fd >= 0)
        close(fd);
    return done;
}

static bool make_group(void)
{
    static const char *const roots[] = {"/sys/fs/cgroup/pids", "/sys/fs/cgroup"};
    for (size_t i = 0; i < COUNT(roots); i++) {
        snprintf(group, sizeof(group), "%s/lido-test-%d", roots[i], (int)getpid());
        if (mkdir(group, 0755) < 0)
            continue;
        if (write_to("pids.max", 100))
            return true;
        rmdir(group);
    }
    return false;
}

static void be_contained(unsigned threads)
{
    check(write_to("pids.max", threads));
    check(write_to("cgroup.procs", (unsigned)getpid()));
}

static void a_server_goes_on_in_a_container_that_allows_few_threads(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* it has threads of its own */
    if (!make_group()) {
        fprintf(stderr, "skipped: no cgroup of pids can be made here\n");
        skip();
    }
    for (size_t i = 0; i < COUNT(schedulers); i++)
        for (unsigned threads = 1; threads <= WORKERS + 1; threads++)
            survive((struct plan){schedulers[i], threads, LIDO_PLACE_DEFAULT, be_contained});
    rmdir(group);
}

/* ---- A shortage that passes ------------------------------------------------------------------------ */

static void set_limit(unsigned threads)
{
    struct rlimit limit;
    check_int(getrlimit(RLIMIT_NPROC, &limit), 0);
    limit.rlim_cur = threads;
    check_int(setrlimit(RLIMIT_NPROC, &limit), 0);
}

static bool all_serve(void *arg)
{
    (void)arg;
    make_requests();
    return __builtin_popcount(lido__load(&service.workers, LIDO__RELAXED)) == WORKERS;
}

static int serve_on_all_in_the_end(void *arg)
{
    lido_placement placement = *(const lido_placement *)arg;
    service = (struct service){.options = LIDO_SERVE_OPTIONS_INIT};
    service.options.placement = placement;
    listen_anywhere(placement == LIDO_PLACE_REUSEPORT);
    lido_task *task = start(server, NULL);
    make_requests();
    check_int(service.workers, 1);
    set_limit(100);
    await_that(all_serve, NULL);
    check_int(lido_stop(task, NULL), 0);
    lido_listener_close(service.listener);
    return 0;
}

static void play_recovery(void *arg)
{
    lido_config config = LIDO_CONFIG_INIT;
    uid_t user = 100000 + (uid_t)getpid();
    set_limit(1);
    check_int(setresuid(user, user, user), 0);
    config.workers = WORKERS;
    config.scheduler = "work-stealing";
    unsetenv("LIDO_SCHEDULER");
    check_int(lido_run(&config, serve_on_all_in_the_end, arg), 0);
}

static void workers_get_their_threads_when_there_are_some_again(void **state)
{
    lido_placement placements[] = {LIDO_PLACE_ROUND_ROBIN, LIDO_PLACE_LEAST_LOADED,
                                   LIDO_PLACE_REUSEPORT};
    struct death death;
    (void)state;
    need_root();
    for (size_t i = 0; i < COUNT(placements); i++) {
        death_of(play_recovery, &placements[i], &death);
        if (death.status != 0)
            fprintf(stderr, "placement %d: %s", (int)placements[i], death.told);
        assert_int_equal(death.status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_goes_on_with_the_threads_that_it_has),
        cmocka_unit_test(a_server_goes_on_in_a_container_that_allows_few_threads),
        cmocka_unit_test(workers_get_their_threads_when_there_are_some_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
