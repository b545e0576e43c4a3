/*
 * Everything that can happen to a connection, in an order that dice choose: both directions carry bytes
 * whose place can be told, in legs that run on any worker and are cancelled, timed out or left alone; at
 * the end each byte that was written has been read, once, in its place.
 */
#include <errno.h>

#include "support/net.h"
#include "support/stress.h"

#define SECONDS SCALED(8u, 10u, 12u)
/* Scenes that are played at a time. */
#define STAGES SCALED(24u, 16u, 8u)
/* Bytes of a direction, and of one transfer, at most. */
#define FLOW_MAX 300000u
#define PIECE_MAX 20000u

/* Of all scenes; printed at the end. */
struct account {
    uint64_t scenes;
    uint64_t written;
    uint64_t read;
    uint64_t legs;
    uint64_t cancelled;
    uint64_t timed_out;
    uint64_t closed;  /* under a task that waited */
    uint64_t dropped; /* bytes that were under way to a stream that was closed */
};

static struct {
    uint64_t seed;
    uint64_t until; /* ns */
    uint64_t next;  /* scene */
    unsigned workers;
    struct account account;
} shared;

/* ---- Bytes that tell their place ----------------------------------------------------------------------- */

static char byte_at(uint64_t key, size_t place)
{
    return (char)(key + place * 7 + (place >> 8) * 31);
}

static void put_bytes(uint64_t key, size_t place, char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(key, place + i);
}

static void check_bytes_at(uint64_t key, size_t place, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        check(bytes[i] == byte_at(key, place + i));
}

/* ---- One end of one direction -------------------------------------------------------------------------- */

struct end {
    lido_stream *stream;
    bool writes;
    uint64_t key; /* of the bytes of this direction */
    size_t place; /* how many have been transferred */
    size_t size;  /* a writer's: how many there are */
    struct dice dice;
};

/* How a task uses the end: a few transfers, then another task goes on, maybe on another worker. */
struct leg {
    struct end *end;
    unsigned transfers;
    int64_t deadline_ms; /* negative: none */
};

static ssize_t write_piece(struct end *end)
{
    char bytes[PIECE_MAX];
    size_t size = 1 + roll(&end->dice, PIECE_MAX), rest = end->size - end->place, done;
    size = size < rest ? size : rest;
    put_bytes(end->key, end->place, bytes, size);
    if (roll(&end->dice, 2))
        return lido_write(end->stream, bytes, size);
    ssize_t n = lido_write_all(end->stream, bytes, size, &done);
    end->place += n < 0 ? done : 0; /* an error after a part */
    return n;
}

static ssize_t read_piece(struct end *end)
{
    char bytes[PIECE_MAX];
    size_t size = 1 + roll(&end->dice, PIECE_MAX);
    ssize_t n;
    if (roll(&end->dice, 8) == 0) {
        n = lido_peek(end->stream, bytes, size);
        if (n <= 0)
            return n;
        check_bytes_at(end->key, end->place, bytes, (size_t)n);
    }
    n = lido_read(end->stream, bytes, size);
    if (n > 0)
        check_bytes_at(end->key, end->place, bytes, (size_t)n);
    return n;
}

/* 0: nothing is left to transfer; 1: something may be. */
static ssize_t transfer(struct end *end)
{
    if (end->writes && end->place == end->size)
        return 0;
    ssize_t n = end->writes ? write_piece(end) : read_piece(end);
    end->place += n > 0 ? (size_t)n : 0;
    return n < 0 ? n : n > 0;
}

static int run_transfers(const struct leg *leg)
{
    ssize_t r = 1;
    for (unsigned i = 0; i < leg->transfers && r > 0; i++) {
        r = transfer(leg->end);
        if (roll(&leg->end->dice, 8) == 0)
            lido_yield();
    }
    return (int)r;
}

static int run_leg(void *arg)
{
    const struct leg *leg = arg;
    if (leg->deadline_ms < 0)
        return run_transfers(leg);
    lido_within(leg->deadline_ms);
    return run_transfers(leg);
}

