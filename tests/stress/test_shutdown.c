/* The end of runtimes, thousands of times, with an exact account of each task. */
#include <errno.h>

#include "os/os.h"
#include "support/runtime.h"

#define ROUNDS (UNDER_TSAN ? 300 : 2000)

struct account {
    uint32_t accepted;
    uint32_t refused;
    uint32_t ran;
};

static void count(uint32_t *what)
{
    lido__fetch_add(what, 1, LIDO__RELAXED);
}

static void check_balance(const struct account *account)
{
    check_int(account->ran, account->accepted);
}

/* ---- Tasks that spawn to and fro while the pool waits for idleness --------------------------------- */

struct ball {
    struct account *account;
    unsigned hops;
};

/* Each hop goes to the other worker, which was idle until it came. */
static int bounce(void *arg)
{
    struct ball *ball = arg;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    count(&ball->account->ran);
    if (ball->hops-- == 0)
        return 0;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = lido_worker_index() == 0;
    int r = lido_spawn_with(NULL, bounce, ball, &options);
    count(r == 0 ? &ball->account->accepted : &ball->account->refused);
    return 0;
}

static void on_idle_loses_no_task_that_goes_from_worker_to_worker(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        lido_runtime *runtime = runtime_of(2);
        struct account account = {0};
        struct ball balls[2];
        for (unsigned i = 0; i < COUNT(balls); i++) {
            balls[i] = (struct ball){&account, round % 7 + i};
            count(&account.accepted);
            check_int(lido_runtime_spawn(runtime, NULL, bounce, &balls[i]), 0);
        }
        runtime_end(runtime);
        check_balance(&account);
        check_int(account.refused, 0);
        check_int(account.ran, 2 + 2 * (round % 7) + 1);
    }
}

/* ---- A time-out that meets the end ---------------------------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int yield_some(void *arg)
{
    const unsigned *times = arg;
    for (unsigned i = 0; i < *times; i++)
        lido_yield();
    return 0;
}

/* Either it is over, or it goes on as if nothing had been: never something in between. */
static void a_shutdown_that_times_out_leaves_the_runtime_open(void **state)
{
    (void)state;
    unsigned timeouts = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        lido_runtime *runtime = runtime_of(1);
        unsigned yields = round % 64 * 4, more = 8;
        check_int(lido_runtime_spawn(runtime, NULL, yield_some, &yields), 0);
        int r;
        while ((r = lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 0, NULL, NULL)) == -ETIMEDOUT) {
            timeouts++;
            if (more && more--)
                check_int(lido_runtime_spawn(runtime, NULL, nothing, NULL), 0);
        }
        check_int(r, 0);
    }
    check(timeouts > 0);
}

/* ---- Threads that spawn while everything is refused and cancelled ----------------------------------- */

struct spawner {
    lido_runtime *runtime;
    struct account *account;
    const struct flag *stop;
};

static int sleep_a_little(void *arg)
{
    struct account *account = arg;
    int r = lido_sleep(1);
    check(r == 0 || r == -ECANCELED);
    count(&account->ran);
    return 0;
}

static void *spawn_until_refused(void *arg)
{
    const struct spawner *spawner = arg;
    while (!flag_is_up(spawner->stop)) {
        int r = lido_runtime_spawn(spawner->runtime, NULL, sleep_a_little, spawner->account);
        check(r == 0 || r == -ESHUTDOWN);
        count(r == 0 ? &spawner->account->accepted : &spawner->account->refused);
        lido__thread_yield();
    }
    return NULL;
}

static uint32_t so_far(const uint32_t *what)
{
    return lido__load(what, LIDO__RELAXED);
}

/* Until told, whatever lido says. */
static int keep(void *arg)
{
    const struct flag *told = arg;
    while (!flag_is_up(told))
        lido_yield();
    return 0;
}

/* The shutdown is told at once that it takes too long, so that the handle stays good. */
static void now_runs_what_it_accepted_and_nothing_else(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS / 10; round++) {
        lido_runtime *runtime = runtime_of(2);
        struct account account = {0};
        struct flag stop = {0}, told = {0};
        struct spawner spawner = {runtime, &account, &stop};
        pthread_t threads[2];
        for (size_t i = 0; i < COUNT(threads); i++)
            threads[i] = thread_start(spawn_until_refused, &spawner);
        while (so_far(&account.accepted) < round % 50)
            lido__thread_yield();
        /* Keeps the pool from ending while the threads still use it. */
        check_int(lido_runtime_spawn(runtime, NULL, keep, &told), 0);
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, 0, NULL, NULL), -ETIMEDOUT);
        while (so_far(&account.refused) < 4)
            lido__thread_yield();
        flag_raise(&stop);
        for (size_t i = 0; i < COUNT(threads); i++)
            thread_join(threads[i]);
        flag_raise(&told);
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
        check_balance(&account);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_idle_loses_no_task_that_goes_from_worker_to_worker),
        cmocka_unit_test(a_shutdown_that_times_out_leaves_the_runtime_open),
        cmocka_unit_test(now_runs_what_it_accepted_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
