/* Unix datagrams: names, pairs, and queues that are full. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/net.h"
#include "support/net.h"

/* Abstract names, of this process: others run the same test. Valid until the fourth call from there. */
static const char *abstract(const char *name)
{
    static char rooms[4][64];
    static unsigned used;
    char *room = rooms[used++ % COUNT(rooms)];
    snprintf(room, sizeof(rooms[0]), "@lido-test-%d-%s", (int)getpid(), name);
    return room;
}

static lido_datagram *bind_to(const char *path)
{
    lido_datagram *socket;
    check_int(lido_bind_unix_datagram(&socket, path), 0);
    return socket;
}

static lido_address address_of(const char *path)
{
    lido_address address;
    check_int(lido_address_unix(&address, path), 0);
    return address;
}

static void check_address(const lido_address *actual, const char *expected)
{
    char text[LIDO_ADDRESS_TEXT];
    check_int(lido_address_format(actual, text, sizeof(text)), 0);
    check_string(text, expected);
}

/* A path of its own for each test, in a directory that is removed at the end. */
static char directory[] = "/tmp/lido-test-XXXXXX";
static char here[64], there[64];

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(here, sizeof(here), "%s/here", directory);
    snprintf(there, sizeof(there), "%s/there", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory); /* fails if a path was left behind */
}

/* ---- Names ------------------------------------------------------------------------------------- */

static void exchange(const char *name, const char *other_name)
{
    lido_datagram *a = bind_to(name), *b = bind_to(other_name), *unnamed = bind_to(NULL);
    lido_address to = address_of(other_name), from, own;
    char got[8];
    bool truncated;
    check_int(lido_datagram_local_address(a, &own), 0);
    check_address(&own, name);
    check_int(lido_send_to(a, "first", 5, &to), 5);
    check_int(lido_send_to(unnamed, "second", 6, &to), 6);
    check_int(lido_recv_from(b, got, sizeof(got), &from, &truncated), 5);
    check_bytes(got, "first", 5);
    check(!truncated);
    check_address(&from, name);
    check_int(lido_send_to(b, "back", 4, &from), 4);
    check_int(lido_recv_from(b, got, 3, &from, &truncated), 3);
    check_bytes(got, "sec", 3);
    check(truncated);
    check_address(&from, "");
    check_int(lido_recv(a, got, sizeof(got), NULL), 4);
    lido_datagram_close(a);
    lido_datagram_close(b);
    lido_datagram_close(unnamed);
}

static int exchange_names(void *arg)
{
    (void)arg;
    exchange(here, there);
    exchange(abstract("here"), abstract("there"));
    return 0;
}

static void senders_are_told_by_path_or_abstract_name(void **state)
{
    (void)state;
    run(exchange_names);
}

static int bind_badly(void *arg)
{
    char long_path[200];
    lido_datagram *first = bind_to(here), *second;
    (void)arg;
    check_int(lido_bind_unix_datagram(&second, here), -EADDRINUSE);
    check_int(access(here, F_OK), 0); /* it is still there, whoever failed */
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = 0;
    check_int(lido_bind_unix_datagram(&second, long_path), -ENAMETOOLONG);
    lido_datagram_close(first);
    check_int(access(here, F_OK), -1);
    lido_datagram_close(bind_to(here));
    return 0;
}

static void a_path_is_bound_once_and_removed_by_closing(void **state)
{
    lido_datagram *socket;
    (void)state;
    run(bind_badly);
    assert_int_equal(lido_bind_unix_datagram(&socket, here), -ENXIO);
    assert_int_equal(lido_bind_unix_datagram(&socket, NULL), -ENXIO);
}

static int send_to_nobody(void *arg)
{
    lido_datagram *socket = bind_to(NULL);
    lido_address nobody = address_of(there);
    (void)arg;
    check_int(lido_send_to(socket, "x", 1, &nobody), -ENOENT);
    nobody = address_of(abstract("nobody"));
    check_int(lido_send_to(socket, "x", 1, &nobody), -ECONNREFUSED);
    check_int(lido_datagram_connect(socket, &nobody), -ECONNREFUSED);
    lido_datagram_close(socket);
    return 0;
}

static void it_is_told_when_nobody_has_the_name(void **state)
{
    (void)state;
    run(send_to_nobody);
}

