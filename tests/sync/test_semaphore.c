/* The semaphore within: permits are had in order, given up by those who are interrupted, and never lost. */
#include <errno.h>

#include "base/atomic.h"
#include "support/runtime.h"
#include "support/waiters.h"
#include "sync/semaphore.h"

static struct lido__semaphore semaphore;

static void begin(uint32_t permits)
{
    lido__semaphore_init(&semaphore, permits, "permit");
}

static uint32_t permits_left(void)
{
    return semaphore.word / LIDO__WORD_OWN;
}

static void await_queue(size_t count)
{
    await_waiters(&semaphore.word, &semaphore.queue, count);
}

/* Who takes how many, and in which order they had them. */
struct taker {
    uint32_t wants;
    unsigned place;
};
static uint32_t served;

static int take(void *arg)
{
    struct taker *taker = arg;
    int r = lido__semaphore_acquire(&semaphore, taker->wants);
    taker->place = lido__fetch_add(&served, 1, LIDO__RELAXED);
    return r;
}

/* ---- Without waiting ------------------------------------------------------------------------------- */

static int take_what_is_there(void *arg)
{
    (void)arg;
    begin(3);
    check(lido__semaphore_try(&semaphore, 2));
    check(!lido__semaphore_try(&semaphore, 2));
    check_int(lido__semaphore_acquire(&semaphore, 1), 0);
    check(!lido__semaphore_try(&semaphore, 1));
    lido__semaphore_release(&semaphore, 3);
    check_int(permits_left(), 3);
    return 0;
}

static void what_is_there_is_taken_at_once(void **state)
{
    (void)state;
    run(take_what_is_there);
}

static void a_plain_thread_may_try_and_release_but_not_wait(void **state)
{
    (void)state;
    begin(1);
    assert_true(lido__semaphore_try(&semaphore, 1));
    assert_int_equal(lido__semaphore_acquire(&semaphore, 1), -ENXIO);
    lido__semaphore_release(&semaphore, 1);
    assert_int_equal(lido__semaphore_acquire(&semaphore, 1), 0);
}

/* ---- Order ----------------------------------------------------------------------------------------- */

static int wait_in_line(void *arg)
{
    struct taker takers[] = {{3, 9}, {1, 9}, {2, 9}, {1, 9}};
    lido_task *tasks[COUNT(takers)];
    (void)arg;
    begin(0);
    served = 0;
    for (size_t i = 0; i < COUNT(takers); i++) {
        tasks[i] = start_on(i % 2, take, &takers[i]);
        await_queue(i + 1);
    }
    /* There are enough for the second, but it came after the first. */
    lido__semaphore_release(&semaphore, 2);
    check(!lido__semaphore_try(&semaphore, 1));
    check_int(permits_left(), 2);
    await_queue(4);
    for (size_t i = 0; i < COUNT(takers); i++) {
        lido__semaphore_release(&semaphore, i == 0 ? 1 : takers[i].wants);
        check_int(finish(tasks[i]), 0);
        check_int(takers[i].place, i);
    }
    check_int(permits_left(), 0);
    return 0;
}

static void permits_are_given_in_the_order_of_coming(void **state)
{
    (void)state;
    run_on(2, wait_in_line, NULL);
}

/* ---- Interruption ------------------------------------------------------------------------------------ */

static int cancel_the_first(void *arg)
{
    struct taker large = {3, 9}, small = {1, 9};
    (void)arg;
    begin(2);
    lido_task *first = start_on(1, take, &large);
    await_queue(1);
    lido_task *second = start_on(1, take, &small);
    await_queue(2);
    lido_cancel(first);
    check_int(finish(first), -ECANCELED);
    check_int(finish(second), 0);
    check_int(permits_left(), 1);
    return 0;
}

static void one_that_leaves_lets_those_behind_it_pass(void **state)
{
    (void)state;
    run_on(2, cancel_the_first, NULL);
}

static int wait_until_the_deadline(void *arg)
{
    (void)arg;
    begin(1);
    lido_within(5);
    check_int(lido__semaphore_acquire(&semaphore, 2), -ETIMEDOUT);
    check_int(permits_left(), 1);
    check(lido__semaphore_try(&semaphore, 1));
    return 0;
}

static void a_deadline_ends_the_wait_and_takes_nothing(void **state)
{
    (void)state;
    run(wait_until_the_deadline);
}

/* ---- Futures ----------------------------------------------------------------------------------------- */

struct poller {
    lido_future future;
    lido_wait wait;
    bool forgoes;
};

static int poll_semaphore(lido_future *future, const lido_waker *waker)
{
    struct poller *self = lido__container_of(future, struct poller, future);
    int r = lido__semaphore_acquire_poll(&semaphore, &self->wait, waker);
    if (r == LIDO_PENDING && self->forgoes) {
        lido_wait_forgo(&self->wait);
        lido_wait_forgo(&self->wait);
        return -EAGAIN;
    }
    return r;
}

