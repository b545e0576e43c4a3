/* Which worker a new task goes to. The tasks are pinned: others may be elsewhere by the time that they run. */
#include <errno.h>
#include <sched.h>

#include "sched/worker.h"
#include "support/runtime.h"

enum { WORKERS = 4 };

static int where_am_i(void *arg)
{
    (void)arg;
    return lido_worker_index();
}

static lido_spawn_options placed(lido_placement placement, unsigned worker)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = placement;
    options.worker = worker;
    options.mobility = LIDO_PINNED;
    return options;
}

static lido_task *spawn_placed(lido_runtime *runtime, lido_placement placement, unsigned worker)
{
    lido_spawn_options options = placed(placement, worker);
    lido_task *task;
    check_int(lido_runtime_spawn_with(runtime, &task, where_am_i, NULL, &options), 0);
    return task;
}

/* ---- Round-robin ----------------------------------------------------------------------------------- */

static void spawns_from_outside_go_round(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(WORKERS);
    int first = -1;
    for (int i = 0; i < 5 * WORKERS; i++) {
        int worker;
        check_int(lido_join(spawn_placed(runtime, LIDO_PLACE_DEFAULT, 0), &worker), 0);
        if (i == 0)
            first = worker;
        check_int(worker, (first + i) % WORKERS);
    }
    runtime_end(runtime);
}

static void check_each_worker_twice(lido_task *tasks[2 * WORKERS])
{
    unsigned count[WORKERS] = {0};
    for (int i = 0; i < 2 * WORKERS; i++)
        count[finish(tasks[i])]++;
    for (int i = 0; i < WORKERS; i++)
        check_int(count[i], 2);
}

static int spawn_as_root(void *arg)
{
    lido_task *tasks[2 * WORKERS];
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = spawn_placed(NULL, LIDO_PLACE_DEFAULT, 0);
    check_each_worker_twice(tasks);
    return 0;
}

static void spawns_of_a_root_go_round(void **state)
{
    (void)state;
    run_on(WORKERS, spawn_as_root, NULL);
    lido_runtime *runtime = runtime_of(WORKERS);
    check_int(lido_block_on(runtime, spawn_as_root, NULL), 0);
    runtime_end(runtime);
}

static int spawn_round(void *arg)
{
    lido_task *tasks[2 * WORKERS];
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = spawn_placed(NULL, LIDO_PLACE_ROUND_ROBIN, 0);
    check_each_worker_twice(tasks);
    return 0;
}

static void a_task_may_ask_for_the_round(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(WORKERS);
    check_int(finish(runtime_start_pinned(runtime, 0, spawn_round, NULL)), 0);
    runtime_end(runtime);
}

/* ---- Local ------------------------------------------------------------------------------------------ */

static int spawn_deep(void *arg)
{
    int depth = *(int *)arg - 1;
    int here = lido_worker_index();
    if (depth == 0)
        return here;
    lido_spawn_options options = placed(LIDO_PLACE_DEFAULT, 0);
    lido_task *task;
    check_int(lido_spawn_with(&task, spawn_deep, &depth, &options), 0);
    int there = finish(task);
    check_int(lido_worker_index(), here);
    check_int(there, here);
    return here;
}

static void a_tasks_own_spawns_stay_on_its_worker(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        int depth = 10;
        check_int(finish(runtime_start_pinned(runtime, i, spawn_deep, &depth)), i);
    }
    runtime_end(runtime);
}

static int spawn_locally_as_root(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2 * WORKERS; i++)
        check_int(finish(spawn_placed(NULL, LIDO_PLACE_LOCAL, 0)), lido_worker_index());
    return 0;
}

static void a_root_may_ask_for_its_own_worker(void **state)
{
    (void)state;
    run_on(WORKERS, spawn_locally_as_root, NULL);
}

/* From outside there is no own worker: as the default. */
static void local_from_outside_is_the_policy(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(WORKERS);
    lido_task *tasks[2 * WORKERS];
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = spawn_placed(runtime, LIDO_PLACE_LOCAL, 0);
    check_each_worker_twice(tasks);
    runtime_end(runtime);
}

/* ---- Least loaded ------------------------------------------------------------------------------------ */

static lido_runtime *least_loaded_runtime(void)
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    config.workers = WORKERS;
    config.placement = LIDO_PLACE_LEAST_LOADED;
    check_int(lido_runtime_new(&runtime, &config), 0);
    return runtime;
}

struct computing {
    struct flag started;
    struct flag told;
};

static int compute(void *arg)
{
    struct computing *computing = arg;
    flag_raise(&computing->started);
    flag_await(&computing->told);
    return 0;
}

