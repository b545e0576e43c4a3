/* Addresses within a runtime: resolving what is in digits, and what a socket says of itself. */
#include <errno.h>
#include <unistd.h>

#include "support/net.h"

static void check_resolves(const char *host_port, const char *expected)
{
    lido_address address;
    char text[LIDO_ADDRESS_TEXT];
    check_int(lido_resolve(host_port, &address, 1), 1);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_string(text, expected);
}

static int resolve_digits(void *arg)
{
    lido_address addresses[4];
    (void)arg;
    check_resolves("127.0.0.1:80", "127.0.0.1:80");
    check_resolves("[::1]:0", "[::1]:0");
    check_resolves("*:80", "[::]:80");
    check_int(lido_resolve("127.0.0.1:80", addresses, 4), 1);
    check_int(lido_resolve("127.0.0.1:80", NULL, 0), 0);
    return 0;
}

static void digits_resolve_to_themselves(void **state)
{
    (void)state;
    run(resolve_digits);
}

static int resolve_any(void *arg)
{
    lido_address addresses[4];
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    check_int(lido_resolve(":80", addresses, 4), 2);
    lido_address_format(&addresses[0], text, sizeof(text));
    check_string(text, "[::]:80");
    lido_address_format(&addresses[1], text, sizeof(text));
    check_string(text, "0.0.0.0:80");
    check_int(lido_resolve("*:80", NULL, 0), 0);
    return 0;
}

static void any_is_ipv6_first_and_then_ipv4(void **state)
{
    (void)state;
    run(resolve_any);
}

static int resolve_bad(void *arg)
{
    static const char *const texts[] = {
        "localhost",    "localhost:",     "localhost:65536", "localhost:80x",
        "localhost:-1", "[localhost]:80", "::1:80",          "",
        "[::1]",
    };
    lido_address address;
    (void)arg;
    for (size_t i = 0; i < COUNT(texts); i++)
        check_int(lido_resolve(texts[i], &address, 1), -EINVAL);
    return 0;
}

static void what_has_no_host_and_port_is_einval(void **state)
{
    (void)state;
    run(resolve_bad);
}

struct poller {
    lido_future future;
    int numeric, named;
};

static int poll_resolve(lido_future *future, const lido_waker *waker)
{
    struct poller *poller = (struct poller *)future;
    lido_address address;
    (void)waker;
    poller->numeric = lido_resolve("127.0.0.1:1", &address, 1);
    poller->named = lido_resolve("localhost:1", &address, 1);
    return 0;
}

static int resolve_in_a_future(void *arg)
{
    struct poller poller = {.future = {poll_resolve}};
    lido_task *task;
    (void)arg;
    check_int(lido_spawn_future(&task, &poller.future), 0);
    check_int(finish(task), 0);
    check_int(poller.numeric, 1);
    check_int(poller.named, -EDEADLK);
    return 0;
}

static void a_future_resolves_digits_and_must_not_wait_for_names(void **state)
{
    (void)state;
    run(resolve_in_a_future);
}

static void check_same(const lido_address *one, const lido_address *other)
{
    char first[LIDO_ADDRESS_TEXT], second[LIDO_ADDRESS_TEXT];
    check_int(lido_address_format(one, first, sizeof(first)), 0);
    check_int(lido_address_format(other, second, sizeof(second)), 0);
    check_string(first, second);
}

static int both_ends(void *arg)
{
    lido_listener *listener = net_listen();
    lido_address listening = net_address(listener), local, peer, accepted_peer;
    lido_stream *client = net_connect(listener), *server;
    (void)arg;
    check_int(lido_accept(listener, &server, &accepted_peer), 0);
    check_int(lido_stream_peer_address(client, &peer), 0);
    check_same(&peer, &listening);
    check_int(lido_stream_local_address(server, &local), 0);
    check_same(&local, &listening);
    check_int(lido_stream_local_address(client, &local), 0);
    check_int(lido_stream_peer_address(server, &peer), 0);
    check_same(&local, &peer);
    check_same(&local, &accepted_peer);
    check(lido_address_port(&listening) != 0);
    lido_close(client);
    lido_close(server);
    lido_listener_close(listener);
    return 0;
}

static void both_ends_of_a_connection_name_each_other(void **state)
{
    (void)state;
    run(both_ends);
}

static int pipe_address(void *arg)
{
    lido_stream *stream;
    lido_address address;
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&stream, fds[0]), 0);
    check_int(lido_stream_local_address(stream, &address), -ENOTSOCK);
    check_int(lido_stream_peer_address(stream, &address), -ENOTSOCK);
    lido_close(stream);
    close(fds[1]);
    return 0;
}

static void a_pipe_has_no_address(void **state)
{
    (void)state;
    run(pipe_address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_resolve_to_themselves),
        cmocka_unit_test(any_is_ipv6_first_and_then_ipv4),
        cmocka_unit_test(what_has_no_host_and_port_is_einval),
        cmocka_unit_test(a_future_resolves_digits_and_must_not_wait_for_names),
        cmocka_unit_test(both_ends_of_a_connection_name_each_other),
        cmocka_unit_test(a_pipe_has_no_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
