/* When a worker looks for the end of a job before it sleeps, and for how long. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "sched/linger.h"

/* How many sleeps it lets pass until it lingers again; and for how long it does so, in *time. */
static unsigned skipped(struct lido__linger *linger, uint64_t *time)
{
    unsigned skips = 0;
    while ((*time = lido__linger_time(linger)) == 0)
        skips++;
    return skips;
}

/* The next time, after so many skips; and what comes of it. */
static void linger_after(struct lido__linger *linger, unsigned skips, uint64_t time, bool came)
{
    uint64_t taken;
    assert_int_equal(skipped(linger, &taken), skips);
    assert_int_equal(taken, time);
    lido__linger_note(linger, came);
}

static void it_lingers_long_and_then_shortly_as_long_as_that_pays(void **state)
{
    struct lido__linger linger = {0};
    (void)state;
    linger_after(&linger, 0, LIDO__LINGER_LONG_NS, true);
    for (int i = 0; i < 100; i++)
        linger_after(&linger, 0, LIDO__LINGER_SHORT_NS, true);
}

static void in_vain_it_lingers_ever_more_seldom(void **state)
{
    struct lido__linger linger = {0};
    (void)state;
    for (unsigned skips = 0; skips < LIDO__LINGER_SKIPS; skips = 2 * skips + 1)
        linger_after(&linger, skips, LIDO__LINGER_LONG_NS, false);
    for (int i = 0; i < 10; i++)
        linger_after(&linger, LIDO__LINGER_SKIPS, LIDO__LINGER_LONG_NS, false);
}

/* Jobs that take longer than a short one, and less than a long one. */
static void a_long_one_makes_good_for_nothing(void **state)
{
    struct lido__linger linger = {0};
    (void)state;
    for (unsigned skips = 0; skips < LIDO__LINGER_SKIPS; skips = 2 * skips + 1) {
        linger_after(&linger, skips, LIDO__LINGER_LONG_NS, true);
        linger_after(&linger, 0, LIDO__LINGER_SHORT_NS, false);
    }
    linger_after(&linger, LIDO__LINGER_SKIPS, LIDO__LINGER_LONG_NS, true);
}

static void short_ones_make_good_for_half_of_the_failures(void **state)
{
    struct lido__linger linger = {.penalty = 7, .warm = true};
    (void)state;
    linger_after(&linger, 0, LIDO__LINGER_SHORT_NS, true);
    linger_after(&linger, 0, LIDO__LINGER_SHORT_NS, true);
    linger_after(&linger, 0, LIDO__LINGER_SHORT_NS, false);
    linger_after(&linger, 3, LIDO__LINGER_LONG_NS, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_lingers_long_and_then_shortly_as_long_as_that_pays),
        cmocka_unit_test(in_vain_it_lingers_ever_more_seldom),
        cmocka_unit_test(a_long_one_makes_good_for_nothing),
        cmocka_unit_test(short_ones_make_good_for_half_of_the_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
