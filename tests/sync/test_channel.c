/* Channels: what is sent is received once, in order, by someone; and who cannot go on waits his turn. */
#include <errno.h>

#include "base/atomic.h"
#include "base/list.h"
#include "support/runtime.h"

/* ---- Tasks ------------------------------------------------------------------------------------------- */

/* A task that sends or receives one number. */
struct actor {
    lido_channel *channel;
    int value;
};

static int send_one(void *arg)
{
    struct actor *actor = arg;
    return lido_channel_send(actor->channel, &actor->value);
}

static int receive_one(void *arg)
{
    struct actor *actor = arg;
    return lido_channel_recv(actor->channel, &actor->value);
}

/* Starts a task on this worker, and lets it run until it waits. */
static lido_task *start_waiting(lido_fn fn, void *arg)
{
    lido_task *task = start(fn, arg);
    check_int(lido_yield(), 0);
    check(!lido_task_is_done(task));
    return task;
}

static lido_channel *channel_of(size_t capacity)
{
    lido_channel *channel;
    check_int(lido_channel_new(&channel, sizeof(int), capacity), 0);
    return channel;
}

static void put(lido_channel *channel, int value)
{
    check_int(lido_channel_send(channel, &value), 0);
}

static void expect(lido_channel *channel, int value)
{
    int received = -1;
    check_int(lido_channel_recv(channel, &received), 0);
    check_int(received, value);
}

/* ---- Without waiting ----------------------------------------------------------------------------------- */

static void a_channel_without_room_cannot_be_made(void **state)
{
    lido_channel *channel;
    (void)state;
    assert_int_equal(lido_channel_new(&channel, 1, 0), -EINVAL);
    assert_int_equal(lido_channel_new(&channel, SIZE_MAX, 2), -ENOMEM);
    assert_int_equal(lido_channel_new(&channel, 1, SIZE_MAX), -ENOMEM);
}

static int fill_and_drain(void *arg)
{
    enum { CAPACITY = 3 };
    lido_channel *channel = channel_of(CAPACITY);
    int sent = 0, received = 0, value = 0;
    (void)arg;
    for (int round = 1; round <= 7; round++) {
        for (int i = 0; i < (round % CAPACITY) + 1; i++)
            put(channel, sent++);
        while (sent - received < CAPACITY)
            put(channel, sent++);
        check_int(lido_channel_try_send(channel, &sent), -EAGAIN);
        for (int i = 0; i < CAPACITY; i++)
            expect(channel, received++);
        check_int(lido_channel_try_recv(channel, &value), -EAGAIN);
    }
    lido_channel_drop(channel);
    return 0;
}

static void no_more_than_the_capacity_in_the_order_of_sending(void **state)
{
    (void)state;
    run(fill_and_drain);
}

static int send_bytes(void *arg)
{
    static const size_t sizes[] = {0, 1, 3, 8, 100};
    (void)arg;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        lido_channel *channel;
        char in[100], out[101];
        memset(in, 'a' + (int)i, sizeof(in));
        check_int(lido_channel_new(&channel, sizes[i], 2), 0);
        for (int n = 0; n < 5; n++) {
            memset(out, 0, sizeof(out));
            check_int(lido_channel_try_send(channel, in), 0);
            check_int(lido_channel_try_recv(channel, out), 0);
            check_int(strspn(out, (char[]){in[0], 0}), sizes[i]);
        }
        lido_channel_drop(channel);
    }
    return 0;
}

static void elements_have_any_size(void **state)
{
    (void)state;
    run(send_bytes);
}

static void a_plain_thread_may_try_but_not_wait(void **state)
{
    lido_channel *channel;
    int value = 7;
    (void)state;
    assert_int_equal(lido_channel_new(&channel, sizeof(int), 1), 0);
    assert_int_equal(lido_channel_send(channel, &value), -ENXIO);
    assert_int_equal(lido_channel_try_send(channel, &value), 0);
    assert_int_equal(lido_channel_recv(channel, &value), -ENXIO);
    assert_int_equal(lido_channel_try_recv(channel, &value), 0);
    lido_channel_drop(channel);
    lido_channel_drop(NULL);
}

