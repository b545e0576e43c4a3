/* The embedder's own sleep: workers sleep in it, and wake from it for everything that a reactor wakes for. */
#include <errno.h>
#include <poll.h>
#include <sched.h>

#include "base/atomic.h"
#include "support/check.h"

/* A sleep on a condition variable would not see `fd`: this one polls it, and counts. */
struct parking {
    lido_park park;
    lido__shared uint32_t parks;
    lido__shared uint32_t unparks;
    lido__shared uint32_t timed;  /* parks that had a limit */
    lido__shared uint32_t parked; /* somebody is in there now */
};

static void park(void *arg, unsigned worker, int fd, uint64_t timeout_ns)
{
    struct parking *parking = arg;
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    bool limited = timeout_ns != UINT64_MAX;
    (void)worker;
    check(!lido_self());
    lido__fetch_add(&parking->parks, 1, LIDO__RELAXED);
    lido__fetch_add(&parking->timed, limited, LIDO__RELAXED);
    lido__store(&parking->parked, 1, LIDO__RELEASE);
    poll(&pollfd, 1, limited ? (int)(timeout_ns / 1000000 + 1) : -1);
    lido__store(&parking->parked, 0, LIDO__RELAXED);
}

static void unpark(void *arg, unsigned worker)
{
    (void)worker;
    lido__fetch_add(&((struct parking *)arg)->unparks, 1, LIDO__RELAXED);
}

static void parking_init(struct parking *parking)
{
    *parking = (struct parking){.park = {park, unpark, parking}};
}

static int sleep_and_talk(void *arg)
{
    lido_stream *pair[2];
    char byte = 0;
    (void)arg;
    check_int(lido_sleep(2), 0);
    check_int(lido_stream_pair(pair), 0);
    check_int(lido_write_all(pair[0], "x", 1, NULL), 1);
    check_int(lido_read_all(pair[1], &byte, 1, NULL), 1);
    lido_close(pair[0]);
    lido_close(pair[1]);
    return byte;
}

static void everything_works_over_the_embedders_sleep(void **state)
{
    static const char *const schedulers[] = {"io-pool", "work-stealing", "current-thread"};
    (void)state;
    for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++) {
        struct parking parking;
        lido_config config = LIDO_CONFIG_INIT;
        parking_init(&parking);
        config.scheduler = schedulers[i];
        config.workers = i < 2 ? 2 : 1;
        config.park = &parking.park;
        assert_int_equal(lido_run(&config, sleep_and_talk, NULL), 'x');
        assert_true(parking.parks > 0);
        assert_true(parking.timed > 0);
    }
}

static int answer(void *arg)
{
    return *(int *)arg;
}

static void a_thread_that_wants_something_unparks(void **state)
{
    struct parking parking;
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    (void)state;
    parking_init(&parking);
    config.workers = 1;
    config.park = &parking.park;
    assert_int_equal(lido_runtime_new(&runtime, &config), 0);
    for (int i = 1; i <= 100; i++) {
        uint32_t before = lido__load(&parking.unparks, LIDO__RELAXED);
        assert_int_equal(lido_block_on(runtime, answer, &i), i);
        assert_true(i == 1 || lido__load(&parking.unparks, LIDO__RELAXED) > before);
        while (!lido__load(&parking.parked, LIDO__ACQUIRE))
            sched_yield();
    }
    assert_int_equal(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
}

static void a_park_without_its_function_is_refused(void **state)
{
    const lido_park nothing = {0};
    lido_config config = LIDO_CONFIG_INIT;
    char problem[100];
    (void)state;
    config.park = &nothing;
    assert_int_equal(lido_config_check(&config, problem, sizeof(problem)), -EINVAL);
    assert_non_null(strstr(problem, "park"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_works_over_the_embedders_sleep),
        cmocka_unit_test(a_thread_that_wants_something_unparks),
        cmocka_unit_test(a_park_without_its_function_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
