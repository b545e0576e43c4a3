/* Tasks that consist of blocking code: where they run, how they end, and how many there may be at once. */
#include <errno.h>

#include "os/os.h"
#include "support/gate.h"
#include "support/runtime.h"

static int seven(void *arg)
{
    (void)arg;
    return 7;
}

static int pass(void *arg)
{
    gate_pass(arg);
    return 7;
}

static lido_task *outsource_to(lido_blocking_pool pool, lido_fn fn, void *arg)
{
    lido_blocking_options options = LIDO_BLOCKING_OPTIONS_INIT;
    lido_task *task;
    options.pool = pool;
    check_int(lido_spawn_blocking_with(&task, fn, arg, &options), 0);
    return task;
}

static lido_task *outsource(lido_fn fn, void *arg)
{
    return outsource_to(LIDO_POOL_USER, fn, arg);
}

/* As often as a task needs that others have woken. */
static void let_others_run(void)
{
    for (int i = 0; i < 5; i++)
        check_int(lido_yield(), 0);
}

/* ---- Where it runs ------------------------------------------------------------------------------ */

static int look_around(void *arg)
{
    int *thread = arg;
    *thread = thread_id();
    check(lido_self() == NULL);
    check_int(lido_worker_index(), -ENXIO);
    check_int(lido_sleep(1), -ENXIO);
    check_int(lido_blocking(seven, NULL), 7);
    return -5;
}

static int on_another_thread(void *arg)
{
    int thread = 0;
    (void)arg;
    check_int(finish(outsource(look_around, &thread)), -5);
    check(thread != 0 && thread != thread_id());
    return 0;
}

static void it_runs_on_a_thread_of_its_own(void **state)
{
    (void)state;
    run(on_another_thread);
    run_on(3, on_another_thread, NULL);
}

static int named(void *arg)
{
    lido_blocking_options options = LIDO_BLOCKING_OPTIONS_INIT;
    lido_task *task;
    (void)arg;
    options.name = "heavy";
    check_int(lido_spawn_blocking_with(&task, seven, NULL, &options), 0);
    check_string(lido_task_name(task), "heavy");
    check_int(finish(task), 7);
    check_int(lido_spawn_blocking(NULL, seven, NULL), 0); /* goes on by itself */
    return 0;
}

static void it_is_a_task_with_a_name(void **state)
{
    (void)state;
    run(named);
}

static int block_on_the_same(void *runtime)
{
    return lido_block_on(runtime, on_another_thread, NULL);
}

static void it_may_be_started_from_any_thread(void **state)
{
    lido_runtime *runtime = runtime_of(1);
    lido_task *task;
    int result, thread = 0;
    (void)state;
    check_int(lido_runtime_spawn_blocking(runtime, &task, look_around, &thread), 0);
    check_int(lido_join(task, &result), 0);
    check_int(result, -5);
    check(thread != thread_id());
    check_int(lido_runtime_spawn_blocking(runtime, &task, block_on_the_same, runtime), 0);
    check_int(lido_join(task, &result), 0);
    check_int(result, 0);
    runtime_end(runtime);
}

static int reserved_result(void *arg)
{
    (void)arg;
    return LIDO_PENDING;
}

static int many(void *arg)
{
    (void)arg;
    check_int(finish(outsource(reserved_result, NULL)), -EINVAL);
    for (int batch = 0; batch < 50; batch++) {
        lido_task *tasks[16];
        for (size_t i = 0; i < COUNT(tasks); i++)
            tasks[i] = outsource(seven, NULL);
        for (size_t i = 0; i < COUNT(tasks); i++)
            check_int(finish(tasks[i]), 7);
    }
    return 0;
}

static void each_has_its_result(void **state)
{
    (void)state;
    run(many);
    run_on(2, many, NULL);
}

/* ---- What is refused ---------------------------------------------------------------------------- */

static int with_bad_options(void *arg)
{
    lido_blocking_options options = LIDO_BLOCKING_OPTIONS_INIT;
    lido_task *untouched = NULL;
    (void)arg;
    options.pool = (lido_blocking_pool)3;
    check_int(lido_spawn_blocking_with(&untouched, seven, NULL, &options), -EINVAL);
    options.pool = (lido_blocking_pool)-1;
    check_int(lido_spawn_blocking_with(&untouched, seven, NULL, &options), -EINVAL);
    options = (lido_blocking_options){.pool = LIDO_POOL_FS};
    check_int(lido_spawn_blocking_with(&untouched, seven, NULL, &options), -EINVAL);
    check(untouched == NULL);
    return 0;
}

