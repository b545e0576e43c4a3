/* Draining, going from rung to rung, and the calls that end a runtime besides lido_shutdown. */
#include <errno.h>

#include "os/os.h"
#include "support/gate.h"
#include "support/oneshot.h"
#include "support/reports.h"
#include "support/runtime.h"

/* ---- Tasks -------------------------------------------------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_for(void *arg)
{
    const int64_t *ms = arg;
    return lido_sleep(*ms);
}

static int sleep_long(void *arg)
{
    (void)arg;
    return lido_sleep(3600000);
}

static int yield_until_told(void *arg)
{
    const struct flag *told = arg;
    while (!flag_is_up(told))
        lido_yield();
    return 0;
}

static int end_poll(lido_future *future, const lido_waker *waker)
{
    (void)future;
    (void)waker;
    check(!"a future that was refused is not polled");
    return 0;
}

/* ---- Draining ----------------------------------------------------------------------------------- */

/* What a task does to get to its end while its runtime is drained. */
struct work {
    struct oneshot oneshot;
    uint32_t done;
};

static int do_part(void *arg)
{
    struct work *work = arg;
    check_int(lido_yield(), 0);
    lido__fetch_add(&work->done, 1, LIDO__RELAXED);
    return 0;
}

static int do_part_in_a_section(void *arg)
{
    struct work *work = arg;
    lido__fetch_add(&work->done, 1, LIDO__RELAXED);
    return 0;
}

static int work_with_helpers(void *arg)
{
    struct work *work = arg;
    int r = oneshot_receive(&work->oneshot);
    if (r < 0)
        return r;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_WORKER;
    for (options.worker = 0; options.worker < 2; options.worker++)
        check_int(lido_spawn_with(NULL, do_part, work, &options), 0);
    options.placement = LIDO_PLACE_ROUND_ROBIN;
    check_int(lido_spawn_with(NULL, do_part, work, &options), 0);
    check_int(lido_spawn(NULL, do_part, work), 0);
    check_int(lido_spawn_blocking(NULL, do_part_in_a_section, work), 0);
    return r;
}

static int spawn_there(void *runtime)
{
    return lido_runtime_spawn(runtime, NULL, nothing, NULL);
}

static int spawn_there_from_a_section(void *runtime)
{
    return lido_blocking(spawn_there, runtime);
}

static void check_refused(lido_runtime *runtime)
{
    lido_task *untouched = NULL;
    lido_future future = {end_poll};
    lido_runtime *other = runtime_of(1);
    check_int(lido_runtime_spawn(runtime, &untouched, nothing, NULL), -ESHUTDOWN);
    check_int(lido_runtime_spawn_future(runtime, &untouched, &future), -ESHUTDOWN);
    check_int(lido_block_on(runtime, nothing, NULL), -ESHUTDOWN);
    check_int(lido_block_on(other, spawn_there, runtime), -ESHUTDOWN);
    check_int(lido_block_on(other, spawn_there_from_a_section, runtime), -ESHUTDOWN);
    check(untouched == NULL);
    runtime_end(other);
}

static void drain_refuses_others_and_lets_tasks_work_to_their_end(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct work work = {.done = 0};
    int result;
    oneshot_init(&work.oneshot);
    lido_task *task = runtime_start(runtime, work_with_helpers, &work);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_DRAIN, 1, NULL, NULL), -ETIMEDOUT);
    check_refused(runtime);
    check(!lido_task_is_done(task));
    oneshot_send(&work.oneshot, 7);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_DRAIN, -1, NULL, NULL), 0);
    check_int(work.done, 5);
    check_int(lido_join(task, &result), 0);
    check_int(result, 7);
}

static void after_a_drain_that_timed_out_spawns_remain_refused(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct flag told = {0};
    lido_task *task = runtime_start(runtime, yield_until_told, &told);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_DRAIN, 0, NULL, NULL), -ETIMEDOUT);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 0, NULL, NULL), -ETIMEDOUT);
    check_refused(runtime);
    flag_raise(&told);
    check_int(lido_join(task, NULL), 0);
    check_refused(runtime); /* idle, and not ended */
    runtime_end(runtime);
}

static void drain_an_idle_runtime_ends_at_once(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        check_int(lido_shutdown(runtime_of(2), LIDO_SHUTDOWN_DRAIN, -1, NULL, NULL), 0);
}

/* ---- Escalating --------------------------------------------------------------------------------- */

static void within_what_ends_by_itself_is_not_cancelled(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    int64_t ms = 20;
    int result;
    lido_task *task = runtime_start(runtime, sleep_for, &ms);
    check_int(lido_shutdown_within(runtime, 3600000, 0, NULL, NULL), 0);
    check_int(lido_join(task, &result), 0);
    check_int(result, 0);
}

