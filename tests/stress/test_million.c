/* A million fibers at once, and many connections one after the other: what comes goes again entirely. */
#include "support/net.h"
#include "support/stress.h"

#define WORKERS 2u

/* ---- Sleepers ---------------------------------------------------------------------------------------- */

#define SLEEPERS SCALED(1000000u, 1000000u, 4000u)
/* So many tell what one needs. */
#define PILOT SCALED(20000u, 20000u, 1000u)
/* In ms. A night lasts half as long again as they should need to go to bed, by what the pilot's needed. */
#define NIGHT_LEAST_MS 2000u
/* As many as should be in bed by then: a stack is a page, and there are machines on which one takes 40 us. */
#define BEDTIME_MS 60000u

/* What may stay in memory when they have ended, of what they had: under ASan the shadow of the stacks that
   they have slept on, and nothing that their end has touched in addition. */
#define LEFT_PERCENT SCALED(5u, 60u, 100u)
#define LEFT_KIB SCALED(20480u, 16384u, 65536u)

struct night {
    uint64_t sleepers; /* that there will be */
    uint64_t length;   /* ns */
    uint64_t asleep;   /* that have gone to sleep */
    uint64_t awake;
    uint64_t early;
};

/* Nobody gets up before everybody has gone to bed: so they are there at once. */
static int sleep_through(void *arg)
{
    struct night *night = arg;
    post(&night->asleep);
    do {
        uint64_t until = lido_now() + night->length;
        check_int(lido_sleep_until(until), 0);
        if (lido_now() < until)
            tally(&night->early, 1);
    } while (posted(&night->asleep) < night->sleepers);
    tally(&night->awake, 1);
    return 0;
}

struct stay {
    unsigned sleepers;
    uint64_t night_ms;
    uint64_t bedtime_ms; /* until all of them slept */
    size_t kib;          /* more than before when they did */
};

static void go_to_bed(struct stay *stay, struct night *night, lido_task **tasks)
{
    uint64_t begin = lido_now();
    for (unsigned i = 0; i < stay->sleepers; i++)
        tasks[i] = start_on(i % WORKERS, sleep_through, night);
    await_count(&night->asleep, stay->sleepers);
    stay->bedtime_ms = (lido_now() - begin) / 1000000;
}

static void spend_night(struct stay *stay)
{
    size_t before = resident_kib();
    struct night night = {.sleepers = stay->sleepers, .length = stay->night_ms * 1000000};
    lido_task **tasks = malloc(stay->sleepers * sizeof(lido_task *));
    check(tasks);
    go_to_bed(stay, &night, tasks);
    stay->kib = resident_kib() - before;
    for (unsigned i = 0; i < stay->sleepers; i++)
        check_int(finish(tasks[i]), 0);
    check_int(night.awake, stay->sleepers);
    check_int(night.early, 0);
    free(tasks);
    /* A worker gives stacks back when it has nothing to do, which may be a moment after the last join. */
    while (resident_kib() > before + stay->kib / 100 * LEFT_PERCENT + LEFT_KIB)
        check_int(lido_sleep(1), 0);
    say("%u sleepers: %zu KiB while they slept, and then no more than %d %% of that",
        stay->sleepers, stay->kib, LEFT_PERCENT);
}

/* As many as fit into half of what the machine has left, and into the time. */
static unsigned scale(const struct stay *pilot)
{
    size_t room = available_kib() / 2 / (pilot->kib + 1) * PILOT;
    size_t time = BEDTIME_MS / (pilot->bedtime_ms + 1) * PILOT;
    size_t most = room < time ? room : time;
    if (most >= SLEEPERS)
        return SLEEPERS;
    say("%zu MiB are free, and %u sleepers took %llu ms: fewer than %u", available_kib() >> 10,
        PILOT, (unsigned long long)pilot->bedtime_ms, SLEEPERS);
    return most > PILOT ? (unsigned)most : PILOT;
}

static int sleep_all(void *arg)
{
    struct stay pilot = {.sleepers = PILOT, .night_ms = NIGHT_LEAST_MS};
    (void)arg;
    spend_night(&pilot);
    struct stay stay = {.sleepers = scale(&pilot), .night_ms = NIGHT_LEAST_MS};
    uint64_t expected_ms = (pilot.bedtime_ms + 1) * stay.sleepers / PILOT;
    if (stay.night_ms < expected_ms * 3 / 2)
        stay.night_ms = expected_ms * 3 / 2;
    uint64_t begin = lido_now();
    spend_night(&stay);
    say("%u fibers created, slept %llu ms and joined in %llu ms, %llu bytes each; lost 0",
        stay.sleepers, (unsigned long long)stay.night_ms,
        (unsigned long long)(lido_now() - begin) / 1000000,
        (unsigned long long)stay.kib * 1024 / stay.sleepers);
    return 0;
}

