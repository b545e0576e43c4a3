/* One listener per worker: they are alike, and when they leave nobody is lost. */
#define _GNU_SOURCE

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "net/sibling.h"
#include "support/net.h"

static lido_listener *listen_shared(const char *at)
{
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    lido_listener *listener;
    options.reuse_port = true;
    options.backlog = 77;
    check_int(lido_listen_tcp_with(&listener, at, &options), 0);
    return listener;
}

/* ---- Options ------------------------------------------------------------------------------------
   */

static const struct {
    int level, name, value;
} set[] = {
    {SOL_SOCKET, SO_KEEPALIVE, 1},      {SOL_SOCKET, SO_RCVLOWAT, 3},
    {SOL_SOCKET, SO_PRIORITY, 5},       {SOL_SOCKET, SO_RCVBUF, 20000},
    {SOL_SOCKET, SO_SNDBUF, 30000},     {SOL_SOCKET, SO_OOBINLINE, 1},
    {IPPROTO_IP, IP_TTL, 33},           {IPPROTO_IP, IP_TOS, 0x10},
    {IPPROTO_TCP, TCP_NODELAY, 1},      {IPPROTO_TCP, TCP_KEEPIDLE, 77},
    {IPPROTO_TCP, TCP_KEEPINTVL, 7},    {IPPROTO_TCP, TCP_KEEPCNT, 4},
    {IPPROTO_TCP, TCP_MAXSEG, 1000},    {IPPROTO_TCP, TCP_USER_TIMEOUT, 1234},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 3}, {IPPROTO_TCP, TCP_FASTOPEN, 16},
    {IPPROTO_TCP, TCP_SYNCNT, 2},       {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096},
};

static int option_of(const lido_listener *listener, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof(value);
    check_int(getsockopt(lido_listener_fd(listener), level, name, &value, &length), 0);
    return value;
}

static void check_alike(const lido_listener *first, const lido_listener *sibling)
{
    struct tcp_info infos[2];
    struct linger linger = {0, 9};
    char names[2][16] = {"", ""};
    socklen_t length;
    for (size_t i = 0; i < COUNT(set); i++)
        check_int(option_of(sibling, set[i].level, set[i].name),
                  option_of(first, set[i].level, set[i].name));
    length = sizeof(linger);
    check_int(getsockopt(lido_listener_fd(sibling), SOL_SOCKET, SO_LINGER, &linger, &length), 0);
    check(linger.l_onoff && linger.l_linger == 0);
    const lido_listener *both[] = {first, sibling};
    for (int i = 0; i < 2; i++) {
        length = sizeof(infos[i]);
        check_int(getsockopt(lido_listener_fd(both[i]), IPPROTO_TCP, TCP_INFO, &infos[i], &length),
                  0);
        length = sizeof(names[i]);
        check_int(getsockopt(lido_listener_fd(both[i]), IPPROTO_TCP, TCP_CONGESTION, names[i],
                             &length),
                  0);
    }
    check_int(infos[1].tcpi_sacked, infos[0].tcpi_sacked);
    check_int(infos[1].tcpi_sacked, 77);
    check_string(names[1], names[0]);
    check_string(names[1], "reno");
}

static int be_alike(void *arg)
{
    lido_listener *first = listen_shared("127.0.0.1:0"), *sibling, *fresh;
    lido_address address[2];
    int fd = lido_listener_fd(first);
    (void)arg;
    for (size_t i = 0; i < COUNT(set); i++)
        check_int(setsockopt(fd, set[i].level, set[i].name, &set[i].value, sizeof(int)), 0);
    check_int(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4), 0);
    check_int(lido_listener_set(first, LIDO_OPTION_LINGER, 0), 0);
    check_int(lido__sibling_open(&sibling, first), 0);
    check_alike(first, sibling);
    check_int(lido_listener_local_address(first, &address[0]), 0);
    check_int(lido_listener_local_address(sibling, &address[1]), 0);
    check_bytes(&address[0], &address[1], sizeof(address[0]));
    /* What was not set is left to the system, above all the buffers, which grow then. */
    lido_listener *plain = listen_shared("127.0.0.1:0");
    check_int(lido__sibling_open(&fresh, plain), 0);
    int locks = 0;
    socklen_t length = sizeof(locks);
    if (getsockopt(lido_listener_fd(fresh), SOL_SOCKET, 72 /* SO_BUF_LOCK */, &locks, &length) == 0)
        check_int(locks, 0);
    lido_listener_close(fresh);
    lido_listener_close(plain);
    lido_listener_close(sibling);
    lido_listener_close(first);
    return 0;
}

static void a_sibling_has_the_options_of_the_first(void **state)
{
    (void)state;
    run(be_alike);
}

static int be_alike_v6(void *arg)
{
    (void)arg;
    for (int only = 0; only < 2; only++) {
        lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
        lido_listener *first, *sibling;
        options.reuse_port = true;
        options.v6_only = only;
        check_int(lido_listen_tcp_with(&first, "[::]:0", &options), 0);
        check_int(lido__sibling_open(&sibling, first), 0);
        check_int(option_of(sibling, IPPROTO_IPV6, IPV6_V6ONLY), only);
        lido_listener_close(sibling);
        lido_listener_close(first);
    }
    return 0;
}

