/* Scopes after whose time every wait fails with -ETIMEDOUT. */
#include <errno.h>

#include "sched/wake.h"
#include "support/oneshot.h"
#include "support/runtime.h"

#define MS UINT64_C(1000000)

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

struct nap {
    lido_future future;
    lido_timer timer;
    int64_t ms;
    bool started;
};

static int nap_poll(lido_future *future, const lido_waker *waker)
{
    struct nap *nap = (struct nap *)future;
    if (!nap->started)
        lido_timer_start(&nap->timer, nap->ms);
    nap->started = true;
    return lido_timer_poll(&nap->timer, waker);
}

/* ---- One scope ------------------------------------------------------------------------------------ */

static int sleep_in_time(void *arg)
{
    uint64_t begin = lido_now();
    (void)arg;
    {
        lido_within(3600000);
        check_int(lido_sleep(1), 0);
        check_int(lido_yield(), 0);
    }
    {
        lido_within(5);
        check_int(lido_sleep(3600000), -ETIMEDOUT);
        check(lido_now() >= begin + 5 * MS);
        check_int(lido_sleep(3600000), -ETIMEDOUT); /* and each after that */
        check_int(lido_yield(), -ETIMEDOUT);
        check(!lido_is_cancelled());
    }
    check_int(lido_sleep(1), 0);
    return lido_yield();
}

static void a_wait_fails_when_the_time_has_passed_and_not_before(void **state)
{
    (void)state;
    run(sleep_in_time);
}

static int expire_at_once(void *arg)
{
    static const int64_t times[] = {0, -1, INT64_MIN};
    (void)arg;
    lido_task *task = start(nothing, NULL);
    for (size_t i = 0; i < COUNT(times); i++) {
        lido_within(times[i]);
        check_int(lido_yield(), -ETIMEDOUT);
        check_int(lido_sleep(1), -ETIMEDOUT);
        check_int(lido_sleep(0), -ETIMEDOUT);
        check_int(lido_join(task, NULL), -ETIMEDOUT);
    }
    return finish(task);
}

static void no_time_expires_at_once(void **state)
{
    (void)state;
    run(expire_at_once);
}

static int never_expire(void *arg)
{
    static const int64_t times[] = {INT64_MAX, INT64_MAX / 1000000 + 1,
                                    (int64_t)(UINT64_MAX / 1000000)};
    (void)arg;
    for (size_t i = 0; i < COUNT(times); i++) {
        lido_within(times[i]);
        check_int(lido_sleep(1), 0);
        check_int(lido_yield(), 0);
        lido_within(1);
        check_int(lido_sleep(3600000), -ETIMEDOUT);
    }
    return 0;
}

static void a_huge_time_does_not_overflow(void **state)
{
    (void)state;
    run(never_expire);
}

static int compute_until(uint64_t ns)
{
    while (lido_now() < ns)
        ;
    return 0;
}

/* The wait itself is what must look at the clock: nobody else has. */
static int compute_too_long(void *ms)
{
    lido_within(2);
    compute_until(lido_now() + 4 * MS);
    check_int(lido_sleep(*(int64_t *)ms), -ETIMEDOUT);
    return 0;
}

static void a_wait_after_a_long_computation_fails(void **state)
{
    static int64_t times[] = {3600000, 1, 0, -1};
    (void)state;
    for (size_t i = 0; i < COUNT(times); i++)
        run_on(1, compute_too_long, &times[i]);
}

struct sleeper {
    int64_t deadline, time; /* ms */
    int result;
};

static int sleep_for(void *ms)
{
    return lido_sleep(*(int64_t *)ms);
}

static int compute_meanwhile(void *until)
{
    return compute_until(*(uint64_t *)until);
}

/* The worker looks at the clock when both times have passed. */
static int be_held_up(void *arg)
{
    struct sleeper *sleeper = arg;
    struct nap nap = {.future = {nap_poll}, .ms = sleeper->time};
    uint64_t until = lido_now() + MS;
    lido_task *fiber, *future, *computer;
    {
        lido_within(sleeper->deadline);
        fiber = start(sleep_for, &sleeper->time);
        check_int(lido_spawn_future(&future, &nap.future), 0);
    }
    until += (uint64_t)(sleeper->deadline + sleeper->time) * MS;
    computer = start(compute_meanwhile, &until);
    check_int(finish(fiber), sleeper->result);
    check_int(finish(future), sleeper->result);
    return finish(computer);
}