static void a_million_fibers_sleep_at_once(void **state)
{
    (void)state;
    run_on(WORKERS, sleep_all, NULL);
}

/* ---- Churn ------------------------------------------------------------------------------------------- */

#define CHURN SCALED(50000u, 20000u, 5000u)
/* Connections at a time, and the ports among which they are spread. */
#define ABREAST 10u
#define PORTS 4u
/* KiB: what the allocators, and the sanitizers' records of what was freed, may differ by. */
#define CHURN_KIB SCALED(512u, 4096u, 65536u)

static struct {
    lido_address addresses[PORTS];
    uint64_t accepted;
    uint64_t ended;
    uint64_t echoed;
    uint64_t bytes;
} churn;

static int echo(void *stream)
{
    uint64_t done;
    post(&churn.accepted);
    check(lido_copy(stream, stream, &done) >= 0);
    tally(&churn.bytes, done);
    lido_close(stream);
    post(&churn.ended);
    return 0;
}

static int serve(void *listener)
{
    return lido_serve(listener, echo);
}

static void be_echoed(const lido_address *address)
{
    lido_stream *stream;
    check_int(lido_connect(&stream, address), 0);
    net_say(stream, "over and over");
    check_int(lido_shutdown_stream(stream, LIDO_SIDE_WRITE), 0);
    net_expect(stream, "over and over");
    net_expect_end(stream);
    lido_close(stream);
    tally(&churn.echoed, 1);
}

static int come_and_go(void *arg)
{
    unsigned connections = *(const unsigned *)arg;
    for (unsigned i = 0; i < connections; i++)
        be_echoed(&churn.addresses[i % PORTS]);
    return 0;
}

/* Until all is gone that has come. */
static void come_and_go_all(unsigned connections)
{
    lido_task *clients[ABREAST];
    unsigned each = connections / ABREAST;
    for (unsigned i = 0; i < ABREAST; i++)
        clients[i] = start_on(i % WORKERS, come_and_go, &each);
    for (unsigned i = 0; i < ABREAST; i++)
        check_int(finish(clients[i]), 0);
    await_count(&churn.ended, posted(&churn.accepted));
}

static void check_no_growth(size_t kib, size_t descriptors)
{
    size_t now = resident_kib();
    say("%u connections in turn: %lld KiB more, %u allowed; %zu descriptors before, %zu after",
        CHURN, (long long)now - (long long)kib, CHURN_KIB, descriptors, count_descriptors());
    check(now <= kib + CHURN_KIB);
    check_int(count_descriptors(), descriptors);
}

static void check_account(void)
{
    uint64_t connections = CHURN + CHURN / 5;
    say("%llu echoed, lost %lld", (unsigned long long)churn.echoed,
        (long long)(connections - churn.echoed));
    check_int(churn.accepted, connections);
    check_int(churn.ended, connections);
    check_int(churn.echoed, connections);
    check_int(churn.bytes, connections * strlen("over and over"));
}

static int come_and_go_often(void *arg)
{
    lido_listener *listeners[PORTS];
    lido_task *servers[PORTS];
    (void)arg;
    for (unsigned i = 0; i < PORTS; i++) {
        listeners[i] = net_listen();
        churn.addresses[i] = net_address(listeners[i]);
        servers[i] = start(serve, listeners[i]);
    }
    come_and_go_all(CHURN / 5); /* after which everything has its size */
    size_t kib = resident_kib(), descriptors = count_descriptors();
    come_and_go_all(CHURN);
    check_no_growth(kib, descriptors);
    check_account();
    for (unsigned i = 0; i < PORTS; i++) {
        check_int(lido_stop(servers[i], NULL), 0);
        lido_listener_close(listeners[i]);
    }
    return 0;
}

static void connections_that_come_and_go_leave_nothing(void **state)
{
    size_t descriptors = count_descriptors();
    (void)state;
    run_on(WORKERS, come_and_go_often, NULL);
    check_int(count_descriptors(), descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_fibers_sleep_at_once),
        cmocka_unit_test(connections_that_come_and_go_leave_nothing),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