static void a_sibling_takes_the_families_that_the_first_takes(void **state)
{
    (void)state;
    if (!net_has_ipv6())
        skip();
    run(be_alike_v6);
}

/* ---- Leaving
   ------------------------------------------------------------------------------------- */

#define RESTARTS 6
#define CLIENTS 6

static struct {
    char text[LIDO_ADDRESS_TEXT];
    lido__shared int over;
    lido__shared int done, lost;
} load;

/* Waits for the client to go first: its reset leaves no TIME_WAIT. */
static int answer(void *arg)
{
    lido_stream *stream = arg;
    char byte;
    if (lido_read(stream, &byte, 1) == 1 && lido_write(stream, &byte, 1) == 1)
        (void)lido_read(stream, &byte, 1);
    lido_close(stream);
    return 0;
}

static int serve_shared(void *listener)
{
    lido_serve_options options = LIDO_SERVE_OPTIONS_INIT;
    options.placement = LIDO_PLACE_REUSEPORT;
    return lido_serve_with(listener, answer, &options);
}

static int ask_on_and_on(void *arg)
{
    (void)arg;
    while (!lido__load(&load.over, LIDO__RELAXED)) {
        lido_stream *stream;
        char byte = 0;
        int r = lido_connect_tcp(&stream, load.text);
        bool good = r == 0 && lido_write(stream, "x", 1) == 1 && lido_read(stream, &byte, 1) == 1;
        if (r == 0) {
            lido_stream_set(stream, LIDO_OPTION_LINGER, 0);
            lido_close(stream);
        }
        lido__fetch_add(good ? &load.done : &load.lost, 1, LIDO__RELAXED);
        lido_yield();
    }
    return 0;
}

static bool more_are_done(void *than)
{
    return lido__load(&load.done, LIDO__RELAXED) > *(int *)than;
}

/* The new one listens before the old one leaves. */
static int restart_again_and_again(void *arg)
{
    lido_listener *listener = listen_shared("127.0.0.1:0"), *next;
    lido_address address;
    lido_task *clients[CLIENTS];
    int result;
    (void)arg;
    check_int(lido_listener_local_address(listener, &address), 0);
    check_int(lido_address_format(&address, load.text, sizeof(load.text)), 0);
    lido_task *server = start(serve_shared, listener);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = start_on((unsigned)i % 2, ask_on_and_on, NULL);
    for (int i = 0; i < RESTARTS; i++) {
        int before = lido__load(&load.done, LIDO__RELAXED) + 50;
        await_that(more_are_done, &before);
        next = listen_shared(load.text);
        lido_task *successor = start(serve_shared, next);
        check_int(lido_stop(server, &result), 0);
        check_int(result, -ECANCELED);
        lido_listener_close(listener);
        listener = next;
        server = successor;
    }
    lido__store(&load.over, 1, LIDO__RELAXED);
    for (int i = 0; i < CLIENTS; i++)
        check_int(finish(clients[i]), 0);
    check_int(lido_stop(server, NULL), 0);
    lido_listener_close(listener);
    check_int(load.lost, 0);
    return 0;
}

static void rolling_restarts_lose_no_connection(void **state)
{
    (void)state;
    run_on(2, restart_again_and_again, NULL);
}

/* The listener is the caller's still: it can serve, accept, or be given away. */
static int use_it_again(void *arg)
{
    lido_listener *listener = listen_shared("127.0.0.1:0");
    lido_address address;
    lido_stream *stream;
    socklen_t length = 0;
    (void)arg;
    check_int(lido_listener_local_address(listener, &address), 0);
    for (int i = 0; i < 2; i++) {
        lido_task *server = start(serve_shared, listener);
        net_await_acceptor(listener);
        check_int(lido_stop(server, NULL), 0);
    }
    lido_task *acceptor = start(serve_shared, listener);
    net_await_acceptor(listener);
    check_int(lido_connect(&stream, &address), 0);
    net_say(stream, "y");
    net_expect(stream, "y");
    lido_close(stream);
    check_int(lido_stop(acceptor, NULL), 0);
    /* Whoever is given the descriptor finds no filter of lido's on it, now or later. */
    int fd = lido_listener_fd(listener);
    check_int(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &length), 0);
    check_int(length, 0);
    lido_task *server = start(serve_shared, listener);
    net_await_acceptor(listener);
    check_int(lido_stop(server, NULL), 0);
    check_int(getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &length), 0);
    check_int(length, 0);
    lido_listener_close(listener);
    return 0;
}

static void a_listener_that_has_served_can_serve_again(void **state)
{
    (void)state;
    run_on(2, use_it_again, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sibling_has_the_options_of_the_first),
        cmocka_unit_test(a_sibling_takes_the_families_that_the_first_takes),
        cmocka_unit_test(rolling_restarts_lose_no_connection),
        cmocka_unit_test(a_listener_that_has_served_can_serve_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