static void the_last_handle_frees_what_was_not_received(void **state)
{
    lido_channel *channel;
    int value = 7;
    (void)state;
    assert_int_equal(lido_channel_new(&channel, sizeof(int), 1), 0);
    assert_ptr_equal(lido_channel_share(channel), channel);
    lido_channel_drop(channel);
    assert_int_equal(lido_channel_try_send(channel, &value), 0);
    lido_channel_drop(channel);
}

/* ---- Turns --------------------------------------------------------------------------------------------- */

static int receivers_in_line(void *arg)
{
    struct actor actors[4];
    lido_task *tasks[COUNT(actors)];
    (void)arg;
    lido_channel *channel = channel_of(2);
    for (size_t i = 0; i < COUNT(actors); i++) {
        actors[i] = (struct actor){channel, -1};
        tasks[i] = start_waiting(receive_one, &actors[i]);
    }
    for (size_t i = 0; i < COUNT(actors); i++) {
        put(channel, (int)i);
        check_int(finish(tasks[i]), 0);
        check_int(actors[i].value, i);
    }
    lido_channel_drop(channel);
    return 0;
}

static void receivers_are_served_in_the_order_of_coming(void **state)
{
    (void)state;
    run(receivers_in_line);
}

static int senders_in_line(void *arg)
{
    struct actor actors[4];
    lido_task *tasks[COUNT(actors)];
    (void)arg;
    lido_channel *channel = channel_of(1);
    put(channel, -1);
    for (int i = 0; i < (int)COUNT(actors); i++) {
        actors[i] = (struct actor){channel, i};
        tasks[i] = start_waiting(send_one, &actors[i]);
    }
    expect(channel, -1);
    /* The room belongs to the one who waits. */
    check_int(lido_channel_try_send(channel, &actors[0].value), -EAGAIN);
    for (int i = 0; i < (int)COUNT(actors); i++)
        expect(channel, i);
    for (size_t i = 0; i < COUNT(actors); i++)
        check_int(finish(tasks[i]), 0);
    lido_channel_drop(channel);
    return 0;
}

static void senders_are_served_in_the_order_of_coming(void **state)
{
    (void)state;
    run(senders_in_line);
}

static int try_to_overtake(void *arg)
{
    (void)arg;
    lido_channel *channel = channel_of(2);
    struct actor actors[2] = {{channel, -1}, {channel, -1}};
    lido_task *first = start_waiting(receive_one, &actors[0]);
    lido_task *second = start_waiting(receive_one, &actors[1]);
    int value = 0;
    put(channel, 1);
    put(channel, 2);
    /* These belong to those who wait. And they take room until they are received. */
    check_int(lido_channel_try_recv(channel, &value), -EAGAIN);
    check_int(lido_channel_try_send(channel, &value), -EAGAIN);
    check_int(finish(first), 0);
    check_int(finish(second), 0);
    check_int(actors[0].value + actors[1].value, 3);
    lido_channel_drop(channel);
    return 0;
}

static void one_that_waits_is_not_overtaken(void **state)
{
    (void)state;
    run(try_to_overtake);
}

/* ---- Closing ------------------------------------------------------------------------------------------- */

static int close_and_drain(void *arg)
{
    int value = 3;
    (void)arg;
    lido_channel *channel = channel_of(2);
    put(channel, 1);
    put(channel, 2);
    struct actor sender = {channel, 3};
    lido_task *task = start_waiting(send_one, &sender);
    lido_channel_close(channel);
    lido_channel_close(channel);
    check_int(finish(task), -EPIPE);
    check_int(lido_channel_send(channel, &value), -EPIPE);
    check_int(lido_channel_try_send(channel, &value), -EPIPE);
    expect(channel, 1);
    expect(channel, 2);
    check_int(lido_channel_recv(channel, &value), -EPIPE);
    check_int(lido_channel_try_recv(channel, &value), -EPIPE);
    check_int(value, 3);
    lido_channel_drop(channel);
    return 0;
}

static void a_closed_channel_is_drained_and_then_says_so(void **state)
{
    (void)state;
    run(close_and_drain);
}

