/* A connection that has died stays dead: no read tells an end that the peer did not make, and no
   error of the system looks like one of lido's own. */
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "support/link.h"
#include "support/net.h"

/* ---- Deaths -------------------------------------------------------------------------------------
   */

/* All that comes for this socket is lost on the way, also acknowledgements of what it sends. */
static void cut_off(const lido_stream *stream)
{
    struct sock_filter nothing = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog program = {1, &nothing};
    check_int(setsockopt(lido_stream_fd(stream), SOL_SOCKET, SO_ATTACH_FILTER, &program,
                         sizeof(program)),
              0);
}

/* pair[0] gives its peer up, which answers no more: the system's own ETIMEDOUT. */
static void let_time_out(lido_stream *pair[2])
{
    unsigned ms = 50;
    check_int(setsockopt(lido_stream_fd(pair[0]), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)),
              0);
    cut_off(pair[1]);
    check_int(lido_write(pair[0], "lost", 4), 4);
}

static void reset(lido_stream *pair[2])
{
    check_int(lido_stream_set(pair[1], LIDO_OPTION_LINGER, 0), 0);
    lido_close(pair[1]);
    pair[1] = NULL;
    net_await_reset(pair[0]);
}

/* Every way to read and to write, twice: each says that it is dead. */
static void check_dead(lido_stream *stream, int error)
{
    char got[8];
    size_t done = 42;
    uint64_t copied = 42;
    lido_slice slice = {got, sizeof(got)};
    for (int i = 0; i < 2; i++) {
        check_int(lido_read(stream, got, sizeof(got)), error);
        check_int(lido_readv(stream, &slice, 1), error);
        check_int(lido_peek(stream, got, sizeof(got)), error);
        check_int(lido_read_all(stream, got, sizeof(got), &done), error);
        check_int(done, 0);
        check_int(lido_copy(stream, stream, &copied), error);
        check_int(copied, 0);
        check(lido_write(stream, "x", 1) < 0);
    }
}

struct reading {
    lido_future future;
    lido_op op;
    lido_stream *stream;
    char got[8];
    bool lent;
    bool started;
};

static int poll_reading(lido_future *future, const lido_waker *waker)
{
    struct reading *reading = (struct reading *)future;
    if (!reading->started)
        lido_op_read(&reading->op, reading->stream, reading->lent ? NULL : reading->got,
                     sizeof(reading->got));
    reading->started = true;
    return (int)lido_op_poll(&reading->op, waker);
}

static int read_in_future(lido_stream *stream, bool lent)
{
    struct reading reading = {{poll_reading}, .stream = stream, .lent = lent};
    lido_task *task;
    check_int(lido_spawn_future(&task, &reading.future), 0);
    return finish(task);
}

/* ---- Who is told first
   ---------------------------------------------------------------------------- */

static ssize_t told_reader(lido_stream *stream)
{
    char byte;
    return lido_read(stream, &byte, 1);
}

static ssize_t told_vectored(lido_stream *stream)
{
    char byte;
    return lido_readv(stream, &(lido_slice){&byte, 1}, 1);
}

static ssize_t told_peeker(lido_stream *stream)
{
    char byte;
    return lido_peek(stream, &byte, 1);
}

static ssize_t told_writer(lido_stream *stream)
{
    return lido_write(stream, "x", 1);
}

static ssize_t told_vectored_writer(lido_stream *stream)
{
    return lido_writev(stream, &(lido_slice){"x", 1}, 1);
}

static ssize_t told_future(lido_stream *stream)
{
    return read_in_future(stream, false);
}

static ssize_t told_lent(lido_stream *stream)
{
    return read_in_future(stream, true);
}

static ssize_t told_option(lido_stream *stream)
{
    int error = 0;
    check_int(lido_stream_get(stream, LIDO_OPTION_ERROR, &error), 0);
    return error;
}

static ssize_t told_copy(lido_stream *stream)
{
    return lido_copy(stream, stream, NULL);
}

static ssize_t (*const first[])(lido_stream *stream) = {
    told_reader,          told_vectored, told_peeker, told_writer, told_option,
    told_vectored_writer, told_future,   told_lent,   told_copy,
};

static int die_of_reset(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT(first); i++) {
        lido_stream *pair[2];
        net_pair(pair);
        reset(pair);
        check_int(first[i](pair[0]), -ECONNRESET);
        check_dead(pair[0], -ECONNRESET);
        check_int(read_in_future(pair[0], false), -ECONNRESET);
        check_int(read_in_future(pair[0], true), -ECONNRESET);
        lido_close(pair[0]);
    }
    return 0;
}

