/* Bytes that are sent come back, all of them and in order, at any size. */
#include <stdio.h>

#include "support/net.h"

static int echo(void *stream)
{
    ssize_t copied = lido_copy(stream, stream, NULL);
    lido_close(stream);
    return copied < 0 ? (int)copied : 0;
}

static int echo_a_line(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_task *server = start(echo, pair[1]);
    net_say(pair[0], "hello");
    net_expect(pair[0], "hello");
    check_int(lido_shutdown_stream(pair[0], LIDO_SIDE_WRITE), 0);
    net_expect_end(pair[0]);
    lido_close(pair[0]);
    return finish(server);
}

static void a_line_comes_back(void **state)
{
    (void)state;
    run(echo_a_line);
}

/* More than all buffers hold, so that both ends have to wait for each other. */
#define MUCH ((size_t)16 << 20)

struct transfer {
    lido_stream *stream;
    unsigned char *bytes;
};

static int send_much(void *arg)
{
    struct transfer *transfer = arg;
    check_int(lido_write_all(transfer->stream, transfer->bytes, MUCH, NULL), MUCH);
    return lido_shutdown_stream(transfer->stream, LIDO_SIDE_WRITE);
}

static int echo_much(void *arg)
{
    lido_stream *pair[2];
    unsigned char *sent = malloc(MUCH), *got = malloc(MUCH);
    uint32_t random = 1;
    (void)arg;
    check(sent && got);
    for (size_t i = 0; i < MUCH; i++) {
        random = random * 1664525 + 1013904223;
        sent[i] = (unsigned char)(random >> 24);
    }
    net_pair(pair);
    lido_task *server = start(echo, pair[1]);
    struct transfer transfer = {pair[0], sent};
    lido_task *sender = start(send_much, &transfer);
    check_int(lido_read_all(pair[0], got, MUCH, NULL), MUCH);
    check_bytes(got, sent, MUCH);
    net_expect_end(pair[0]);
    check_int(finish(sender), 0);
    lido_close(pair[0]);
    free(sent);
    free(got);
    return finish(server);
}

static void more_than_the_buffers_hold_comes_back_in_order(void **state)
{
    (void)state;
    run(echo_much);
}

#define CLIENTS 100

static int client(void *listener)
{
    lido_stream *stream = net_connect(listener);
    for (int i = 0; i < 10; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d;", i);
        net_say(stream, text);
        net_expect(stream, text);
    }
    lido_close(stream);
    return 0;
}

static int echo_for_many(void *arg)
{
    lido_listener *listener = net_listen();
    lido_task *clients[CLIENTS], *servers[CLIENTS];
    (void)arg;
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = start_on(i % 2, client, listener);
    for (unsigned i = 0; i < CLIENTS; i++)
        servers[i] = start_on(i / 2 % 2, echo, net_accept(listener));
    for (unsigned i = 0; i < CLIENTS; i++) {
        check_int(finish(clients[i]), 0);
        check_int(finish(servers[i]), 0);
    }
    lido_listener_close(listener);
    return 0;
}

static void many_clients_on_two_workers_get_their_own_bytes(void **state)
{
    (void)state;
    run_on(2, echo_for_many, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_comes_back),
        cmocka_unit_test(more_than_the_buffers_hold_comes_back_in_order),
        cmocka_unit_test(many_clients_on_two_workers_get_their_own_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