static int use_pair(void *arg)
{
    lido_datagram *pair[2];
    char got[8];
    (void)arg;
    check_int(lido_datagram_pair(pair), 0);
    check_int(lido_send(pair[0], "ping", 4), 4);
    check_int(lido_recv(pair[1], got, sizeof(got), NULL), 4);
    check_int(lido_send(pair[1], "pong!", 5), 5);
    check_int(lido_recv(pair[0], got, sizeof(got), NULL), 5);
    lido_datagram_close(pair[0]);
    check_int(lido_send(pair[1], "x", 1), -ECONNREFUSED);
    lido_datagram_close(pair[1]);
    return 0;
}

static void a_pair_is_connected(void **state)
{
    lido_datagram *pair[2];
    (void)state;
    run(use_pair);
    assert_int_equal(lido_datagram_pair(pair), -ENXIO);
}

/* ---- Full queues ------------------------------------------------------------------------------- */

#define MESSAGES 2000u

/* Numbered datagrams, more than any queue holds: by name, or to whom the socket is connected. */
struct flood {
    lido_datagram *socket;
    const lido_address *to;
    unsigned sent;
};

static int send_flood(void *arg)
{
    struct flood *flood = arg;
    for (; flood->sent < MESSAGES; flood->sent++) {
        const unsigned *number = &flood->sent;
        ssize_t r = flood->to ? lido_send_to(flood->socket, number, sizeof(*number), flood->to)
                              : lido_send(flood->socket, number, sizeof(*number));
        if (r < 0)
            return (int)r;
        check_int(r, sizeof(*number));
    }
    return 0;
}

static void receive_numbers(lido_datagram *socket, unsigned from, unsigned to)
{
    for (unsigned expected = from; expected < to; expected++) {
        unsigned got;
        check_int(lido_recv(socket, &got, sizeof(got), NULL), sizeof(got));
        check_int(got, expected);
    }
}

static int flood_and_drain(void *by_name)
{
    lido_datagram *receiver = bind_to(abstract("flood")), *sender = bind_to(NULL);
    lido_address to = address_of(abstract("flood"));
    struct flood flood = {.socket = sender, .to = by_name ? &to : NULL};
    if (!by_name)
        check_int(lido_datagram_connect(sender, &to), 0);
    lido_task *task = start(send_flood, &flood);
    check_int(lido_sleep(1), 0);
    check(!lido_task_is_done(task)); /* the queue is full */
    receive_numbers(receiver, 0, MESSAGES);
    check_int(finish(task), 0);
    lido_datagram_close(sender);
    lido_datagram_close(receiver);
    return 0;
}

static void a_sender_waits_while_the_queue_is_full(void **state)
{
    static bool by_name;
    (void)state;
    run_on(1, flood_and_drain, NULL);
    run_on(1, flood_and_drain, &by_name);
}

static int cancel_flood(void *by_name)
{
    lido_datagram *receiver = bind_to(abstract("flood")), *sender = bind_to(NULL);
    lido_address to = address_of(abstract("flood"));
    struct flood flood = {.socket = sender, .to = by_name ? &to : NULL};
    int result;
    if (!by_name)
        check_int(lido_datagram_connect(sender, &to), 0);
    lido_task *task = start(send_flood, &flood);
    check_int(lido_sleep(1), 0);
    check_int(lido_stop(task, &result), 0);
    check_int(result, -ECANCELED);
    receive_numbers(receiver, 0, flood.sent);
    {
        unsigned more;
        lido_within(5);
        check_int(lido_recv(receiver, &more, sizeof(more), NULL), -ETIMEDOUT);
    }
    lido_datagram_close(sender);
    lido_datagram_close(receiver);
    return 0;
}

static void a_send_that_is_cancelled_has_sent_nothing(void **state)
{
    static bool by_name;
    (void)state;
    run_on(1, cancel_flood, NULL);
    run_on(1, cancel_flood, &by_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(senders_are_told_by_path_or_abstract_name),
        cmocka_unit_test(a_path_is_bound_once_and_removed_by_closing),
        cmocka_unit_test(it_is_told_when_nobody_has_the_name),
        cmocka_unit_test(a_pair_is_connected),
        cmocka_unit_test(a_sender_waits_while_the_queue_is_full),
        cmocka_unit_test(a_send_that_is_cancelled_has_sent_nothing),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
