/* Spawning, joining, detaching: what lido.h promises of a task from its spawn to its end. */
#include <errno.h>
#include <sched.h>

#include "support/oneshot.h"
#include "support/runtime.h"
#include "task/task.h"

static int return_arg(void *arg)
{
    return *(const int *)arg;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int receive(void *arg)
{
    return oneshot_receive(arg);
}

/* ---- Join ---------------------------------------------------------------------------------------- */

static int join_gives_results(void *arg)
{
    static const int results[] = {0, 1, -1, -EIO, 1 << 30, -2147483647};
    (void)arg;
    for (size_t i = 0; i < COUNT(results); i++)
        check_int(finish(start(return_arg, (void *)&results[i])), results[i]);
    check_int(lido_join(start(nothing, NULL), NULL), 0);
    return 0;
}

static void a_join_gives_the_result(void **state)
{
    (void)state;
    run(join_gives_results);
}

/* INT_MIN would say that the task has not ended. */
static int return_the_reserved_value(void *arg)
{
    (void)arg;
    return LIDO_PENDING;
}

static int join_reserved(void *arg)
{
    (void)arg;
    check_int(finish(start(return_the_reserved_value, NULL)), -EINVAL);
    return 0;
}

static void the_reserved_result_is_refused(void **state)
{
    (void)state;
    run(join_reserved);
}

static int join_other(void *arg)
{
    int result;
    int r = lido_join(arg, &result);
    return r < 0 ? r : result;
}

static int join_twice(void *arg)
{
    struct oneshot oneshot;
    (void)arg;
    oneshot_init(&oneshot);
    lido_task *task = start(receive, &oneshot);
    lido_task *joiner = start(join_other, task);
    int result = 99;
    check_int(lido_yield(), 0); /* the joiner joins */
    check_int(lido_yield(), 0);
    check_int(lido_join(task, &result), -EBUSY);
    check_int(result, 99);
    check_int(finish(start_on(1, join_other, task)), -EBUSY);
    oneshot_send(&oneshot, 5);
    check_int(finish(joiner), 5);
    return 0;
}

static void a_second_join_is_busy(void **state)
{
    (void)state;
    run_pinned_on(2, join_twice, NULL);
}

static int join_self(void *arg)
{
    (void)arg;
    check_int(lido_join(lido_self(), NULL), -EDEADLK);
    check_int(lido_stop(lido_self(), NULL), -EDEADLK);
    check(!lido_is_cancelled());
    return 0;
}

static void a_task_cannot_wait_for_itself(void **state)
{
    (void)state;
    run(join_self);
}

static int join_across(void *arg)
{
    static const int seven = 7;
    (void)arg;
    for (int i = 0; i < 200; i++)
        check_int(finish(start_on(1, return_arg, (void *)&seven)), 7);
    return 0;
}

static void a_task_of_another_worker_can_be_joined(void **state)
{
    (void)state;
    run_on(2, join_across, NULL);
}

static int join_in_time(void *arg)
{
    struct oneshot oneshot;
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        oneshot_init(&oneshot);
        lido_task *task = start_on(worker, receive, &oneshot);
        int result = 99;
        for (int i = 0; i < 3; i++) {
            lido_within(2);
            check_int(lido_join(task, &result), -ETIMEDOUT);
            check_int(result, 99);
        }
        oneshot_send(&oneshot, 8);
        check_int(finish(task), 8);
    }
    return 0;
}

static void a_join_that_times_out_keeps_the_handle(void **state)
{
    (void)state;
    run_on(2, join_in_time, NULL);
}

static void *send_from_thread(void *arg)
{
    oneshot_send(arg, 4);
    return NULL;
}

static void a_plain_thread_can_join(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    for (int i = 0; i < 100; i++) {
        struct oneshot oneshot;
        int result;
        oneshot_init(&oneshot);
        lido_task *task = runtime_start_on(runtime, i % 2, receive, &oneshot);
        pthread_t thread = thread_start(send_from_thread, &oneshot);
        check_int(lido_join(task, &result), 0);
        check_int(result, 4);
        thread_join(thread);
    }
    runtime_end(runtime);
}

