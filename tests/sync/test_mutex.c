/* Mutexes: one at a time, in order as far as that costs nothing, and nobody is left out. */
#include <errno.h>

#include "base/atomic.h"
#include "support/runtime.h"
#include "support/waiters.h"

static lido_mutex mutex;

static void begin(void)
{
    mutex = (lido_mutex)LIDO_MUTEX_INIT;
}

static void check_free(void)
{
    static const lido_mutex fresh = LIDO_MUTEX_INIT;
    check_bytes(&mutex, &fresh, sizeof(mutex));
}

static uint32_t turns;

static int lock_in_turn(void *arg)
{
    int r = lido_mutex_lock(&mutex);
    if (r < 0)
        return r;
    *(uint32_t *)arg = lido__fetch_add(&turns, 1, LIDO__RELAXED);
    check_int(lido_yield(), 0);
    return lido_mutex_unlock(&mutex);
}

/* ---- One at a time --------------------------------------------------------------------------------------- */

static int lock_alone(void *arg)
{
    (void)arg;
    begin();
    check_int(lido_mutex_unlock(&mutex), -EPERM);
    check_int(lido_mutex_lock(&mutex), 0);
    check_int(lido_mutex_try_lock(&mutex), -EAGAIN);
    check_int(lido_mutex_unlock(&mutex), 0);
    check_int(lido_mutex_try_lock(&mutex), 0);
    check_int(lido_mutex_unlock(&mutex), 0);
    check_int(lido_mutex_unlock(&mutex), -EPERM);
    check_free();
    return 0;
}

static void a_mutex_is_had_once(void **state)
{
    (void)state;
    run(lock_alone);
}

static void a_plain_thread_tries_but_does_not_wait(void **state)
{
    (void)state;
    begin();
    assert_int_equal(lido_mutex_lock(&mutex), -ENXIO);
    assert_int_equal(lido_mutex_lock_anyway(&mutex), -ENXIO);
    assert_int_equal(lido_mutex_try_lock(&mutex), 0);
    assert_int_equal(lido_mutex_unlock(&mutex), 0);
}

/* ---- Order ------------------------------------------------------------------------------------------------ */

static int lock_in_line(void *arg)
{
    uint32_t places[5];
    lido_task *tasks[COUNT(places)];
    (void)arg;
    begin();
    turns = 0;
    check_int(lido_mutex_lock(&mutex), 0);
    for (size_t i = 0; i < COUNT(places); i++) {
        tasks[i] = start_on(i % 2, lock_in_turn, &places[i]);
        await_mutex(&mutex, i + 1);
    }
    check_int(lido_mutex_unlock(&mutex), 0);
    for (size_t i = 0; i < COUNT(places); i++) {
        check_int(finish(tasks[i]), 0);
        check_int(places[i], i);
    }
    check_free();
    return 0;
}

static void those_who_wait_have_it_in_the_order_of_coming(void **state)
{
    (void)state;
    run_on(2, lock_in_line, NULL);
}

/*
 * The first that waits is on its way when this task takes the mutex again, and finds it taken. From then on it
 * cannot be overtaken.
 */
static int overtake_once(void *arg)
{
    uint32_t place;
    (void)arg;
    begin();
    turns = 0;
    check_int(lido_mutex_lock(&mutex), 0);
    lido_task *task = start(lock_in_turn, &place);
    await_mutex(&mutex, 1);
    check_int(lido_mutex_unlock(&mutex), 0);
    check_int(lido_mutex_try_lock(&mutex), 0);
    check_int(lido_yield(), 0);
    check_int(turns, 0);
    check_int(lido_mutex_unlock(&mutex), 0);
    check_int(lido_mutex_try_lock(&mutex), -EAGAIN);
    check_int(finish(task), 0);
    check_free();
    return 0;
}

static void one_that_waits_is_overtaken_once(void **state)
{
    (void)state;
    run(overtake_once);
}

/* ---- Interruption ------------------------------------------------------------------------------------------ */

