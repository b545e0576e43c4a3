/*
 * lido_copy of bulk transfers: when bytes pass through a pipe, that nobody can tell from what arrives, and
 * that no pipe is left over. The seam counts the calls of splice and pipe2.
 */
#include <errno.h>
#include <sys/socket.h>

#include "base/atomic.h"
#include "fault/sweep.h"
#include "io/pipes.h"
#include "net/net.h"
#include "support/link.h"
#include "support/runtime.h"

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)

/* Counts calls of that name from now on, and lets them be. */
static void count_calls(const char *name)
{
    lido__fault_plan(name, UINT64_MAX, -EIO);
}

static uint64_t calls(void)
{
    return lido__fault_count();
}

/* Of Unix sockets: the source has more than four reads that fill the lent buffer, of which the destination
   takes four. The system doubles the sizes, for what it adds to the bytes. */
static void set_buffers(struct link *link)
{
    check_int(lido_stream_set(link->from[0], LIDO_OPTION_SEND_BUFFER, 200 * KIB), 0);
    check_int(lido_stream_set(link->to[1], LIDO_OPTION_SEND_BUFFER, 120 * KIB), 0);
}

/*
 * A link on which a copy has come to splicing: the source was full before it began, and goes on being filled
 * from `text`. The reader has to be the caller.
 */
struct bulk {
    struct link link;
    struct text text;
    lido_task *writer;
    lido_task *copier;
};

static void bulk_begin_by(lido_fn copy, struct bulk *bulk, uint64_t seed, size_t size)
{
    link_open_unix(&bulk->link);
    set_buffers(&bulk->link);
    bulk->text = (struct text){bulk->link.from[0], seed, size, 64 * KIB};
    bulk->writer = start(text_write, &bulk->text);
    net_await_writer(bulk->link.from[0]);
    bulk->copier = start(copy, &bulk->link);
}

static void bulk_begin(struct bulk *bulk, uint64_t seed, size_t size)
{
    bulk_begin_by(link_copy, bulk, seed, size);
}

static void bulk_finish(struct bulk *bulk)
{
    check_int(finish(bulk->copier), bulk->text.size);
    check_int(bulk->link.done, bulk->text.size);
    check_int(finish(bulk->writer), 0);
    link_close(&bulk->link);
}

static enum lido__op_kind writing(const lido_stream *stream)
{
    net_await_writer(stream);
    return lido__side_op(lido__load(&stream->handle.side[1], LIDO__RELAXED))->kind;
}

/* Until the destination takes no more, and the rest is in a pipe. */
static void bulk_fill(struct bulk *bulk)
{
    check_int(writing(bulk->link.to[1]), LIDO__OP_WRITE_PIPE);
}

/* ---- What arrives ------------------------------------------------------------------------------ */

struct size_case {
    size_t size;
    size_t piece;
    void (*open)(struct link *link);
};

static int copy_size(void *arg)
{
    const struct size_case *c = arg;
    struct link link;
    c->open(&link);
    set_buffers(&link);
    struct text text = {link.from[0], c->size, c->size, c->piece};
    lido_task *writer = start(text_write, &text);
    if (c->size > MIB)
        net_await_writer(link.from[0]);
    lido_task *copier = start(link_copy, &link);
    text_expect(link.to[0], text.seed, 0, text.size);
    check_int(finish(copier), text.size);
    check_int(link.done, text.size);
    check_int(finish(writer), 0);
    link_close(&link);
    return 0;
}

static void all_bytes_arrive_whatever_their_number_and_the_pieces(void **state)
{
    static const size_t around[] = {4 * LIDO__LENT_SIZE, 5 * LIDO__LENT_SIZE, LIDO__PIPE_SIZE,
                                    4 * LIDO__LENT_SIZE + LIDO__PIPE_SIZE, 5 * MIB};
    static const size_t pieces[] = {0, 3000, 200 * KIB};
    (void)state;
    for (size_t i = 0; i < 3 * COUNT(around) * COUNT(pieces); i++) {
        struct size_case c = {around[i / 3 / COUNT(pieces)] + i % 3 - 1,
                              pieces[i / 3 % COUNT(pieces)], i % 2 ? link_open : link_open_unix};
        run_on(1 + i % 2, copy_size, &c);
    }
}

static int copy_bulk(void *arg)
{
    struct bulk bulk;
    (void)arg;
    count_calls("splice");
    bulk_begin(&bulk, 1, 4 * MIB);
    text_expect(bulk.link.to[0], 1, 0, 4 * MIB);
    bulk_finish(&bulk);
    check(calls() > 1);
    return 0;
}

