/*
 * Each call that a socket makes fails once, at every place: the caller is told, nothing is left open or
 * changed, and when the caller tries again it works.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "fault/sweep.h"

/* ---- Streams over listeners ----------------------------------------------------------------------- */

static void echo(lido_stream *stream)
{
    char buffer[64];
    int64_t n;
    while ((n = retried(lido_read(stream, buffer, sizeof(buffer)))) > 0) {
        for (int64_t done = 0; done < n;)
            done += retried(lido_write(stream, buffer + done, (size_t)(n - done)));
    }
    check_int(n, 0);
    lido_close(stream);
}

/* A client that fails while it connects leaves a connection which has ended: that one comes first. */
static int accept_and_echo(void *listener)
{
    for (;;) {
        lido_stream *untouched = NULL, *stream = untouched;
        lido_address peer = {.length = 4711};
        int r = lido_accept(listener, &stream, &peer);
        if (r == -ECANCELED)
            return 0;
        if (failed(r)) {
            check(stream == untouched);
            check_int(peer.length, 4711);
        } else {
            echo(stream);
        }
    }
}

static void talk(lido_stream *client)
{
    say(client, "ahoy");
    expect(client, "ahoy");
    check_int(retried(lido_shutdown_stream(client, LIDO_SIDE_WRITE)), 0);
    expect_end(client);
    lido_close(client);
}

static void end_server(lido_task *server, lido_listener *listener)
{
    int result;
    check_int(lido_stop(server, &result), 0);
    check_int(result, 0);
    lido_listener_close(listener);
}

static lido_address address_of_listener(const lido_listener *listener)
{
    lido_address address = {.length = 4711};
    int r = lido_listener_local_address(listener, &address);
    if (failed(r)) {
        check_int(address.length, 4711);
        r = lido_listener_local_address(listener, &address);
    }
    check_int(r, 0);
    return address;
}

static void tcp(void)
{
    char text[LIDO_ADDRESS_TEXT];
    lido_listener *listener;
    lido_stream *client;
    made(listener, lido_listen_tcp(&listener, "127.0.0.1:0"));
    lido_address address = address_of_listener(listener);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    lido_task *server = begin(accept_and_echo, listener);
    made(client, lido_connect(&client, &address));
    talk(client);
    made(client, lido_connect_tcp(&client, text));
    talk(client);
    made(client, lido_connect_tcp_from(&client, text, "127.0.0.1:0"));
    talk(client);
    end_server(server, listener);
}

static void each_failure_of_tcp_is_told_and_can_be_repeated(void **state)
{
    (void)state;
    sweep_all(tcp, 60);
}

static void a_signal_does_not_disturb_tcp(void **state)
{
    (void)state;
    sweep_interrupted(tcp);
}

static void unix_at(const char *path)
{
    lido_listener *listener;
    lido_stream *client;
    made(listener, lido_listen_unix(&listener, path));
    lido_task *server = begin(accept_and_echo, listener);
    made(client, lido_connect_unix(&client, path));
    talk(client);
    end_server(server, listener);
}

static void unix_streams(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/lido-fault-%d", (int)getpid());
    unix_at(path); /* and again, in the next round: so it has been removed each time */
    check_int(access(path, F_OK), -1);
    path[0] = '@';
    unix_at(path);
}

static void each_failure_of_unix_streams_is_told_and_can_be_repeated(void **state)
{
    (void)state;
    sweep_all(unix_streams, 45);
}

/* ---- Accepting in a future ------------------------------------------------------------------------- */

struct acceptor {
    lido_future future;
    lido_listener *listener;
    lido_stream *stream;
    lido_op op;
    bool under_way;
};

static int poll_acceptor(lido_future *future, const lido_waker *waker)
{
    struct acceptor *acceptor = (struct acceptor *)future;
    for (;;) {
        if (!acceptor->under_way)
            lido_op_accept(&acceptor->op, acceptor->listener, &acceptor->stream);
        acceptor->under_way = true;
        ssize_t r = lido_op_poll(&acceptor->op, waker);
        if (r == LIDO_PENDING)
            return LIDO_PENDING;
        acceptor->under_way = false;
        if (!failed(r))
            return (int)r;
        check(!acceptor->stream);
    }
}

