/* UDP: datagrams go whole, to whom and from whom they should, or not at all. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"
#include "support/net.h"

static lido_datagram *bind_to(const char *host_port)
{
    lido_datagram *socket;
    check_int(lido_bind_udp(&socket, host_port), 0);
    return socket;
}

static lido_address address_of(const lido_datagram *socket)
{
    lido_address address;
    check_int(lido_datagram_local_address(socket, &address), 0);
    return address;
}

static void check_address(const lido_address *actual, const lido_address *expected)
{
    char texts[2][LIDO_ADDRESS_TEXT];
    check_int(lido_address_format(actual, texts[0], LIDO_ADDRESS_TEXT), 0);
    check_int(lido_address_format(expected, texts[1], LIDO_ADDRESS_TEXT), 0);
    check_string(texts[0], texts[1]);
}

static void send_text(lido_datagram *from, const lido_datagram *to, const char *text)
{
    lido_address address = address_of(to);
    check_int(lido_send_to(from, text, strlen(text), &address), strlen(text));
}

static void expect_text(lido_datagram *socket, const char *text)
{
    char got[64] = "";
    bool truncated = true;
    check_int(lido_recv(socket, got, sizeof(got) - 1, &truncated), strlen(text));
    check_string(got, text);
    check(!truncated);
}

static bool receiver_waits(void *socket)
{
    return lido__side_busy(&((lido_datagram *)socket)->handle, 0);
}

/* ---- Sending and receiving --------------------------------------------------------------------- */

static int exchange(void *host_port)
{
    lido_datagram *a = bind_to(host_port), *b = bind_to(host_port);
    lido_address a_address = address_of(a), from;
    char got[64];
    send_text(a, b, "one");
    send_text(a, b, "");
    send_text(a, b, "three");
    check_int(lido_recv_from(b, got, sizeof(got), &from, NULL), 3);
    check_bytes(got, "one", 3);
    check_address(&from, &a_address);
    expect_text(b, "");
    expect_text(b, "three");
    check_int(lido_send_to(b, "back", 4, &from), 4);
    expect_text(a, "back");
    lido_datagram_close(a);
    lido_datagram_close(b);
    return 0;
}

static void datagrams_keep_their_bounds_and_tell_their_sender(void **state)
{
    (void)state;
    run_on(1, exchange, "127.0.0.1:0");
    run_on(1, exchange, "[::1]:0");
}

static int receive_one(void *socket)
{
    char byte;
    return (int)lido_recv(socket, &byte, 1, NULL);
}

static int receive_waiting(void *arg)
{
    lido_datagram *a = bind_to("127.0.0.1:0"), *b = bind_to("127.0.0.1:0");
    (void)arg;
    lido_task *receiver = start(receive_one, b);
    await_that(receiver_waits, b);
    check_int(receive_one(b), -EBUSY);
    send_text(b, a, "x"); /* the other direction is free */
    expect_text(a, "x");
    send_text(a, b, "y");
    check_int(finish(receiver), 1);
    lido_datagram_close(a);
    lido_datagram_close(b);
    return 0;
}

static void one_task_receives_while_another_sends(void **state)
{
    (void)state;
    run(receive_waiting);
}

static int receive_part(void *arg)
{
    lido_datagram *a = bind_to("127.0.0.1:0"), *b = bind_to("127.0.0.1:0");
    lido_address from;
    char got[4] = "...";
    bool truncated = false;
    (void)arg;
    send_text(a, b, "much");
    send_text(a, b, "much");
    send_text(a, b, "end");
    check_int(lido_recv(b, got, 3, &truncated), 3);
    check_string(got, "muc");
    check(truncated);
    truncated = false;
    check_int(lido_recv_from(b, got, 3, &from, &truncated), 3);
    check(truncated);
    check_int(lido_recv_from(b, got, 3, NULL, &truncated), 3); /* the rest is not the next one */
    check_string(got, "end");
    check(!truncated);
    lido_datagram_close(a);
    lido_datagram_close(b);
    return 0;
}

static void it_is_told_when_a_buffer_was_too_small(void **state)
{
    (void)state;
    run(receive_part);
}

