/* Connecting: to each form of an address, in vain, from a chosen address, and not for ever. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "os/os.h"
#include "support/net.h"

/* Connects to HOST and the port of a listener on `listening`, and exchanges a word. */
static void check_connects(const char *listening, const char *host)
{
    lido_listener *listener;
    lido_stream *client;
    char host_port[64];
    check_int(lido_listen_tcp(&listener, listening), 0);
    lido_address address = net_address(listener);
    snprintf(host_port, sizeof(host_port), "%s:%u", host, lido_address_port(&address));
    check_int(lido_connect_tcp(&client, host_port), 0);
    lido_stream *server = net_accept(listener);
    net_say(client, "ping");
    net_expect(server, "ping");
    net_say(server, "pong");
    net_expect(client, "pong");
    lido_close(client);
    lido_close(server);
    lido_listener_close(listener);
}

static int connect_v4(void *arg)
{
    (void)arg;
    check_connects("127.0.0.1:0", "127.0.0.1");
    check_connects("*:0", "127.0.0.1");
    return 0;
}

static void each_form_of_an_ipv4_address_can_be_connected_to(void **state)
{
    (void)state;
    run(connect_v4);
}

static int connect_name(void *arg)
{
    (void)arg;
    check_connects("127.0.0.1:0", "localhost");
    return 0;
}

static void a_name_can_be_connected_to(void **state)
{
    (void)state;
    if (!net_has_names())
        skip();
    run(connect_name);
}

static int connect_v6(void *arg)
{
    (void)arg;
    check_connects("[::1]:0", "[::1]");
    check_connects("[::1]:0", "[0:0::0:1]");
    check_connects("*:0", "[::1]");
    return 0;
}

static void each_form_of_an_ipv6_address_can_be_connected_to(void **state)
{
    (void)state;
    if (!net_has_ipv6())
        skip();
    run(connect_v6);
}

static int connect_address(void *arg)
{
    lido_listener *listener = net_listen();
    lido_address address = net_address(listener), copy;
    lido_stream *client;
    size_t length;
    (void)arg;
    const void *raw = lido_address_sockaddr(&address, &length);
    check_int(lido_address_from_sockaddr(&copy, raw, length), 0);
    check_int(lido_connect(&client, &copy), 0);
    lido_close(net_accept(listener));
    net_expect_end(client);
    lido_close(client);
    lido_listener_close(listener);
    return 0;
}

static void an_address_of_the_systems_form_can_be_connected_to(void **state)
{
    (void)state;
    run(connect_address);
}

static int connect_refused(void *arg)
{
    lido_address address;
    int holder = net_dead_port(&address);
    lido_stream *stream = arg;
    (void)arg;
    for (int i = 0; i < 100; i++)
        check_int(lido_connect(&stream, &address), -ECONNREFUSED);
    check(stream == arg);
    lido__os_close(holder);
    return 0;
}

static void a_refused_connection_is_econnrefused(void **state)
{
    (void)state;
    run(connect_refused);
}

static int connect_nowhere(void *arg)
{
    lido_address none = {0};
    lido_stream *stream;
    (void)arg;
    check_int(lido_connect(&stream, &none), -EAFNOSUPPORT);
    check_int(lido_connect_tcp(&stream, "127.0.0.1"), -EINVAL);
    check_int(lido_connect_tcp(&stream, "127.0.0.1:port"), -EINVAL);
    return 0;
}

static void what_is_no_address_cannot_be_connected_to(void **state)
{
    (void)state;
    run(connect_nowhere);
}

/* ---- From a chosen address ---------------------------------------------------------------------- */

static int connect_from(void *arg)
{
    lido_listener *listener = net_listen();
    lido_address address = net_address(listener), peer;
    char host_port[LIDO_ADDRESS_TEXT], text[LIDO_ADDRESS_TEXT];
    lido_stream *client, *server;
    (void)arg;
    check_int(lido_address_format(&address, host_port, sizeof(host_port)), 0);
    check_int(lido_connect_tcp_from(&client, host_port, "127.0.0.2:0"), 0);
    check_int(lido_accept(listener, &server, &peer), 0);
    check_int(lido_address_format(&peer, text, sizeof(text)), 0);
    check(strncmp(text, "127.0.0.2:", 10) == 0);
    lido_close(client);
    lido_close(server);
    lido_listener_close(listener);
    return 0;
}

static void a_connection_comes_from_the_address_that_was_given(void **state)
{
    (void)state;
    run(connect_from);
}

static int connect_from_port(void *arg)
{
    lido_listener *listener = net_listen();
    lido_address address = net_address(listener), peer;
    char host_port[LIDO_ADDRESS_TEXT], source[32];
    lido_stream *client, *server;
    (void)arg;
    check_int(lido_address_format(&address, host_port, sizeof(host_port)), 0);
    check_int(lido_connect_tcp_from(&client, host_port, "*:0"), 0);
    check_int(lido_accept(listener, &server, &peer), 0);
    unsigned port = lido_address_port(&peer);
    lido_close(client);
    net_expect_end(server);
    lido_close(server);
    /* The same port again, to another listener: the connection before has left it in TIME_WAIT. */
    lido_listener_close(listener);
    listener = net_listen();
    address = net_address(listener);
    check_int(lido_address_format(&address, host_port, sizeof(host_port)), 0);
    snprintf(source, sizeof(source), "127.0.0.1:%u", port);
    check_int(lido_connect_tcp_from(&client, host_port, source), 0);
    check_int(lido_accept(listener, &server, &peer), 0);
    check_int(lido_address_port(&peer), port);
    lido_close(client);
    lido_close(server);
    lido_listener_close(listener);
    return 0;
}