static void after_a_reset_no_read_says_that_the_stream_has_ended(void **state)
{
    (void)state;
    run(die_of_reset);
}

static bool writes(ssize_t (*told)(lido_stream *stream))
{
    return told == told_writer || told == told_vectored_writer;
}

/* The peer of a Unix pair resets it by leaving bytes unread. */
static int die_unix(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT(first); i++) {
        lido_stream *pair[2];
        net_unix_pair(pair);
        net_say(pair[0], "unread");
        lido_close(pair[1]);
        int error = (int)first[i](pair[0]);
        check(error == -ECONNRESET || (error == -EPIPE && writes(first[i])));
        check_dead(pair[0], -ECONNRESET);
        lido_close(pair[0]);
    }
    return 0;
}

static void the_same_holds_for_unix_sockets(void **state)
{
    (void)state;
    run(die_unix);
}

static int die_of_silence(void *arg)
{
    ssize_t (*const by[])(lido_stream *) = {told_reader, told_lent, told_copy};
    (void)arg;
    for (size_t i = 0; i < COUNT(by); i++) {
        lido_stream *pair[2];
        net_pair(pair);
        let_time_out(pair);
        lido_within(60000);
        check_int(by[i](pair[0]), -EHOSTDOWN);
        check_dead(pair[0], -EHOSTDOWN);
        net_close_pair(pair);
    }
    return 0;
}

static void the_systems_timeout_is_not_the_deadlines_and_lasts(void **state)
{
    (void)state;
    run(die_of_silence);
}

/* ---- Ends that are ends
   --------------------------------------------------------------------------- */

static int end_well(void *arg)
{
    lido_stream *pair[2];
    char byte;
    (void)arg;
    net_pair(pair);
    check_int(lido_shutdown_stream(pair[0], LIDO_SIDE_WRITE), 0);
    check_int(lido_write(pair[0], "x", 1), -EPIPE); /* its own doing */
    net_say(pair[1], "more");
    net_expect(pair[0], "more");
    lido_close(pair[1]);
    for (int i = 0; i < 3; i++)
        check_int(lido_read(pair[0], &byte, 1), 0);
    check_int(lido_write(pair[0], "x", 1), -EPIPE);
    check_int(lido_read(pair[0], &byte, 1), 0);
    lido_close(pair[0]);
    return 0;
}

static void an_end_that_the_peer_has_made_stays_an_end(void **state)
{
    (void)state;
    run(end_well);
}

/* A peer that only reads no more may still write, and end. */
static int end_of_half(void *arg)
{
    lido_stream *pair[2];
    char byte;
    (void)arg;
    net_unix_pair(pair);
    check_int(lido_shutdown_stream(pair[1], LIDO_SIDE_READ), 0);
    check_int(lido_write(pair[0], "x", 1), -EPIPE);
    net_say(pair[1], "answer");
    lido_close(pair[1]);
    net_expect(pair[0], "answer");
    check_int(lido_read(pair[0], &byte, 1), 0);
    lido_close(pair[0]);
    return 0;
}

static void a_peer_that_has_ended_its_reading_can_end_its_writing(void **state)
{
    (void)state;
    run(end_of_half);
}

/* Bytes that had come before the death are read all the same. */
static int read_the_rest(void *arg)
{
    lido_stream *pair[2];
    char byte;
    (void)arg;
    net_unix_pair(pair);
    net_say(pair[1], "last");
    lido_close(pair[1]);
    check_int(lido_write(pair[0], "x", 1), -EPIPE);
    net_expect(pair[0], "last");
    check_int(lido_read(pair[0], &byte, 1), -EPIPE);
    lido_close(pair[0]);
    return 0;
}

static void what_came_before_the_death_can_be_read(void **state)
{
    (void)state;
    run(read_the_rest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_reset_no_read_says_that_the_stream_has_ended),
        cmocka_unit_test(the_same_holds_for_unix_sockets),
        cmocka_unit_test(the_systems_timeout_is_not_the_deadlines_and_lasts),
        cmocka_unit_test(an_end_that_the_peer_has_made_stays_an_end),
        cmocka_unit_test(a_peer_that_has_ended_its_reading_can_end_its_writing),
        cmocka_unit_test(what_came_before_the_death_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
