#define _GNU_SOURCE

/* Listeners: where they listen, and what they accept. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/os.h"
#include "support/net.h"

/*
 * The C library's accept4 is replaced: before it makes the call it returns the errors that a test has
 * laid down, since Linux hardly reports a connection that died in the backlog.
 */
static struct {
    const int *errors; /* ends with 0 */
    unsigned calls;
} script;

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    script.calls++;
    if (script.errors && *script.errors) {
        errno = *script.errors++;
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, address, length, flags);
}

/* Likewise a system without IPv6. */
static bool no_ipv6;

int socket(int domain, int type, int protocol)
{
    if (no_ipv6 && domain == AF_INET6) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    return (int)syscall(SYS_socket, domain, type, protocol);
}

/* ---- Accepting ---------------------------------------------------------------------------------- */

/* Its errno is its own, though accept4 says first that nobody has come. */
static int accept_one(void *listener)
{
    errno = ERANGE;
    lido_stream *stream = net_accept(listener);
    check_int(errno, ERANGE);
    lido_close(stream);
    return 0;
}

static int accept_waiting(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    lido_task *acceptor = start(accept_one, listener);
    net_await_acceptor(listener);
    lido_stream *client = net_connect(listener);
    check_int(finish(acceptor), 0);
    net_expect_end(client);
    lido_close(client);
    lido_listener_close(listener);
    return 0;
}

static void a_connection_wakes_the_task_that_accepts(void **state)
{
    (void)state;
    run(accept_waiting);
}

#define CLIENTS 50

static int accept_backlog(void *arg)
{
    lido_listener *listener = net_listen();
    lido_stream *clients[CLIENTS];
    (void)arg;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = net_connect(listener);
        check_int(lido_write(clients[i], &i, sizeof(i)), sizeof(i));
    }
    for (int i = 0; i < CLIENTS; i++) {
        lido_stream *server = net_accept(listener);
        int got;
        check_int(lido_read(server, &got, sizeof(got)), sizeof(got));
        check_int(got, i);
        lido_close(server);
        lido_close(clients[i]);
    }
    lido_listener_close(listener);
    return 0;
}

static void connections_of_the_backlog_are_accepted_in_order(void **state)
{
    (void)state;
    run(accept_backlog);
}

static int accept_the_dead(void *arg)
{
    static const int errors[] = {ECONNABORTED, EPROTO,       ENETDOWN,    ENOPROTOOPT, EHOSTDOWN,
                                 ENONET,       EHOSTUNREACH, ENETUNREACH, EOPNOTSUPP,  0};
    lido_listener *listener = net_listen();
    lido_stream *client = net_connect(listener);
    (void)arg;
    script.errors = errors;
    lido_stream *server = net_accept(listener);
    check_int(*script.errors, 0); /* each of them was met, none was told */
    script.errors = NULL;
    net_say(client, "x");
    net_expect(server, "x");
    lido_close(server);
    lido_close(client);
    lido_listener_close(listener);
    return 0;
}

static void connections_that_died_in_the_backlog_are_passed_over(void **state)
{
    (void)state;
    run(accept_the_dead);
}

struct accepting {
    lido_future future;
    lido_op op;
    lido_stream *stream;
};

static int poll_accept(lido_future *future, const lido_waker *waker)
{
    struct accepting *accepting = (struct accepting *)future;
    ssize_t r = lido_op_poll(&accepting->op, waker);
    return (int)r;
}

static int accept_the_dead_in_a_future(void *arg)
{
    static const int errors[] = {ECONNABORTED, EPROTO, 0};
    lido_listener *listener = net_listen();
    lido_stream *client = net_connect(listener);
    struct accepting accepting = {.future = {poll_accept}};
    lido_task *task;
    (void)arg;
    script.errors = errors;
    lido_op_accept(&accepting.op, listener, &accepting.stream);
    check_int(lido_spawn_future(&task, &accepting.future), 0);
    check_int(finish(task), 0);
    check_int(*script.errors, 0);
    script.errors = NULL;
    net_say(client, "x");
    net_expect(accepting.stream, "x");
    lido_close(accepting.stream);
    lido_close(client);
    lido_listener_close(listener);
    return 0;
}