struct late {
    lido_runtime *runtime;
    int refused;
};

static void spawn_late(void *arg, unsigned thread)
{
    struct late *late = arg;
    (void)thread;
    late->refused = lido_runtime_spawn_blocking(late->runtime, NULL, seven, NULL);
}

static void what_cannot_be_is_refused(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_task *untouched = NULL;
    struct late late = {0};
    (void)state;
    check_int(lido_spawn_blocking(&untouched, seven, NULL), -ENXIO);
    check(untouched == NULL);
    run(with_bad_options);
    config.workers = 1;
    config.before_stop = spawn_late;
    config.hook_arg = &late;
    check_int(lido_runtime_new(&late.runtime, &config), 0);
    check_int(lido_block_on(late.runtime, seven, NULL), 7); /* there is a thread that can end */
    runtime_end(late.runtime);
    check_int(late.refused, -ESHUTDOWN);
}

/* ---- Limits ------------------------------------------------------------------------------------- */

static int run_limited(lido_fn fn)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    config.max_blocking = config.max_fs = config.max_dns = 1;
    return lido_run(&config, fn, NULL);
}

static int slow_names(void *arg)
{
    struct gate gate = {0};
    (void)arg;
    lido_task *slow = outsource_to(LIDO_POOL_DNS, pass, &gate);
    lido_task *next = outsource_to(LIDO_POOL_DNS, seven, NULL);
    check_int(finish(outsource_to(LIDO_POOL_FS, seven, NULL)), 7);
    check_int(finish(outsource_to(LIDO_POOL_USER, seven, NULL)), 7);
    check_int(lido_blocking(seven, NULL), 7);
    check(!lido_task_is_done(next));
    gate_open(&gate);
    check_int(finish(slow), 7);
    check_int(finish(next), 7);
    return 0;
}

static void each_pool_has_a_limit_of_its_own(void **state)
{
    (void)state;
    check_int(run_limited(slow_names), 0);
}

static int section(void *arg)
{
    return lido_blocking(seven, arg);
}

static int one_limit_for_both(void *arg)
{
    struct gate gate = {0};
    (void)arg;
    lido_task *first = outsource(pass, &gate);
    let_others_run();
    lido_task *second = start(section, NULL);
    let_others_run();
    check(!lido_task_is_done(second));
    gate_open(&gate);
    check_int(finish(first), 7);
    check_int(finish(second), 7);
    return 0;
}

static void sections_and_user_tasks_share_a_limit(void **state)
{
    (void)state;
    check_int(run_limited(one_limit_for_both), 0);
}

struct crowd {
    struct gate gate;
    uint32_t inside;
    uint32_t most;
};

static int enter_crowd(void *arg)
{
    struct crowd *crowd = arg;
    lido__fetch_add(&crowd->inside, 1, LIDO__ACQ_REL);
    gate_pass(&crowd->gate);
    return 0;
}

static int section_in_crowd(void *arg)
{
    return lido_blocking(enter_crowd, arg);
}

enum { WORKERS = 2, USER = 3, FS = 4, DNS = 5, BLOCKED = USER + FS + DNS, GUARD = 1 };

static bool all_are_inside(void *arg)
{
    struct crowd *crowd = arg;
    return lido__load(&crowd->inside, LIDO__ACQUIRE) == BLOCKED;
}