static void what_comes_first_is_what_a_late_sleeper_is_told(void **state)
{
    struct sleeper sleepers[] = {{.deadline = 2, .time = 3, .result = -ETIMEDOUT},
                                 {.deadline = 300, .time = 1, .result = 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(sleepers); i++)
        run_on(1, be_held_up, &sleepers[i]);
}

static void outside_of_tasks_a_scope_does_nothing(void **state)
{
    (void)state;
    lido_within(0);
    check_int(lido_sleep(1), -ENXIO);
}

/* ---- Nesting --------------------------------------------------------------------------------------- */

static int wait_within(int64_t ms)
{
    lido_within(ms);
    return lido_sleep(3600000);
}

static int wait_in_an_earlier_one(void *arg)
{
    (void)arg;
    lido_within(3600000);
    check_int(wait_within(2), -ETIMEDOUT);
    return lido_sleep(1); /* that one has been left */
}

static int wait_in_a_later_one(void *arg)
{
    uint64_t begin = lido_now();
    (void)arg;
    lido_within(5);
    check_int(wait_within(3600000), -ETIMEDOUT);
    check(lido_now() >= begin + 5 * MS);
    check_int(wait_within(3600000), -ETIMEDOUT);
    return 0;
}

static void the_earlier_of_nested_scopes_wins(void **state)
{
    (void)state;
    run(wait_in_an_earlier_one);
    run(wait_in_a_later_one);
}

/* The timer of the first scope goes off in the second, whose time has not come. */
static int a_scope_after_a_scope(void *arg)
{
    (void)arg;
    {
        lido_within(3);
        lido_yield(); /* in time or not */
    }
    {
        lido_within(3600000);
        check_int(lido_sleep(8), 0);
        check_int(wait_within(2), -ETIMEDOUT);
    }
    return lido_sleep(5);
}

static void an_older_scope_does_not_end_a_newer_one(void **state)
{
    (void)state;
    run(a_scope_after_a_scope);
}

/* ---- Inheritance ------------------------------------------------------------------------------------ */

static int inherit(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        lido_task *child;
        uint64_t begin = lido_now();
        {
            lido_within(5);
            child = start_on(worker, sleep_long, NULL);
        }
        /* Also after the parent has left the scope. */
        check_int(finish(child), -ETIMEDOUT);
        check(lido_now() >= begin + 5 * MS);
    }
    return 0;
}

static void a_fiber_inherits_the_deadline(void **state)
{
    (void)state;
    run_on(2, inherit, NULL);
}

/* Each child is stopped by its parent, whose join has failed at the same time. */
static int descend(void *arg)
{
    int depth = *(int *)arg - 1, result;
    if (depth == 0)
        return lido_sleep(3600000);
    lido_task *task = start_on((unsigned)depth % 2, descend, &depth);
    if (lido_join(task, &result) < 0)
        check_int(lido_stop(task, &result), 0);
    check(result == -ETIMEDOUT || result == -ECANCELED);
    return result;
}

static int inherit_deeply(void *arg)
{
    int depth = 10;
    lido_task *task;
    uint64_t begin = lido_now();
    (void)arg;
    {
        lido_within(5);
        task = start(descend, &depth);
    }
    finish(task);
    check(lido_now() >= begin + 5 * MS);
    return 0;
}

static void grandchildren_inherit_the_deadline(void **state)
{
    (void)state;
    run_on(2, inherit_deeply, NULL);
}

static int inherit_as_future(void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    (void)arg;
    options.placement = LIDO_PLACE_WORKER;
    for (options.worker = 0; options.worker < 2; options.worker++) {
        struct nap nap = {.future = {nap_poll}, .ms = 3600000};
        lido_task *task;
        uint64_t begin = lido_now();
        {
            lido_within(5);
            check_int(lido_spawn_future_with(&task, &nap.future, &options), 0);
        }
        check_int(finish(task), -ETIMEDOUT);
        check(lido_now() >= begin + 5 * MS);
    }
    return 0;
}

static void a_future_inherits_the_deadline(void **state)
{
    (void)state;
    run_on(2, inherit_as_future, NULL);
}

static int inherit_expired(void *arg)
{
    struct nap nap = {.future = {nap_poll}, .ms = 3600000};
    lido_task *fiber, *future;
    (void)arg;
    {
        lido_within(0);
        fiber = start(sleep_long, NULL);
        check_int(lido_spawn_future(&future, &nap.future), 0);
    }
    check_int(finish(fiber), -ETIMEDOUT);
    check_int(finish(future), -ETIMEDOUT);
    return 0;
}

static void an_expired_deadline_is_inherited_too(void **state)
{
    (void)state;
    run(inherit_expired);
}

/* ---- Elsewhere --------------------------------------------------------------------------------------- */

static int compute(void *gone)
{
    flag_await(gone);
    return 0;
}

/* Rescued from one that computes, to a worker that has slept, and has not looked at the clock since. */
static int expire_and_move(void *gone)
{
    int here = lido_worker_index();
    lido_within(0);
    lido_task *computer = start_pinned((unsigned)here, compute, gone);
    check_int(lido_yield(), -ETIMEDOUT);
    check(lido_worker_index() != here);
    flag_raise(gone);
    lido_detach(computer);
    return 0;
}

