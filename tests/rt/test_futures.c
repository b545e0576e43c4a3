/* Poll-based futures: their wakers, what they may await, and what they may not. */
#include <errno.h>

#include "support/oneshot.h"
#include "support/runtime.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int receive(void *arg)
{
    return oneshot_receive(arg);
}

/* On the caller's worker, also from a root. */
static lido_task *start_future(lido_future *future)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.placement = LIDO_PLACE_LOCAL;
    options.mobility = mobility_of_caller();
    check_int(lido_spawn_future_with(&task, future, &options), 0);
    return task;
}

/* ---- Polling -------------------------------------------------------------------------------------- */

static int return_nine(lido_future *future, const lido_waker *waker)
{
    (void)future;
    check(waker->lido_private != 0);
    check(lido_self() != NULL);
    check(lido_worker_index() == 0);
    return 9;
}

static int join_ready(void *arg)
{
    lido_future future = {return_nine};
    (void)arg;
    check_int(finish(start_future(&future)), 9);
    check_int(lido_spawn_future(NULL, &future), 0);
    return lido_yield();
}

static void a_future_may_be_ready_at_once(void **state)
{
    (void)state;
    run(join_ready);
}

/* Wakes itself during each poll but the last. */
struct countdown {
    lido_future future;
    int left;
    unsigned polls;
};

static int countdown_poll(lido_future *future, const lido_waker *waker)
{
    struct countdown *countdown = (struct countdown *)future;
    countdown->polls++;
    lido_waker_wake(waker);
    lido_waker_wake(waker);
    return countdown->left-- == 0 ? 5 : LIDO_PENDING;
}

static int join_countdown(void *arg)
{
    struct countdown countdown = {{countdown_poll}, 10, 0};
    (void)arg;
    lido_task *task = start_future(&countdown.future);
    check_int(finish(task), 5);
    check_int(countdown.polls, 11);
    for (int i = 0; i < 3; i++)
        check_int(lido_yield(), 0);
    check_int(countdown.polls, 11); /* also woken in its last poll: done is done */
    return 0;
}

static void a_wake_up_during_the_poll_is_not_lost(void **state)
{
    (void)state;
    run(join_countdown);
}

struct owned {
    lido_future future;
    uint32_t *freed;
};

static int free_itself(lido_future *future, const lido_waker *waker)
{
    struct owned *owned = (struct owned *)future;
    lido_waker_wake(waker);
    lido__fetch_add(owned->freed, 1, LIDO__RELAXED);
    free(owned);
    return 0;
}

static void the_last_act_of_a_future_may_be_to_free_it(void **state)
{
    uint32_t freed = 0;
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    for (int i = 0; i < 100; i++) {
        struct owned *owned = malloc(sizeof(*owned));
        check(owned != NULL);
        *owned = (struct owned){{free_itself}, &freed};
        check_int(lido_runtime_spawn_future(runtime, NULL, &owned->future), 0);
    }
    runtime_end(runtime);
    check_int(freed, 100);
}

static int try_to_wait(lido_future *future, const lido_waker *waker)
{
    lido_task *task, *other;
    static lido_future ready = {return_nine};
    (void)future;
    (void)waker;
    check_int(lido_spawn(&task, nothing, NULL), 0);
    check_int(lido_spawn_future(&other, &ready), 0);
    check_int(lido_sleep(1), -EDEADLK);
    check_int(lido_sleep(0), -EDEADLK);
    check_int(lido_yield(), -EDEADLK);
    check_int(lido_join(task, NULL), -EDEADLK);
    check_int(lido_stop(task, NULL), -EDEADLK);
    check_int(lido_block_on(lido_runtime_current(), nothing, NULL), -EDEADLK);
    lido_detach(task);
    lido_detach(other);
    return 0;
}

static int join_waiter(void *arg)
{
    lido_future future = {try_to_wait};
    (void)arg;
    return finish(start_future(&future));
}

static void a_future_must_not_wait(void **state)
{
    (void)state;
    run(join_waiter);
}

/* ---- Wakers --------------------------------------------------------------------------------------- */

/* Hands its waker out, and is ready when told. */
struct handout {
    lido_future future;
    struct flag handed;
    struct flag ready;
    struct flag ended;
    lido_waker waker;
    uint32_t polls;
};

static int handout_poll(lido_future *future, const lido_waker *waker)
{
    struct handout *handout = (struct handout *)future;
    lido__fetch_add(&handout->polls, 1, LIDO__RELAXED);
    if (!flag_is_up(&handout->handed)) {
        handout->waker = lido_waker_clone(waker);
        flag_raise(&handout->handed);
    }
    if (!flag_is_up(&handout->ready))
        return LIDO_PENDING;
    flag_raise(&handout->ended); /* the last touch */
    return 1;
}