static int send_too_much(void *arg)
{
    static const char much[70000];
    lido_datagram *a = bind_to("127.0.0.1:0"), *b = bind_to("127.0.0.1:0");
    lido_address to = address_of(b);
    (void)arg;
    check_int(lido_send_to(a, much, sizeof(much), &to), -EMSGSIZE);
    send_text(a, b, "short");
    expect_text(b, "short");
    lido_datagram_close(a);
    lido_datagram_close(b);
    return 0;
}

static void a_datagram_that_is_too_long_is_not_sent(void **state)
{
    (void)state;
    run(send_too_much);
}

/* ---- Peers ------------------------------------------------------------------------------------- */

static int connect_peers(void *arg)
{
    lido_datagram *a = bind_to("127.0.0.1:0"), *b = bind_to("127.0.0.1:0"),
                  *stranger = bind_to("127.0.0.1:0");
    lido_address a_address = address_of(a), b_address = address_of(b), peer;
    (void)arg;
    check_int(lido_send(a, "x", 1), -EDESTADDRREQ);
    check_int(lido_datagram_peer_address(a, &peer), -ENOTCONN);
    check_int(lido_datagram_connect(a, &b_address), 0);
    check_int(lido_datagram_connect(b, &a_address), 0);
    check_int(lido_datagram_peer_address(a, &peer), 0);
    check_address(&peer, &b_address);
    check_int(lido_send(a, "ping", 4), 4);
    expect_text(b, "ping");
    send_text(stranger, a, "psst");
    check_int(lido_send(b, "pong", 4), 4);
    expect_text(a, "pong");
    lido_datagram_close(a);
    lido_datagram_close(b);
    lido_datagram_close(stranger);
    return 0;
}

static void a_connected_socket_hears_only_its_peer(void **state)
{
    (void)state;
    run(connect_peers);
}

static int send_to_nobody(void *arg)
{
    lido_datagram *a = bind_to("127.0.0.1:0"), *gone = bind_to("127.0.0.1:0");
    lido_address nobody = address_of(gone);
    char byte;
    (void)arg;
    lido_datagram_close(gone);
    check_int(lido_datagram_connect(a, &nobody), 0);
    check_int(lido_send(a, "x", 1), 1);
    check_int(lido_recv(a, &byte, 1, NULL), -ECONNREFUSED);
    lido_datagram_close(a);
    return 0;
}

static void it_is_told_when_nobody_was_there(void **state)
{
    (void)state;
    run(send_to_nobody);
}

/* To all of the loopback network, which Linux lets be broadcast to. */
static int broadcast(void *arg)
{
    lido_datagram *a = bind_to("127.0.0.1:0"), *b = bind_to("0.0.0.0:0");
    lido_address everybody, address = address_of(b);
    char text[32];
    int value;
    (void)arg;
    snprintf(text, sizeof(text), "127.255.255.255:%u", lido_address_port(&address));
    check_int(lido_address_parse(&everybody, text), 0);
    check_int(lido_send_to(a, "x", 1, &everybody), -EACCES);
    check_int(lido_datagram_set(a, LIDO_OPTION_BROADCAST, 1), 0);
    check_int(lido_datagram_get(a, LIDO_OPTION_BROADCAST, &value), 0);
    check_int(value, 1);
    check_int(lido_send_to(a, "hear", 4, &everybody), 4);
    expect_text(b, "hear");
    lido_datagram_close(a);
    lido_datagram_close(b);
    return 0;
}

static void broadcasting_needs_the_option(void **state)
{
    (void)state;
    run(broadcast);
}

/* ---- Making and closing ------------------------------------------------------------------------ */

static int bind_twice(void *arg)
{
    lido_datagram *first = bind_to("127.0.0.1:0"), *second;
    lido_address address = address_of(first);
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    check(lido_address_port(&address) != 0);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_int(lido_bind_udp(&second, text), -EADDRINUSE);
    check_int(lido_bind_udp(&second, "192.0.2.1:0"), -EADDRNOTAVAIL);
    check_int(lido_bind_udp(&second, "127.0.0.1"), -EINVAL);
    lido_datagram_close(first);
    first = bind_to(text);
    lido_datagram_close(first);
    lido_datagram_close(NULL);
    return 0;
}

