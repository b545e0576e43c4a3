/* Events: one permit at most, for one task; or a wake-up for all that wait. */
#include <errno.h>

#include "base/atomic.h"
#include "support/runtime.h"
#include "support/waiters.h"

static lido_event event;

static void begin(void)
{
    event = (lido_event)LIDO_EVENT_INIT;
}

/* Whose turn it was, from 1. */
static uint32_t turns;

static int wait_turn(void *arg)
{
    int r = lido_event_wait(&event);
    *(uint32_t *)arg = lido__fetch_add(&turns, 1, LIDO__RELAXED) + 1;
    return r;
}

/* ---- Permits ------------------------------------------------------------------------------------------- */

static int keep_one(void *arg)
{
    (void)arg;
    begin();
    lido_event_notify_one(&event);
    lido_event_notify_one(&event);
    check_int(lido_event_wait(&event), 0);
    lido_within(5);
    check_int(lido_event_wait(&event), -ETIMEDOUT);
    return 0;
}

static void one_notification_is_kept_however_many_there_were(void **state)
{
    (void)state;
    run(keep_one);
}

static int notify_in_turn(void *arg)
{
    uint32_t places[4] = {0};
    lido_task *tasks[COUNT(places)];
    (void)arg;
    begin();
    turns = 0;
    for (size_t i = 0; i < COUNT(places); i++) {
        tasks[i] = start_on(i % 2, wait_turn, &places[i]);
        await_event(&event, i + 1);
    }
    for (size_t i = 0; i < COUNT(places); i++) {
        lido_event_notify_one(&event);
        check_int(finish(tasks[i]), 0);
        check_int(places[i], i + 1);
    }
    return 0;
}

static void the_one_that_has_waited_longest_is_next(void **state)
{
    (void)state;
    run_on(2, notify_in_turn, NULL);
}

static void *notify_from_thread(void *arg)
{
    lido_event_notify_one(arg);
    return NULL;
}

static int wait_for_thread(void *arg)
{
    (void)arg;
    begin();
    pthread_t thread = thread_start(notify_from_thread, &event);
    check_int(lido_event_wait(&event), 0);
    thread_join(thread);
    return 0;
}

static void a_plain_thread_notifies_but_does_not_wait(void **state)
{
    (void)state;
    run(wait_for_thread);
    assert_int_equal(lido_event_wait(&event), -ENXIO);
}

/* ---- All ------------------------------------------------------------------------------------------------- */

static int notify_all(void *arg)
{
    uint32_t places[6];
    lido_task *tasks[COUNT(places)];
    (void)arg;
    begin();
    lido_event_notify_all(&event);
    for (size_t i = 0; i < COUNT(places); i++)
        tasks[i] = start_on(i % 3, wait_turn, &places[i]);
    await_event(&event, COUNT(places));
    lido_event_notify_all(&event);
    for (size_t i = 0; i < COUNT(places); i++)
        check_int(finish(tasks[i]), 0);
    lido_within(5);
    check_int(lido_event_wait(&event), -ETIMEDOUT);
    return 0;
}

static void all_that_wait_are_woken_and_none_that_comes_later(void **state)
{
    (void)state;
    run_on(3, notify_all, NULL);
}

/* ---- Interruption ---------------------------------------------------------------------------------------- */

static int cancel_first(void *arg)
{
    uint32_t places[2];
    (void)arg;
    begin();
    lido_task *first = start_on(1, wait_turn, &places[0]);
    await_event(&event, 1);
    lido_task *second = start_on(1, wait_turn, &places[1]);
    await_event(&event, 2);
    lido_cancel(first);
    check_int(finish(first), -ECANCELED);
    lido_event_notify_one(&event);
    check_int(finish(second), 0);
    return 0;
}

static void one_that_has_left_takes_no_permit(void **state)
{
    (void)state;
    run_on(2, cancel_first, NULL);
}

/* ---- Futures --------------------------------------------------------------------------------------------- */

struct poller {
    lido_future future;
    lido_wait wait;
};

static int poll_event(lido_future *future, const lido_waker *waker)
{
    return lido_event_wait_poll(&event, &((struct poller *)future)->wait, waker);
}

