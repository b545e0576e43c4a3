/* Cancelling: what a task awaits, and everything that it awaits from then on, returns -ECANCELED. */
#include <errno.h>
#include <sched.h>

#include "support/oneshot.h"
#include "support/runtime.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return lido_sleep(3600000);
}

static int receive(void *arg)
{
    return oneshot_receive(arg);
}

static int join_other(void *arg)
{
    int result;
    int r = lido_join(arg, &result);
    return r < 0 ? r : result;
}

/* Runs `waiter` on that worker until it waits, cancels it, and expects it to say so. */
static void check_cancelled(unsigned worker, lido_fn waiter, void *arg)
{
    lido_task *task = start_on(worker, waiter, arg);
    check_int(lido_sleep(1), 0);
    check(!lido_task_is_done(task));
    lido_cancel(task);
    check_int(finish(task), -ECANCELED);
}

/* ---- What is awaited ------------------------------------------------------------------------------ */

static int cancel_each_wait(void *arg)
{
    struct oneshot oneshot;
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        oneshot_init(&oneshot);
        lido_task *target = start_on(worker, receive, &oneshot);
        check_cancelled(worker, sleep_long, NULL);
        check_cancelled(0, join_other, target);
        check_cancelled(1, join_other, target);
        oneshot_send(&oneshot, 6);
        check_int(finish(target), 6);
    }
    return 0;
}

static void what_is_awaited_returns_canceled(void **state)
{
    (void)state;
    run_on(2, cancel_each_wait, NULL);
}

/* ---- Everything after ------------------------------------------------------------------------------ */

static int wait_in_all_ways(void *arg)
{
    lido_task *done = arg;
    lido_interval interval;
    check_int(lido_sleep(3600000), -ECANCELED);
    check(lido_is_cancelled());
    check_int(lido_sleep(3600000), -ECANCELED);
    check_int(lido_sleep(0), -ECANCELED);
    check_int(lido_sleep(-5), -ECANCELED);
    check_int(lido_sleep_until(UINT64_MAX), -ECANCELED);
    check_int(lido_yield(), -ECANCELED);
    check_int(lido_interval_init(&interval, 1, LIDO_MISSED_BURST), 0);
    check_int(lido_interval_tick(&interval), -ECANCELED);
    check_int(lido_join(done, NULL), -ECANCELED);
    check_int(lido_stop(done, NULL), 0);
    return 3;
}

static int cancel_and_join(void *arg)
{
    (void)arg;
    lido_task *task = start(wait_in_all_ways, start(nothing, NULL));
    check_int(lido_sleep(1), 0);
    lido_cancel(task);
    lido_cancel(task);
    check_int(finish(task), 3);
    check(!lido_is_cancelled());
    return 0;
}

static void everything_after_returns_canceled_too(void **state)
{
    (void)state;
    run(cancel_and_join);
}

static int cancel_self(void *arg)
{
    (void)arg;
    lido_cancel(lido_self());
    check(lido_is_cancelled());
    check_int(lido_sleep(1), -ECANCELED);
    return 0;
}

static void a_task_can_cancel_itself(void **state)
{
    (void)state;
    run(cancel_self);
}

static int note_and_sleep(void *arg)
{
    flag_raise(arg);
    return lido_sleep(1);
}

static int cancel_before_start(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        struct flag ran = {0};
        lido_task *task = start_on(worker, note_and_sleep, &ran);
        lido_cancel(task);
        int result = finish(task);
        check(flag_is_up(&ran)); /* every future runs to its end, and so has a beginning */
        check(result == -ECANCELED || (worker == 1 && result == 0));
    }
    return 0;
}

static void a_task_that_is_cancelled_before_its_start_runs(void **state)
{
    (void)state;
    run_pinned_on(2, cancel_before_start, NULL);
}

static void cancelling_what_is_done_does_nothing(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    lido_task *task = runtime_start(runtime, nothing, NULL);
    int result;
    while (!lido_task_is_done(task))
        sched_yield();
    lido_cancel(task);
    check_int(lido_join(task, &result), 0);
    check_int(result, 0);
    runtime_end(runtime);
}

/* Cancelling one task leaves those that it has spawned alone. */
static int spawn_child_and_sleep(void *arg)
{
    lido_task **child = arg;
    *child = start(sleep_long, NULL);
    return lido_sleep(3600000);
}

static int cancel_parent(void *arg)
{
    lido_task *child;
    (void)arg;
    lido_task *parent = start(spawn_child_and_sleep, &child);
    check_int(lido_sleep(1), 0);
    lido_cancel(parent);
    check_int(finish(parent), -ECANCELED);
    check_int(lido_sleep(1), 0);
    check(!lido_task_is_done(child));
    int result;
    check_int(lido_stop(child, &result), 0);
    check_int(result, -ECANCELED);
    return 0;
}

static void children_are_not_cancelled_with_their_parent(void **state)
{
    (void)state;
    run(cancel_parent);
}

/* ---- Stop ----------------------------------------------------------------------------------------- */