static void a_port_is_bound_once_and_free_again_after_closing(void **state)
{
    lido_datagram *socket;
    (void)state;
    run(bind_twice);
    assert_int_equal(lido_bind_udp(&socket, "127.0.0.1:0"), -ENXIO);
}

static int take_over(void *arg)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM, 0), pipes[2];
    lido_datagram *taken = NULL;
    (void)arg;
    check_int(pipe(pipes), 0);
    check_int(lido_datagram_from_fd(&taken, stream), -EINVAL);
    check_int(lido_datagram_from_fd(&taken, pipes[0]), -EINVAL);
    check_int(lido_datagram_from_fd(&taken, -1), -EBADF);
    check(taken == NULL);
    check_int(lido_datagram_from_fd(&taken, fd), 0);
    check_int(lido_datagram_fd(taken), fd);
    lido_datagram *b = bind_to("127.0.0.1:0");
    send_text(taken, b, "x");
    expect_text(b, "x");
    {
        lido_within(1);
        check_int(receive_one(taken), -ETIMEDOUT); /* it does not block the thread */
    }
    lido_datagram_close(b);
    lido_datagram_close(taken);
    close(stream);
    close(pipes[0]);
    close(pipes[1]);
    return 0;
}

static void a_foreign_socket_can_be_taken_over(void **state)
{
    (void)state;
    run(take_over);
}

static int close_under_receiver(void *arg)
{
    lido_datagram *socket = bind_to("127.0.0.1:0");
    (void)arg;
    lido_task *receiver = start(receive_one, socket);
    await_that(receiver_waits, socket);
    lido_datagram_close(socket);
    check_int(finish(receiver), -ECANCELED);
    return 0;
}

static void closing_ends_a_wait(void **state)
{
    (void)state;
    run(close_under_receiver);
}

/* ---- Interruption ------------------------------------------------------------------------------ */

static int interrupt_receiver(void *arg)
{
    lido_datagram *a = bind_to("127.0.0.1:0"), *b = bind_to("127.0.0.1:0");
    int result;
    (void)arg;
    lido_task *receiver = start(receive_one, b);
    await_that(receiver_waits, b);
    lido_cancel(receiver);
    send_text(a, b, "kept");
    check_int(lido_join(receiver, &result), 0);
    check_int(result, -ECANCELED);
    {
        lido_within(0);
        check_int(receive_one(b), -ETIMEDOUT);
    }
    expect_text(b, "kept");
    {
        lido_within(1);
        check_int(receive_one(b), -ETIMEDOUT);
    }
    lido_datagram_close(a);
    lido_datagram_close(b);
    return 0;
}

static void a_receive_that_is_cut_short_has_taken_nothing(void **state)
{
    (void)state;
    run(interrupt_receiver);
}

static int interrupt_sender(void *arg)
{
    lido_datagram *a = bind_to("127.0.0.1:0"), *b = bind_to("127.0.0.1:0");
    lido_address to = address_of(b);
    (void)arg;
    {
        lido_within(0);
        check_int(lido_send_to(a, "lost", 4, &to), -ETIMEDOUT);
    }
    send_text(a, b, "first");
    expect_text(b, "first");
    lido_datagram_close(a);
    lido_datagram_close(b);
    return 0;
}

static void a_send_that_is_cut_short_has_sent_nothing(void **state)
{
    (void)state;
    run(interrupt_sender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_keep_their_bounds_and_tell_their_sender),
        cmocka_unit_test(one_task_receives_while_another_sends),
        cmocka_unit_test(it_is_told_when_a_buffer_was_too_small),
        cmocka_unit_test(a_datagram_that_is_too_long_is_not_sent),
        cmocka_unit_test(a_connected_socket_hears_only_its_peer),
        cmocka_unit_test(it_is_told_when_nobody_was_there),
        cmocka_unit_test(broadcasting_needs_the_option),
        cmocka_unit_test(a_port_is_bound_once_and_free_again_after_closing),
        cmocka_unit_test(a_foreign_socket_can_be_taken_over),
        cmocka_unit_test(closing_ends_a_wait),
        cmocka_unit_test(a_receive_that_is_cut_short_has_taken_nothing),
        cmocka_unit_test(a_send_that_is_cut_short_has_sent_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
