/* One stream, two tasks: one reads while the other writes. */
#include <errno.h>

#include "support/net.h"

#define MUCH ((size_t)4 << 20)

struct half {
    lido_stream *stream;
    unsigned seed; /* of the bytes: each direction has its own */
};

static unsigned char byte_at(unsigned seed, size_t i)
{
    return (unsigned char)((i * 2654435761u + seed) >> 13);
}

static int write_half(void *arg)
{
    struct half *half = arg;
    unsigned char bytes[8192];
    for (size_t at = 0; at < MUCH; at += sizeof(bytes)) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = byte_at(half->seed, at + i);
        check_int(lido_write_all(half->stream, bytes, sizeof(bytes), NULL), sizeof(bytes));
    }
    return lido_shutdown_stream(half->stream, LIDO_SIDE_WRITE);
}

static int read_half(void *arg)
{
    struct half *half = arg;
    unsigned char bytes[5000];
    size_t at = 0;
    ssize_t n;
    while ((n = lido_read(half->stream, bytes, sizeof(bytes))) > 0)
        for (ssize_t i = 0; i < n; i++, at++)
            check(bytes[i] == byte_at(half->seed, at));
    check_int(n, 0);
    check_int(at, MUCH);
    return 0;
}

/* Reads and writes at both ends at once; *workers: on how many. */
static int split(void *workers)
{
    unsigned count = *(unsigned *)workers;
    lido_stream *pair[2];
    net_pair(pair);
    struct half there[2] = {{pair[0], 1}, {pair[1], 1}}, back[2] = {{pair[1], 2}, {pair[0], 2}};
    lido_task *tasks[] = {
        start_on(0, write_half, &there[0]),
        start_on(1 % count, read_half, &there[1]),
        start_on(0, write_half, &back[0]),
        start_on(1 % count, read_half, &back[1]),
    };
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    net_close_pair(pair);
    return 0;
}

static void a_reader_and_a_writer_of_one_worker_share_a_stream(void **state)
{
    (void)state;
    run_on(1, split, &(unsigned){1});
}

static void a_reader_and_a_writer_of_two_workers_share_a_stream(void **state)
{
    (void)state;
    run_on(2, split, &(unsigned){2});
}

static int read_one(void *stream)
{
    char byte = 0;
    check_int(lido_read(stream, &byte, 1), 1);
    return byte;
}

static int write_past_full(void *stream)
{
    net_say(stream, "x");
    return 0;
}

/* Both sides wait at the same moment, on different workers; each is woken by its own event. */
static int wait_on_both_sides(void *workers)
{
    unsigned count = *(unsigned *)workers;
    lido_stream *pair[2];
    net_unix_pair(pair);
    size_t filled = net_fill(pair[0]);
    lido_task *reader = start_on(0, read_one, pair[0]);
    lido_task *writer = start_on(1 % count, write_past_full, pair[0]);
    net_await_reader(pair[0]);
    net_await_writer(pair[0]);
    net_say(pair[1], "r");
    check_int(finish(reader), 'r');
    check(!lido_task_is_done(writer));
    net_drain(pair[1], filled);
    check_int(finish(writer), 0);
    net_expect(pair[1], "x");
    net_close_pair(pair);
    return 0;
}

static void each_side_is_woken_by_its_own_event(void **state)
{
    (void)state;
    run_on(1, wait_on_both_sides, &(unsigned){1});
    run_on(2, wait_on_both_sides, &(unsigned){2});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_and_a_writer_of_one_worker_share_a_stream),
        cmocka_unit_test(a_reader_and_a_writer_of_two_workers_share_a_stream),
        cmocka_unit_test(each_side_is_woken_by_its_own_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