static void accept_in_a_future(void)
{
    struct acceptor acceptor = {.future = {poll_acceptor}};
    lido_stream *client;
    lido_task *task;
    made(acceptor.listener, lido_listen_tcp(&acceptor.listener, "127.0.0.1:0"));
    lido_address address = address_of_listener(acceptor.listener);
    made(task, lido_spawn_future(&task, &acceptor.future));
    check_int(lido_yield(), 0);
    made(client, lido_connect(&client, &address));
    check_int(finish(task), 0);
    lido_close(acceptor.stream);
    lido_close(client);
    lido_listener_close(acceptor.listener);
}

static void each_failure_of_an_accept_in_a_future_is_told_and_can_be_repeated(void **state)
{
    (void)state;
    sweep_all(accept_in_a_future, 14);
    sweep_on(1,
             (struct sweep_plan){accept_in_a_future, "accept", -ECONNABORTED, 1, all_are_silent});
}

/* ---- Names ---------------------------------------------------------------------------------------- */

static void names(void)
{
    lido_address addresses[4] = {{.length = 4711}};
    lido_listener *listener;
    int r = lido_resolve("localhost:80", addresses, COUNT(addresses));
    if (failed(r)) {
        check_int(addresses[0].length, 4711);
        r = lido_resolve("localhost:80", addresses, COUNT(addresses));
    }
    check(r > 0);
    check_int(lido_address_port(&addresses[0]), 80);
    made(listener, lido_listen_tcp(&listener, "localhost:0"));
    lido_listener_close(listener);
}

/* The thread of the lookup before may not be idle yet: it will do, if no other can be started. */
static bool is_further_thread(const char *name)
{
    return !strcmp(name, "pthread_create") || !strcmp(name, "malloc") || concerns_nobody(name);
}

static void each_failure_of_a_name_is_told_and_can_be_repeated(void **state)
{
    static const int errors[] = {-ENOMEM, -EMFILE, -EPROTOTYPE};
    (void)state;
    if (!net_has_names())
        skip();
    for (size_t i = 0; i < COUNT(errors); i++)
        sweep_on(1, (struct sweep_plan){names, NULL, errors[i], 12, is_further_thread});
}

/* ---- Datagrams ------------------------------------------------------------------------------------ */

static int receive_ahoy(void *socket)
{
    char got[16] = "";
    bool truncated = true;
    lido_address from = {.length = 4711};
    int64_t n = lido_recv_from(socket, got, sizeof(got), &from, &truncated);
    if (failed(n)) {
        check(truncated && from.length == 4711);
        n = lido_recv_from(socket, got, sizeof(got), &from, &truncated);
    }
    check_int(n, 4);
    check_string(got, "ahoy");
    check(!truncated);
    return 0;
}

/* One receives before the other sends, and once more when it already has. */
static void exchange(lido_datagram *sender, lido_datagram *receiver, const lido_address *to)
{
    lido_task *task = begin(receive_ahoy, receiver);
    check_int(lido_yield(), 0);
    if (to)
        check_int(retried(lido_send_to(sender, "ahoy", 4, to)), 4);
    else
        check_int(retried(lido_send(sender, "ahoy", 4)), 4);
    check_int(finish(task), 0);
    check_int(retried(lido_send(receiver, "ahoy", 4)), 4);
    receive_ahoy(sender);
}

static void connect_each(lido_datagram *sockets[2])
{
    lido_address addresses[2];
    for (int i = 0; i < 2; i++)
        check_int(retried(lido_datagram_local_address(sockets[i], &addresses[i])), 0);
    for (int i = 0; i < 2; i++)
        check_int(retried(lido_datagram_connect(sockets[i], &addresses[1 - i])), 0);
}

static void udp(void)
{
    lido_datagram *sockets[2];
    lido_address peer;
    for (int i = 0; i < 2; i++)
        made(sockets[i], lido_bind_udp(&sockets[i], "127.0.0.1:0"));
    connect_each(sockets);
    check_int(retried(lido_datagram_peer_address(sockets[0], &peer)), 0);
    exchange(sockets[0], sockets[1], NULL);
    exchange(sockets[0], sockets[1], &peer);
    for (int i = 0; i < 2; i++)
        lido_datagram_close(sockets[i]);
}

