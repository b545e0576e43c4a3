/*
 * Each thread of a runtime is refused, at each place, once and for good: those that can be had do all of the work, and
 * a thread that was refused is started later.
 */
#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "support/net.h"
#include "support/runtime.h"

enum { WORKERS = 4, CLIENTS = 8, REQUESTS = 10 };

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- Requests ------------------------------------------------------------------------------------- */

static uint32_t served;

static int sleep_a_little(void *arg)
{
    (void)arg;
    usleep(200);
    return 7;
}

/* Each fourth request blocks. */
static int serve_one(void *arg)
{
    lido_stream *stream = arg;
    char text[4];
    check_int(lido_read_all(stream, text, 4, NULL), 4);
    if (lido__fetch_add(&served, 1, LIDO__RELAXED) % 4 == 0)
        check_int(lido_blocking(sleep_a_little, NULL), 7);
    check_int(lido_write_all(stream, text, 4, NULL), 4);
    lido_close(stream);
    return 0;
}

struct service {
    lido_listener *listener;
    lido_placement placement;
};

static int server(void *arg)
{
    struct service *service = arg;
    lido_serve_options options = LIDO_SERVE_OPTIONS_INIT;
    options.placement = service->placement;
    check_int(lido_serve_with(service->listener, serve_one, &options), -ECANCELED);
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

static int serve_all(void *arg)
{
    struct service service = {.placement = *(const lido_placement *)arg};
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    lido_task *clients[CLIENTS];
    lido_within(30000);
    lido__store(&served, 0, LIDO__RELAXED);
    options.reuse_port = true;
    check_int(lido_listen_tcp_with(&service.listener, "127.0.0.1:0", &options), 0);
    lido_task *task = start(server, &service);
    for (int i = 0; i < CLIENTS; i++)
        check_int(lido_spawn(&clients[i], client, service.listener), 0);
    for (int i = 0; i < CLIENTS; i++)
        check_int(finish(clients[i]), 0);
    check_int(lido__load(&served, LIDO__RELAXED), CLIENTS * REQUESTS);
    check(!lido_task_is_done(task));
    check_int(lido_stop(task, NULL), 0);
    lido_listener_close(service.listener);
    return 0;
}

/* ---- Refused at each place ------------------------------------------------------------------------ */

/* With an io-pool the threads of the workers start with the runtime, which says so if one cannot be had. */
static void serve_without(lido_placement placement, uint64_t nth, bool lasts)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = WORKERS;
    (lasts ? lido__fault_plan_from : lido__fault_plan)("pthread_create", nth, -EAGAIN);
    int r = lido_run(&config, serve_all, &placement);
    check_int(r, !runtimes_steal() && nth < WORKERS ? -EAGAIN : 0);
}

static void sweep(lido_placement placement, bool lasts)
{
    bool hit = true;
    for (uint64_t nth = 1; hit && nth < 20; nth++) {
        serve_without(placement, nth, lasts);
        hit = lido__fault_hit() != NULL;
        lido__fault_clear();
    }
    check(!hit);
}

static void nobody_is_lost_whichever_thread_is_refused(void **state)
{
    static const lido_placement placements[] = {LIDO_PLACE_ROUND_ROBIN, LIDO_PLACE_LEAST_LOADED,
                                                LIDO_PLACE_LOCAL, LIDO_PLACE_REUSEPORT};
    (void)state;
    for (size_t i = 0; i < COUNT(placements); i++) {
        sweep(placements[i], false);
        sweep(placements[i], true);
    }
}

/* ---- Spawns --------------------------------------------------------------------------------------- */

static lido_runtime *stealing_runtime(void)
{
    return runtime_by("work-stealing", WORKERS);
}

static int spawn_on(lido_runtime *runtime, lido_task **task, unsigned worker, lido_fn fn)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_WORKER;
    options.mobility = LIDO_PINNED;
    options.worker = worker;
    return lido_runtime_spawn_with(runtime, task, fn, NULL, &options);
}

static int where(void *arg)
{
    (void)arg;
    return lido_worker_index();
}

static void a_worker_that_is_named_has_its_thread_or_the_spawn_says_so(void **state)
{
    lido_runtime *runtime = stealing_runtime();
    lido_task *task;
    (void)state;
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    for (int i = 0; i < 3; i++)
        check_int(spawn_on(runtime, &task, 2, where), -EAGAIN);
    check_int(lido__fault_count(), 3); /* who has no other choice is not put off */
    lido__fault_clear();
    check_int(spawn_on(runtime, &task, 2, where), 0);
    check_int(finish(task), 2);
    runtime_end(runtime);
}