static int wait_in_future(void *arg)
{
    struct poller poller = {{poll_event}, LIDO_WAIT_INIT};
    lido_task *task;
    uint32_t place;
    (void)arg;
    begin();
    lido_event_notify_one(&event);
    check_int(lido_spawn_future(&task, &poller.future), 0);
    check_int(finish(task), 0);
    check_int(lido_spawn_future(&task, &poller.future), 0);
    await_event(&event, 1);
    lido_task *next = start(wait_turn, &place);
    await_event(&event, 2);
    /* What it was told, and does not want to know, is told to the next. */
    lido_event_notify_one(&event);
    lido_wait_forgo(&poller.wait);
    check_int(finish(next), 0);
    lido_event_notify_one(&event);
    check_int(finish(task), 0);
    return 0;
}

static void a_future_waits_and_passes_on_what_it_forgoes(void **state)
{
    (void)state;
    run(wait_in_future);
}

/* ---- All at once ------------------------------------------------------------------------------------------- */

enum { WORKERS = 3, WAITERS = 12, NOTIFICATIONS = 3000 };

/* Work that is announced, one notification each; it is taken by those who are told, all there is. */
static struct {
    uint32_t announced;
    uint32_t taken;
    uint32_t over;
} work;

static int take_work(void *arg)
{
    (void)arg;
    while (!lido__load(&work.over, LIDO__ACQUIRE)) {
        int r = lido_event_wait(&event);
        if (r == -ECANCELED)
            return 0;
        check_int(r, 0);
        lido__fetch_add(&work.taken, lido__exchange(&work.announced, 0, LIDO__ACQUIRE),
                        LIDO__RELAXED);
    }
    lido_event_notify_one(&event); /* it is over for the next, too */
    return 0;
}

static bool all_taken(void *arg)
{
    (void)arg;
    return lido__load(&work.taken, LIDO__RELAXED) == NOTIFICATIONS;
}

static int announce(void *arg)
{
    lido_task *tasks[WAITERS];
    (void)arg;
    begin();
    memset(&work, 0, sizeof(work));
    for (unsigned i = 0; i < WAITERS; i++)
        tasks[i] = start_on(i % WORKERS, take_work, NULL);
    for (unsigned i = 0; i < NOTIFICATIONS; i++) {
        lido__fetch_add(&work.announced, 1, LIDO__RELEASE);
        lido_event_notify_one(&event);
        if (i % 7 == 0)
            lido_yield();
        if (i % 500 == 499)
            lido_cancel(tasks[i / 500]);
    }
    await_that(all_taken, NULL);
    lido__store(&work.over, 1, LIDO__RELEASE);
    lido_event_notify_one(&event);
    for (unsigned i = 0; i < WAITERS; i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void no_notification_is_lost(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        run_on(WORKERS, announce, NULL);
}

/* What all are told is for those who wait at that moment: nobody else is told of it. */
static int forgo_what_all_are_told(void *arg)
{
    struct poller poller = {{poll_event}, LIDO_WAIT_INIT};
    lido_task *task;
    uint32_t place;
    (void)arg;
    begin();
    check_int(lido_spawn_future(&task, &poller.future), 0);
    await_event(&event, 1);
    lido_event_notify_all(&event);
    lido_wait_forgo(&poller.wait);
    lido_task *later = start(wait_turn, &place);
    await_event(&event, 2); /* with the future, which waits anew */
    lido_event_notify_all(&event);
    check_int(finish(later), 0);
    check_int(finish(task), 0);
    return 0;
}

static void what_all_are_told_is_not_passed_on(void **state)
{
    (void)state;
    run_on(1, forgo_what_all_are_told, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_notification_is_kept_however_many_there_were),
        cmocka_unit_test(the_one_that_has_waited_longest_is_next),
        cmocka_unit_test(a_plain_thread_notifies_but_does_not_wait),
        cmocka_unit_test(all_that_wait_are_woken_and_none_that_comes_later),
        cmocka_unit_test(one_that_has_left_takes_no_permit),
        cmocka_unit_test(a_future_waits_and_passes_on_what_it_forgoes),
        cmocka_unit_test(what_all_are_told_is_not_passed_on),
        cmocka_unit_test(no_notification_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
