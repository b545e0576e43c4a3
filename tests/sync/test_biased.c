/* The biased lock with real threads: one at a time, whoever is the favourite. */
#include "base/atomic.h"
#include "support/runtime.h"
#include "sync/biased.h"

enum { WORKERS = 3, BURSTS = 12, BURST = 40000 };

static struct {
    struct lido__biased lock;
    uint64_t count; /* plain: the lock protects it */
    uint32_t favoured;
} shared;

static void count_up(void)
{
    bool favourite = lido__biased_lock(&shared.lock, lido__worker_current());
    shared.count++;
    shared.favoured += favourite;
    lido__biased_unlock(&shared.lock, favourite);
}

static int count_in_bursts(void *arg)
{
    (void)arg;
    for (int burst = 0; burst < BURSTS; burst++) {
        for (int i = 0; i < BURST; i++)
            count_up();
        lido_yield();
    }
    return 0;
}

static void *count_from_outside(void *arg)
{
    (void)arg;
    for (int i = 0; i < BURST; i++)
        count_up();
    return NULL;
}

static void begin(void)
{
    memset(&shared, 0, sizeof(shared));
}

static int count_alone(void *arg)
{
    begin();
    check_int(count_in_bursts(arg), 0);
    check_int(shared.count, BURSTS * BURST);
    check(shared.favoured > BURSTS * BURST / 2);
    check(shared.lock.favourite == lido__worker_current());
    return 0;
}

static void who_takes_it_often_is_the_favourite(void **state)
{
    (void)state;
    run(count_alone);
}

/* The bias ends, and takes longer to begin again. */
static int count_against_a_thread(void *arg)
{
    check_int(count_alone(arg), 0);
    thread_join(thread_start(count_from_outside, NULL));
    check(shared.lock.favourite == NULL);
    check_int(shared.lock.lost, 1);
    check_int(count_in_bursts(arg), 0);
    check(shared.lock.favourite == lido__worker_current());
    check_int(shared.count, (2 * BURSTS + 1) * BURST);
    return 0;
}

static void another_one_ends_that(void **state)
{
    (void)state;
    run(count_against_a_thread);
}

static int count_together(void *arg)
{
    lido_task *tasks[WORKERS];
    begin();
    for (unsigned i = 0; i < WORKERS; i++)
        tasks[i] = start_on(i, count_in_bursts, arg);
    thread_join(thread_start(count_from_outside, NULL));
    for (unsigned i = 0; i < WORKERS; i++)
        check_int(finish(tasks[i]), 0);
    check_int(shared.count, (WORKERS * BURSTS + 1) * BURST);
    return 0;
}

static void one_at_a_time_whoever_is_the_favourite(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        run_on(WORKERS, count_together, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_takes_it_often_is_the_favourite),
        cmocka_unit_test(another_one_ends_that),
        cmocka_unit_test(one_at_a_time_whoever_is_the_favourite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