static void *join_in_thread(void *arg)
{
    return lido_join(arg, NULL) == 0 ? arg : NULL;
}

static bool a_thread_joins(void *arg)
{
    const lido_task *task = arg;
    return lido__load(&task->state.word, LIDO__RELAXED) & LIDO__THREAD;
}

static void a_join_beside_a_thread_that_joins_is_busy(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct oneshot oneshot;
    oneshot_init(&oneshot);
    lido_task *task = runtime_start(runtime, receive, &oneshot);
    pthread_t thread = thread_start(join_in_thread, task);
    while (!a_thread_joins(task))
        sched_yield();
    check_int(lido_join(task, NULL), -EBUSY);
    check_int(lido_block_on(runtime, join_other, task), -EBUSY);
    oneshot_send(&oneshot, 1);
    thread_join(thread);
    runtime_end(runtime);
}

/* ---- Handles ------------------------------------------------------------------------------------- */

static int handle_states(void *arg)
{
    struct oneshot oneshot;
    (void)arg;
    oneshot_init(&oneshot);
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.name = "receiver";
    check_int(lido_spawn_with(&task, receive, &oneshot, &options), 0);
    check_string(lido_task_name(task), "receiver");
    check(lido_task_name(lido_self()) == NULL);
    check(!lido_task_is_done(task));
    oneshot_send(&oneshot, 0);
    while (!lido_task_is_done(task))
        check_int(lido_yield(), 0);
    check_string(lido_task_name(task), "receiver");
    check_int(finish(task), 0);
    lido_detach(NULL);
    return 0;
}

static void a_handle_knows_name_and_end(void **state)
{
    (void)state;
    run(handle_states);
}

static int raise_flag(void *arg)
{
    flag_raise(arg);
    return 0;
}

static int detach_and_go(void *arg)
{
    for (unsigned worker = 0; worker < 2; worker++)
        lido_detach(start_on(worker, raise_flag, (struct flag *)arg + worker));
    return 0;
}

static void a_detached_task_goes_on(void **state)
{
    struct flag flags[2] = {{0}, {0}};
    (void)state;
    run_on(2, detach_and_go, flags);
    check(flag_is_up(&flags[0]) && flag_is_up(&flags[1]));
}

static void *detach_in_thread(void *arg)
{
    lido_detach(arg);
    return NULL;
}

static void a_handle_may_be_given_back_by_any_thread_at_any_time(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    for (int i = 0; i < 200; i++) {
        lido_task *task = runtime_start(runtime, nothing, NULL);
        pthread_t thread = thread_start(detach_in_thread, task);
        thread_join(thread);
    }
    runtime_end(runtime);
}

/* Its memory stays as long as the handle, also beyond the runtime. */
static void a_handle_outlives_its_runtime(void **state)
{
    static const int nine = 9;
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    lido_task *task = runtime_start(runtime, return_arg, (void *)&nine);
    int result;
    runtime_end(runtime);
    check(lido_task_is_done(task));
    lido_cancel(task);
    check_int(lido_join(task, &result), 0);
    check_int(result, 9);
}

/* ---- Order and fairness ---------------------------------------------------------------------------- */

struct trace {
    int seen[64];
    int count;
};

struct step {
    struct trace *trace;
    int number;
};

static int note_step(void *arg)
{
    struct step *step = arg;
    step->trace->seen[step->trace->count++] = step->number;
    return 0;
}

static int spawn_in_order(void *arg)
{
    struct trace trace = {.count = 0};
    struct step steps[10];
    (void)arg;
    for (int i = 0; i < 10; i++) {
        steps[i] = (struct step){&trace, i};
        check_int(lido_spawn(NULL, note_step, &steps[i]), 0);
    }
    check_int(trace.count, 0); /* none before this task waits */
    check_int(lido_yield(), 0);
    check_int(trace.count, 10);
    for (int i = 0; i < 10; i++)
        check_int(trace.seen[i], i);
    return 0;
}