static void a_spawn_goes_to_the_worker_that_has_a_thread(void **state)
{
    static const lido_placement placements[] = {LIDO_PLACE_DEFAULT, LIDO_PLACE_ROUND_ROBIN,
                                                LIDO_PLACE_LEAST_LOADED, LIDO_PLACE_LOCAL};
    lido_runtime *runtime = stealing_runtime();
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    (void)state;
    check_int(spawn_on(runtime, NULL, 2, nothing), 0);
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    for (size_t i = 0; i < 8 * COUNT(placements); i++) {
        options.placement = placements[i % COUNT(placements)];
        check_int(lido_runtime_spawn_with(runtime, &task, where, NULL, &options), 0);
        check_int(finish(task), 2);
    }
    check(lido__fault_hit() != NULL);
    lido__fault_clear();
    runtime_end(runtime);
}

static void without_any_thread_a_spawn_fails_and_a_later_one_does_not(void **state)
{
    lido_runtime *runtime = stealing_runtime();
    lido_task *task = NULL;
    (void)state;
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    check_int(lido_runtime_spawn(runtime, &task, where, NULL), -EAGAIN);
    check_int(lido_runtime_spawn(runtime, &task, where, NULL), -EAGAIN);
    check(task == NULL);
    lido__fault_clear();
    check_int(lido_runtime_spawn(runtime, &task, nothing, NULL), 0);
    check_int(finish(task), 0);
    runtime_end(runtime);
}

/* ---- Later ---------------------------------------------------------------------------------------- */

static uint32_t workers_seen;

/* Keeps its worker busy for longer than a slice, so that others are called. */
static int compute(void *arg)
{
    uint64_t until = lido_now() + 300000;
    (void)arg;
    while (lido_now() < until) {}
    lido__fetch_or(&workers_seen, 1u << lido_worker_index(), LIDO__RELAXED);
    return 0;
}

static bool all_work(void *arg)
{
    lido_task *tasks[4 * WORKERS];
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(lido_spawn(&tasks[i], compute, NULL), 0);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return lido__load(&workers_seen, LIDO__RELAXED) == (1u << WORKERS) - 1;
}

static int come_back(void *arg)
{
    (void)arg;
    lido__store(&workers_seen, 0, LIDO__RELAXED);
    for (int i = 0; i < 10; i++)
        check(!all_work(NULL));
    check(lido__fault_hit() != NULL);
    check_int(__builtin_popcount(workers_seen), 1);
    lido__fault_clear();
    await_that(all_work, NULL);
    return 0;
}

/* Also a worker that was called in vain is called again. */
static void threads_that_were_refused_are_started_later(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = WORKERS;
    config.scheduler = "work-stealing";
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    check_int(lido_run(&config, come_back, NULL), 0);
}

/* A spawn asks for no thread each time: that costs 30 us. */
static int spawn_many(void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    (void)arg;
    options.placement = LIDO_PLACE_ROUND_ROBIN;
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    uint64_t began = lido_now();
    for (int i = 0; i < 10000; i++) {
        check_int(lido_spawn_with(&task, nothing, NULL, &options), 0);
        check_int(finish(task), 0);
    }
    uint64_t ms = (lido_now() - began) / 1000000;
    /* Each millisecond at most; and the monitor's own. */
    check(lido__fault_count() <= ms + 10);
    lido__fault_clear();
    return 0;
}

static void a_thread_that_was_refused_is_not_asked_for_by_each_spawn(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = WORKERS;
    config.scheduler = "work-stealing";
    check_int(lido_run(&config, spawn_many, NULL), 0);
}

/* Nor for the monitor, whenever a worker wakes. */
static int wake_often(void *arg)
{
    (void)arg;
    uint64_t began = lido_now();
    for (int i = 0; i < 2000; i++)
        check_int(lido_sleep_until(lido_now() + 1000), 0);
    uint64_t ms = (lido_now() - began) / 1000000;
    check(lido__fault_hit() != NULL);
    check(lido__fault_count() <= ms / 4 + 10);
    lido__fault_clear();
    return 0;
}

static void a_monitor_that_was_refused_is_not_asked_for_at_each_wake_up(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = WORKERS;
    config.scheduler = "work-stealing";
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    check_int(lido_run(&config, wake_often, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_lost_whichever_thread_is_refused),
        cmocka_unit_test(a_worker_that_is_named_has_its_thread_or_the_spawn_says_so),
        cmocka_unit_test(a_spawn_goes_to_the_worker_that_has_a_thread),
        cmocka_unit_test(without_any_thread_a_spawn_fails_and_a_later_one_does_not),
        cmocka_unit_test(threads_that_were_refused_are_started_later),
        cmocka_unit_test(a_thread_that_was_refused_is_not_asked_for_by_each_spawn),
        cmocka_unit_test(a_monitor_that_was_refused_is_not_asked_for_at_each_wake_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