static int poll_and_forgo(void *arg)
{
    struct poller stays = {{poll_semaphore}, LIDO_WAIT_INIT, false};
    struct poller leaves = {{poll_semaphore}, LIDO_WAIT_INIT, true};
    lido_task *first, *second;
    (void)arg;
    begin(0);
    check_int(lido_spawn_future(&first, &leaves.future), 0);
    check_int(finish(first), -EAGAIN);
    check_int(lido_spawn_future(&second, &stays.future), 0);
    await_queue(1);
    lido__semaphore_release(&semaphore, 1);
    check_int(finish(second), 0);
    check_int(permits_left(), 0);
    return 0;
}

static void a_future_waits_or_gives_up(void **state)
{
    (void)state;
    run(poll_and_forgo);
}

/* It was given a permit, and does not look: the permit goes to the next. */
static int forgo_what_was_granted(void *arg)
{
    struct poller future = {{poll_semaphore}, LIDO_WAIT_INIT, false};
    struct taker taker = {1, 9};
    lido_task *polls;
    (void)arg;
    begin(0);
    check_int(lido_spawn_future(&polls, &future.future), 0);
    await_queue(1);
    lido_task *next = start(take, &taker);
    await_queue(2);
    lido__semaphore_release(&semaphore, 1);
    lido_wait_forgo(&future.wait);
    check_int(finish(next), 0);
    lido__semaphore_release(&semaphore, 1);
    check_int(finish(polls), 0);
    return 0;
}

static void what_is_forgone_goes_to_the_next(void **state)
{
    (void)state;
    run(forgo_what_was_granted);
}

/* ---- Passing on -------------------------------------------------------------------------------------- */

static lido_waker accepted;

static void accept_for(lido_wait *wait)
{
    accepted = lido__waker_own(lido__wait_of(wait)->task);
}

static int pass_to_future(void *arg)
{
    struct poller future = {{poll_semaphore}, LIDO_WAIT_INIT, false};
    struct taker taker = {1, 9};
    lido_task *polls;
    (void)arg;
    begin(0);
    check_int(lido_spawn_future(&polls, &future.future), 0);
    await_queue(1);
    lido_task *fiber = start(take, &taker);
    await_queue(2);
    check(lido__semaphore_pass(&semaphore, accept_for) == &future.wait);
    check(lido__semaphore_pass(&semaphore, accept_for) == NULL); /* which the fiber gets */
    check_int(finish(fiber), 0);
    check(!lido_task_is_done(polls)); /* nobody has woken it */
    lido__wake_consume(accepted);
    check_int(finish(polls), 0);
    check_int(permits_left(), 0);
    check(lido__semaphore_pass(&semaphore, accept_for) == NULL); /* nobody waits */
    check_int(permits_left(), 1);
    return 0;
}

static void a_permit_is_passed_to_the_future_that_is_first(void **state)
{
    (void)state;
    run(pass_to_future);
}

/* ---- All at once ------------------------------------------------------------------------------------- */

enum { PERMITS = 3, WORKERS = 3, USERS = 24, ROUNDS = 400 };

static uint32_t held;
static uint32_t canceled;

/* Holds some permits for a moment, so often; or until it is cancelled. */
static int use(void *arg)
{
    uint32_t wants = 1 + (uint32_t)(uintptr_t)arg % PERMITS;
    for (int i = 0; i < ROUNDS; i++) {
        if (lido__semaphore_acquire(&semaphore, wants) < 0) {
            lido__fetch_add(&canceled, 1, LIDO__RELAXED);
            return 0;
        }
        check(lido__fetch_add(&held, wants, LIDO__RELAXED) + wants <= PERMITS);
        int r = i % 3 ? 0 : lido_yield();
        lido__fetch_sub(&held, wants, LIDO__RELAXED);
        lido__semaphore_release(&semaphore, wants);
        if (r < 0)
            return 0;
    }
    return 0;
}

static int crowd(void *arg)
{
    lido_task *tasks[USERS];
    (void)arg;
    begin(PERMITS);
    for (uintptr_t i = 0; i < USERS; i++)
        tasks[i] = start_on((unsigned)i % WORKERS, use, (void *)i);
    for (size_t i = 0; i < USERS; i += 2) {
        lido_yield();
        lido_cancel(tasks[i]);
    }
    for (size_t i = 0; i < USERS; i++)
        check_int(finish(tasks[i]), 0);
    check_int(permits_left(), PERMITS);
    check_int(semaphore.word % LIDO__WORD_OWN, 0);
    return 0;
}

static void no_permit_is_lost_or_had_twice(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        run_on(WORKERS, crowd, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_taken_at_once),
        cmocka_unit_test(a_plain_thread_may_try_and_release_but_not_wait),
        cmocka_unit_test(permits_are_given_in_the_order_of_coming),
        cmocka_unit_test(one_that_leaves_lets_those_behind_it_pass),
        cmocka_unit_test(a_deadline_ends_the_wait_and_takes_nothing),
        cmocka_unit_test(a_future_waits_or_gives_up),
        cmocka_unit_test(what_is_forgone_goes_to_the_next),
        cmocka_unit_test(a_permit_is_passed_to_the_future_that_is_first),
        cmocka_unit_test(no_permit_is_lost_or_had_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