static void a_time_that_has_passed_has_passed_on_other_workers_too(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    struct flag gone = {0};
    check_int(lido_join(runtime_start_pinned(runtime, 1, nothing, NULL), NULL), 0);
    check_int(lido_join(runtime_start_on(runtime, 0, expire_and_move, &gone), NULL), 0);
    runtime_end(runtime);
}

static int yield(void *arg)
{
    (void)arg;
    return lido_yield();
}

/* To a worker that has slept, too. */
static int inherit_elsewhere(void *arg)
{
    lido_task *task;
    (void)arg;
    check_int(finish(start_pinned(1, nothing, NULL)), 0);
    {
        lido_within(0);
        task = start_pinned(1, yield, NULL);
    }
    return finish(task) == -ETIMEDOUT ? 0 : -EIO;
}

static void a_time_that_has_passed_is_inherited_on_other_workers_too(void **state)
{
    (void)state;
    run_on(2, inherit_elsewhere, NULL);
}

static int sleep_and_raise(void *flag)
{
    check_int(lido_sleep(5), 0);
    flag_raise(flag);
    return 0;
}

/* The lifeguard rings for the worker, which goes on to the sleepers without a look at the clock. */
static int be_rung_by_others(void *arg)
{
    lido_spawn_options pinned = {.size = sizeof(pinned), .mobility = LIDO_PINNED};
    lido_spawn_options rescuable = {.size = sizeof(rescuable), .mobility = LIDO_RESCUABLE};
    struct nap nap = {.future = {nap_poll}, .ms = 3};
    int64_t ms = 3;
    struct flag rung = {0};
    lido_task *fiber, *future, *rescued;
    (void)arg;
    {
        lido_within(2);
        fiber = start_pinned(0, sleep_for, &ms);
        check_int(lido_spawn_future_with(&future, &nap.future, &pinned), 0);
    }
    check_int(lido_spawn_with(&rescued, sleep_and_raise, &rung, &rescuable), 0);
    check_int(lido_yield(), 0);
    flag_await(&rung);
    check_int(finish(fiber), -ETIMEDOUT);
    check_int(finish(future), -ETIMEDOUT);
    return finish(rescued);
}

static void what_comes_first_is_what_a_sleeper_is_told_whoever_rings(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    check_int(lido_join(runtime_start_pinned(runtime, 0, be_rung_by_others, NULL), NULL), 0);
    runtime_end(runtime);
}

/* ---- Cost ------------------------------------------------------------------------------------------- */

/* Each scope ends before its time, as scopes around requests do. */
static int wait_in_many_scopes(void *arg)
{
    struct oneshot oneshots[1000];
    unsigned armed = 0;
    uint64_t expires = 0;
    (void)arg;
    for (size_t i = 0; i < COUNT(oneshots); i++) {
        lido_within(60000);
        oneshot_init(&oneshots[i]);
        lido_task *task = start(receive, &oneshots[i]);
        check_int(lido_yield(), 0);
        oneshot_send(&oneshots[i], 0);
        check_int(finish(task), 0);
        const struct lido__timer *timer = &lido_self()->extra->deadline.timer;
        check(lido__timer_armed(timer));
        armed += timer->expires != expires;
        expires = timer->expires;
    }
    check_int(armed, 1);
    return 0;
}

static void many_scopes_in_a_row_arm_one_timer(void **state)
{
    (void)state;
    run(wait_in_many_scopes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_fails_when_the_time_has_passed_and_not_before),
        cmocka_unit_test(no_time_expires_at_once),
        cmocka_unit_test(a_huge_time_does_not_overflow),
        cmocka_unit_test(a_wait_after_a_long_computation_fails),
        cmocka_unit_test(what_comes_first_is_what_a_late_sleeper_is_told),
        cmocka_unit_test(outside_of_tasks_a_scope_does_nothing),
        cmocka_unit_test(the_earlier_of_nested_scopes_wins),
        cmocka_unit_test(an_older_scope_does_not_end_a_newer_one),
        cmocka_unit_test(a_fiber_inherits_the_deadline),
        cmocka_unit_test(grandchildren_inherit_the_deadline),
        cmocka_unit_test(a_future_inherits_the_deadline),
        cmocka_unit_test(an_expired_deadline_is_inherited_too),
        cmocka_unit_test(a_time_that_has_passed_has_passed_on_other_workers_too),
        cmocka_unit_test(a_time_that_has_passed_is_inherited_on_other_workers_too),
        cmocka_unit_test(what_comes_first_is_what_a_sleeper_is_told_whoever_rings),
        cmocka_unit_test(many_scopes_in_a_row_arm_one_timer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