static int cancel_in_line(void *arg)
{
    uint32_t places[3];
    lido_task *tasks[COUNT(places)];
    (void)arg;
    for (size_t leaves = 0; leaves < COUNT(places); leaves++) {
        begin();
        turns = 0;
        check_int(lido_mutex_lock(&mutex), 0);
        for (size_t i = 0; i < COUNT(places); i++) {
            tasks[i] = start_on(i % 2, lock_in_turn, &places[i]);
            await_mutex(&mutex, i + 1);
        }
        lido_cancel(tasks[leaves]);
        check_int(finish(tasks[leaves]), -ECANCELED);
        check_int(lido_mutex_unlock(&mutex), 0);
        for (size_t i = 0; i < COUNT(places); i++)
            if (i != leaves)
                check_int(finish(tasks[i]), 0);
        check_int(turns, 2);
        check_free();
    }
    return 0;
}

static void one_that_leaves_does_not_hold_up_the_others(void **state)
{
    (void)state;
    run_on(2, cancel_in_line, NULL);
}

/* The first has been woken to take the mutex, or asks to be given it, when it is cancelled. */
static int cancel_on_the_way(void *arg)
{
    uint32_t places[2];
    (void)arg;
    for (int insists = 0; insists < 2; insists++) {
        begin();
        turns = 0;
        check_int(lido_mutex_lock(&mutex), 0);
        lido_task *first = start(lock_in_turn, &places[0]);
        await_mutex(&mutex, 1);
        lido_task *second = start(lock_in_turn, &places[1]);
        await_mutex(&mutex, 2);
        check_int(lido_mutex_unlock(&mutex), 0);
        check_int(lido_mutex_try_lock(&mutex), 0);
        if (insists)
            check_int(lido_yield(), 0);
        lido_cancel(first);
        check_int(finish(first), -ECANCELED);
        check_int(lido_mutex_unlock(&mutex), 0);
        check_int(finish(second), 0);
        check_free();
    }
    return 0;
}

static void one_that_is_canceled_on_its_way_passes_it_on(void **state)
{
    (void)state;
    run(cancel_on_the_way);
}

static int lock_within(void *arg)
{
    (void)arg;
    begin();
    check_int(lido_mutex_lock(&mutex), 0);
    {
        lido_within(5);
        check_int(lido_mutex_lock(&mutex), -ETIMEDOUT);
    }
    check_int(lido_mutex_unlock(&mutex), 0);
    check_free();
    return 0;
}

static void a_deadline_ends_the_wait(void **state)
{
    (void)state;
    run(lock_within);
}

static int clean_up(void *arg)
{
    (void)arg;
    check_int(lido_sleep(3600000), -ECANCELED);
    check_int(lido_mutex_lock(&mutex), -ECANCELED);
    check_int(lido_mutex_lock_anyway(&mutex), 0);
    check_int(lido_mutex_unlock(&mutex), 0);
    check_int(lido_yield(), -ECANCELED);
    return 5;
}

static int cancel_and_clean_up(void *arg)
{
    (void)arg;
    begin();
    check_int(lido_mutex_lock(&mutex), 0);
    lido_task *task = start(clean_up, NULL);
    lido_yield();
    lido_cancel(task);
    await_mutex(&mutex, 1);
    check_int(lido_mutex_unlock(&mutex), 0);
    check_int(finish(task), 5);
    return 0;
}

static void one_that_is_canceled_can_still_clean_up(void **state)
{
    (void)state;
    run(cancel_and_clean_up);
}

/* ---- Futures ------------------------------------------------------------------------------------------------ */

struct poller {
    lido_future future;
    lido_wait wait;
};

static int poll_mutex(lido_future *future, const lido_waker *waker)
{
    return lido_mutex_lock_poll(&mutex, &((struct poller *)future)->wait, waker);
}

