/* Each direction of a stream ends by itself. */
#include <errno.h>

#include "os/os.h"
#include "support/net.h"

static int end_write_side(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    net_say(pair[0], "last words");
    check_int(lido_shutdown_stream(pair[0], LIDO_SIDE_WRITE), 0);
    net_expect(pair[1], "last words");
    net_expect_end(pair[1]);
    check_int(lido_write(pair[0], "x", 1), -EPIPE);
    net_say(pair[1], "answer"); /* the other direction goes on */
    net_expect(pair[0], "answer");
    lido_close(pair[1]);
    net_expect_end(pair[0]);
    lido_close(pair[0]);
    return 0;
}

static void after_the_end_of_writing_the_peer_reads_the_end_and_can_answer(void **state)
{
    (void)state;
    run(end_write_side);
}

static int end_read_side(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    check_int(lido_shutdown_stream(pair[0], LIDO_SIDE_READ), 0);
    net_expect_end(pair[0]);
    net_say(pair[0], "still writing");
    net_expect(pair[1], "still writing");
    net_close_pair(pair);
    return 0;
}

static void after_the_end_of_reading_writing_goes_on(void **state)
{
    (void)state;
    run(end_read_side);
}

static int end_both_sides(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    check_int(lido_shutdown_stream(pair[0], LIDO_SIDE_BOTH), 0);
    net_expect_end(pair[0]);
    net_expect_end(pair[1]);
    check_int(lido_write(pair[0], "x", 1), -EPIPE);
    net_close_pair(pair);
    return 0;
}

static void the_end_of_both_sides_is_the_end_of_each(void **state)
{
    (void)state;
    run(end_both_sides);
}

static int read_end(void *stream)
{
    net_expect_end(stream);
    return 0;
}

static int end_under_reader(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_task *reader = start(read_end, pair[0]);
    lido_task *peer = start(read_end, pair[1]);
    net_await_reader(pair[0]);
    net_await_reader(pair[1]);
    check_int(lido_shutdown_stream(pair[0], LIDO_SIDE_BOTH), 0);
    check_int(finish(reader), 0);
    check_int(finish(peer), 0);
    net_close_pair(pair);
    return 0;
}

static void readers_that_wait_at_both_ends_read_the_end(void **state)
{
    (void)state;
    run(end_under_reader);
}

static int end_nonsense(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    check_int(lido_shutdown_stream(pair[0], (lido_side)3), -EINVAL);
    check_int(lido_shutdown_stream(pair[0], (lido_side)-1), -EINVAL);
    /* A reset leaves no connection. */
    check_int(lido_stream_set(pair[1], LIDO_OPTION_LINGER, 0), 0);
    lido_close(pair[1]);
    char byte;
    check_int(lido_read(pair[0], &byte, 1), -ECONNRESET);
    check_int(lido_shutdown_stream(pair[0], LIDO_SIDE_WRITE), -ENOTCONN);
    lido_close(pair[0]);
    return 0;
}

static void what_is_no_side_or_not_connected_cannot_be_ended(void **state)
{
    (void)state;
    run(end_nonsense);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_the_end_of_writing_the_peer_reads_the_end_and_can_answer),
        cmocka_unit_test(after_the_end_of_reading_writing_goes_on),
        cmocka_unit_test(the_end_of_both_sides_is_the_end_of_each),
        cmocka_unit_test(readers_that_wait_at_both_ends_read_the_end),
        cmocka_unit_test(what_is_no_side_or_not_connected_cannot_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