static void a_future_passes_them_over_too(void **state)
{
    (void)state;
    run(accept_the_dead_in_a_future);
}

static int accept_with_error(void *arg)
{
    static const int errors[] = {ENFILE, 0};
    lido_listener *listener = net_listen();
    lido_stream *client = net_connect(listener), *server = (lido_stream *)arg;
    lido_address peer, before;
    memset(&peer, 0x5a, sizeof(peer));
    before = peer;
    script.errors = errors;
    check_int(lido_accept(listener, &server, &peer), -ENFILE);
    script.errors = NULL;
    check(server == (lido_stream *)arg);
    check_bytes(&peer, &before, sizeof(peer));
    lido_close(net_accept(listener)); /* it is still there */
    lido_close(client);
    lido_listener_close(listener);
    return 0;
}

static void an_accept_that_fails_has_accepted_nothing(void **state)
{
    (void)state;
    run(accept_with_error);
}

static int accept_idle(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    script.calls = 0;
    lido_task *acceptor = start(accept_one, listener);
    for (int i = 0; i < 100; i++)
        check_int(lido_yield(), 0);
    check_int(script.calls, 1);
    lido_close(net_connect(listener));
    check_int(finish(acceptor), 0);
    lido_listener_close(listener);
    return 0;
}

static void waiting_for_a_connection_makes_no_calls(void **state)
{
    (void)state;
    run(accept_idle);
}

/* ---- Listening ---------------------------------------------------------------------------------- */

static void check_serves(const char *listen_on, const char *const *connect_to, size_t count,
                         const lido_listen_options *options)
{
    lido_listener *listener;
    char text[LIDO_ADDRESS_TEXT];
    check_int(lido_listen_tcp_with(&listener, listen_on, options), 0);
    lido_address address = net_address(listener);
    for (size_t i = 0; i < count; i++) {
        lido_stream *client;
        snprintf(text, sizeof(text), "%s:%u", connect_to[i], lido_address_port(&address));
        check_int(lido_connect_tcp(&client, text), 0);
        lido_close(net_accept(listener));
        lido_close(client);
    }
    lido_listener_close(listener);
}

static int listen_v4_forms(void *arg)
{
    static const char *const v4[] = {"127.0.0.1"};
    (void)arg;
    check_serves("127.0.0.1:0", v4, 1, NULL);
    check_serves("0.0.0.0:0", v4, 1, NULL);
    check_serves("*:0", v4, 1, NULL);
    check_serves(":0", v4, 1, NULL);
    return 0;
}

static void each_form_of_an_ipv4_address_can_be_listened_on(void **state)
{
    (void)state;
    run(listen_v4_forms);
}

static int listen_v6_forms(void *arg)
{
    static const char *const v6[] = {"[::1]"}, *const both[] = {"127.0.0.1", "[::1]"};
    (void)arg;
    check_serves("[::1]:0", v6, 1, NULL);
    check_serves("[::]:0", both, 2, NULL);
    check_serves("*:0", both, 2, NULL);
    check_serves(":0", both, 2, NULL);
    return 0;
}

static void each_form_of_an_ipv6_address_can_be_listened_on(void **state)
{
    (void)state;
    if (!net_has_ipv6())
        skip();
    run(listen_v6_forms);
}

static int listen_without_ipv6(void *arg)
{
    static const char *const v4[] = {"127.0.0.1"};
    (void)arg;
    no_ipv6 = true;
    check_serves("*:0", v4, 1, NULL);
    no_ipv6 = false;
    return 0;
}

static void any_is_ipv4_where_there_is_no_ipv6(void **state)
{
    (void)state;
    run(listen_without_ipv6);
}

static int listen_v6_only(void *arg)
{
    static const char *const v6[] = {"[::1]"};
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    lido_listener *listener, *beside;
    char text[32];
    (void)arg;
    options.v6_only = true;
    check_serves("[::]:0", v6, 1, &options);
    check_int(lido_listen_tcp_with(&listener, "[::]:0", &options), 0);
    lido_address address = net_address(listener);
    /* The IPv4 port of the same number is free. */
    snprintf(text, sizeof(text), "0.0.0.0:%u", lido_address_port(&address));
    check_int(lido_listen_tcp(&beside, text), 0);
    lido_listener_close(beside);
    lido_listener_close(listener);
    return 0;
}

