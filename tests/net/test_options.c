/* Socket options: what is set is got, what is out of range or out of place is refused. */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "net/net.h"
#include "os/os.h"
#include "support/net.h"

static void check_set_and_got(lido_stream *stream, lido_option option, int value)
{
    int got = INT_MIN;
    check_int(lido_stream_set(stream, option, value), 0);
    check_int(lido_stream_get(stream, option, &got), 0);
    check_int(got, value);
}

static void check_refused(lido_stream *stream, lido_option option, int value)
{
    int before = INT_MIN, after = INT_MIN;
    int r = lido_stream_get(stream, option, &before);
    check_int(lido_stream_set(stream, option, value), -EINVAL);
    check_int(lido_stream_get(stream, option, &after), r);
    check_int(after, before);
}

static int set_and_get(void *arg)
{
    static const struct {
        lido_option option;
        int good[3], bad[2];
    } cases[] = {
        {LIDO_OPTION_NODELAY, {1, 0, 1}, {-1, 2}},
        {LIDO_OPTION_KEEPALIVE, {1, 0, 32767}, {-1, 32768}},
        {LIDO_OPTION_LINGER, {5, -1, 0}, {-2, 65536}},
        {LIDO_OPTION_TTL, {1, 64, 255}, {0, 256}},
        {LIDO_OPTION_BROADCAST, {1, 0, 1}, {-1, 2}},
    };
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    for (size_t i = 0; i < COUNT(cases); i++) {
        for (size_t j = 0; j < COUNT(cases[i].good); j++)
            check_set_and_got(pair[0], cases[i].option, cases[i].good[j]);
        for (size_t j = 0; j < COUNT(cases[i].bad); j++)
            check_refused(pair[0], cases[i].option, cases[i].bad[j]);
    }
    net_close_pair(pair);
    return 0;
}

static void what_is_set_is_got_and_what_is_out_of_range_is_einval(void **state)
{
    (void)state;
    run(set_and_get);
}

/* An option of the system as an int. */
static int raw(const lido_stream *stream, int level, int name)
{
    int value = INT_MIN;
    socklen_t length = sizeof(value);
    check_int(lido__os_getsockopt(lido_stream_fd(stream), level, name, &value, &length), 0);
    return value;
}

static int reach_the_system(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    check_int(lido_stream_set(pair[0], LIDO_OPTION_NODELAY, 1), 0);
    check(raw(pair[0], IPPROTO_TCP, TCP_NODELAY));
    check_int(lido_stream_set(pair[0], LIDO_OPTION_KEEPALIVE, 77), 0);
    check(raw(pair[0], SOL_SOCKET, SO_KEEPALIVE));
    check_int(raw(pair[0], IPPROTO_TCP, TCP_KEEPIDLE), 77);
    check_int(lido_stream_set(pair[0], LIDO_OPTION_KEEPALIVE, 0), 0);
    check(!raw(pair[0], SOL_SOCKET, SO_KEEPALIVE));
    check_int(lido_stream_set(pair[0], LIDO_OPTION_TTL, 7), 0);
    check_int(raw(pair[0], IPPROTO_IP, IP_TTL), 7);
    net_close_pair(pair);
    return 0;
}

static void options_reach_the_system(void **state)
{
    (void)state;
    run(reach_the_system);
}

static int ttl_of_v6(void *arg)
{
    lido_listener *listener;
    (void)arg;
    check_int(lido_listen_tcp(&listener, "[::]:0"), 0);
    lido_stream *client = net_connect(listener), *server = net_accept(listener);
    check_set_and_got(server, LIDO_OPTION_TTL, 9);
    check_int(raw(server, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 9);
    check_int(raw(server, IPPROTO_IP, IP_TTL), 9); /* which counts if the peer is IPv4 */
    lido_close(client);
    lido_close(server);
    lido_listener_close(listener);
    return 0;
}

static void the_ttl_of_an_ipv6_socket_is_its_hop_limit(void **state)
{
    (void)state;
    if (!net_has_ipv6())
        skip();
    run(ttl_of_v6);
}

static int buffer_sizes(void *arg)
{
    static const lido_option options[] = {LIDO_OPTION_SEND_BUFFER, LIDO_OPTION_RECV_BUFFER};
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    for (size_t i = 0; i < COUNT(options); i++) {
        int small, large;
        check_int(lido_stream_set(pair[0], options[i], 8192), 0);
        check_int(lido_stream_get(pair[0], options[i], &small), 0);
        check_int(lido_stream_set(pair[0], options[i], 65536), 0);
        check_int(lido_stream_get(pair[0], options[i], &large), 0);
        check(small >= 8192 && large >= 65536 && small < large);
        check_refused(pair[0], options[i], 0);
        check_refused(pair[0], options[i], -1);
    }
    net_close_pair(pair);
    return 0;
}

static void buffers_are_at_least_as_large_as_was_asked(void **state)
{
    (void)state;
    run(buffer_sizes);
}

static int out_of_place(void *arg)
{
    lido_stream *pair[2], *stream;
    int value = 42, fds[2];
    (void)arg;
    check_int(lido_stream_pair(pair), 0);
    check_int(lido_stream_set(pair[0], LIDO_OPTION_NODELAY, 1), -EOPNOTSUPP);
    check_int(lido_stream_set(pair[0], LIDO_OPTION_KEEPALIVE, 1), -EOPNOTSUPP);
    check_int(lido_stream_set(pair[0], LIDO_OPTION_KEEPALIVE, 0), -EOPNOTSUPP);
    check_int(lido_stream_get(pair[0], LIDO_OPTION_KEEPALIVE, &value), -EOPNOTSUPP);
    check_int(lido_stream_get(pair[0], LIDO_OPTION_TTL, &value), -EOPNOTSUPP);
    check_int(lido_stream_get(pair[0], LIDO_OPTION_MULTICAST_TTL_V4, &value), -EOPNOTSUPP);
    check_int(lido_stream_set(pair[0], LIDO_OPTION_ERROR, 0), -EINVAL);
    check_int(lido_stream_set(pair[0], (lido_option)0, 0), -ENOPROTOOPT);
    check_int(lido_stream_get(pair[0], (lido_option)1000, &value), -ENOPROTOOPT);
    net_close_pair(pair);
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&stream, fds[0]), 0);
    check_int(lido_stream_set(stream, LIDO_OPTION_SEND_BUFFER, 4096), -EOPNOTSUPP);
    check_int(lido_stream_get(stream, LIDO_OPTION_ERROR, &value), -EOPNOTSUPP);
    check_int(value, 42);
    lido_close(stream);
    close(fds[1]);
    return 0;
}