/* Starts a leg, lets it be or not, and waits for its end; returns its result. */
static int make_leg(struct end *end)
{
    struct leg leg = {end, 1 + roll(&end->dice, 12), -1};
    unsigned worker = roll(&end->dice, shared.workers), fate = roll(&end->dice, 8);
    unsigned patience = roll(&end->dice, 20);
    int result;
    if (fate == 0)
        leg.deadline_ms = roll(&end->dice, 4);
    lido_task *task = start_on(worker, run_leg, &leg);
    if (fate != 1)
        return finish(task);
    while (patience-- > 0)
        check_int(lido_yield(), 0);
    check_int(lido_stop(task, &result), 0);
    return result;
}

/* Leg after leg until nothing is left. */
static int run_end(void *arg)
{
    struct end *end = arg;
    int r = 1;
    while (r != 0) {
        r = make_leg(end);
        tally(&shared.account.legs, 1);
        tally(&shared.account.cancelled, r == -ECANCELED);
        tally(&shared.account.timed_out, r == -ETIMEDOUT);
        check(r >= 0 || r == -ECANCELED || r == -ETIMEDOUT);
    }
    if (end->writes)
        check_int(lido_shutdown_stream(end->stream, LIDO_SIDE_WRITE), 0);
    return 0;
}

/* ---- Scenes ---------------------------------------------------------------------------------------------- */

/* The listener is the scene's own: another scene could accept what this one has connected. */
static void make_pair(lido_stream *pair[2], struct dice *dice)
{
    if (roll(dice, 2))
        net_unix_pair(pair);
    else
        net_pair(pair);
}

/* An end of its own dice, so that it does the same whatever the others do. */
static struct end make_end(lido_stream *stream, bool writes, unsigned direction, struct dice *dice)
{
    struct end end = {.stream = stream, .writes = writes, .key = shared.seed + direction};
    end.size = roll(dice, 4) ? roll(dice, FLOW_MAX) : roll(dice, 3);
    end.dice = dice_of(roll(dice, UINT32_MAX), direction * 2 + writes);
    return end;
}

/* What went in at the one end has come out at the other. */
static void settle_direction(const struct end *reader, const struct end *writer)
{
    check_int(writer->place, writer->size);
    check_int(reader->place, writer->place);
    tally(&shared.account.read, reader->place);
    tally(&shared.account.written, writer->place);
}

/* Both directions at the same time, to their end. */
static void exchange(struct dice *dice)
{
    lido_stream *pair[2];
    struct end ends[4];
    lido_task *tasks[4];
    make_pair(pair, dice);
    for (unsigned i = 0; i < 4; i++)
        ends[i] = make_end(pair[i == 1 || i == 2], i % 2, i / 2, dice);
    for (unsigned i = 0; i < 4; i++)
        tasks[i] = start_on(roll(dice, shared.workers), run_end, &ends[i]);
    for (unsigned i = 0; i < 4; i++)
        check_int(finish(tasks[i]), 0);
    settle_direction(&ends[0], &ends[1]);
    settle_direction(&ends[2], &ends[3]);
    net_close_pair(pair);
}

/* ---- Closing under a task that waits ------------------------------------------------------------------- */

enum { SHORT = 64 };

struct victim {
    lido_stream *stream;
    char bytes[SHORT];
};

static int read_once(void *arg)
{
    struct victim *victim = arg;
    return (int)lido_read(victim->stream, victim->bytes, SHORT);
}

static int write_once(void *arg)
{
    struct victim *victim = arg;
    return (int)lido_write(victim->stream, victim->bytes, SHORT);
}

static void dawdle(struct dice *dice)
{
    for (unsigned i = roll(dice, 3); i > 0; i--)
        check_int(lido_yield(), 0);
}

/* Waits for the end of a task that had SHORT bytes at most to transfer when its stream was closed. */
static size_t settle_victim(lido_task *task)
{
    int result = finish(task);
    check(result == -ECANCELED || (result > 0 && result <= SHORT));
    tally(&shared.account.closed, 1);
    return result > 0 ? (size_t)result : 0;
}