static int close_under_receivers(void *arg)
{
    struct actor actors[3];
    lido_task *tasks[COUNT(actors)];
    (void)arg;
    lido_channel *channel = channel_of(1);
    for (size_t i = 0; i < COUNT(actors); i++) {
        actors[i] = (struct actor){channel, -1};
        tasks[i] = start_waiting(receive_one, &actors[i]);
    }
    put(channel, 5);
    lido_channel_close(channel);
    check_int(finish(tasks[0]), 0);
    check_int(actors[0].value, 5);
    check_int(finish(tasks[1]), -EPIPE);
    check_int(finish(tasks[2]), -EPIPE);
    lido_channel_drop(channel);
    return 0;
}

static void closing_wakes_those_who_wait(void **state)
{
    (void)state;
    run(close_under_receivers);
}

/* It was granted room, and then the channel was closed before it ran. */
static int close_between(void *arg)
{
    (void)arg;
    lido_channel *channel = channel_of(1);
    struct actor sender = {channel, 2};
    int value;
    put(channel, 1);
    lido_task *task = start_waiting(send_one, &sender);
    expect(channel, 1);
    lido_channel_close(channel);
    check_int(finish(task), -EPIPE);
    check_int(lido_channel_recv(channel, &value), -EPIPE);
    lido_channel_drop(channel);
    return 0;
}

static void a_sender_that_comes_too_late_has_sent_nothing(void **state)
{
    (void)state;
    run(close_between);
}

/* ---- Interruption -------------------------------------------------------------------------------------- */

static int cancel_waiters(void *arg)
{
    (void)arg;
    lido_channel *channel = channel_of(1);
    struct actor receiver = {channel, -1}, sender = {channel, 2};
    lido_task *task = start_waiting(receive_one, &receiver);
    lido_cancel(task);
    check_int(finish(task), -ECANCELED);
    check_int(receiver.value, -1);
    put(channel, 1);
    task = start_waiting(send_one, &sender);
    lido_cancel(task);
    check_int(finish(task), -ECANCELED);
    expect(channel, 1);
    check_int(lido_channel_try_recv(channel, &sender.value), -EAGAIN);
    lido_channel_drop(channel);
    return 0;
}

static void a_canceled_wait_consumes_nothing(void **state)
{
    (void)state;
    run(cancel_waiters);
}

static int cancel_after_the_grant(void *arg)
{
    (void)arg;
    lido_channel *channel = channel_of(1);
    struct actor receiver = {channel, -1}, sender = {channel, 3};
    lido_task *task = start_waiting(receive_one, &receiver);
    put(channel, 1);
    lido_cancel(task);
    check_int(finish(task), 0);
    check_int(receiver.value, 1);
    put(channel, 2);
    task = start_waiting(send_one, &sender);
    expect(channel, 2);
    lido_cancel(task);
    check_int(finish(task), 0);
    expect(channel, 3);
    lido_channel_drop(channel);
    return 0;
}

static void what_has_been_granted_happens_though_canceled(void **state)
{
    (void)state;
    run(cancel_after_the_grant);
}

static int wait_within(void *arg)
{
    int value = 1;
    (void)arg;
    lido_channel *channel = channel_of(1);
    {
        lido_within(5);
        check_int(lido_channel_recv(channel, &value), -ETIMEDOUT);
    }
    put(channel, 1);
    {
        lido_within(5);
        check_int(lido_channel_send(channel, &value), -ETIMEDOUT);
    }
    expect(channel, 1);
    lido_channel_drop(channel);
    return 0;
}

static void a_deadline_ends_the_wait(void **state)
{
    (void)state;
    run(wait_within);
}

/* ---- Futures ------------------------------------------------------------------------------------------- */

struct future {
    lido_future future;
    lido_wait wait;
    lido_channel *channel;
    int value;
};

static int poll_receive(lido_future *future, const lido_waker *waker)
{
    struct future *self = lido__container_of(future, struct future, future);
    return lido_channel_recv_poll(self->channel, &self->value, &self->wait, waker);
}

static int poll_send(lido_future *future, const lido_waker *waker)
{
    struct future *self = lido__container_of(future, struct future, future);
    return lido_channel_send_poll(self->channel, &self->value, &self->wait, waker);
}

static lido_task *start_future(struct future *future)
{
    lido_task *task;
    check_int(lido_spawn_future(&task, &future->future), 0);
    check_int(lido_yield(), 0);
    return task;
}