static struct handout new_handout(void)
{
    return (struct handout){.future = {handout_poll}};
}

static lido_task *spawn_handout(lido_runtime *runtime, struct handout *handout)
{
    lido_task *task;
    *handout = new_handout();
    check_int(lido_runtime_spawn_future(runtime, &task, &handout->future), 0);
    flag_await(&handout->handed);
    return task;
}

static void a_waker_works_from_any_thread(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    for (int i = 0; i < 200; i++) {
        struct handout handout;
        int result;
        lido_task *task = spawn_handout(runtime, &handout);
        flag_raise(&handout.ready);
        lido_waker_wake(&handout.waker);
        check_int(lido_join(task, &result), 0);
        check_int(result, 1);
        lido_waker_wake(&handout.waker); /* after the end: left alone */
        lido_waker_drop(&handout.waker);
        check_int(handout.waker.lido_private, 0);
        lido_waker_drop(&handout.waker);
    }
    runtime_end(runtime);
}

/* A wake-up for nothing is one poll for nothing, however often it is repeated meanwhile. */
static void many_wake_ups_are_few_polls(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct handout handout;
    lido_task *task = spawn_handout(runtime, &handout);
    for (int i = 0; i < 1000; i++)
        lido_waker_wake(&handout.waker);
    check_int(lido_block_on(runtime, nothing, NULL), 0);
    uint32_t polls = lido__load(&handout.polls, LIDO__RELAXED);
    check(polls >= 2 && polls <= 1001);
    flag_raise(&handout.ready);
    lido_waker_wake(&handout.waker);
    check_int(lido_join(task, NULL), 0);
    lido_waker_drop(&handout.waker);
    runtime_end(runtime);
}

struct hammer {
    struct handout *handout;
    const struct flag *stop;
};

static void *wake_and_clone(void *arg)
{
    struct hammer *hammer = arg;
    lido_waker own = lido_waker_clone(&hammer->handout->waker);
    do {
        lido_waker second = lido_waker_clone(&own);
        lido_waker_wake(&own);
        lido_waker_wake(&second);
        lido_waker_drop(&second);
    } while (!flag_is_up(hammer->stop));
    lido_waker_wake(&own);
    lido_waker_drop(&own);
    return NULL;
}

/* Threads wake a task while it ends: the last reference may be any of theirs. */
static void a_task_may_end_while_many_wake_it(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    for (int round = 0; round < 100; round++) {
        struct handout handout;
        struct flag stop = {0};
        lido_task *task = spawn_handout(runtime, &handout);
        struct hammer hammer = {&handout, &stop};
        pthread_t threads[2];
        for (size_t i = 0; i < COUNT(threads); i++)
            threads[i] = thread_start(wake_and_clone, &hammer);
        flag_raise(&handout.ready);
        lido_waker_wake(&handout.waker);
        if (round % 2)
            check_int(lido_join(task, NULL), 0);
        else
            lido_detach(task);
        flag_await(&handout.ended);
        flag_raise(&stop);
        for (size_t i = 0; i < COUNT(threads); i++)
            thread_join(threads[i]);
        lido_waker_drop(&handout.waker);
    }
    runtime_end(runtime);
}

static void a_waker_may_outlive_its_runtime(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct handout handout;
    lido_task *task = spawn_handout(runtime, &handout);
    flag_raise(&handout.ready);
    lido_waker_wake(&handout.waker);
    runtime_end(runtime);
    lido_waker_wake(&handout.waker);
    lido_waker second = lido_waker_clone(&handout.waker);
    lido_waker_drop(&handout.waker);
    lido_waker_wake(&second);
    lido_detach(task);
    lido_waker_drop(&second);
}

/* The same place may hold another runtime by then, and its worker call itself the task's own. */
static int wake_a_dead_task(void *arg)
{
    struct handout *handout = arg;
    lido_waker_wake(&handout->waker);
    lido_waker_drop(&handout->waker);
    return lido_yield();
}

static void a_waker_of_a_dead_runtime_is_harmless_in_the_next(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        lido_runtime *runtime = runtime_of(1);
        struct handout handout;
        lido_task *task = spawn_handout(runtime, &handout);
        flag_raise(&handout.ready);
        lido_waker_wake(&handout.waker);
        runtime_end(runtime);
        runtime = runtime_of(1);
        check_int(lido_block_on(runtime, wake_a_dead_task, &handout), 0);
        lido_cancel(task);
        lido_detach(task);
        runtime_end(runtime);
    }
}

/* ---- Joining from a poll ---------------------------------------------------------------------------- */

struct joiner {
    lido_future future;
    lido_task *target;
    bool forgo; /* gives up at the second poll */
    unsigned polls;
};