static int crowd_all_pools(void *arg)
{
    struct crowd *crowd = arg;
    lido_task *tasks[40];
    for (unsigned i = 0; i < COUNT(tasks); i++)
        tasks[i] = i % 4 ? outsource_to((lido_blocking_pool)(i % 4 - 1), enter_crowd, crowd)
                         : start_on(i / 4 % WORKERS, section_in_crowd, crowd);
    await_that(all_are_inside, crowd);
    for (int i = 0; i < 100; i++)
        check_int(lido_yield(), 0);
    check_int(crowd->inside, BLOCKED); /* and no more */
    crowd->most = threads_count();
    gate_open(&crowd->gate);
    for (unsigned i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void there_are_no_more_threads_than_all_limits_allow(void **state)
{
    struct crowd crowd = {0};
    lido_config config = LIDO_CONFIG_INIT;
    unsigned before = threads_count();
    (void)state;
    config.workers = WORKERS;
    config.max_blocking = USER;
    config.max_fs = FS;
    config.max_dns = DNS;
    check_int(lido_run(&config, crowd_all_pools, &crowd), 0);
    check_int(crowd.inside, 40);
    /* The caller is one of the workers, and was there before. */
    check(crowd.most - before >= BLOCKED);
    check(crowd.most - before <= WORKERS - 1 + BLOCKED + GUARD);
}

/* ---- Cancellation and deadlines ----------------------------------------------------------------- */

static int count_run(void *arg)
{
    uint32_t *runs = arg;
    lido__fetch_add(runs, 1, LIDO__RELAXED);
    return 0;
}

static int stop_waiting(void *arg)
{
    struct gate gate = {0};
    uint32_t runs = 0;
    int result;
    (void)arg;
    lido_task *first = outsource(pass, &gate);
    let_others_run();
    lido_task *waits = outsource(count_run, &runs);
    let_others_run();
    check_int(lido_stop(waits, &result), 0);
    check_int(result, -ECANCELED);
    lido_task *unstarted = outsource(count_run, &runs);
    check_int(lido_stop(unstarted, &result), 0);
    check_int(result, -ECANCELED);
    {
        lido_within(1);
        waits = outsource(count_run, &runs);
    }
    check_int(finish(waits), -ETIMEDOUT);
    check_int(runs, 0);
    gate_open(&gate);
    check_int(finish(first), 7);
    check_int(lido_blocking(seven, NULL), 7); /* no capacity is lost */
    return 0;
}

static void the_wait_for_its_turn_is_cut_short(void **state)
{
    (void)state;
    check_int(run_limited(stop_waiting), 0);
}

static int has_begun(void *arg)
{
    struct crowd *crowd = arg;
    enter_crowd(crowd);
    return 7;
}

static bool one_is_inside(void *arg)
{
    struct crowd *crowd = arg;
    return lido__load(&crowd->inside, LIDO__ACQUIRE) == 1;
}

static int stop_running(void *arg)
{
    struct crowd crowd = {0};
    lido_task *task;
    (void)arg;
    {
        lido_within(1);
        task = outsource(has_begun, &crowd);
    }
    await_that(one_is_inside, &crowd);
    lido_cancel(task);
    check_int(lido_sleep(3), 0);
    check(!lido_task_is_done(task));
    gate_open(&crowd.gate);
    check_int(finish(task), 7);
    return 0;
}

static void one_that_runs_is_not_cut_short(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        run(stop_running);
}

struct end {
    struct gate *gate;
    lido_task *waits;
};

/* The task that waits is over before the one that runs. */
static void *open_afterwards(void *arg)
{
    struct end *end = arg;
    while (!lido_task_is_done(end->waits))
        lido__thread_yield();
    gate_open(end->gate);
    return NULL;
}

static void shutdown_waits_for_those_that_run_and_cancels_the_others(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    struct crowd crowd = {0};
    lido_task *runs, *waits;
    int result;
    (void)state;
    config.workers = config.max_blocking = 1;
    check_int(lido_runtime_new(&runtime, &config), 0);
    check_int(lido_runtime_spawn_blocking(runtime, &runs, has_begun, &crowd), 0);
    while (!one_is_inside(&crowd))
        lido__thread_yield();
    check_int(lido_runtime_spawn_blocking(runtime, &waits, seven, NULL), 0);
    pthread_t thread = thread_start(open_afterwards, &(struct end){&crowd.gate, waits});
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
    thread_join(thread);
    check_int(lido_join(runs, &result), 0);
    check_int(result, 7);
    check_int(lido_join(waits, &result), 0);
    check_int(result, -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_runs_on_a_thread_of_its_own),
        cmocka_unit_test(it_is_a_task_with_a_name),
        cmocka_unit_test(it_may_be_started_from_any_thread),
        cmocka_unit_test(each_has_its_result),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(each_pool_has_a_limit_of_its_own),
        cmocka_unit_test(sections_and_user_tasks_share_a_limit),
        cmocka_unit_test(there_are_no_more_threads_than_all_limits_allow),
        cmocka_unit_test(the_wait_for_its_turn_is_cut_short),
        cmocka_unit_test(one_that_runs_is_not_cut_short),
        cmocka_unit_test(shutdown_waits_for_those_that_run_and_cancels_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