static int futures_wait(void *arg)
{
    (void)arg;
    lido_channel *channel = channel_of(1);
    struct future receiver = {{poll_receive}, LIDO_WAIT_INIT, channel, -1};
    struct future sender = {{poll_send}, LIDO_WAIT_INIT, channel, 6};
    lido_task *task = start_future(&receiver);
    put(channel, 5);
    check_int(finish(task), 0);
    check_int(receiver.value, 5);
    check_int(finish(start_future(&sender)), 0);
    sender.value = 7;
    task = start_future(&sender);
    expect(channel, 6);
    check_int(finish(task), 0);
    check_int(finish(start_future(&receiver)), 0);
    check_int(receiver.value, 7);
    task = start_future(&receiver);
    lido_cancel(task);
    check_int(finish(task), -ECANCELED);
    task = start_future(&receiver);
    lido_channel_close(channel);
    check_int(finish(task), -EPIPE);
    check_int(finish(start_future(&sender)), -EPIPE);
    lido_channel_drop(channel);
    return 0;
}

static void futures_send_and_receive(void **state)
{
    (void)state;
    run(futures_wait);
}

/* Forgone for them by the test, when they have been granted a message, and room. They poll again then. */
static int forgo_grants(void *arg)
{
    (void)arg;
    lido_channel *channel = channel_of(1);
    struct future receiver = {{poll_receive}, LIDO_WAIT_INIT, channel, -1};
    struct future sender = {{poll_send}, LIDO_WAIT_INIT, channel, 3};
    struct actor next = {channel, -1}, last = {channel, 2};

    lido_task *first = start_future(&receiver);
    lido_task *second = start_waiting(receive_one, &next);
    put(channel, 1);
    lido_wait_forgo(&receiver.wait);
    check_int(finish(second), 0);
    check_int(next.value, 1);
    check_int(lido_stop(first, NULL), 0);
    lido_wait_forgo(&receiver.wait);

    put(channel, 1);
    first = start_future(&sender);
    second = start_waiting(send_one, &last);
    expect(channel, 1);
    lido_wait_forgo(&sender.wait);
    check_int(finish(second), 0);
    expect(channel, 2);
    check_int(finish(first), 0);
    expect(channel, 3);
    lido_channel_drop(channel);
    return 0;
}

static void what_is_forgone_goes_to_the_next(void **state)
{
    (void)state;
    run(forgo_grants);
}

/* ---- Fairness ------------------------------------------------------------------------------------------ */

static bool neighbour_ran;

static int be_a_neighbour(void *arg)
{
    (void)arg;
    neighbour_ran = true;
    return 0;
}

static int send_without_end(void *arg)
{
    (void)arg;
    lido_channel *channel = channel_of(100000);
    neighbour_ran = false;
    lido_task *neighbour = start(be_a_neighbour, NULL);
    int sent = 0;
    while (!neighbour_ran)
        put(channel, sent++);
    check(sent > 1 && sent < 10000);
    check_int(finish(neighbour), 0);
    lido_channel_drop(channel);
    return 0;
}

static void one_that_never_has_to_wait_lets_others_run(void **state)
{
    (void)state;
    run(send_without_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_without_room_cannot_be_made),
        cmocka_unit_test(no_more_than_the_capacity_in_the_order_of_sending),
        cmocka_unit_test(elements_have_any_size),
        cmocka_unit_test(a_plain_thread_may_try_but_not_wait),
        cmocka_unit_test(the_last_handle_frees_what_was_not_received),
        cmocka_unit_test(receivers_are_served_in_the_order_of_coming),
        cmocka_unit_test(senders_are_served_in_the_order_of_coming),
        cmocka_unit_test(one_that_waits_is_not_overtaken),
        cmocka_unit_test(a_closed_channel_is_drained_and_then_says_so),
        cmocka_unit_test(closing_wakes_those_who_wait),
        cmocka_unit_test(a_sender_that_comes_too_late_has_sent_nothing),
        cmocka_unit_test(a_canceled_wait_consumes_nothing),
        cmocka_unit_test(what_has_been_granted_happens_though_canceled),
        cmocka_unit_test(a_deadline_ends_the_wait),
        cmocka_unit_test(futures_send_and_receive),
        cmocka_unit_test(what_is_forgone_goes_to_the_next),
        cmocka_unit_test(one_that_never_has_to_wait_lets_others_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
