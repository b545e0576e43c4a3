#include <errno.h>

#include "os/os.h"
#include "support/oneshot.h"
#include "support/runtime.h"

/* ---- Tasks -------------------------------------------------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int receive(void *arg)
{
    return oneshot_receive(arg);
}

struct computing {
    struct flag started;
    struct flag told;
};

/* Until told; never asks lido for anything. */
static int compute(void *arg)
{
    struct computing *computing = arg;
    flag_raise(&computing->started);
    flag_await(&computing->told);
    return 0;
}

/* Waits again and again, whatever that returns. */
static int ignore_cancel(void *arg)
{
    const struct flag *told = arg;
    while (!flag_is_up(told))
        lido_yield();
    return 0;
}

/* ---- On idle ------------------------------------------------------------------------------------ */

static void on_idle_an_idle_runtime_ends_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        runtime_end(runtime_of(2));
}

static int spawn_a_chain(void *arg)
{
    uint32_t *left = arg;
    if (lido__fetch_sub(left, 1, LIDO__RELAXED) == 1)
        return 0;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_ROUND_ROBIN;
    check_int(lido_spawn_with(NULL, spawn_a_chain, left, &options), 0);
    return 0;
}

static void on_idle_waits_for_what_tasks_spawn(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    uint32_t left = 1000;
    check_int(lido_runtime_spawn(runtime, NULL, spawn_a_chain, &left), 0);
    runtime_end(runtime);
    check_int(left, 0);
}

static void on_idle_in_time_returns_timed_out_and_goes_on(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct oneshot oneshot;
    int result;
    oneshot_init(&oneshot);
    lido_task *task = runtime_start(runtime, receive, &oneshot);
    for (int i = 0; i < 3; i++)
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 1, NULL, NULL), -ETIMEDOUT);
    check_int(lido_block_on(runtime, nothing, NULL), 0);
    check(!lido_task_is_done(task));
    oneshot_send(&oneshot, 7);
    check_int(lido_join(task, &result), 0);
    check_int(result, 7);
    /* The time-outs have not left it ending: being idle does not end it. */
    check_int(lido_block_on(runtime, nothing, NULL), 0);
    check_int(lido_block_on(runtime, nothing, NULL), 0);
    runtime_end(runtime);
}

struct last_wake {
    struct computing *computing;
    uint32_t ran;
};

static int count_up(void *arg)
{
    struct last_wake *w = arg;
    lido__fetch_add(&w->ran, 1, LIDO__RELAXED);
    check_int(lido_sleep(1), 0);
    lido__fetch_add(&w->ran, 1, LIDO__RELAXED);
    return 0;
}

/*
 * A worker finds in its inbox the last wake-up of a task that is done, its only one, and after that
 * a new task. Whoever waits for idleness must not see any between the two.
 */
static void a_task_that_comes_with_a_last_wake_up_is_not_lost(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        lido_runtime *runtime = runtime_of(1);
        struct computing computing = {0};
        struct last_wake w = {&computing, 0};
        lido_task *first = runtime_start(runtime, compute, &computing);
        flag_await(&computing.started);
        lido_cancel(first);
        check_int(lido_runtime_spawn(runtime, NULL, count_up, &w), 0);
        flag_raise(&computing.told);
        check_int(lido_join(first, NULL), 0);
        runtime_end(runtime);
        check_int(w.ran, 2);
    }
}

/* ---- Now ---------------------------------------------------------------------------------------- */

static int sleep_long(void *arg)
{
    (void)arg;
    return lido_sleep(3600000);
}

static void now_cancels_what_waits(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    lido_task *tasks[100];
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = runtime_start_on(runtime, i % 2, sleep_long, NULL);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
    for (size_t i = 0; i < COUNT(tasks); i++) {
        int result;
        check(lido_task_is_done(tasks[i]));
        check_int(lido_join(tasks[i], &result), 0);
        check_int(result, -ECANCELED);
    }
}

static int spawn_after_cancel(void *arg)
{
    int *refused = arg;
    int r = lido_sleep(3600000);
    *refused = lido_spawn(NULL, nothing, NULL);
    return r;
}

static void now_refuses_what_tasks_spawn_while_they_clean_up(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    int refused = 0;
    lido_task *task = runtime_start(runtime, spawn_after_cancel, &refused);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
    check_int(refused, -ESHUTDOWN);
    lido_detach(task);
}

static void after_a_shutdown_that_timed_out_spawns_are_refused(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct flag told = {0};
    lido_task *task = runtime_start(runtime, ignore_cancel, &told);
    lido_task *untouched = NULL;
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, 1, NULL, NULL), -ETIMEDOUT);
    check_int(lido_runtime_spawn(runtime, &untouched, nothing, NULL), -ESHUTDOWN);
    check(untouched == NULL);
    check_int(lido_block_on(runtime, nothing, NULL), -ESHUTDOWN);
    flag_raise(&told);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
    lido_detach(task);
}

static int shut_down_own(void *arg)
{
    (void)arg;
    return lido_shutdown(lido_runtime_current(), LIDO_SHUTDOWN_NOW, -1, NULL, NULL);
}

static void a_task_cannot_shut_its_own_runtime_down(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    check_int(lido_block_on(runtime, shut_down_own, NULL), -EDEADLK);
    check_int(lido_block_on(runtime, nothing, NULL), 0);
    check_int(lido_shutdown(runtime, (lido_shutdown_how)7, -1, NULL, NULL), -EINVAL);
    runtime_end(runtime);
}

/* A task that never started also ends, and sees that it was cancelled. */
static void now_runs_tasks_that_had_not_started(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct computing computing = {0};
    lido_task *first = runtime_start(runtime, compute, &computing);
    flag_await(&computing.started);
    lido_task *second = runtime_start(runtime, sleep_long, NULL);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, 1, NULL, NULL), -ETIMEDOUT);
    flag_raise(&computing.told);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
    int result;
    check_int(lido_join(second, &result), 0);
    check_int(result, -ECANCELED);
    lido_detach(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_idle_an_idle_runtime_ends_at_once),
        cmocka_unit_test(on_idle_waits_for_what_tasks_spawn),
        cmocka_unit_test(on_idle_in_time_returns_timed_out_and_goes_on),
        cmocka_unit_test(a_task_that_comes_with_a_last_wake_up_is_not_lost),
        cmocka_unit_test(now_cancels_what_waits),
        cmocka_unit_test(now_refuses_what_tasks_spawn_while_they_clean_up),
        cmocka_unit_test(after_a_shutdown_that_timed_out_spawns_are_refused),
        cmocka_unit_test(a_task_cannot_shut_its_own_runtime_down),
        cmocka_unit_test(now_runs_tasks_that_had_not_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
