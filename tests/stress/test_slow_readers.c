/*
 * Back-pressure: who writes faster than the other end reads waits, and nothing is piled up for it in
 * the meantime; and whoever ends that wait learns how much was written.
 */
#include <errno.h>

#include "support/net.h"
#include "support/stress.h"

#define WORKERS 2u
/* Connections whose reader does not read, and what each writer would like to send. */
#define BLOCKED SCALED(400u, 400u, 200u)
#define MUCH ((size_t)64 << 20)
/* KiB that all the blocked writers may need: their stacks, and what a sanitizer keeps of each (TSan:
   nearly a MiB); but not what they write. */
#define BLOCKED_KIB SCALED(BLOCKED * 16u, BLOCKED * 128u, BLOCKED * 2048u)
#define FLAT_KIB SCALED(256u, 1024u, 8192u)
#define PASSES SCALED(20000u, 5000u, 2000u)
/* Readers that take their time, and what each gets. */
#define SLOW SCALED(64u, 32u, 16u)
#define SLOW_BYTES SCALED((size_t)4 << 20, (size_t)1 << 20, (size_t)512 << 10)

/* ---- A connection, its writer and its reader -------------------------------------------------------- */

struct flow {
    lido_stream *pair[2]; /* written to, read from */
    lido_task *writer;
    lido_task *reader;
    size_t size;         /* that the writer would like to write */
    int64_t deadline_ms; /* of the writer, or 0 */
    struct dice dice;    /* of the reader */
    size_t written;
    size_t got;
    uint64_t sum_written;
    uint64_t sum_got;
};

static char pattern[1 << 20];

static void fill_pattern(uint64_t seed)
{
    struct dice dice = dice_of(seed, UINT32_MAX);
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (char)roll(&dice, 256);
}

/* Of the bytes in their order, in whatever pieces they come. */
static uint64_t sum_on(uint64_t sum, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * 0x100000001b3u; /* FNV-1a */
    return sum;
}

/* The pattern again and again, until an error or the end; says what came of it. */
static int write_much(struct flow *flow)
{
    ssize_t r = 0;
    while (flow->written < flow->size && r >= 0) {
        size_t rest = flow->size - flow->written, done;
        size_t part = rest < sizeof(pattern) ? rest : sizeof(pattern);
        r = lido_write_all(flow->pair[0], pattern, part, &done);
        flow->sum_written = sum_on(flow->sum_written, pattern, done);
        flow->written += done;
    }
    return r < 0 ? (int)r : 0;
}

static int write_and_end(void *arg)
{
    struct flow *flow = arg;
    int r;
    if (flow->deadline_ms) {
        lido_within(flow->deadline_ms);
        r = write_much(flow);
    } else {
        r = write_much(flow);
    }
    check_int(lido_shutdown_stream(flow->pair[0], LIDO_SIDE_WRITE), 0);
    return r;
}

/* A little at a time, and others go first. */
static int read_slowly(void *arg)
{
    struct flow *flow = arg;
    char buffer[4096];
    ssize_t n;
    while ((n = lido_read(flow->pair[1], buffer, 1 + roll(&flow->dice, sizeof(buffer)))) > 0) {
        flow->sum_got = sum_on(flow->sum_got, buffer, (size_t)n);
        flow->got += (size_t)n;
        for (uint32_t i = roll(&flow->dice, 4); i > 0; i--)
            check_int(lido_yield(), 0);
    }
    return (int)n;
}

static void check_nothing_lost(const struct flow *flow)
{
    check_int(flow->got, flow->written);
    check(flow->sum_got == flow->sum_written);
}

static struct flow *open_flows(unsigned count, size_t size)
{
    struct flow *flows = calloc(count, sizeof(*flows));
    uint64_t seed = stress_seed();
    check(flows);
    fill_pattern(seed);
    for (unsigned i = 0; i < count; i++) {
        flows[i].size = size;
        flows[i].dice = dice_of(seed, i);
        net_pair(flows[i].pair);
        /* So that it does not take the system's buffers minutes to fill. */
        check_int(lido_stream_set(flows[i].pair[0], LIDO_OPTION_SEND_BUFFER, 16384), 0);
        check_int(lido_stream_set(flows[i].pair[1], LIDO_OPTION_RECV_BUFFER, 16384), 0);
    }
    return flows;
}

static void start_writers(struct flow *flows, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        flows[i].writer = start_on(i % WORKERS, write_and_end, &flows[i]);
}

static void start_readers(struct flow *flows, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        flows[i].reader = start_on((i + 1) % WORKERS, read_slowly, &flows[i]);
}