static void a_bulk_transfer_is_spliced(void **state)
{
    (void)state;
    run(copy_bulk);
}

static int copy_small(void *arg)
{
    struct link link;
    (void)arg;
    link_open(&link);
    lido_task *copier = start(link_copy, &link);
    count_calls(NULL);
    net_say(link.from[0], "x");
    net_expect(link.to[0], "x");
    uint64_t once = calls();
    count_calls("splice");
    for (int i = 0; i < 100; i++) {
        net_say(link.from[0], "x");
        net_expect(link.to[0], "x");
    }
    check_int(calls(), 0);
    check(once <= 20);
    check_int(lido_shutdown_stream(link.from[0], LIDO_SIDE_WRITE), 0);
    check_int(finish(copier), 101);
    link_close(&link);
    return 0;
}

static void small_messages_are_not_spliced(void **state)
{
    (void)state;
    run(copy_small);
}

static int echo(void *stream)
{
    return (int)lido_copy(stream, stream, NULL);
}

static int echo_bulk(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    count_calls("splice");
    net_unix_pair(pair);
    struct text text = {pair[0], 2, 2 * MIB, 64 * KIB};
    lido_task *writer = start(text_write, &text);
    net_await_writer(pair[0]);
    lido_task *echoer = start(echo, pair[1]);
    text_expect(pair[0], 2, 0, text.size);
    check_int(finish(echoer), text.size);
    check_int(finish(writer), 0);
    check_int(calls(), 0);
    net_close_pair(pair);
    return 0;
}

static void what_is_sent_back_is_not_spliced(void **state)
{
    (void)state;
    run(echo_bulk);
}

/* A writer that does not end its direction, so that small messages can follow. */
static int write_bytes(void *stream)
{
    static const char zeros[MIB];
    return lido_write_all(stream, zeros, sizeof(zeros), NULL) == (ssize_t)sizeof(zeros) ? 0 : -EIO;
}

static int bulk_then_small(void *arg)
{
    struct link link;
    (void)arg;
    link_open_unix(&link);
    set_buffers(&link);
    count_calls("splice");
    lido_task *writer = start(write_bytes, link.from[0]);
    net_await_writer(link.from[0]);
    lido_task *copier = start(link_copy, &link);
    net_drain(link.to[0], MIB);
    check_int(finish(writer), 0);
    check(calls() > 0);
    for (int i = 0; i < 20; i++) {
        if (i == 10)
            count_calls("splice");
        net_say(link.from[0], "hello");
        net_expect(link.to[0], "hello");
    }
    check_int(calls(), 0);
    check_int(lido_shutdown_stream(link.from[0], LIDO_SIDE_WRITE), 0);
    check_int(finish(copier), MIB + 100);
    link_close(&link);
    return 0;
}

static void a_transfer_that_has_become_small_is_not_spliced_any_more(void **state)
{
    (void)state;
    run(bulk_then_small);
}

/* ---- Many, on both workers --------------------------------------------------------------------- */

static int copy_one_of_many(void *number)
{
    struct size_case c = {MIB + 7919 * (size_t)(uintptr_t)number, 150 * KIB,
                          (uintptr_t)number % 2 ? link_open : link_open_unix};
    return copy_size(&c);
}