/* While the workers take nothing in, a burst from outside: those that are on their way count. */
static void check_burst(lido_placement placement)
{
    lido_runtime *runtime = least_loaded_runtime();
    struct computing computing[WORKERS] = {0};
    lido_task *busy[WORKERS], *tasks[2 * WORKERS];
    for (unsigned i = 0; i < WORKERS; i++) {
        busy[i] = runtime_start_pinned(runtime, i, compute, &computing[i]);
        flag_await(&computing[i].started);
    }
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = spawn_placed(runtime, placement, 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        flag_raise(&computing[i].told);
        check_int(finish(busy[i]), 0);
    }
    check_each_worker_twice(tasks);
    runtime_end(runtime);
}

static void a_burst_is_spread_over_the_least_loaded(void **state)
{
    (void)state;
    check_burst(LIDO_PLACE_DEFAULT);
    check_burst(LIDO_PLACE_LEAST_LOADED);
    check_burst(LIDO_PLACE_LOCAL);
}

static int be_load(void *arg)
{
    (void)arg;
    return lido_sleep(INT64_MAX);
}

static void a_loaded_worker_is_avoided(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    lido_task *loaders[3];
    for (size_t i = 0; i < COUNT(loaders); i++)
        loaders[i] = runtime_start_pinned(runtime, 0, be_load, NULL);
    struct lido__worker *workers = ((struct lido__pool *)runtime)->workers;
    while (lido__load(&workers[0].live, LIDO__RELAXED) < COUNT(loaders))
        sched_yield();
    for (int i = 0; i < 10; i++) {
        int worker;
        check_int(lido_join(spawn_placed(runtime, LIDO_PLACE_LEAST_LOADED, 0), &worker), 0);
        check_int(worker, 1);
    }
    for (size_t i = 0; i < COUNT(loaders); i++)
        check_int(lido_stop(loaders[i], NULL), 0);
    runtime_end(runtime);
}

/* ---- A given worker ----------------------------------------------------------------------------------- */

static void check_refused(lido_runtime *runtime, lido_placement placement, unsigned worker)
{
    lido_spawn_options options = placed(placement, worker);
    lido_task *untouched = NULL;
    check_int(lido_runtime_spawn_with(runtime, &untouched, where_am_i, NULL, &options), -EINVAL);
    check(untouched == NULL);
}

static int place_everywhere(void *arg)
{
    lido_runtime *runtime = arg;
    for (unsigned i = 0; i < WORKERS; i++)
        check_int(finish(spawn_placed(runtime, LIDO_PLACE_WORKER, i)), i);
    check_refused(runtime, LIDO_PLACE_WORKER, WORKERS);
    check_refused(runtime, LIDO_PLACE_WORKER, UINT32_MAX);
    check_refused(runtime, LIDO_PLACE_REUSEPORT, 0);
    check_refused(runtime, (lido_placement)6, 0);
    check_refused(runtime, (lido_placement)-1, 0);
    return 0;
}

static void a_task_goes_to_the_worker_that_is_named(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(WORKERS);
    place_everywhere(runtime);
    check_int(lido_block_on(runtime, place_everywhere, NULL), 0);
    check_int(finish(runtime_start_pinned(runtime, 0, place_everywhere, NULL)), 0);
    runtime_end(runtime);
}

/* ---- Options of another header ------------------------------------------------------------------------ */

static void options_of_no_size_are_refused(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    lido_spawn_options options = {.placement = LIDO_PLACE_WORKER};
    lido_task *untouched = NULL;
    check_int(lido_runtime_spawn_with(runtime, &untouched, where_am_i, NULL, &options), -EINVAL);
    check(untouched == NULL);
    runtime_end(runtime);
}

/* From a header that knew only the name. */
static void options_that_are_cut_short_have_defaults(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    lido_spawn_options options = {
        .size = offsetof(lido_spawn_options, placement),
        .name = "short",
        .placement = (lido_placement)77,
        .worker = 99,
    };
    lido_task *task;
    check_int(lido_runtime_spawn_with(runtime, &task, where_am_i, NULL, &options), 0);
    check_string(lido_task_name(task), "short");
    check_int(lido_join(task, NULL), 0);
    runtime_end(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spawns_from_outside_go_round),
        cmocka_unit_test(spawns_of_a_root_go_round),
        cmocka_unit_test(a_task_may_ask_for_the_round),
        cmocka_unit_test(a_tasks_own_spawns_stay_on_its_worker),
        cmocka_unit_test(a_root_may_ask_for_its_own_worker),
        cmocka_unit_test(local_from_outside_is_the_policy),
        cmocka_unit_test(a_burst_is_spread_over_the_least_loaded),
        cmocka_unit_test(a_loaded_worker_is_avoided),
        cmocka_unit_test(a_task_goes_to_the_worker_that_is_named),
        cmocka_unit_test(options_of_no_size_are_refused),
        cmocka_unit_test(options_that_are_cut_short_have_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