static void a_source_port_can_be_used_again(void **state)
{
    (void)state;
    run(connect_from_port);
}

static int connect_from_foreign(void *arg)
{
    lido_listener *listener = net_listen();
    lido_address address = net_address(listener);
    char host_port[LIDO_ADDRESS_TEXT];
    lido_stream *stream;
    (void)arg;
    check_int(lido_address_format(&address, host_port, sizeof(host_port)), 0);
    check_int(lido_connect_tcp_from(&stream, host_port, "192.0.2.1:0"), -EADDRNOTAVAIL);
    check_int(lido_connect_tcp_from(&stream, host_port, "[::1]:0"), -EADDRNOTAVAIL);
    check_int(lido_connect_tcp_from(&stream, host_port, "127.0.0.1"), -EINVAL);
    lido_listener_close(listener);
    return 0;
}

static void a_source_that_this_machine_does_not_have_is_eaddrnotavail(void **state)
{
    (void)state;
    run(connect_from_foreign);
}

/* ---- Not for ever ------------------------------------------------------------------------------- */

/* A listener whose backlog is full: the system lets further connections wait. */
struct full {
    lido_listener *listener;
    lido_stream *inside[2];
    lido_address address;
};

static void full_init(struct full *full)
{
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    options.backlog = 1; /* Linux adds one */
    check_int(lido_listen_tcp_with(&full->listener, "127.0.0.1:0", &options), 0);
    full->inside[0] = net_connect(full->listener);
    full->inside[1] = net_connect(full->listener);
    full->address = net_address(full->listener);
}

static void full_fini(struct full *full)
{
    net_close_pair(full->inside);
    lido_listener_close(full->listener);
}

static int connect_until_deadline(void *arg)
{
    struct full full;
    lido_stream *stream;
    (void)arg;
    full_init(&full);
    {
        lido_within(20);
        check_int(lido_connect(&stream, &full.address), -ETIMEDOUT);
    }
    full_fini(&full);
    return 0;
}

static void a_connect_that_takes_too_long_is_etimedout(void **state)
{
    (void)state;
    run(connect_until_deadline);
}

static int connect_to_it(void *address)
{
    lido_stream *stream;
    int r = lido_connect(&stream, address);
    if (r == 0)
        lido_close(stream);
    return r;
}

static int cancel_connect(void *arg)
{
    struct full full;
    int result;
    (void)arg;
    full_init(&full);
    lido_task *task = start(connect_to_it, &full.address);
    check_int(lido_yield(), 0); /* it is under way */
    check(!lido_task_is_done(task));
    check_int(lido_stop(task, &result), 0);
    check_int(result, -ECANCELED);
    full_fini(&full);
    return 0;
}

static void a_connect_can_be_cancelled(void **state)
{
    (void)state;
    run(cancel_connect);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        int type;
        socklen_t length = sizeof(type);
        count += lido__os_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0;
    }
    return count;
}

static int fail_and_count(void *arg)
{
    struct full full;
    lido_address dead;
    lido_stream *stream;
    int holder = net_dead_port(&dead);
    (void)arg;
    full_init(&full);
    int before = open_descriptors();
    check_int(lido_connect(&stream, &dead), -ECONNREFUSED);
    {
        lido_within(5);
        check_int(lido_connect(&stream, &full.address), -ETIMEDOUT);
    }
    check_int(open_descriptors(), before);
    full_fini(&full);
    lido__os_close(holder);
    return 0;
}

static void a_connect_that_fails_leaves_no_descriptor_open(void **state)
{
    (void)state;
    run(fail_and_count);
}

/* From the port that it connects to: what the system may choose by chance where nobody listens. */
static int connect_to_itself(void *arg)
{
    lido_stream *stream = arg;
    lido_listener *listener;
    lido_address address;
    char text[LIDO_ADDRESS_TEXT];
    int fd = net_dead_port(&address);
    close(fd);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    for (int i = 0; i < 3; i++)
        check_int(lido_connect_tcp_from(&stream, text, text), -ECONNREFUSED);
    check(stream == arg);
    check_int(lido_listen_tcp(&listener, text), 0); /* the port is free */
    lido_listener_close(listener);
    return 0;
}

static void a_connection_to_itself_is_refused(void **state)
{
    (void)state;
    run(connect_to_itself);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_of_an_ipv4_address_can_be_connected_to),
        cmocka_unit_test(a_name_can_be_connected_to),
        cmocka_unit_test(each_form_of_an_ipv6_address_can_be_connected_to),
        cmocka_unit_test(an_address_of_the_systems_form_can_be_connected_to),
        cmocka_unit_test(a_refused_connection_is_econnrefused),
        cmocka_unit_test(what_is_no_address_cannot_be_connected_to),
        cmocka_unit_test(a_connection_comes_from_the_address_that_was_given),
        cmocka_unit_test(a_source_port_can_be_used_again),
        cmocka_unit_test(a_source_that_this_machine_does_not_have_is_eaddrnotavail),
        cmocka_unit_test(a_connect_that_takes_too_long_is_etimedout),
        cmocka_unit_test(a_connect_can_be_cancelled),
        cmocka_unit_test(a_connect_that_fails_leaves_no_descriptor_open),
        cmocka_unit_test(a_connection_to_itself_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