static void tasks_run_in_the_order_of_their_spawns_after_the_next_wait(void **state)
{
    (void)state;
    run(spawn_in_order);
}

static int take_turns(void *arg)
{
    struct step *step = arg;
    for (int i = 0; i < 8; i++) {
        step->trace->seen[step->trace->count++] = step->number;
        check_int(lido_yield(), 0);
    }
    return 0;
}

static int yield_in_turn(void *arg)
{
    struct trace trace = {.count = 0};
    struct step steps[8];
    lido_task *tasks[8];
    (void)arg;
    for (int i = 0; i < 8; i++) {
        steps[i] = (struct step){&trace, i};
        tasks[i] = start(take_turns, &steps[i]);
    }
    for (int i = 0; i < 8; i++)
        check_int(finish(tasks[i]), 0);
    check_int(trace.count, 64);
    for (int i = 0; i < 64; i++)
        check_int(trace.seen[i], i % 8);
    return 0;
}

static void yields_go_round(void **state)
{
    (void)state;
    run(yield_in_turn);
}

/* Tasks that yield for ever do not keep a timer or another thread's task from its turn. */
static int yield_until(void *arg)
{
    while (!flag_is_up(arg))
        check_int(lido_yield(), 0);
    return 0;
}

static int sleep_among_yielders(void *arg)
{
    struct flag enough = {0};
    (void)arg;
    lido_task *tasks[3];
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = start(yield_until, &enough);
    for (int i = 0; i < 20; i++) {
        check_int(lido_sleep(1), 0);
        check_int(finish(start_pinned(1, nothing, NULL)), 0);
    }
    flag_raise(&enough);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void yielding_tasks_starve_neither_timers_nor_mail(void **state)
{
    (void)state;
    run_pinned_on(2, sleep_among_yielders, NULL);
}

/* ---- Outside --------------------------------------------------------------------------------------- */

static void outside_of_tasks_there_is_no_runtime(void **state)
{
    lido_task *untouched = NULL;
    (void)state;
    check_int(lido_spawn(&untouched, nothing, NULL), -ENXIO);
    check(untouched == NULL);
    check_int(lido_yield(), -ENXIO);
    check_int(lido_sleep(1), -ENXIO);
    check_int(lido_sleep(-1), -ENXIO);
    check_int(lido_worker_index(), -ENXIO);
    check_int(lido_worker_count(), -ENXIO);
    check(lido_self() == NULL);
    check(lido_runtime_current() == NULL);
    check(!lido_is_cancelled());
    check_int(lido_stop(NULL, NULL), 0);
}

static int look_inside(void *arg)
{
    (void)arg;
    check_int(lido_worker_count(), 3);
    check(lido_worker_index() >= 0 && lido_worker_index() < 3);
    check(lido_runtime_current() != NULL);
    check(lido_self() != NULL);
    return 0;
}

static void inside_a_task_knows_where_it_is(void **state)
{
    (void)state;
    run_on(3, look_inside, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_join_gives_the_result),
        cmocka_unit_test(the_reserved_result_is_refused),
        cmocka_unit_test(a_second_join_is_busy),
        cmocka_unit_test(a_task_cannot_wait_for_itself),
        cmocka_unit_test(a_task_of_another_worker_can_be_joined),
        cmocka_unit_test(a_join_that_times_out_keeps_the_handle),
        cmocka_unit_test(a_plain_thread_can_join),
        cmocka_unit_test(a_join_beside_a_thread_that_joins_is_busy),
        cmocka_unit_test(a_handle_knows_name_and_end),
        cmocka_unit_test(a_detached_task_goes_on),
        cmocka_unit_test(a_handle_may_be_given_back_by_any_thread_at_any_time),
        cmocka_unit_test(a_handle_outlives_its_runtime),
        cmocka_unit_test(tasks_run_in_the_order_of_their_spawns_after_the_next_wait),
        cmocka_unit_test(yields_go_round),
        cmocka_unit_test(yielding_tasks_starve_neither_timers_nor_mail),
        cmocka_unit_test(outside_of_tasks_there_is_no_runtime),
        cmocka_unit_test(inside_a_task_knows_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