static int lock_in_future(void *arg)
{
    struct poller poller = {{poll_mutex}, LIDO_WAIT_INIT};
    lido_task *task;
    (void)arg;
    begin();
    check_int(lido_spawn_future(&task, &poller.future), 0);
    check_int(finish(task), 0);
    check_int(lido_spawn_future(&task, &poller.future), 0);
    await_mutex(&mutex, 1);
    /* Overtaken once, and then it is handed over. */
    check_int(lido_mutex_unlock(&mutex), 0);
    check_int(lido_mutex_try_lock(&mutex), 0);
    check_int(lido_yield(), 0);
    check_int(lido_mutex_unlock(&mutex), 0);
    check_int(lido_mutex_try_lock(&mutex), -EAGAIN);
    check_int(finish(task), 0);
    check_int(lido_mutex_unlock(&mutex), 0);
    check_free();
    return 0;
}

static void a_future_locks(void **state)
{
    (void)state;
    run(lock_in_future);
}

/* It has been given the mutex, or is about to take it, and does not want it any more. */
static int forgo_in_future(void *arg)
{
    (void)arg;
    for (int insists = 0; insists < 2; insists++) {
        struct poller poller = {{poll_mutex}, LIDO_WAIT_INIT};
        lido_task *task;
        begin();
        check_int(lido_mutex_lock(&mutex), 0);
        check_int(lido_spawn_future(&task, &poller.future), 0);
        await_mutex(&mutex, 1);
        if (insists) {
            check_int(lido_mutex_unlock(&mutex), 0);
            check_int(lido_mutex_try_lock(&mutex), 0);
            check_int(lido_yield(), 0);
        }
        check_int(lido_mutex_unlock(&mutex), 0);
        lido_wait_forgo(&poller.wait);
        check_int(lido_mutex_try_lock(&mutex), 0);
        lido_cancel(task);
        check_int(finish(task), -ECANCELED);
        check_int(lido_mutex_unlock(&mutex), 0);
        check_free();
    }
    return 0;
}

static void what_a_future_forgoes_is_free(void **state)
{
    (void)state;
    run(forgo_in_future);
}

/* ---- All at once ---------------------------------------------------------------------------------------------- */

enum { WORKERS = 4, TASKS = 16, ROUNDS = 1000 };

static struct {
    uint64_t count; /* plain: the mutex protects it */
    bool taken;
    uint32_t locked;
} shared;

static int count(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        int r = lido_mutex_lock(&mutex);
        if (r == -ECANCELED)
            return 0;
        check_int(r, 0);
        check(!shared.taken);
        shared.taken = true;
        shared.count++;
        if (i % 5 == (uintptr_t)arg % 5)
            lido_yield();
        shared.taken = false;
        lido__fetch_add(&shared.locked, 1, LIDO__RELAXED);
        check_int(lido_mutex_unlock(&mutex), 0);
    }
    return 0;
}

static int count_together(void *arg)
{
    lido_task *tasks[TASKS];
    (void)arg;
    begin();
    memset(&shared, 0, sizeof(shared));
    for (uintptr_t i = 0; i < TASKS; i++)
        tasks[i] = start_on((unsigned)i % WORKERS, count, (void *)i);
    for (size_t i = 0; i < TASKS; i += 3) {
        for (int n = 0; n < 10; n++)
            lido_yield();
        lido_cancel(tasks[i]);
    }
    for (size_t i = 0; i < TASKS; i++)
        check_int(finish(tasks[i]), 0);
    check_int(shared.count, shared.locked);
    check_free();
    return 0;
}

static void never_two_at_once_and_never_stuck(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        run_on(WORKERS, count_together, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mutex_is_had_once),
        cmocka_unit_test(a_plain_thread_tries_but_does_not_wait),
        cmocka_unit_test(those_who_wait_have_it_in_the_order_of_coming),
        cmocka_unit_test(one_that_waits_is_overtaken_once),
        cmocka_unit_test(one_that_leaves_does_not_hold_up_the_others),
        cmocka_unit_test(one_that_is_canceled_on_its_way_passes_it_on),
        cmocka_unit_test(a_deadline_ends_the_wait),
        cmocka_unit_test(one_that_is_canceled_can_still_clean_up),
        cmocka_unit_test(a_future_locks),
        cmocka_unit_test(what_a_future_forgoes_is_free),
        cmocka_unit_test(never_two_at_once_and_never_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
