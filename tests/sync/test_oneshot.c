/* One-shots: one value, from anywhere to one task, or a clear word that there will be none. */
#include <errno.h>

#include "base/atomic.h"
#include "support/runtime.h"
#include "support/waiters.h"

static char letter[] = "a value";

static int receive(void *arg)
{
    void *value = NULL;
    int r = lido_oneshot_recv(arg, &value);
    if (r == 0)
        check(value == letter);
    else
        check(value == NULL);
    return r;
}

static void *send_from_thread(void *arg)
{
    check_int(lido_oneshot_send(arg, letter), 0);
    return NULL;
}

/* ---- Values ---------------------------------------------------------------------------------------- */

static int send_first(void *arg)
{
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    check_int(lido_oneshot_try_recv(&oneshot, &arg), -EAGAIN);
    check_int(lido_oneshot_send(&oneshot, letter), 0);
    check_int(receive(&oneshot), 0);
    check_int(lido_oneshot_try_recv(&oneshot, &arg), 0);
    check(arg == letter);
    return 0;
}

static void a_value_that_is_there_is_received_at_once(void **state)
{
    (void)state;
    run(send_first);
}

static int send_to_each_worker(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        lido_oneshot oneshot = LIDO_ONESHOT_INIT;
        lido_task *task = start_on(worker, receive, &oneshot);
        await_receiver(&oneshot);
        check_int(lido_oneshot_send(&oneshot, letter), 0);
        check_int(finish(task), 0);
    }
    return 0;
}

static void a_value_wakes_the_one_who_waits(void **state)
{
    (void)state;
    run_on(2, send_to_each_worker, NULL);
}

static int receive_from_thread(void *arg)
{
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    (void)arg;
    pthread_t thread = thread_start(send_from_thread, &oneshot);
    check_int(receive(&oneshot), 0);
    thread_join(thread);
    return 0;
}

static void a_plain_thread_may_send(void **state)
{
    (void)state;
    run(receive_from_thread);
}

static void a_plain_thread_cannot_wait(void **state)
{
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    void *value;
    (void)state;
    assert_int_equal(lido_oneshot_recv(&oneshot, &value), -ENXIO);
    assert_int_equal(lido_oneshot_send(&oneshot, letter), 0);
    assert_int_equal(lido_oneshot_try_recv(&oneshot, &value), 0);
}

/* ---- Closing ----------------------------------------------------------------------------------------- */

static int close_the_sender(void *arg)
{
    lido_oneshot early = LIDO_ONESHOT_INIT, late = LIDO_ONESHOT_INIT;
    check_int(lido_oneshot_close_sender(&early), 0);
    check_int(receive(&early), -EPIPE);
    check_int(lido_oneshot_try_recv(&early, &arg), -EPIPE);
    check_int(lido_oneshot_send(&early, letter), -EALREADY);
    lido_task *task = start_on(1, receive, &late);
    await_receiver(&late);
    check_int(lido_oneshot_close_sender(&late), 0);
    check_int(finish(task), -EPIPE);
    return 0;
}

static void a_sender_that_closes_is_told_to_the_receiver(void **state)
{
    (void)state;
    run_on(2, close_the_sender, NULL);
}

static int close_the_receiver(void *arg)
{
    lido_oneshot in_time = LIDO_ONESHOT_INIT, too_late = LIDO_ONESHOT_INIT;
    check_int(lido_oneshot_close_receiver(&in_time), 0);
    check_int(lido_oneshot_send(&in_time, letter), -EPIPE);
    check_int(lido_oneshot_close_sender(&in_time), -EPIPE);
    check_int(lido_oneshot_send(&too_late, letter), 0);
    check_int(lido_oneshot_close_receiver(&too_late), -EALREADY);
    check_int(lido_oneshot_try_recv(&too_late, &arg), 0);
    check(arg == letter);
    return 0;
}

static void a_receiver_that_closes_is_told_to_the_sender(void **state)
{
    (void)state;
    run(close_the_receiver);
}

static int close_under_a_waiter(void *arg)
{
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    (void)arg;
    lido_task *task = start(receive, &oneshot);
    await_receiver(&oneshot);
    check_int(lido_oneshot_close_receiver(&oneshot), -EBUSY);
    check_int(lido_stop(task, NULL), 0);
    check_int(lido_oneshot_close_receiver(&oneshot), 0);
    return 0;
}

static void nobody_closes_for_one_who_waits(void **state)
{
    (void)state;
    run(close_under_a_waiter);
}

/* ---- Interruption ------------------------------------------------------------------------------------ */

static int cancel_and_send(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++) {
        lido_oneshot oneshot = LIDO_ONESHOT_INIT;
        void *value;
        lido_task *task = start_on(worker, receive, &oneshot);
        await_receiver(&oneshot);
        lido_cancel(task);
        check_int(finish(task), -ECANCELED);
        check_int(lido_oneshot_send(&oneshot, letter), 0);
        check_int(lido_oneshot_try_recv(&oneshot, &value), 0);
    }
    return 0;
}

static void a_canceled_wait_consumes_nothing(void **state)
{
    (void)state;
    run_on(2, cancel_and_send, NULL);
}

static int wait_within(void *arg)
{
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    (void)arg;
    lido_within(5);
    check_int(receive(&oneshot), -ETIMEDOUT);
    check_int(lido_oneshot_send(&oneshot, letter), 0);
    check_int(receive(&oneshot), -ETIMEDOUT);
    return 0;
}