/* At about the time at which bytes come for it. */
static void close_under_reader(struct dice *dice)
{
    lido_stream *pair[2];
    char bytes[SHORT];
    make_pair(pair, dice);
    struct victim victim = {.stream = pair[0]};
    size_t size = roll(dice, SHORT + 1);
    put_bytes(shared.seed, 0, bytes, size);
    lido_task *reader = start_on(roll(dice, shared.workers), read_once, &victim);
    net_await_reader(pair[0]);
    if (size > 0)
        check_int(lido_write_all(pair[1], bytes, size, NULL), size);
    dawdle(dice);
    lido_close(pair[0]);
    size_t got = settle_victim(reader);
    check(got <= size);
    check_bytes_at(shared.seed, 0, victim.bytes, got);
    lido_close(pair[1]);
    tally(&shared.account.written, size);
    tally(&shared.account.read, got);
    tally(&shared.account.dropped, size - got);
}

/* At about the time at which there is room again; the peer reads exactly what the writer was told. */
static void close_under_writer(struct dice *dice)
{
    lido_stream *pair[2];
    net_unix_pair(pair);
    struct victim victim = {.stream = pair[0]};
    put_bytes(shared.seed, 0, victim.bytes, SHORT);
    size_t filled = net_fill(pair[0]);
    lido_task *writer = start_on(roll(dice, shared.workers), write_once, &victim);
    net_await_writer(pair[0]);
    net_drain(pair[1], filled);
    dawdle(dice);
    lido_close(pair[0]);
    size_t put = settle_victim(writer);
    char bytes[SHORT];
    check_int(lido_read_all(pair[1], bytes, SHORT, NULL), put);
    check_bytes_at(shared.seed, 0, bytes, put);
    lido_close(pair[1]);
    tally(&shared.account.written, filled + put);
    tally(&shared.account.read, filled + put);
}

/* ---- The schedule -------------------------------------------------------------------------------------- */

/* The scene of a number is the same whenever and wherever it is played. */
static void play(uint64_t number)
{
    struct dice dice = dice_of(shared.seed, number);
    switch (roll(&dice, 6)) {
    case 0: close_under_reader(&dice); break;
    case 1: close_under_writer(&dice); break;
    default: exchange(&dice); break;
    }
    tally(&shared.account.scenes, 1);
}

static int play_on(void *arg)
{
    (void)arg;
    while (lido_now() < shared.until)
        play(lido__fetch_add(&shared.next, 1, LIDO__RELAXED));
    return 0;
}

static int play_all(void *arg)
{
    lido_task *stages[STAGES];
    (void)arg;
    shared.until = lido_now() + SECONDS * (uint64_t)1000000000;
    for (unsigned i = 0; i < STAGES; i++)
        stages[i] = start_on(i % shared.workers, play_on, NULL);
    for (unsigned i = 0; i < STAGES; i++)
        check_int(finish(stages[i]), 0);
    return 0;
}

static void tell(const struct account *account)
{
    say("%llu scenes, %llu legs: %llu cancelled, %llu timed out, %llu closed under",
        (unsigned long long)account->scenes, (unsigned long long)account->legs,
        (unsigned long long)account->cancelled, (unsigned long long)account->timed_out,
        (unsigned long long)account->closed);
    say("%llu bytes written = %llu read + %llu dropped by a close; lost %lld",
        (unsigned long long)account->written, (unsigned long long)account->read,
        (unsigned long long)account->dropped,
        (long long)(account->written - account->read - account->dropped));
}

static void a_random_mix_of_everything_loses_no_byte(void **state)
{
    const struct account *account = &shared.account;
    size_t descriptors = count_descriptors();
    (void)state;
    shared.seed = stress_seed();
    struct dice dice = dice_of(shared.seed, UINT64_MAX);
    shared.workers = 2 + roll(&dice, 3);
    say("%u workers, %u scenes at a time, %u s", shared.workers, STAGES, SECONDS);
    run_on(shared.workers, play_all, NULL);
    tell(account);
    check_int(account->written, account->read + account->dropped);
    check(account->cancelled > 0 && account->timed_out > 0 && account->closed > 0);
    check_int(count_descriptors(), descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_mix_of_everything_loses_no_byte),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