static void what_a_socket_does_not_have_is_refused(void **state)
{
    (void)state;
    run(out_of_place);
}

static int listener_options(void *arg)
{
    lido_listener *listener = net_listen();
    int value;
    (void)arg;
    check_int(lido_listener_set(listener, LIDO_OPTION_TTL, 33), 0);
    check_int(lido_listener_get(listener, LIDO_OPTION_TTL, &value), 0);
    check_int(value, 33);
    check_int(lido_listener_set(listener, LIDO_OPTION_NODELAY, 1), 0);
    lido_stream *client = net_connect(listener), *server = net_accept(listener);
    check_int(lido_stream_get(server, LIDO_OPTION_NODELAY, &value), 0);
    check_int(value, 1);
    lido_close(client);
    lido_close(server);
    lido_listener_close(listener);
    return 0;
}

static void a_listener_has_options_and_its_connections_inherit_them(void **state)
{
    (void)state;
    run(listener_options);
}

static int pending_error(void *arg)
{
    lido_stream *pair[2];
    int value = 42;
    (void)arg;
    net_pair(pair);
    check_int(lido_stream_get(pair[0], LIDO_OPTION_ERROR, &value), 0);
    check_int(value, 0);
    check_int(lido_stream_set(pair[1], LIDO_OPTION_LINGER, 0), 0);
    lido_close(pair[1]);
    check_int(lido_stream_get(pair[0], LIDO_OPTION_ERROR, &value), 0);
    check_int(value, -ECONNRESET);
    check_int(lido_stream_get(pair[0], LIDO_OPTION_ERROR, &value), 0);
    check_int(value, 0);
    lido_close(pair[0]);
    return 0;
}

static void the_pending_error_is_told_once(void **state)
{
    (void)state;
    run(pending_error);
}

/* ---- Lingering ---------------------------------------------------------------------------------- */

static int linger_zero(void *arg)
{
    lido_stream *pair[2];
    char byte;
    (void)arg;
    net_pair(pair);
    check_int(lido_stream_set(pair[0], LIDO_OPTION_LINGER, 0), 0);
    lido_close(pair[0]);
    check_int(lido_read(pair[1], &byte, 1), -ECONNRESET);
    lido_close(pair[1]);
    return 0;
}

static void a_linger_of_0_resets_the_connection(void **state)
{
    (void)state;
    run(linger_zero);
}

/* As long as a close that waits for a peer who does not read would take. */
#define LINGER_SECONDS 20
#define AT_ONCE_NS 5000000000u

static size_t send_unread(lido_stream *stream)
{
    static const char zeros[1 << 20];
    size_t total = 0;
    ssize_t n;
    while ((n = lido__os_send(lido_stream_fd(stream), zeros, sizeof(zeros), 0)) > 0)
        total += (size_t)n;
    return total;
}

static int linger_long(void *inherited)
{
    lido_listener *listener = net_listen();
    if (inherited)
        check_int(lido_listener_set(listener, LIDO_OPTION_LINGER, LINGER_SECONDS), 0);
    lido_stream *client = net_connect(listener), *server = net_accept(listener);
    if (!inherited)
        check_int(lido_stream_set(server, LIDO_OPTION_LINGER, LINGER_SECONDS), 0);
    size_t sent = send_unread(server);
    uint64_t before = lido_now();
    lido_close(server);
    check(lido_now() - before < AT_ONCE_NS);
    net_drain(client, sent); /* and all of it arrives */
    net_expect_end(client);
    lido_close(client);
    lido_listener_close(listener);
    return 0;
}

static void closing_a_stream_that_lingers_does_not_wait_and_loses_nothing(void **state)
{
    bool inherited = true;
    (void)state;
    run(linger_long);
    run_on(1, linger_long, &inherited);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_set_is_got_and_what_is_out_of_range_is_einval),
        cmocka_unit_test(options_reach_the_system),
        cmocka_unit_test(the_ttl_of_an_ipv6_socket_is_its_hop_limit),
        cmocka_unit_test(buffers_are_at_least_as_large_as_was_asked),
        cmocka_unit_test(what_a_socket_does_not_have_is_refused),
        cmocka_unit_test(a_listener_has_options_and_its_connections_inherit_them),
        cmocka_unit_test(the_pending_error_is_told_once),
        cmocka_unit_test(a_linger_of_0_resets_the_connection),
        cmocka_unit_test(closing_a_stream_that_lingers_does_not_wait_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
