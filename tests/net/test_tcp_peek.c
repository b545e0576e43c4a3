/* A peek shows what a read will return, and takes nothing. */
#include <errno.h>
#include <unistd.h>

#include "support/net.h"

static int peek_and_read(void *arg)
{
    lido_stream *pair[2];
    char got[8] = "";
    (void)arg;
    net_pair(pair);
    net_say(pair[0], "abcdef");
    check_int(lido_peek(pair[1], got, 3), 3);
    check_bytes(got, "abc", 3);
    check_int(lido_peek(pair[1], got, sizeof(got)), 6);
    check_bytes(got, "abcdef", 6);
    net_expect(pair[1], "abcdef");
    net_close_pair(pair);
    return 0;
}

static void what_was_peeked_at_is_still_there(void **state)
{
    (void)state;
    run(peek_and_read);
}

static int peek_one(void *stream)
{
    char byte = 0;
    check_int(lido_peek(stream, &byte, 1), 1);
    return byte;
}

static int peek_waiting(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_task *task = start(peek_one, pair[1]);
    net_await_reader(pair[1]);
    net_say(pair[0], "x");
    check_int(finish(task), 'x');
    net_expect(pair[1], "x");
    net_close_pair(pair);
    return 0;
}

static void a_peek_waits_for_bytes(void **state)
{
    (void)state;
    run(peek_waiting);
}

static int peek_at_end(void *arg)
{
    lido_stream *pair[2];
    char byte;
    (void)arg;
    net_pair(pair);
    net_say(pair[0], "x");
    lido_close(pair[0]);
    check_int(peek_one(pair[1]), 'x');
    net_expect(pair[1], "x");
    check_int(lido_peek(pair[1], &byte, 1), 0);
    net_expect_end(pair[1]);
    lido_close(pair[1]);
    return 0;
}

static void a_peek_at_the_end_is_0(void **state)
{
    (void)state;
    run(peek_at_end);
}

/* A short peek is no sign that the stream is drained: the read after it must not wait. */
static int peek_short(void *arg)
{
    lido_stream *pair[2];
    char got[64];
    (void)arg;
    net_pair(pair);
    for (int i = 0; i < 100; i++) {
        net_say(pair[0], "abc");
        check_int(lido_peek(pair[1], got, sizeof(got)), 3);
        check_int(lido_peek(pair[1], got, sizeof(got)), 3);
        check_int(lido_read(pair[1], got, sizeof(got)), 3);
    }
    net_close_pair(pair);
    return 0;
}

static void a_read_after_a_short_peek_does_not_wait(void **state)
{
    (void)state;
    run(peek_short);
}

static int peek_pipe(void *arg)
{
    lido_stream *stream;
    int fds[2];
    char byte;
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(write(fds[1], "x", 1), 1);
    check_int(lido_stream_from_fd(&stream, fds[0]), 0);
    check_int(lido_peek(stream, &byte, 1), -ENOTSOCK);
    net_expect(stream, "x");
    lido_close(stream);
    close(fds[1]);
    return 0;
}

static void a_pipe_cannot_be_peeked_at(void **state)
{
    (void)state;
    run(peek_pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_peeked_at_is_still_there),
        cmocka_unit_test(a_peek_waits_for_bytes),
        cmocka_unit_test(a_peek_at_the_end_is_0),
        cmocka_unit_test(a_read_after_a_short_peek_does_not_wait),
        cmocka_unit_test(a_pipe_cannot_be_peeked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
