/* A stream is used by one worker after the other: its registration follows it. */
#include "net/net.h"
#include "sched/worker.h"
#include "support/net.h"

static int read_one(void *stream)
{
    char byte = 0;
    check_int(lido_read(stream, &byte, 1), 1);
    return byte;
}

static bool is_registered_on(const struct lido__handle *handle, unsigned worker)
{
    struct lido__pool *pool = lido__worker_current()->pool;
    return lido__handle_reactor(handle) == pool->workers[worker].reactor;
}

/* Waits for a byte on that worker. */
static void check_waits_on(unsigned worker, lido_stream *pair[2], char byte)
{
    char text[2] = {byte, 0};
    lido_task *reader = start_pinned(worker, read_one, pair[0]);
    net_await_reader(pair[0]);
    check(is_registered_on(&pair[0]->handle, worker));
    net_say(pair[1], text);
    check_int(finish(reader), byte);
}

static int close_it(void *stream)
{
    lido_close(stream);
    return 0;
}

static int move(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    check(lido__handle_reactor(&pair[0]->handle) == NULL); /* nobody has waited yet */
    check_waits_on(0, pair, 'a');
    check_waits_on(1, pair, 'b');
    lido_task *closer = start_pinned(1, close_it, pair[0]);
    net_expect_end(pair[1]);
    check_int(finish(closer), 0);
    lido_close(pair[1]);
    return 0;
}

static void a_stream_that_was_used_here_is_used_and_closed_there(void **state)
{
    (void)state;
    run_on(2, move, NULL);
}

static int move_to_and_fro(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    for (unsigned i = 0; i < 300; i++)
        check_waits_on(i % 3, pair, (char)('a' + i % 26));
    net_close_pair(pair); /* here, wherever it is registered */
    return 0;
}

static void a_stream_can_move_as_often_as_it_likes(void **state)
{
    (void)state;
    run_on(3, move_to_and_fro, NULL);
}

/* An event that the old worker has not looked at when the stream leaves it. */
static int move_with_event(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 200; i++) {
        lido_stream *pair[2];
        net_pair(pair);
        check_waits_on(0, pair, 'a');
        lido_task *reader = start_pinned(1, read_one, pair[0]);
        net_say(pair[1], "b");
        check_int(finish(reader), 'b');
        check_waits_on(0, pair, 'c');
        net_close_pair(pair);
    }
    return 0;
}

static void bytes_that_come_during_the_move_are_not_missed(void **state)
{
    (void)state;
    run_on(2, move_with_event, NULL);
}

static int write_past_full(void *stream)
{
    net_say(stream, "w");
    return 0;
}

/* The two sides on two workers: who comes second cannot take the registration away. */
static int move_one_side(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_unix_pair(pair);
    size_t filled = net_fill(pair[0]);
    lido_task *writer = start_pinned(1, write_past_full, pair[0]);
    net_await_writer(pair[0]);
    lido_task *reader = start_pinned(0, read_one, pair[0]);
    net_await_reader(pair[0]);
    check(is_registered_on(&pair[0]->handle, 1));
    net_say(pair[1], "r");
    check_int(finish(reader), 'r');
    net_drain(pair[1], filled);
    check_int(finish(writer), 0);
    net_expect(pair[1], "w");
    check_waits_on(0, pair, 'x'); /* nobody waits there any more: it follows */
    net_close_pair(pair);
    return 0;
}

static void a_stream_stays_where_somebody_waits_on_its_other_side(void **state)
{
    (void)state;
    run_on(2, move_one_side, NULL);
}

static int accept_one(void *listener)
{
    lido_close(net_accept(listener));
    return 0;
}

static int move_listener(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    for (unsigned i = 0; i < 50; i++) {
        lido_task *acceptor = start_pinned(i % 2, accept_one, listener);
        net_await_acceptor(listener);
        check(is_registered_on(&listener->handle, i % 2));
        lido_close(net_connect(listener));
        check_int(finish(acceptor), 0);
    }
    lido_listener_close(listener);
    return 0;
}

static void a_listener_moves_too(void **state)
{
    (void)state;
    run_on(2, move_listener, NULL);
}

static int leave_acceptor_alone(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    lido_task *acceptor = start_pinned(0, accept_one, listener);
    net_await_acceptor(listener);
    lido_stream *client = net_connect(listener);
    check_int(finish(acceptor), 0);
    lido_close(client);
    client = net_connect(listener);
    lido_stream *server = net_accept(listener);
    lido_stream *pair[2] = {server, client};
    check_waits_on(1, pair, 'x'); /* and it never was on the acceptor's reactor */
    net_close_pair(pair);
    lido_listener_close(listener);
    return 0;
}

static void an_accepted_stream_is_registered_only_where_it_is_used(void **state)
{
    (void)state;
    run_on(2, leave_acceptor_alone, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_that_was_used_here_is_used_and_closed_there),
        cmocka_unit_test(a_stream_can_move_as_often_as_it_likes),
        cmocka_unit_test(bytes_that_come_during_the_move_are_not_missed),
        cmocka_unit_test(a_stream_stays_where_somebody_waits_on_its_other_side),
        cmocka_unit_test(a_listener_moves_too),
        cmocka_unit_test(an_accepted_stream_is_registered_only_where_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