static void await_blocked(const struct flow *flows, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        net_await_writer(flows[i].pair[0]);
}

/* All writers have ended: whoever still reads gets what they wrote, and the end. */
static size_t settle_flows(struct flow *flows, unsigned count)
{
    size_t total = 0;
    start_readers(flows, count);
    for (unsigned i = 0; i < count; i++) {
        check_int(finish(flows[i].reader), 0);
        check_nothing_lost(&flows[i]);
        net_close_pair(flows[i].pair);
        total += flows[i].written;
    }
    free(flows);
    return total;
}

/* ---- Memory ------------------------------------------------------------------------------------------ */

static void check_grown(size_t before, size_t allowed, const char *what)
{
    size_t now = resident_kib(), grown = now > before ? now - before : 0;
    say("%s: %zu KiB more, %zu allowed", what, grown, allowed);
    check(grown <= allowed);
}

static int block_writers(void *arg)
{
    (void)arg;
    struct flow *flows = open_flows(BLOCKED, MUCH);
    size_t before = resident_kib();
    start_writers(flows, BLOCKED);
    await_blocked(flows, BLOCKED);
    check_grown(before, BLOCKED_KIB, "until they are blocked");
    before = resident_kib();
    for (unsigned i = 0; i < PASSES; i++)
        check_int(lido_yield(), 0);
    check_grown(before, FLAT_KIB, "while they are blocked");
    for (unsigned i = 0; i < BLOCKED; i++) {
        int result;
        check_int(lido_stop(flows[i].writer, &result), 0);
        check_int(result, -ECANCELED);
    }
    size_t taken = settle_flows(flows, BLOCKED);
    say("%u writers of %zu MiB: %zu bytes taken, lost 0", BLOCKED, MUCH >> 20, taken);
    return 0;
}

static void writers_whom_nobody_reads_pile_up_nothing(void **state)
{
    (void)state;
    run_on(WORKERS, block_writers, NULL);
}

/* ---- Slowness ---------------------------------------------------------------------------------------- */

static int read_all_slowly(void *arg)
{
    (void)arg;
    struct flow *flows = open_flows(SLOW, SLOW_BYTES);
    start_writers(flows, SLOW);
    await_blocked(flows, SLOW);
    start_readers(flows, SLOW);
    for (unsigned i = 0; i < SLOW; i++) {
        check_int(finish(flows[i].writer), 0);
        check_int(finish(flows[i].reader), 0);
        check_int(flows[i].written, SLOW_BYTES);
        check_nothing_lost(&flows[i]);
        net_close_pair(flows[i].pair);
    }
    say("%u readers of %zu bytes: lost 0", SLOW, SLOW_BYTES);
    free(flows);
    return 0;
}

static void a_slow_reader_gets_every_byte(void **state)
{
    (void)state;
    run_on(WORKERS, read_all_slowly, NULL);
}

/* ---- Giving up --------------------------------------------------------------------------------------- */

/* While the readers read, so that the end meets writes in every state. */
static int end_writers(void *arg)
{
    (void)arg;
    unsigned cancelled = 0, timed_out = 0;
    struct flow *flows = open_flows(BLOCKED, SIZE_MAX); /* so that none gets to its end before */
    for (unsigned i = 0; i < BLOCKED; i++)
        flows[i].deadline_ms = i % 2 ? 1 + roll(&flows[i].dice, 300) : 0;
    start_writers(flows, BLOCKED);
    start_readers(flows, BLOCKED);
    for (unsigned i = 0; i < BLOCKED; i++) {
        int result;
        if (i % 2)
            result = finish(flows[i].writer);
        else
            check_int(lido_stop(flows[i].writer, &result), 0);
        cancelled += result == -ECANCELED;
        timed_out += result == -ETIMEDOUT;
        check_int(finish(flows[i].reader), 0);
        check_nothing_lost(&flows[i]);
        net_close_pair(flows[i].pair);
    }
    say("%u cancelled, %u timed out: lost 0", cancelled, timed_out);
    check_int(cancelled, BLOCKED / 2);
    check_int(timed_out, BLOCKED / 2);
    free(flows);
    return 0;
}

static void a_writer_that_is_ended_tells_how_much_was_written(void **state)
{
    (void)state;
    run_on(WORKERS, end_writers, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_whom_nobody_reads_pile_up_nothing),
        cmocka_unit_test(a_slow_reader_gets_every_byte),
        cmocka_unit_test(a_writer_that_is_ended_tells_how_much_was_written),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
