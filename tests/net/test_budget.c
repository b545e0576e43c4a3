/* The budget: a task whose operations always succeed at once lets its neighbours run. */
#include <errno.h>
#include <fcntl.h>

#include "support/net.h"

#define BUDGET 10u
#define ROUNDS 1000u

/* How far the busy task gets between two turns of its neighbour, at most. */
struct race {
    lido_stream *stream;
    lido_datagram *socket;
    unsigned done; /* operations of the busy task */
    unsigned longest;
    bool over;
};

static int be_neighbour(void *arg)
{
    struct race *race = arg;
    unsigned last = 0;
    while (!race->over) {
        unsigned stretch = race->done - last;
        race->longest = stretch > race->longest ? stretch : race->longest;
        last = race->done;
        check_int(lido_yield(), 0);
    }
    return 0;
}

/* `busy` makes ROUNDS operations of which none waits. */
static void run_race(struct race *race, lido_fn busy)
{
    lido_task *neighbour = start(be_neighbour, race), *task = start(busy, race);
    check_int(finish(task), 0);
    race->over = true;
    check_int(finish(neighbour), 0);
    check_int(race->done, ROUNDS);
    check(race->longest >= 2); /* it did not yield each time */
    check(race->longest <= BUDGET);
}

static void run_with_budget(lido_fn fn)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    config.budget = BUDGET;
    assert_int_equal(lido_run(&config, fn, NULL), 0);
}

/* A stream from which more can be read than any of the tests does; *ret_other is its other end. */
static lido_stream *open_full(lido_stream **ret_other)
{
    static const char much[ROUNDS];
    lido_stream *pair[2];
    net_pair(pair);
    check_int(lido_write_all(pair[0], much, sizeof(much), NULL), sizeof(much));
    *ret_other = pair[0];
    return pair[1];
}

/* ---- Fibers ------------------------------------------------------------------------------------ */

static int read_always(void *arg)
{
    struct race *race = arg;
    char byte;
    for (; race->done < ROUNDS; race->done++)
        check_int(lido_read(race->stream, &byte, 1), 1);
    return 0;
}

static int race_reading(void *arg)
{
    lido_stream *other;
    struct race race = {.stream = open_full(&other)};
    (void)arg;
    run_race(&race, read_always);
    lido_close(race.stream);
    lido_close(other);
    return 0;
}

static void a_reader_does_not_starve_its_neighbours(void **state)
{
    (void)state;
    run_with_budget(race_reading);
}

static int write_always(void *arg)
{
    struct race *race = arg;
    for (; race->done < ROUNDS; race->done++)
        check_int(lido_write(race->stream, "x", 1), 1);
    return 0;
}

static int race_writing(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    struct race race = {.stream = pair[0]};
    run_race(&race, write_always);
    net_close_pair(pair);
    return 0;
}

static void nor_does_a_writer(void **state)
{
    (void)state;
    run_with_budget(race_writing);
}

static int receive_always(void *arg)
{
    struct race *race = arg;
    lido_address self;
    char byte;
    check_int(lido_datagram_local_address(race->socket, &self), 0);
    while (race->done < ROUNDS) {
        check_int(lido_send_to(race->socket, "x", 1, &self), 1);
        race->done++;
        check_int(lido_recv(race->socket, &byte, 1, NULL), 1);
        race->done++;
    }
    return 0;
}

static int race_receiving(void *arg)
{
    struct race race = {0};
    (void)arg;
    check_int(lido_bind_udp(&race.socket, "127.0.0.1:0"), 0);
    run_race(&race, receive_always);
    lido_datagram_close(race.socket);
    return 0;
}

static void nor_does_a_task_with_datagrams(void **state)
{
    (void)state;
    run_with_budget(race_receiving);
}

/* ---- Futures ----------------------------------------------------------------------------------- */

struct reader {
    lido_future future;
    lido_op op;
    struct race *race;
    char byte;
};

static int poll_reader(lido_future *future, const lido_waker *waker)
{
    struct reader *reader = (struct reader *)future;
    for (; reader->race->done < ROUNDS; reader->race->done++) {
        ssize_t r = lido_op_poll(&reader->op, waker);
        if (r == LIDO_PENDING)
            return LIDO_PENDING;
        check_int(r, 1);
        lido_op_read(&reader->op, reader->race->stream, &reader->byte, 1);
    }
    return 0;
}

static int read_in_future(void *arg)
{
    struct race *race = arg;
    struct reader reader = {.future = {poll_reader}, .race = race};
    lido_task *task;
    lido_op_read(&reader.op, race->stream, &reader.byte, 1);
    check_int(lido_spawn_future(&task, &reader.future), 0);
    return finish(task);
}

static int race_future(void *arg)
{
    lido_stream *other;
    struct race race = {.stream = open_full(&other)};
    (void)arg;
    run_race(&race, read_in_future);
    lido_close(race.stream);
    lido_close(other);
    return 0;
}

static void nor_does_a_future(void **state)
{
    (void)state;
    run_with_budget(race_future);
}

/* ---- Copies ------------------------------------------------------------------------------------ */

static lido_stream *open_device(const char *path, int flags)
{
    lido_stream *stream;
    int fd = open(path, flags);
    check(fd >= 0);
    check_int(lido_stream_from_fd(&stream, fd), 0);
    return stream;
}

/* Neither end ever waits. */
static int copy_always(void *arg)
{
    lido_stream *zeros = open_device("/dev/zero", O_RDONLY),
                *nowhere = open_device("/dev/null", O_WRONLY);
    (void)arg;
    int r = (int)lido_copy(nowhere, zeros, NULL);
    lido_close(zeros);
    lido_close(nowhere);
    return r;
}

static int race_copying(void *arg)
{
    int result;
    (void)arg;
    lido_task *copier = start(copy_always, NULL);
    for (unsigned i = 0; i < 10; i++)
        check_int(lido_yield(), 0);
    check_int(lido_stop(copier, &result), 0);
    check_int(result, -ECANCELED);
    return 0;
}

static void nor_does_a_copy(void **state)
{
    (void)state;
    run_with_budget(race_copying);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_does_not_starve_its_neighbours),
        cmocka_unit_test(nor_does_a_writer),
        cmocka_unit_test(nor_does_a_task_with_datagrams),
        cmocka_unit_test(nor_does_a_future),
        cmocka_unit_test(nor_does_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