static int copy_many(void *arg)
{
    lido_task *tasks[24];
    (void)arg;
    for (uintptr_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = start_on(i % 2, copy_one_of_many, (void *)i);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void no_descriptor_is_left_when_the_workers_have_ended(void **state)
{
    (void)state;
    unsigned before = descriptor_count();
    run_on(2, copy_many, NULL);
    assert_int_equal(descriptor_count(), before);
}

/* ---- How many pipes there are ------------------------------------------------------------------ */

#define BULKS (LIDO__PIPES_MAX + 6)

/* Each holds a pipe as long as its reader does not read; those that come too late do without. */
static int hold_all_pipes(void *arg)
{
    static struct bulk bulks[BULKS];
    unsigned with_pipe = 0, before = descriptor_count();
    (void)arg;
    for (unsigned i = 0; i < BULKS; i++)
        bulk_begin(&bulks[i], i, 2 * MIB);
    for (unsigned i = 0; i < BULKS; i++)
        with_pipe += writing(bulks[i].link.to[1]) == LIDO__OP_WRITE_PIPE;
    check_int(with_pipe, LIDO__PIPES_MAX);
    check_int(descriptor_count(), before + 4 * BULKS + 2 * LIDO__PIPES_MAX);
    for (unsigned i = 0; i < BULKS; i++) {
        text_expect(bulks[i].link.to[0], i, 0, 2 * MIB);
        bulk_finish(&bulks[i]);
    }
    check(descriptor_count() <= before + 2 * 4); /* what a worker keeps */
    return 0;
}

static void pipes_are_bounded_and_few_are_kept(void **state)
{
    (void)state;
    run(hold_all_pipes);
}

struct shortage {
    const char *name;
    int error;
};

static int copy_in_a_shortage(void *arg)
{
    const struct shortage *shortage = arg;
    struct bulk bulk;
    unsigned before = descriptor_count();
    lido__fault_plan_from(shortage->name, 1, shortage->error);
    bulk_begin(&bulk, 3, 8 * MIB);
    text_expect(bulk.link.to[0], 3, 0, 8 * MIB);
    bulk_finish(&bulk);
    check(calls() > 0 && calls() < 10);
    lido__fault_clear();
    lido__pipes_fini(lido__worker_current());
    check_int(descriptor_count(), before);
    return 0;
}

static void without_pipes_bytes_are_copied_and_pipes_seldom_asked_for(void **state)
{
    static struct shortage shortages[] = {
        {"pipe", -EMFILE}, {"fcntl", -EPERM}, {"splice", -EINVAL}, {"splice", -ENOSYS}};
    (void)state;
    for (size_t i = 0; i < COUNT(shortages); i++)
        run_on(1, copy_in_a_shortage, &shortages[i]);
}

/* The reader is slower than the first read, so that something has to be put aside. */
static int copy_without_memory(void *arg)
{
    struct link link;
    (void)arg;
    link_open_unix(&link);
    check_int(lido_stream_set(link.to[1], LIDO_OPTION_SEND_BUFFER, 4096), 0);
    struct text text = {link.from[0], 4, 100 * KIB, 0};
    lido_task *writer = start(text_write, &text);
    check_int(finish(writer), 0);
    lido_task *copier = start(link_copy, &link);
    lido__fault_plan_from("malloc", 1, -ENOMEM);
    net_await_writer(link.to[1]);
    check(calls() > 0);
    lido__fault_clear();
    text_expect(link.to[0], 4, 0, text.size);
    check_int(finish(copier), text.size);
    link_close(&link);
    return 0;
}

static void without_memory_what_is_put_aside_is_kept_in_a_pipe(void **state)
{
    (void)state;
    run(copy_without_memory);
}

/* ---- Ends in the middle ------------------------------------------------------------------------ */

/* The reader gets what was counted, and the end; the pipe is gone. */
static void expect_what_was_counted(struct bulk *bulk, unsigned descriptors)
{
    check_int(descriptor_count(), descriptors);
    check_int(lido_shutdown_stream(bulk->link.to[1], LIDO_SIDE_WRITE), 0);
    text_expect(bulk->link.to[0], bulk->text.seed, 0, (size_t)bulk->link.done);
    net_expect_end(bulk->link.to[0]);
    lido_stop(bulk->writer, NULL);
    link_close(&bulk->link);
}

static int cancel_in_the_middle(void *arg)
{
    struct bulk bulk;
    int result;
    (void)arg;
    bulk_begin(&bulk, 5, 8 * MIB);
    unsigned descriptors = descriptor_count();
    bulk_fill(&bulk);
    check_int(descriptor_count(), descriptors + 2);
    check_int(lido_stop(bulk.copier, &result), 0);
    check_int(result, -ECANCELED);
    expect_what_was_counted(&bulk, descriptors);
    return 0;
}

static void what_is_done_of_a_cancelled_transfer_is_what_arrives(void **state)
{
    (void)state;
    run(cancel_in_the_middle);
}

static int copy_with_deadline(void *arg)
{
    lido_within(50);
    return link_copy(arg);
}

static int deadline_in_the_middle(void *arg)
{
    struct bulk bulk;
    (void)arg;
    unsigned before = descriptor_count();
    bulk_begin_by(copy_with_deadline, &bulk, 6, 8 * MIB);
    check_int(finish(bulk.copier), -ETIMEDOUT);
    expect_what_was_counted(&bulk, before + 4);
    return 0;
}

static void what_is_done_until_a_deadline_is_what_arrives(void **state)
{
    (void)state;
    run(deadline_in_the_middle);
}

/* SIGPIPE would end the test. */
static int hang_up_in_the_middle(void *arg)
{
    struct bulk bulk;
    unsigned before = descriptor_count();
    (void)arg;
    bulk_begin(&bulk, 7, 8 * MIB);
    bulk_fill(&bulk);
    lido_close(bulk.link.to[0]);
    check_int(finish(bulk.copier), -EPIPE);
    check(bulk.link.done > 0 && bulk.link.done < 8 * MIB);
    lido_stop(bulk.writer, NULL);
    lido_close(bulk.link.to[1]);
    net_close_pair(bulk.link.from);
    check_int(descriptor_count(), before);
    return 0;
}

static void a_destination_that_hangs_up_is_an_error_and_no_signal(void **state)
{
    (void)state;
    run(hang_up_in_the_middle);
}

/* A byte that its peer has not read makes a reset of a socket's end. */
static int reset_in_the_middle(void *arg)
{
    struct bulk bulk;
    (void)arg;
    bulk_begin(&bulk, 8, 8 * MIB);
    bulk_fill(&bulk);
    net_say(bulk.link.from[1], "x");
    lido_stop(bulk.writer, NULL);
    lido_close(bulk.link.from[0]);
    struct text text = {bulk.link.to[0], 8, 0, 0};
    lido_task *reader = start(text_read, &text);
    check_int(finish(bulk.copier), -ECONNRESET);
    check_int(lido_shutdown_stream(bulk.link.to[1], LIDO_SIDE_WRITE), 0);
    check_int(finish(reader), 0);
    check_int(text.size, bulk.link.done);
    lido_close(bulk.link.from[1]);
    net_close_pair(bulk.link.to);
    return 0;
}

static void a_reset_of_the_source_is_told_after_what_came_before(void **state)
{
    (void)state;
    run(reset_in_the_middle);
}

/* ---- Both ways --------------------------------------------------------------------------------- */

static int copy_and_end(void *arg)
{
    struct link *link = arg;
    int r = link_copy(link);
    return r < 0 ? r : lido_shutdown_stream(link->to[1], LIDO_SIDE_WRITE);
}

/* As a proxy does: the connections are there once, each direction ends by itself, the smaller one first. */
static int copy_both_ways(void *arg)
{
    struct link there, back;
    (void)arg;
    link_open(&there);
    back = (struct link){.from = {there.to[0], there.to[1]}, .to = {there.from[0], there.from[1]}};
    struct text out = {there.from[0], 9, 6 * MIB, 200 * KIB}, in = {there.to[0], 10, MIB, 64 * KIB};
    struct text out_read = {there.to[0], 9, 0, 0}, in_read = {there.from[0], 10, 0, 0};
    lido_task *tasks[] = {
        start_on(0, copy_and_end, &there), start_on(1, copy_and_end, &back),
        start_on(0, text_write, &out),     start_on(1, text_write, &in),
        start_on(1, text_read, &out_read), start_on(0, text_read, &in_read),
    };
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    check_int(out_read.size, out.size);
    check_int(in_read.size, in.size);
    check_int(there.done, out.size);
    check_int(back.done, in.size);
    link_close(&there);
    return 0;
}

static void each_direction_of_a_proxy_ends_by_itself(void **state)
{
    (void)state;
    run_on(2, copy_both_ways, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bytes_arrive_whatever_their_number_and_the_pieces),
        cmocka_unit_test(a_bulk_transfer_is_spliced),
        cmocka_unit_test(small_messages_are_not_spliced),
        cmocka_unit_test(what_is_sent_back_is_not_spliced),
        cmocka_unit_test(a_transfer_that_has_become_small_is_not_spliced_any_more),
        cmocka_unit_test(no_descriptor_is_left_when_the_workers_have_ended),
        cmocka_unit_test(pipes_are_bounded_and_few_are_kept),
        cmocka_unit_test(without_pipes_bytes_are_copied_and_pipes_seldom_asked_for),
        cmocka_unit_test(without_memory_what_is_put_aside_is_kept_in_a_pipe),
        cmocka_unit_test(what_is_done_of_a_cancelled_transfer_is_what_arrives),
        cmocka_unit_test(what_is_done_until_a_deadline_is_what_arrives),
        cmocka_unit_test(a_destination_that_hangs_up_is_an_error_and_no_signal),
        cmocka_unit_test(a_reset_of_the_source_is_told_after_what_came_before),
        cmocka_unit_test(each_direction_of_a_proxy_ends_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
