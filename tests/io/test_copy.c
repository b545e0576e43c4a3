/* lido_copy: all bytes, in order, without a buffer of its own. */
#include <errno.h>

#include "net/net.h"
#include "sched/worker.h"
#include "support/link.h"

/* ---- What is copied ---------------------------------------------------------------------------- */

static int copy_all(void *arg)
{
    struct link link;
    link_open(&link);
    struct text text = {link.from[0], 1, *(size_t *)arg, 0};
    lido_task *feeder = start(text_write, &text), *copier = start(link_copy, &link);
    text_expect(link.to[0], 1, 0, text.size);
    check_int(finish(copier), text.size);
    check_int(link.done, text.size);
    check_int(finish(feeder), 0);
    link_close(&link);
    return 0;
}

static void all_bytes_are_copied_in_order_whatever_their_number(void **state)
{
    static size_t sizes[] = {0,      1, LIDO__LENT_SIZE - 1, LIDO__LENT_SIZE, LIDO__LENT_SIZE + 1,
                             3000000};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++)
        run_on(1, copy_all, &sizes[i]);
}

static int echo(void *stream)
{
    return (int)lido_copy(stream, stream, NULL);
}

static int copy_to_itself(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    struct text text = {pair[0], 2, 1000000, 0};
    lido_task *feeder = start(text_write, &text), *copier = start(echo, pair[1]);
    text_expect(pair[0], 2, 0, text.size);
    check_int(finish(copier), text.size);
    check_int(finish(feeder), 0);
    net_close_pair(pair);
    return 0;
}

static void a_stream_can_be_copied_to_itself(void **state)
{
    (void)state;
    run(copy_to_itself);
}

/* ---- Buffers ----------------------------------------------------------------------------------- */

static int look_at_waiting_copy(void *arg)
{
    const void *lent = lido__worker_current()->reactor->lent;
    struct link link;
    (void)arg;
    link_open(&link);
    lido_task *copier = start(link_copy, &link);
    for (int i = 0; i < 2; i++) {
        net_await_reader(link.from[1]);
        const struct lido__op *op =
            lido__side_op(lido__load(&link.from[1]->handle.side[0], LIDO__RELAXED));
        check_int(op->kind, LIDO__OP_READ_LENT);
        check(op->buffer == NULL || op->buffer == lent); /* the latter is anybody's */
        net_say(link.from[0], "x");
        net_expect(link.to[0], "x");
    }
    check_int(lido_shutdown_stream(link.from[0], LIDO_SIDE_WRITE), 0);
    check_int(finish(copier), 2);
    link_close(&link);
    return 0;
}

static void no_buffer_is_held_while_there_is_no_input(void **state)
{
    (void)state;
    run(look_at_waiting_copy);
}

/* The first copy waits for its reader, while the second is lent the buffer that it read into. */
static int copy_beside_a_blocked_copy(void *arg)
{
    struct link slow, fast;
    (void)arg;
    link_open(&slow);
    link_open(&fast);
    struct text slow_text = {slow.from[0], 3, 8000000, 0},
                fast_text = {fast.from[0], 4, 1000000, 0};
    lido_task *slow_feeder = start(text_write, &slow_text), *slow_copier = start(link_copy, &slow);
    net_await_writer(slow.to[1]);
    lido_task *fast_feeder = start(text_write, &fast_text), *fast_copier = start(link_copy, &fast);
    text_expect(fast.to[0], 4, 0, fast_text.size);
    check_int(finish(fast_copier), fast_text.size);
    text_expect(slow.to[0], 3, 0, slow_text.size);
    check_int(finish(slow_copier), slow_text.size);
    check_int(finish(slow_feeder), 0);
    check_int(finish(fast_feeder), 0);
    link_close(&slow);
    link_close(&fast);
    return 0;
}

static void what_the_destination_does_not_take_is_kept_from_other_tasks(void **state)
{
    (void)state;
    run(copy_beside_a_blocked_copy);
}

/* ---- Two workers ------------------------------------------------------------------------------- */

static int read_one(void *stream)
{
    char byte;
    return (int)lido_read(stream, &byte, 1);
}

/*
 * The destination is registered with worker 0, where a task reads from it, while worker 1 copies to it:
 * its writes are handed back by the other worker's thread, at any moment.
 */