static int joiner_poll(lido_future *future, const lido_waker *waker)
{
    struct joiner *joiner = (struct joiner *)future;
    int result;
    if (joiner->polls++ && joiner->forgo) {
        lido_join_forgo(joiner->target);
        return -EAGAIN;
    }
    int r = lido_join_poll(joiner->target, &result, waker);
    return r ? r : result;
}

static struct joiner join_by_future(lido_task *target, bool forgo)
{
    return (struct joiner){{joiner_poll}, target, forgo, 0};
}

static int join_by_futures(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        struct oneshot oneshot;
        oneshot_init(&oneshot);
        struct joiner joiner = join_by_future(start_on(worker, receive, &oneshot), false);
        lido_task *task = start_future(&joiner.future);
        check_int(lido_yield(), 0);
        check_int(joiner.polls, 1);
        oneshot_send(&oneshot, 77);
        check_int(finish(task), 77);
        /* What is done already. */
        lido_task *done = start_on(worker, nothing, NULL);
        while (!lido_task_is_done(done))
            check_int(lido_yield(), 0);
        joiner = join_by_future(done, false);
        check_int(finish(start_future(&joiner.future)), 0);
        check_int(joiner.polls, 1);
    }
    return 0;
}

static void a_future_can_join(void **state)
{
    (void)state;
    run_pinned_on(2, join_by_futures, NULL);
}

static int forgo_joins(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        struct oneshot oneshot;
        oneshot_init(&oneshot);
        lido_task *target = start_on(worker, receive, &oneshot);
        struct joiner joiner = join_by_future(target, true);
        lido_task *task = start_future(&joiner.future);
        check_int(lido_yield(), 0);
        check_int(lido_join(target, NULL), -EBUSY);
        lido_cancel(task); /* wakes it */
        check_int(finish(task), -EAGAIN);
        oneshot_send(&oneshot, 3); /* nobody is told who is gone */
        check_int(finish(target), 3);
    }
    return 0;
}

static void a_future_can_give_up_a_join(void **state)
{
    (void)state;
    run_pinned_on(2, forgo_joins, NULL);
}

static int cancel_joins(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        struct oneshot oneshot;
        oneshot_init(&oneshot);
        lido_task *target = start_on(worker, receive, &oneshot);
        struct joiner joiner = join_by_future(target, false);
        lido_task *task = start_future(&joiner.future);
        check_int(lido_yield(), 0);
        int result;
        check_int(lido_stop(task, &result), 0);
        check_int(result, -ECANCELED);
        oneshot_send(&oneshot, 4);
        check_int(finish(target), 4);
    }
    return 0;
}

static void a_join_that_is_cancelled_keeps_the_handle(void **state)
{
    (void)state;
    run_pinned_on(2, cancel_joins, NULL);
}

static int join_itself(lido_future *future, const lido_waker *waker)
{
    (void)future;
    return lido_join_poll(lido_self(), NULL, waker);
}

static int join_self(void *arg)
{
    lido_future future = {join_itself};
    (void)arg;
    check_int(finish(start_future(&future)), -EDEADLK);
    return 0;
}

static void a_future_cannot_join_itself(void **state)
{
    (void)state;
    run(join_self);
}

/* An error of lido_stop means that nothing was started, that is, nothing was cancelled. */
static int stop_in_vain(void *arg)
{
    struct oneshot oneshot;
    (void)arg;
    oneshot_init(&oneshot);
    lido_task *target = start(receive, &oneshot);
    struct joiner joiner = join_by_future(target, false);
    lido_task *task = start_future(&joiner.future);
    check_int(lido_yield(), 0);
    check_int(lido_stop(target, NULL), -EBUSY);
    oneshot_send(&oneshot, 2);
    check_int(finish(task), 2);
    return 0;
}

static void a_stop_that_fails_cancels_nothing(void **state)
{
    (void)state;
    run(stop_in_vain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_future_may_be_ready_at_once),
        cmocka_unit_test(a_wake_up_during_the_poll_is_not_lost),
        cmocka_unit_test(the_last_act_of_a_future_may_be_to_free_it),
        cmocka_unit_test(a_future_must_not_wait),
        cmocka_unit_test(a_waker_works_from_any_thread),
        cmocka_unit_test(many_wake_ups_are_few_polls),
        cmocka_unit_test(a_task_may_end_while_many_wake_it),
        cmocka_unit_test(a_waker_may_outlive_its_runtime),
        cmocka_unit_test(a_waker_of_a_dead_runtime_is_harmless_in_the_next),
        cmocka_unit_test(a_future_can_join),
        cmocka_unit_test(a_future_can_give_up_a_join),
        cmocka_unit_test(a_join_that_is_cancelled_keeps_the_handle),
        cmocka_unit_test(a_future_cannot_join_itself),
        cmocka_unit_test(a_stop_that_fails_cancels_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