static void an_ipv6_only_listener_leaves_ipv4_alone(void **state)
{
    (void)state;
    if (!net_has_ipv6())
        skip();
    run(listen_v6_only);
}

static int share_port(void *arg)
{
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    lido_listener *first, *second;
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    options.reuse_port = true;
    check_int(lido_listen_tcp_with(&first, "127.0.0.1:0", &options), 0);
    lido_address address = net_address(first);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_int(lido_listen_tcp_with(&second, text, &options), 0);
    lido_listener_close(second);
    check_int(lido_listen_tcp(&second, text), -EADDRINUSE);
    lido_listener_close(first);
    return 0;
}

static void a_port_is_shared_only_by_those_who_want_to(void **state)
{
    (void)state;
    run(share_port);
}

static int listen_again(void *arg)
{
    lido_listener *listener = net_listen();
    lido_address address = net_address(listener);
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    /* The server closes first: its port stays behind in TIME_WAIT. */
    lido_stream *client = net_connect(listener), *server = net_accept(listener);
    lido_close(server);
    net_expect_end(client);
    lido_close(client);
    lido_listener_close(listener);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_int(lido_listen_tcp(&listener, text), 0);
    lido_listener_close(listener);
    return 0;
}

static void a_port_whose_connections_have_just_ended_can_be_listened_on(void **state)
{
    (void)state;
    run(listen_again);
}

/* Linux queues one connection more than it is told. */
static int small_backlog(void *arg)
{
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    lido_listener *listener;
    lido_stream *first, *second, *third;
    (void)arg;
    options.backlog = 1;
    check_int(lido_listen_tcp_with(&listener, "127.0.0.1:0", &options), 0);
    lido_address address = net_address(listener);
    first = net_connect(listener);
    second = net_connect(listener);
    {
        lido_within(100);
        check_int(lido_connect(&third, &address), -ETIMEDOUT);
    }
    lido_close(net_accept(listener));
    lido_close(net_accept(listener));
    lido_close(first);
    lido_close(second);
    lido_listener_close(listener);
    return 0;
}

static void the_backlog_is_as_long_as_it_was_said(void **state)
{
    (void)state;
    run(small_backlog);
}

static int old_options(void *arg)
{
    lido_listen_options options = {.size = offsetof(lido_listen_options, reuse_port),
                                   .reuse_port = true};
    lido_listener *first, *second;
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    check_int(lido_listen_tcp_with(&first, "127.0.0.1:0", &options), 0);
    lido_address address = net_address(first);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_int(lido_listen_tcp_with(&second, text, &options), -EADDRINUSE);
    lido_listener_close(first);
    return 0;
}

static void options_behind_the_size_that_the_caller_knew_are_not_read(void **state)
{
    (void)state;
    run(old_options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_wakes_the_task_that_accepts),
        cmocka_unit_test(connections_of_the_backlog_are_accepted_in_order),
        cmocka_unit_test(connections_that_died_in_the_backlog_are_passed_over),
        cmocka_unit_test(a_future_passes_them_over_too),
        cmocka_unit_test(an_accept_that_fails_has_accepted_nothing),
        cmocka_unit_test(waiting_for_a_connection_makes_no_calls),
        cmocka_unit_test(each_form_of_an_ipv4_address_can_be_listened_on),
        cmocka_unit_test(each_form_of_an_ipv6_address_can_be_listened_on),
        cmocka_unit_test(any_is_ipv4_where_there_is_no_ipv6),
        cmocka_unit_test(an_ipv6_only_listener_leaves_ipv4_alone),
        cmocka_unit_test(a_port_is_shared_only_by_those_who_want_to),
        cmocka_unit_test(a_port_whose_connections_have_just_ended_can_be_listened_on),
        cmocka_unit_test(the_backlog_is_as_long_as_it_was_said),
        cmocka_unit_test(options_behind_the_size_that_the_caller_knew_are_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
