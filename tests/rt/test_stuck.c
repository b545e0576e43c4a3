/*
 * A task that is stuck, and what it does to itself meanwhile: its worker is rescued under its feet, and its own
 * wake-up is taken in by the one who rescues. (Most of what could go wrong here only ThreadSanitizer sees.)
 */
#include <errno.h>

#include "support/runtime.h"

struct stuck {
    lido_task *task;
    lido_task *other; /* waits, on the same worker */
    struct flag begun;
    struct flag rescued;
    lido_future future;
};

static const lido_local key;

static int raise_flag(void *arg)
{
    flag_raise(arg);
    return 0;
}

/* The flag is raised by whoever takes this from the worker: after all mail that was sent there before. */
static void await_rescue(lido_runtime *runtime, struct stuck *stuck)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_WORKER;
    options.mobility = LIDO_STEALABLE;
    check_int(lido_runtime_spawn_with(runtime, NULL, raise_flag, &stuck->rescued, &options), 0);
    flag_await(&stuck->rescued);
}

/* `fn` is stuck on the first worker until all that was sent there has been rescued; the second one is idle. */
static void run_stuck(lido_fn fn)
{
    struct stuck stuck = {.rescued = {0}};
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    stuck.task = runtime_start_pinned(runtime, 0, fn, &stuck);
    flag_await(&stuck.begun);
    lido_cancel(stuck.task);
    await_rescue(runtime, &stuck);
    check_int(lido_join(stuck.task, NULL), 0);
    runtime_end(runtime);
}

static int shield_itself(void *arg)
{
    struct stuck *stuck = arg;
    lido_scope scope = LIDO_SCOPE_INIT;
    flag_raise(&stuck->begun);
    while (!flag_is_up(&stuck->rescued))
        check_int(lido_scope_stop(&scope), 0);
    check_int(lido_yield(), -ECANCELED);
    return 0;
}

static void a_stuck_task_may_stop_others(void **state)
{
    (void)state;
    run_stuck(shield_itself);
}

static int set_local(void *arg)
{
    struct stuck *stuck = arg;
    flag_raise(&stuck->begun);
    check_int(lido_local_set(&key, stuck), 0);
    flag_await(&stuck->rescued);
    check(lido_local_get(&key) == stuck);
    check_int(lido_yield(), -ECANCELED);
    return 0;
}

static void a_stuck_task_may_have_locals(void **state)
{
    (void)state;
    run_stuck(set_local);
}

static int end_late(void *arg)
{
    struct stuck *stuck = arg;
    check_int(lido_local_set(&key, stuck), 0);
    return set_local(stuck);
}

static void a_stuck_task_may_end(void **state)
{
    (void)state;
    run_stuck(end_late);
}

/* ---- Joins that are given up -------------------------------------------------------------------------- */

static int wait_for_cancellation(void *arg)
{
    lido_event never = LIDO_EVENT_INIT;
    (void)arg;
    return lido_event_wait(&never);
}

static int join_and_forgo(lido_future *future, const lido_waker *waker)
{
    struct stuck *stuck = (struct stuck *)((char *)future - offsetof(struct stuck, future));
    if (flag_is_up(&stuck->begun))
        return lido_join_poll(stuck->other, NULL, waker);
    check_int(lido_join_poll(stuck->other, NULL, waker), LIDO_PENDING);
    flag_raise(&stuck->begun);
    lido_join_forgo(stuck->other);
    flag_await(&stuck->rescued);
    return lido_join_poll(stuck->other, NULL, waker);
}

static void a_stuck_task_may_give_up_joins(void **state)
{
    (void)state;
    struct stuck stuck = {.future = {join_and_forgo}};
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    int result;
    options.placement = LIDO_PLACE_WORKER;
    options.mobility = LIDO_RESCUABLE; /* so that it is on this worker until then */
    check_int(lido_runtime_spawn_with(runtime, &stuck.other, wait_for_cancellation, NULL, &options),
              0);
    options.mobility = LIDO_PINNED;
    check_int(lido_spawn_future_at(runtime, &stuck.task, &stuck.future, &options, LIDO_HERE), 0);
    flag_await(&stuck.begun);
    lido_cancel(stuck.other);
    await_rescue(runtime, &stuck);
    check_int(lido_join(stuck.task, &result), 0);
    check_int(result, 0);
    runtime_end(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stuck_task_may_stop_others),
        cmocka_unit_test(a_stuck_task_may_have_locals),
        cmocka_unit_test(a_stuck_task_may_end),
        cmocka_unit_test(a_stuck_task_may_give_up_joins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