static int copy_across(void *arg)
{
    struct link link;
    (void)arg;
    link_open(&link);
    check_int(lido_stream_set(link.to[1], LIDO_OPTION_SEND_BUFFER, 4096), 0);
    lido_task *reader = start(read_one, link.to[1]);
    net_await_reader(link.to[1]);
    struct text text = {link.from[0], 5, 1000000, 0};
    lido_task *feeder = start(text_write, &text), *copier = start_on(1, link_copy, &link);
    text_expect(link.to[0], 5, 0, text.size);
    check_int(finish(copier), text.size);
    check_int(finish(feeder), 0);
    net_say(link.to[0], "x");
    check_int(finish(reader), 1);
    link_close(&link);
    return 0;
}

static void a_destination_that_is_registered_elsewhere_gets_all_bytes(void **state)
{
    (void)state;
    run_on(2, copy_across, NULL);
}

/* ---- Ends -------------------------------------------------------------------------------------- */

static int cancel_waiting_for_input(void *arg)
{
    struct link link;
    int result;
    (void)arg;
    link_open(&link);
    lido_task *copier = start(link_copy, &link);
    net_say(link.from[0], "hello");
    net_expect(link.to[0], "hello");
    net_await_reader(link.from[1]);
    lido_cancel(copier);
    net_say(link.from[0], "again");
    check_int(lido_join(copier, &result), 0);
    check_int(result, -ECANCELED);
    check_int(link.done, 5);
    net_expect(link.from[1], "again"); /* nothing was consumed that was not copied */
    link_close(&link);
    return 0;
}

static void a_copy_that_is_cancelled_while_it_waits_for_input_has_lost_nothing(void **state)
{
    (void)state;
    run(cancel_waiting_for_input);
}

static int cancel_waiting_for_output(void *arg)
{
    struct link link;
    int result;
    (void)arg;
    link_open(&link);
    struct text text = {link.from[0], 6, 8000000, 0};
    lido_task *feeder = start(text_write, &text), *copier = start(link_copy, &link);
    net_await_writer(link.to[1]);
    check_int(lido_stop(copier, &result), 0);
    check_int(result, -ECANCELED);
    check_int(lido_shutdown_stream(link.to[1], LIDO_SIDE_WRITE), 0);
    text_expect(link.to[0], 6, 0, (size_t)link.done);
    net_expect_end(link.to[0]);
    lido_stop(feeder, NULL);
    link_close(&link);
    return 0;
}

static void done_is_what_the_peer_gets_when_the_copy_is_cancelled(void **state)
{
    (void)state;
    run(cancel_waiting_for_output);
}

static int copy_under_deadline(void *arg)
{
    struct link link;
    (void)arg;
    link_open(&link);
    {
        lido_within(1);
        check_int(lido_copy(link.to[1], link.from[1], &link.done), -ETIMEDOUT);
    }
    check_int(link.done, 0);
    link_close(&link);
    return 0;
}

static void a_deadline_ends_a_copy(void **state)
{
    (void)state;
    run(copy_under_deadline);
}

static int copy_to_nobody(void *arg)
{
    struct link link;
    (void)arg;
    link_open(&link);
    check_int(lido_shutdown_stream(link.to[1], LIDO_SIDE_WRITE), 0);
    net_say(link.from[0], "hello");
    check_int(lido_copy(link.to[1], link.from[1], &link.done), -EPIPE);
    check_int(link.done, 0);
    link_close(&link);
    return 0;
}

static void an_error_of_the_destination_ends_a_copy(void **state)
{
    (void)state;
    run(copy_to_nobody);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_are_copied_in_order_whatever_their_number),
        cmocka_unit_test(a_stream_can_be_copied_to_itself),
        cmocka_unit_test(no_buffer_is_held_while_there_is_no_input),
        cmocka_unit_test(what_the_destination_does_not_take_is_kept_from_other_tasks),
        cmocka_unit_test(a_destination_that_is_registered_elsewhere_gets_all_bytes),
        cmocka_unit_test(a_copy_that_is_cancelled_while_it_waits_for_input_has_lost_nothing),
        cmocka_unit_test(done_is_what_the_peer_gets_when_the_copy_is_cancelled),
        cmocka_unit_test(a_deadline_ends_a_copy),
        cmocka_unit_test(an_error_of_the_destination_ends_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
