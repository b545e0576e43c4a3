/* How long lido_run waits for what its root leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lido.h>

#include "support/check.h"

#define EVER 3600000

static int end_of_sleep; /* what the sleeper's wait returned */

static int sleep_long(void *arg)
{
    end_of_sleep = lido_sleep(*(int64_t *)arg);
    return 0;
}

static int leave_a_sleeper(void *ms)
{
    check_int(lido_spawn(NULL, sleep_long, ms), 0);
    return 7;
}

static void run_with(int64_t grace_ms, int64_t sleep_ms)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 2; /* the sleeper is dealt to one that is not the root's, or to the root's */
    config.grace_ms = grace_ms;
    end_of_sleep = 1;
    check_int(lido_run(&config, leave_a_sleeper, &sleep_ms), 7);
}

static void without_a_grace_tasks_end_by_themselves(void **state)
{
    (void)state;
    run_with(0, 20);
    check_int(end_of_sleep, 0);
}

static void tasks_that_end_within_the_grace_are_left_alone(void **state)
{
    (void)state;
    run_with(EVER, 20);
    check_int(end_of_sleep, 0);
}

static void after_the_grace_tasks_are_cancelled_but_not_before(void **state)
{
    (void)state;
    uint64_t began = lido_now();
    run_with(30, EVER);
    check(lido_now() - began >= 30 * UINT64_C(1000000));
    check_int(end_of_sleep, -ECANCELED);
}

static void a_negative_grace_cancels_at_once(void **state)
{
    (void)state;
    run_with(-1, EVER);
    check_int(end_of_sleep, -ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_grace_tasks_end_by_themselves),
        cmocka_unit_test(tasks_that_end_within_the_grace_are_left_alone),
        cmocka_unit_test(after_the_grace_tasks_are_cancelled_but_not_before),
        cmocka_unit_test(a_negative_grace_cancels_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