static void a_deadline_ends_the_wait(void **state)
{
    (void)state;
    run(wait_within);
}

/* ---- Futures ----------------------------------------------------------------------------------------- */

struct receiver {
    lido_future future;
    lido_oneshot oneshot;
    lido_wait wait;
};

static int poll_oneshot(lido_future *future, const lido_waker *waker)
{
    struct receiver *self = (struct receiver *)future;
    void *value;
    int r = lido_oneshot_recv_poll(&self->oneshot, &value, &self->wait, waker);
    if (r == 0)
        check(value == letter);
    return r;
}

static int receive_in_future(void *arg)
{
    (void)arg;
    for (int sends = 0; sends < 3; sends++) {
        struct receiver receiver = {{poll_oneshot}, LIDO_ONESHOT_INIT, LIDO_WAIT_INIT};
        lido_task *task;
        check_int(lido_spawn_future(&task, &receiver.future), 0);
        if (sends < 2)
            await_receiver(&receiver.oneshot);
        if (sends == 0)
            check_int(lido_oneshot_close_sender(&receiver.oneshot), 0);
        else
            check_int(lido_oneshot_send(&receiver.oneshot, letter), 0);
        check_int(finish(task), sends == 0 ? -EPIPE : 0);
    }
    return 0;
}

static void a_future_receives(void **state)
{
    (void)state;
    run(receive_in_future);
}

static int cancel_future(void *arg)
{
    struct receiver receiver = {{poll_oneshot}, LIDO_ONESHOT_INIT, LIDO_WAIT_INIT};
    lido_task *task;
    (void)arg;
    check_int(lido_spawn_future(&task, &receiver.future), 0);
    await_receiver(&receiver.oneshot);
    lido_cancel(task);
    check_int(finish(task), -ECANCELED);
    check_int(lido_oneshot_close_receiver(&receiver.oneshot), 0);
    return 0;
}

static void a_canceled_future_has_left(void **state)
{
    (void)state;
    run(cancel_future);
}

static int wait_in_poll(lido_future *future, const lido_waker *waker)
{
    (void)waker;
    return receive(&((struct receiver *)future)->oneshot);
}

static int spawn_one_that_waits(void *arg)
{
    struct receiver receiver = {{wait_in_poll}, LIDO_ONESHOT_INIT, LIDO_WAIT_INIT};
    lido_task *task;
    (void)arg;
    check_int(lido_spawn_future(&task, &receiver.future), 0);
    check_int(finish(task), -EDEADLK);
    return 0;
}

static void a_future_must_not_wait(void **state)
{
    (void)state;
    run(spawn_one_that_waits);
}

/* ---- Races ------------------------------------------------------------------------------------------- */

enum { ROUNDS = 3000 };

/*
 * A request that lies in memory of its own. Both sides may give up at any moment, and the second one to be
 * through with it frees it: AddressSanitizer sees if that is not exactly one.
 */
struct request {
    lido_oneshot reply;
    uint32_t hurry;
};

static uint32_t freed;

static void free_request(struct request *request)
{
    lido__fetch_add(&freed, 1, LIDO__RELAXED);
    free(request);
}

static int ask(void *arg)
{
    struct request *request = arg;
    int r = receive(&request->reply);
    if (r == -ECANCELED) {
        r = lido_oneshot_close_receiver(&request->reply);
        if (r == 0)
            return 0;
        check_int(r, -EALREADY);
    }
    free_request(request);
    return 0;
}

static int reply(void *arg)
{
    struct request *request = arg;
    int r = request->hurry % 2 ? lido_oneshot_send(&request->reply, letter)
                               : lido_oneshot_close_sender(&request->reply);
    if (r == -EPIPE)
        free_request(request);
    else
        check_int(r, 0);
    return 0;
}

static int give_up_at_any_moment(void *arg)
{
    (void)arg;
    freed = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct request *request = calloc(1, sizeof(*request));
        request->hurry = i;
        lido_task *asks = start_on(1, ask, request);
        lido_task *replies = start_on(2, reply, request);
        if (i % 4 < 2)
            lido_cancel(asks);
        check_int(finish(asks), 0);
        check_int(finish(replies), 0);
    }
    check_int(freed, ROUNDS);
    return 0;
}

static void the_second_to_be_through_owns_the_memory(void **state)
{
    (void)state;
    run_on(3, give_up_at_any_moment, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_that_is_there_is_received_at_once),
        cmocka_unit_test(a_value_wakes_the_one_who_waits),
        cmocka_unit_test(a_plain_thread_may_send),
        cmocka_unit_test(a_plain_thread_cannot_wait),
        cmocka_unit_test(a_sender_that_closes_is_told_to_the_receiver),
        cmocka_unit_test(a_receiver_that_closes_is_told_to_the_sender),
        cmocka_unit_test(nobody_closes_for_one_who_waits),
        cmocka_unit_test(a_canceled_wait_consumes_nothing),
        cmocka_unit_test(a_deadline_ends_the_wait),
        cmocka_unit_test(a_future_receives),
        cmocka_unit_test(a_canceled_future_has_left),
        cmocka_unit_test(a_future_must_not_wait),
        cmocka_unit_test(the_second_to_be_through_owns_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