static void each_failure_of_udp_is_told_and_can_be_repeated(void **state)
{
    (void)state;
    sweep_all(udp, 24);
}

static void a_signal_does_not_disturb_udp(void **state)
{
    (void)state;
    sweep_interrupted(udp);
}

static void unix_datagrams(void)
{
    lido_datagram *pair[2] = {NULL, NULL}, *named, *unnamed;
    lido_address address;
    char path[64];
    int r = lido_datagram_pair(pair);
    if (failed(r)) {
        check(!pair[0] && !pair[1]);
        r = lido_datagram_pair(pair);
    }
    check_int(r, 0);
    exchange(pair[0], pair[1], NULL);
    snprintf(path, sizeof(path), "/tmp/lido-fault-%d", (int)getpid());
    made(named, lido_bind_unix_datagram(&named, path));
    made(unnamed, lido_bind_unix_datagram(&unnamed, NULL));
    check_int(lido_address_unix(&address, path), 0);
    check_int(retried(lido_send_to(unnamed, "ahoy", 4, &address)), 4);
    receive_ahoy(named);
    lido_datagram_close(unnamed);
    lido_datagram_close(named);
    lido_datagram_close(pair[0]);
    lido_datagram_close(pair[1]);
    check_int(access(path, F_OK), -1);
}

static void each_failure_of_unix_datagrams_is_told_and_can_be_repeated(void **state)
{
    (void)state;
    sweep_all(unix_datagrams, 20);
}

/* ---- Pairs, slices, credentials ------------------------------------------------------------------- */

static int expect_ahoy(void *stream)
{
    expect(stream, "ahoy");
    return 0;
}

static void slices_and_peek(lido_stream *writer, lido_stream *reader)
{
    char first[2], second[2], seen[4];
    lido_slice out[] = {{"ah", 2}, {"oy", 2}}, in[] = {{first, 2}, {second, 2}};
    check_int(retried(lido_writev(writer, out, 2)), 4);
    check_int(retried(lido_peek(reader, seen, 4)), 4);
    check_int(retried(lido_readv(reader, in, 2)), 4);
    check_bytes(seen, "ahoy", 4);
    check_bytes(first, "ah", 2);
    check_bytes(second, "oy", 2);
}

static void made_pair(lido_stream *pair[2])
{
    pair[0] = pair[1] = NULL;
    int r = lido_stream_pair(pair);
    if (failed(r)) {
        check(!pair[0] && !pair[1]);
        r = lido_stream_pair(pair);
    }
    check_int(r, 0);
}

static void pairs(void)
{
    lido_stream *pair[2];
    lido_credentials peer = {.pid = 4711};
    made_pair(pair);
    lido_task *task = begin(expect_ahoy, pair[1]);
    check_int(lido_yield(), 0);
    say(pair[0], "ahoy");
    check_int(finish(task), 0);
    slices_and_peek(pair[0], pair[1]);
    int r = lido_stream_peer_credentials(pair[0], &peer);
    if (failed(r)) {
        check_int(peer.pid, 4711);
        r = lido_stream_peer_credentials(pair[0], &peer);
    }
    check_int(r, 0);
    check_int(peer.pid, getpid());
    net_close_pair(pair);
}

static void each_failure_of_a_pair_is_told_and_can_be_repeated(void **state)
{
    (void)state;
    sweep_all(pairs, 14);
    sweep_interrupted(pairs);
}

/* ---- Descriptors of others ------------------------------------------------------------------------ */

static bool blocks(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    check(flags >= 0);
    return !(flags & O_NONBLOCK);
}

/* What is not taken over is the caller's still, and as it was. */
#define taken_over(pointer, call, fd)                                                              \
    do {                                                                                           \
        void *untouched_ = &sweep;                                                                 \
        (pointer) = untouched_;                                                                    \
        int result_ = (call);                                                                      \
        if (failed(result_)) {                                                                     \
            check((void *)(pointer) == untouched_);                                                \
            check(blocks(fd));                                                                     \
            result_ = (call);                                                                      \
        }                                                                                          \
        check_int(result_, 0);                                                                     \
        check(!blocks(fd));                                                                        \
    } while (0)

