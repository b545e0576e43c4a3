/* lido_copy: all bytes, in order, without a buffer of its own. */
#include <errno.h>

#include "net/net.h"
#include "sched/worker.h"
#include "support/net.h"
#include "support/runtime.h"

/* From the inner end of one connection to that of another; the test has the outer ends. */
struct link {
    lido_stream *from[2]; /* [0]: of the test */
    lido_stream *to[2];
    uint64_t done;
};

static int copy_link(void *arg)
{
    struct link *link = arg;
    ssize_t r = lido_copy(link->to[1], link->from[1], &link->done);
    return (int)r;
}

static void open_link(struct link *link)
{
    net_pair(link->from);
    net_pair(link->to);
    link->done = UINT64_MAX;
}

static void close_link(struct link *link)
{
    net_close_pair(link->from);
    net_close_pair(link->to);
}

/* The byte at an offset of a text that does not repeat at the size of any buffer. */
static unsigned char pattern(uint64_t seed, uint64_t offset)
{
    return (unsigned char)((offset * 131 + offset / 251 + seed * 17) >> 1);
}

struct feed {
    lido_stream *stream;
    uint64_t seed;
    size_t size;
};

/* Writes so much of a text and ends the direction. */
static int feed(void *arg)
{
    struct feed *feed = arg;
    unsigned char part[4096];
    for (size_t sent = 0; sent < feed->size;) {
        size_t n = feed->size - sent < sizeof(part) ? feed->size - sent : sizeof(part);
        for (size_t i = 0; i < n; i++)
            part[i] = pattern(feed->seed, sent + i);
        ssize_t r = lido_write_all(feed->stream, part, n, NULL);
        if (r < 0)
            return (int)r;
        sent += n;
    }
    return lido_shutdown_stream(feed->stream, LIDO_SIDE_WRITE);
}

/* Reads so much of the text of `seed` from an offset on. */
static void expect_pattern(lido_stream *stream, uint64_t seed, uint64_t offset, size_t size)
{
    unsigned char part[4096];
    for (uint64_t end = offset + size; offset < end;) {
        size_t most = end - offset < sizeof(part) ? (size_t)(end - offset) : sizeof(part);
        ssize_t n = lido_read(stream, part, most);
        check(n > 0);
        for (ssize_t i = 0; i < n; i++)
            check_int(part[i], pattern(seed, offset + (uint64_t)i));
        offset += (uint64_t)n;
    }
}

/* ---- What is copied ---------------------------------------------------------------------------- */

static int copy_all(void *arg)
{
    struct link link;
    open_link(&link);
    struct feed text = {link.from[0], 1, *(size_t *)arg};
    lido_task *feeder = start(feed, &text), *copier = start(copy_link, &link);
    expect_pattern(link.to[0], 1, 0, text.size);
    check_int(finish(copier), text.size);
    check_int(link.done, text.size);
    check_int(finish(feeder), 0);
    close_link(&link);
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
    struct feed text = {pair[0], 2, 1000000};
    lido_task *feeder = start(feed, &text), *copier = start(echo, pair[1]);
    expect_pattern(pair[0], 2, 0, text.size);
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
    open_link(&link);
    lido_task *copier = start(copy_link, &link);
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
    close_link(&link);
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
    open_link(&slow);
    open_link(&fast);
    struct feed slow_text = {slow.from[0], 3, 8000000}, fast_text = {fast.from[0], 4, 1000000};
    lido_task *slow_feeder = start(feed, &slow_text), *slow_copier = start(copy_link, &slow);
    net_await_writer(slow.to[1]);
    lido_task *fast_feeder = start(feed, &fast_text), *fast_copier = start(copy_link, &fast);
    expect_pattern(fast.to[0], 4, 0, fast_text.size);
    check_int(finish(fast_copier), fast_text.size);
    expect_pattern(slow.to[0], 3, 0, slow_text.size);
    check_int(finish(slow_copier), slow_text.size);
    check_int(finish(slow_feeder), 0);
    check_int(finish(fast_feeder), 0);
    close_link(&slow);
    close_link(&fast);
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
    open_link(&link);
    check_int(lido_stream_set(link.to[1], LIDO_OPTION_SEND_BUFFER, 4096), 0);
    lido_task *reader = start(read_one, link.to[1]);
    net_await_reader(link.to[1]);
    struct feed text = {link.from[0], 5, 1000000};
    lido_task *feeder = start(feed, &text), *copier = start_on(1, copy_link, &link);
    expect_pattern(link.to[0], 5, 0, text.size);
    check_int(finish(copier), text.size);
    check_int(finish(feeder), 0);
    net_say(link.to[0], "x");
    check_int(finish(reader), 1);
    close_link(&link);
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
    open_link(&link);
    lido_task *copier = start(copy_link, &link);
    net_say(link.from[0], "hello");
    net_expect(link.to[0], "hello");
    net_await_reader(link.from[1]);
    lido_cancel(copier);
    net_say(link.from[0], "again");
    check_int(lido_join(copier, &result), 0);
    check_int(result, -ECANCELED);
    check_int(link.done, 5);
    net_expect(link.from[1], "again"); /* nothing was consumed that was not copied */
    close_link(&link);
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
    open_link(&link);
    struct feed text = {link.from[0], 6, 8000000};
    lido_task *feeder = start(feed, &text), *copier = start(copy_link, &link);
    net_await_writer(link.to[1]);
    check_int(lido_stop(copier, &result), 0);
    check_int(result, -ECANCELED);
    check_int(lido_shutdown_stream(link.to[1], LIDO_SIDE_WRITE), 0);
    expect_pattern(link.to[0], 6, 0, (size_t)link.done);
    net_expect_end(link.to[0]);
    lido_stop(feeder, NULL);
    close_link(&link);
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
    open_link(&link);
    {
        lido_within(1);
        check_int(lido_copy(link.to[1], link.from[1], &link.done), -ETIMEDOUT);
    }
    check_int(link.done, 0);
    close_link(&link);
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
    open_link(&link);
    check_int(lido_shutdown_stream(link.to[1], LIDO_SIDE_WRITE), 0);
    net_say(link.from[0], "hello");
    check_int(lido_copy(link.to[1], link.from[1], &link.done), -EPIPE);
    check_int(link.done, 0);
    close_link(&link);
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