static void within_what_does_not_end_is_cancelled_and_not_before(void **state)
{
    enum { DRAIN = 30 };
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct reports reports = {0};
    uint64_t began = lido_now();
    int result;
    lido_task *task = runtime_start(runtime, sleep_long, NULL);
    check_int(lido_shutdown_within(runtime, DRAIN, -1, note, &reports), 0);
    check(lido_now() - began >= (uint64_t)DRAIN * 1000000);
    check_int(reports.count, 0);
    check_int(lido_join(task, &result), 0);
    check_int(result, -ECANCELED);
}

static void within_what_ignores_that_is_reported_and_can_be_waited_for(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct reports reports = {0};
    struct flag told = {0};
    lido_task *sleeper = start_named(runtime, "sleeper", sleep_long, NULL);
    lido_task *task = start_named_on(runtime, 1, "stubborn", yield_until_told, &told);
    check_int(lido_shutdown_within(runtime, 1, 20, note, &reports), -ETIMEDOUT);
    check_int(lido_join(sleeper, NULL), 0);
    check_int(reported(&reports, "stubborn")->worker, 1);
    check_int(reports.count, 1);
    flag_raise(&told);
    check_int(lido_shutdown_within(runtime, -1, 0, note, &reports), 0);
    check_int(reports.count, 1);
    lido_detach(task);
}

/* ---- Freeing ------------------------------------------------------------------------------------ */

static void free_cancels_and_waits_as_long_as_it_takes(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    int result;
    lido_task *task = runtime_start(runtime, sleep_long, NULL);
    check_int(lido_runtime_free(NULL), 0);
    check_int(lido_runtime_free(runtime), 0);
    check_int(lido_join(task, &result), 0);
    check_int(result, -ECANCELED);
}

/* ---- Who may not -------------------------------------------------------------------------------- */

static int try_all(void *arg)
{
    lido_runtime *own = lido_runtime_current();
    (void)arg;
    check_int(lido_shutdown(own, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), -EDEADLK);
    check_int(lido_shutdown_within(own, -1, -1, NULL, NULL), -EDEADLK);
    check_int(lido_runtime_free(own), -EDEADLK);
    return 0;
}

static void a_task_cannot_end_its_own_runtime(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    check_int(lido_block_on(runtime, try_all, NULL), 0);
    check_int(lido_block_on(runtime, nothing, NULL), 0); /* nothing was refused by that */
    runtime_end(runtime);
}

static int end_it(void *runtime)
{
    check_int(lido_shutdown_within(runtime, -1, -1, NULL, NULL), -EPERM);
    return lido_runtime_free(runtime);
}

static int end_own_from_a_section(void *arg)
{
    (void)arg;
    return lido_blocking(end_it, lido_runtime_current());
}

static void the_runtime_of_lido_run_is_ended_by_lido_run_alone(void **state)
{
    (void)state;
    check_int(lido_run(NULL, end_own_from_a_section, NULL), -EPERM);
}

static void *end_on_idle(void *runtime)
{
    int r;
    while ((r = lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL)) == -EBUSY)
        lido__thread_yield();
    check_int(r, 0);
    return NULL;
}

/* The second call changes nothing for the first, which is the one that ends the runtime. */
static void while_one_call_waits_a_second_one_is_told(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct flag told = {0};
    int r;
    check_int(lido_runtime_spawn(runtime, NULL, yield_until_told, &told), 0);
    pthread_t thread = thread_start(end_on_idle, runtime);
    while ((r = lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 0, NULL, NULL)) == -ETIMEDOUT)
        lido__thread_yield();
    check_int(r, -EBUSY);
    check_int(lido_runtime_free(runtime), -EBUSY);
    check_int(lido_block_on(runtime, nothing, NULL), 0);
    flag_raise(&told);
    thread_join(thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drain_refuses_others_and_lets_tasks_work_to_their_end),
        cmocka_unit_test(after_a_drain_that_timed_out_spawns_remain_refused),
        cmocka_unit_test(drain_an_idle_runtime_ends_at_once),
        cmocka_unit_test(within_what_ends_by_itself_is_not_cancelled),
        cmocka_unit_test(within_what_does_not_end_is_cancelled_and_not_before),
        cmocka_unit_test(within_what_ignores_that_is_reported_and_can_be_waited_for),
        cmocka_unit_test(free_cancels_and_waits_as_long_as_it_takes),
        cmocka_unit_test(a_task_cannot_end_its_own_runtime),
        cmocka_unit_test(the_runtime_of_lido_run_is_ended_by_lido_run_alone),
        cmocka_unit_test(while_one_call_waits_a_second_one_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