static int bound(int type)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type, 0);
    check_int(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    return fd;
}

static void streams_of_others(void)
{
    lido_stream *first, *second;
    int fds[2];
    check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    taken_over(first, lido_stream_from_fd(&first, fds[0]), fds[0]);
    taken_over(second, lido_stream_from_fd(&second, fds[1]), fds[1]);
    lido_task *task = begin(expect_ahoy, second);
    check_int(lido_yield(), 0);
    say(first, "ahoy");
    check_int(finish(task), 0);
    check_int(lido_stream_into_fd(first), fds[0]);
    check_int(close(fds[0]), 0);
    expect_end(second);
    lido_close(second);
}

static void descriptors(void)
{
    lido_stream *reader;
    lido_listener *listener;
    lido_datagram *datagram;
    int fds[2], fd = bound(SOCK_STREAM);
    streams_of_others();
    check_int(pipe(fds), 0);
    taken_over(reader, lido_stream_from_fd(&reader, fds[0]), fds[0]);
    close(fds[1]);
    expect_end(reader);
    lido_close(reader);
    check_int(listen(fd, 1), 0);
    taken_over(listener, lido_listener_from_fd(&listener, fd), fd);
    lido_listener_close(listener);
    fd = bound(SOCK_DGRAM);
    taken_over(datagram, lido_datagram_from_fd(&datagram, fd), fd);
    lido_datagram_close(datagram);
}

static void a_descriptor_that_is_not_taken_over_is_as_it_was(void **state)
{
    (void)state;
    sweep_all(descriptors, 28);
}

/* ---- Options -------------------------------------------------------------------------------------- */

static void set_and_get(lido_datagram *socket, lido_option option, int value)
{
    int got = 4711;
    check_int(retried(lido_datagram_set(socket, option, value)), 0);
    int r = lido_datagram_get(socket, option, &got);
    if (failed(r)) {
        check_int(got, 4711);
        r = lido_datagram_get(socket, option, &got);
    }
    check_int(r, 0);
    check_int(got, value);
}

static void options_of(const char *address)
{
    lido_datagram *socket;
    made(socket, lido_bind_udp(&socket, address));
    set_and_get(socket, LIDO_OPTION_TTL, 7);
    set_and_get(socket, LIDO_OPTION_BROADCAST, 1);
    set_and_get(socket, LIDO_OPTION_LINGER, -1);
    lido_datagram_close(socket);
}

static void options_v4(void)
{
    options_of("127.0.0.1:0");
}

static void options_v6(void)
{
    options_of("[::1]:0");
}

static void each_failure_of_an_option_is_told(void **state)
{
    (void)state;
    sweep_all(options_v4, 12);
}

static bool is_plain_option(const char *name)
{
    return !strcmp(name, "setsockopt") || concerns_nobody(name);
}

/* Of two options that are set for one, the second is that of IPv4, which the socket may refuse. */
static void each_failure_of_an_ipv6_option_is_told(void **state)
{
    (void)state;
    if (!net_has_ipv6())
        skip();
    sweep_on(1, (struct sweep_plan){options_v6, NULL, -ENOMEM, 12, is_plain_option});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_failure_of_tcp_is_told_and_can_be_repeated),
        cmocka_unit_test(a_signal_does_not_disturb_tcp),
        cmocka_unit_test(each_failure_of_unix_streams_is_told_and_can_be_repeated),
        cmocka_unit_test(each_failure_of_an_accept_in_a_future_is_told_and_can_be_repeated),
        cmocka_unit_test(each_failure_of_a_name_is_told_and_can_be_repeated),
        cmocka_unit_test(each_failure_of_udp_is_told_and_can_be_repeated),
        cmocka_unit_test(a_signal_does_not_disturb_udp),
        cmocka_unit_test(each_failure_of_unix_datagrams_is_told_and_can_be_repeated),
        cmocka_unit_test(each_failure_of_a_pair_is_told_and_can_be_repeated),
        cmocka_unit_test(a_descriptor_that_is_not_taken_over_is_as_it_was),
        cmocka_unit_test(each_failure_of_an_option_is_told),
        cmocka_unit_test(each_failure_of_an_ipv6_option_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
