/* What goes wrong is told as it is, and costs nothing but what it must. */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/os.h"
#include "support/net.h"

/* ---- Without a runtime -------------------------------------------------------------------------- */

static void a_socket_needs_a_runtime(void **state)
{
    lido_stream *stream = NULL, *pair[2] = {NULL, NULL};
    lido_listener *listener = NULL;
    lido_address address;
    int fds[2];
    (void)state;
    assert_int_equal(lido_address_parse(&address, "127.0.0.1:1"), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(lido_listen_tcp(&listener, "127.0.0.1:0"), -ENXIO);
    assert_int_equal(lido_listen_tcp(&listener, "nonsense"), -ENXIO);
    assert_int_equal(lido_listen_unix(&listener, "@lido-outside"), -ENXIO);
    assert_int_equal(lido_listener_from_fd(&listener, fds[0]), -ENXIO);
    assert_int_equal(lido_connect_tcp(&stream, "127.0.0.1:1"), -ENXIO);
    assert_int_equal(lido_connect_tcp_from(&stream, "127.0.0.1:1", "127.0.0.1:0"), -ENXIO);
    assert_int_equal(lido_connect(&stream, &address), -ENXIO);
    assert_int_equal(lido_connect_unix(&stream, "@lido-outside"), -ENXIO);
    assert_int_equal(lido_stream_pair(pair), -ENXIO);
    assert_int_equal(lido_stream_from_fd(&stream, fds[0]), -ENXIO);
    assert_int_equal(lido_resolve("127.0.0.1:1", &address, 1), -ENXIO);
    assert_null(stream);
    assert_null(listener);
    assert_null(pair[0]);
    assert_int_equal(close(fds[0]), 0); /* still ours */
    assert_int_equal(close(fds[1]), 0);
    assert_string_equal(lido_strerror(-ENXIO),
                        "no current reactor: call this from a task of a runtime");
}

static int make_pair(void *pair)
{
    net_pair(pair);
    return 0;
}

static void outside_a_task_a_stream_can_be_closed_and_nothing_else(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    lido_stream *pair[2];
    char byte;
    (void)state;
    config.workers = 1;
    assert_int_equal(lido_runtime_new(&runtime, &config), 0);
    assert_int_equal(lido_block_on(runtime, make_pair, pair), 0);
    assert_int_equal(lido_read(pair[0], &byte, 1), -ENXIO);
    assert_int_equal(lido_write(pair[0], "x", 1), -ENXIO);
    lido_close(pair[0]);
    lido_close(pair[1]);
    assert_int_equal(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
}

/* ---- One task a side ---------------------------------------------------------------------------- */

static int read_one(void *stream)
{
    char byte = 0;
    ssize_t r = lido_read(stream, &byte, 1);
    return r == 1 ? byte : (int)r;
}

static int write_one(void *stream)
{
    return (int)lido_write(stream, "w", 1);
}

static int accept_one(void *listener)
{
    lido_stream *stream;
    int r = lido_accept(listener, &stream, NULL);
    if (r == 0)
        lido_close(stream);
    return r;
}

/* *workers: how many; the second task of each side is on the last. */
static int crowd_the_sides(void *workers)
{
    unsigned other = *(unsigned *)workers - 1;
    lido_stream *pair[2], *client;
    lido_listener *listener = net_listen();
    char byte;
    net_unix_pair(pair);
    size_t filled = net_fill(pair[0]);
    lido_task *reader = start(read_one, pair[0]);
    lido_task *writer = start(write_one, pair[0]);
    lido_task *acceptor = start(accept_one, listener);
    net_await_reader(pair[0]);
    net_await_writer(pair[0]);
    net_await_acceptor(listener);
    check_int(finish(start_on(other, read_one, pair[0])), -EBUSY);
    check_int(finish(start_on(other, write_one, pair[0])), -EBUSY);
    check_int(finish(start_on(other, accept_one, listener)), -EBUSY);
    check_int(lido_peek(pair[0], &byte, 1), -EBUSY);
    /* The first ones are not disturbed. */
    net_say(pair[1], "r");
    check_int(finish(reader), 'r');
    net_drain(pair[1], filled);
    check_int(finish(writer), 1);
    net_expect(pair[1], "w");
    client = net_connect(listener);
    check_int(finish(acceptor), 0);
    lido_close(client);
    net_close_pair(pair);
    lido_listener_close(listener);
    return 0;
}

static void a_second_task_on_one_side_is_ebusy(void **state)
{
    (void)state;
    run_on(1, crowd_the_sides, &(unsigned){1});
    run_on(2, crowd_the_sides, &(unsigned){2});
}

/* ---- Closing under a task that waits ------------------------------------------------------------ */

static int close_stream(void *stream)
{
    lido_close(stream);
    return 0;
}

static int close_listener(void *listener)
{
    lido_listener_close(listener);
    return 0;
}

static int close_under_waiters(void *workers)
{
    unsigned other = *(unsigned *)workers - 1;
    for (int i = 0; i < 200; i++) {
        lido_stream *pair[2];
        lido_listener *listener = net_listen();
        net_unix_pair(pair);
        net_fill(pair[0]);
        lido_task *reader = start(read_one, pair[0]);
        lido_task *writer = start(write_one, pair[0]);
        lido_task *acceptor = start(accept_one, listener);
        net_await_reader(pair[0]);
        net_await_writer(pair[0]);
        net_await_acceptor(listener);
        lido_task *closers[] = {
            start_on(other, close_stream, pair[0]),
            start_on(other, close_listener, listener),
        };
        check_int(finish(reader), -ECANCELED);
        check_int(finish(writer), -ECANCELED);
        check_int(finish(acceptor), -ECANCELED);
        check_int(finish(closers[0]), 0);
        check_int(finish(closers[1]), 0);
        lido_close(pair[1]);
    }
    return 0;
}

static void closing_ends_the_waits_of_the_same_worker(void **state)
{
    (void)state;
    run_on(1, close_under_waiters, &(unsigned){1});
}

static void closing_ends_the_waits_of_another_worker(void **state)
{
    (void)state;
    run_on(2, close_under_waiters, &(unsigned){2});
}

/* The bytes and the closing come at the same moment, from two workers. */
static int say_something(void *stream)
{
    lido_write(stream, "x", 1);
    return 0;
}

static int close_against_event(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        lido_stream *pair[2];
        net_pair(pair);
        lido_task *reader = start_on(1, read_one, pair[0]);
        net_await_reader(pair[0]);
        lido_task *peer = start_on(i % 2, say_something, pair[1]);
        lido_close(pair[0]);
        int r = finish(reader);
        check(r == -ECANCELED || r == 'x');
        check_int(finish(peer), 0);
        lido_close(pair[1]);
    }
    return 0;
}

static void closing_against_an_event_ends_the_wait_once(void **state)
{
    (void)state;
    run_on(2, close_against_event, NULL);
}

static int close_nothing(void *arg)
{
    (void)arg;
    lido_close(NULL);
    lido_listener_close(NULL);
    return 0;
}

static void closing_nothing_is_allowed(void **state)
{
    (void)state;
    run(close_nothing);
}

/* ---- The peer ----------------------------------------------------------------------------------- */

static int reset_by_peer(void *arg)
{
    lido_stream *pair[2];
    char byte;
    (void)arg;
    net_pair(pair);
    lido_task *reader = start(read_one, pair[0]);
    net_await_reader(pair[0]);
    check_int(lido_stream_set(pair[1], LIDO_OPTION_LINGER, 0), 0);
    lido_close(pair[1]);
    check_int(finish(reader), -ECONNRESET);
    check_int(lido_write(pair[0], "x", 1), -EPIPE);
    check_int(lido_read(pair[0], &byte, 1), -ECONNRESET); /* not the end, as the system would say */
    lido_close(pair[0]);
    return 0;
}

static void a_reset_by_the_peer_wakes_the_reader_with_econnreset(void **state)
{
    (void)state;
    run(reset_by_peer);
}

static int write_to_closed(void *arg)
{
    lido_stream *pair[2];
    size_t done = 42;
    (void)arg;
    net_pair(pair);
    lido_close(pair[1]);
    check_int(lido_write(pair[0], "x", 1), 1); /* which the peer answers with a reset */
    net_await_reset(pair[0]);
    check_int(lido_write(pair[0], "x", 1), -EPIPE);
    check_int(lido_write_all(pair[0], "x", 1, &done), -EPIPE);
    check_int(done, 0);
    lido_slice slice = {"x", 1};
    check_int(lido_writev(pair[0], &slice, 1), -EPIPE);
    lido_close(pair[0]);
    return 0;
}

static void writing_to_a_closed_peer_is_epipe_and_no_signal(void **state)
{
    (void)state;
    run(write_to_closed);
}

static int write_past_full(void *stream)
{
    static const char zeros[1 << 20];
    size_t done = 0;
    ssize_t r = lido_write_all(stream, zeros, sizeof(zeros), &done);
    check(r < 0 && done < sizeof(zeros));
    return (int)r;
}

static int vanish_under_writer(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_unix_pair(pair);
    lido_task *writer = start(write_past_full, pair[0]);
    net_await_writer(pair[0]);
    lido_close(pair[1]);
    check_int(finish(writer), -EPIPE);
    lido_close(pair[0]);
    return 0;
}

static void a_writer_that_waits_is_woken_when_the_peer_vanishes(void **state)
{
    (void)state;
    run(vanish_under_writer);
}

/* ---- Addresses and descriptors ------------------------------------------------------------------ */

static int take_port_twice(void *arg)
{
    lido_listener *first = net_listen(), *second = arg;
    lido_address address = net_address(first);
    char text[LIDO_ADDRESS_TEXT];
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_int(lido_listen_tcp(&second, text), -EADDRINUSE);
    snprintf(text, sizeof(text), "0.0.0.0:%u", lido_address_port(&address));
    check_int(lido_listen_tcp(&second, text), -EADDRINUSE);
    snprintf(text, sizeof(text), "*:%u", lido_address_port(&address));
    check_int(lido_listen_tcp(&second, text), -EADDRINUSE);
    check(second == arg);
    lido_listener_close(first);
    return 0;
}

static void a_port_that_is_taken_is_eaddrinuse(void **state)
{
    (void)state;
    run(take_port_twice);
}

static int listen_on_nonsense(void *arg)
{
    lido_listener *listener;
    (void)arg;
    check_int(lido_listen_tcp(&listener, ""), -EINVAL);
    check_int(lido_listen_tcp(&listener, "127.0.0.1"), -EINVAL);
    check_int(lido_listen_tcp(&listener, "127.0.0.1:65536"), -EINVAL);
    check_int(lido_listen_tcp(&listener, "192.0.2.1:0"), -EADDRNOTAVAIL);
    return 0;
}

static void an_address_that_does_not_do_is_a_clear_error(void **state)
{
    (void)state;
    run(listen_on_nonsense);
}

/* Leaves no descriptor free below the limit, which it lowers; returns how many it opened. */
#define HOGS 256
static int hogs[HOGS];

static int hog_descriptors(void)
{
    struct rlimit limit;
    int count = 0;
    check_int(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 128;
    check_int(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (count < HOGS && (hogs[count] = dup(0)) >= 0)
        count++;
    check(count > 2 && count < HOGS);
    return count;
}

static int run_out(void *arg)
{
    lido_listener *listener = net_listen();
    lido_stream *client = net_connect(listener), *stream = arg, *pair[2];
    int count = hog_descriptors();
    for (int i = 0; i < 3; i++)
        check_int(lido_accept(listener, &stream, NULL), -EMFILE);
    check_int(lido_stream_pair(pair), -EMFILE);
    check_int(lido_connect_tcp(&stream, "127.0.0.1:1"), -EMFILE);
    check(stream == arg);
    lido_address address;
    check_int(lido_resolve("lido-no-such-host.invalid:80", &address, 1), -EMFILE);
    close(hogs[--count]);
    lido_stream *server = net_accept(listener); /* the same connection as before */
    net_say(client, "x");
    net_expect(server, "x");
    check_int(lido_stream_pair(pair), -EMFILE);
    close(hogs[--count]); /* one is not enough for a pair */
    check_int(lido_stream_pair(pair), -EMFILE);
    close(hogs[--count]);
    check_int(lido_stream_pair(pair), 0);
    net_close_pair(pair);
    lido_close(server);
    lido_close(client);
    lido_listener_close(listener);
    while (count > 0)
        close(hogs[--count]);
    return 0;
}

static void out_of_descriptors_nothing_is_accepted_and_nothing_lost(void **state)
{
    struct rlimit before;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    run(run_out);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_needs_a_runtime),
        cmocka_unit_test(outside_a_task_a_stream_can_be_closed_and_nothing_else),
        cmocka_unit_test(a_second_task_on_one_side_is_ebusy),
        cmocka_unit_test(closing_ends_the_waits_of_the_same_worker),
        cmocka_unit_test(closing_ends_the_waits_of_another_worker),
        cmocka_unit_test(closing_against_an_event_ends_the_wait_once),
        cmocka_unit_test(closing_nothing_is_allowed),
        cmocka_unit_test(a_reset_by_the_peer_wakes_the_reader_with_econnreset),
        cmocka_unit_test(writing_to_a_closed_peer_is_epipe_and_no_signal),
        cmocka_unit_test(a_writer_that_waits_is_woken_when_the_peer_vanishes),
        cmocka_unit_test(a_port_that_is_taken_is_eaddrinuse),
        cmocka_unit_test(an_address_that_does_not_do_is_a_clear_error),
        cmocka_unit_test(out_of_descriptors_nothing_is_accepted_and_nothing_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
