/* Waiting until a stream is ready, without reading or writing. */
#include <errno.h>

#include "support/net.h"

struct waiting {
    lido_future future;
    lido_op op;
    int polls;
};

static int poll_op(lido_future *future, const lido_waker *waker)
{
    struct waiting *waiting = (struct waiting *)future;
    waiting->polls++;
    return (int)lido_op_poll(&waiting->op, waker);
}

static lido_task *begin(struct waiting *waiting)
{
    lido_task *task;
    waiting->future.poll = poll_op;
    waiting->polls = 0;
    check_int(lido_spawn_future(&task, &waiting->future), 0);
    return task;
}

/* At once, in one poll. */
static void check_ready(struct waiting *waiting)
{
    check_int(finish(begin(waiting)), 0);
    check_int(waiting->polls, 1);
}

static int wait_for_bytes(void *arg)
{
    lido_stream *pair[2];
    struct waiting waiting;
    (void)arg;
    net_pair(pair);
    for (int i = 0; i < 2; i++) {
        /* Nobody has read yet, so lido does not know that there is nothing; then, it does. */
        lido_op_readable(&waiting.op, pair[0]);
        lido_task *task = begin(&waiting);
        net_await_reader(pair[0]);
        net_say(pair[1], "x");
        check_int(finish(task), 0);
        lido_op_readable(&waiting.op, pair[0]);
        check_ready(&waiting);
        net_expect(pair[0], "x");
    }
    net_say(pair[1], "y");
    lido_op_readable(&waiting.op, pair[0]);
    check_int(finish(begin(&waiting)), 0);
    net_expect(pair[0], "y");
    net_close_pair(pair);
    return 0;
}

static void a_stream_is_readable_when_there_are_bytes_and_not_before(void **state)
{
    (void)state;
    run(wait_for_bytes);
}

static int wait_for_end(void *arg)
{
    lido_stream *pair[2];
    struct waiting waiting;
    (void)arg;
    net_pair(pair);
    lido_op_readable(&waiting.op, pair[0]);
    lido_task *task = begin(&waiting);
    net_await_reader(pair[0]);
    lido_close(pair[1]);
    check_int(finish(task), 0);
    net_expect_end(pair[0]);
    lido_op_readable(&waiting.op, pair[0]);
    check_ready(&waiting);
    lido_close(pair[0]);
    return 0;
}

static void the_end_is_readable(void **state)
{
    (void)state;
    run(wait_for_end);
}

static int wait_for_room(void *arg)
{
    lido_stream *pair[2];
    struct waiting waiting;
    (void)arg;
    net_unix_pair(pair);
    lido_op_writable(&waiting.op, pair[0]);
    check_ready(&waiting);
    size_t filled = net_fill(pair[0]);
    lido_op_writable(&waiting.op, pair[0]);
    lido_task *task = begin(&waiting);
    net_await_writer(pair[0]);
    net_drain(pair[1], filled);
    check_int(finish(task), 0);
    net_close_pair(pair);
    return 0;
}

static void a_stream_is_writable_while_it_has_room(void **state)
{
    (void)state;
    run(wait_for_room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_readable_when_there_are_bytes_and_not_before),
        cmocka_unit_test(the_end_is_readable),
        cmocka_unit_test(a_stream_is_writable_while_it_has_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