/* Takes its time to clean up, in which nothing can be awaited. */
static int clean_up_slowly(void *arg)
{
    check_int(lido_sleep(3600000), -ECANCELED);
    for (int i = 0; i < 50; i++)
        check_int(lido_yield(), -ECANCELED);
    flag_raise(arg);
    return 11;
}

static void check_stopped(lido_task *task, const struct flag *cleaned)
{
    int result;
    check_int(lido_stop(task, &result), 0);
    check_int(result, 11);
    check(flag_is_up(cleaned));
}

static int stop_both(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        struct flag cleaned = {0};
        check_stopped(start_on(worker, clean_up_slowly, &cleaned), &cleaned);
    }
    return 0;
}

static void stop_waits_until_the_task_has_cleaned_up(void **state)
{
    (void)state;
    run_on(2, stop_both, NULL);
}

/* Neither its own cancellation nor its deadline keep a task from stopping others. */
static int stop_while_cancelled(void *arg)
{
    (void)arg;
    lido_cancel(lido_self());
    check_int(lido_sleep(1), -ECANCELED);
    stop_both(NULL);
    check_int(lido_sleep(1), -ECANCELED);
    return 0;
}

static void a_cancelled_task_can_stop_others(void **state)
{
    (void)state;
    run_on(2, stop_while_cancelled, NULL);
}

static int stop_past_the_deadline(void *arg)
{
    struct flag cleaned[2] = {{0}, {0}};
    lido_task *tasks[2];
    (void)arg;
    for (unsigned i = 0; i < 2; i++)
        tasks[i] = start_on(i, clean_up_slowly, &cleaned[i]);
    lido_within(0);
    for (unsigned i = 0; i < 2; i++)
        check_stopped(tasks[i], &cleaned[i]);
    check_int(lido_sleep(1), -ETIMEDOUT);
    return 0;
}

static void a_task_past_its_deadline_can_stop_others(void **state)
{
    (void)state;
    run_on(2, stop_past_the_deadline, NULL);
}

/* Each stops the next while it is being stopped itself. */
static int stop_the_next(void *arg)
{
    int depth = *(int *)arg - 1;
    lido_task *next = depth > 0 ? start_on((unsigned)depth % 2, stop_the_next, &depth) : NULL;
    int result = 0;
    check_int(lido_sleep(3600000), -ECANCELED);
    check_int(lido_stop(next, &result), 0);
    return result + 1;
}

static int stop_a_chain(void *arg)
{
    int depth = 20, result;
    (void)arg;
    lido_task *first = start(stop_the_next, &depth);
    check_int(lido_sleep(1), 0);
    check_int(lido_stop(first, &result), 0);
    check_int(result, 20);
    return 0;
}

static void stops_nest(void **state)
{
    (void)state;
    run_on(2, stop_a_chain, NULL);
}

static void a_plain_thread_can_stop_a_task(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    for (unsigned i = 0; i < 50; i++) {
        int result;
        lido_task *task = runtime_start_on(runtime, i % 2, sleep_long, NULL);
        check_int(lido_stop(task, &result), 0);
        check_int(result, -ECANCELED);
    }
    runtime_end(runtime);
}

static int stop_what_is_done(void *arg)
{
    int result;
    (void)arg;
    lido_task *task = start(nothing, NULL);
    check_int(lido_yield(), 0);
    check(lido_task_is_done(task));
    check_int(lido_stop(task, &result), 0);
    check_int(result, 0);
    return 0;
}

static void stopping_what_is_done_gives_its_result(void **state)
{
    (void)state;
    run(stop_what_is_done);
}

/* The sleeper may have been woken for its time when the cancellation comes: it says one or the other. */
static int sleep_one(void *arg)
{
    (void)arg;
    return lido_sleep(1);
}

static void a_cancellation_that_meets_the_end_of_a_wait_is_harmless(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    for (unsigned i = 0; i < 100; i++) {
        lido_task *task = runtime_start_on(runtime, i % 2, sleep_one, NULL);
        uint64_t until = lido_now() + 900000 + i * 3000;
        while (lido_now() < until)
            sched_yield();
        int result;
        check_int(lido_stop(task, &result), 0);
        check(result == 0 || result == -ECANCELED);
    }
    runtime_end(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_awaited_returns_canceled),
        cmocka_unit_test(everything_after_returns_canceled_too),
        cmocka_unit_test(a_task_can_cancel_itself),
        cmocka_unit_test(a_task_that_is_cancelled_before_its_start_runs),
        cmocka_unit_test(cancelling_what_is_done_does_nothing),
        cmocka_unit_test(children_are_not_cancelled_with_their_parent),
        cmocka_unit_test(stop_waits_until_the_task_has_cleaned_up),
        cmocka_unit_test(a_cancelled_task_can_stop_others),
        cmocka_unit_test(a_task_past_its_deadline_can_stop_others),
        cmocka_unit_test(stops_nest),
        cmocka_unit_test(a_plain_thread_can_stop_a_task),
        cmocka_unit_test(stopping_what_is_done_gives_its_result),
        cmocka_unit_test(a_cancellation_that_meets_the_end_of_a_wait_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
