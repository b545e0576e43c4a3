/* The histogram of lido-load, against the sorted values themselves. */
#include <math.h>

#include "histogram.h"
#include "support/check.h"

#define COUNT_MANY 100000
#define ERROR_MAX (1.0 / 128)

static struct histogram histogram;
static struct histogram other;
static uint64_t values[COUNT_MANY];

static int setup(void **state)
{
    (void)state;
    histogram_reset(&histogram);
    histogram_reset(&other);
    return 0;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* From 1 us to some minutes, each power of two as often as the others. */
static void fill(struct histogram *first, struct histogram *second)
{
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < COUNT_MANY; i++) {
        uint64_t power = UINT64_C(1) << (10 + random_next(&state) % 29);
        values[i] = power + random_next(&state) % power;
        histogram_add(i % 2 ? first : second, values[i]);
    }
    qsort(values, COUNT_MANY, sizeof(values[0]), compare);
}

static void expect_percentiles(const struct histogram *of)
{
    static const double percents[] = {0.001, 1, 10, 50, 90, 99, 99.9, 99.99, 99.999, 100};
    for (size_t i = 0; i < COUNT(percents); i++) {
        size_t rank = (size_t)ceil(COUNT_MANY * percents[i] / 100);
        double exact = (double)values[rank - 1];
        double found = (double)histogram_percentile(of, percents[i]);
        if (fabs(found - exact) > exact * ERROR_MAX)
            fail_msg("p%g is %g, and was reported as %g", percents[i], exact, found);
    }
}

static void percentiles_are_within_the_error_of_the_sorted_values(void **state)
{
    (void)state;
    fill(&histogram, &histogram);
    expect_percentiles(&histogram);
}

static void merged_histograms_are_as_one(void **state)
{
    (void)state;
    fill(&histogram, &other);
    histogram_merge(&histogram, &other);
    expect_percentiles(&histogram);
    assert_true(histogram.count == COUNT_MANY);
    assert_true(histogram.min == values[0] && histogram.max == values[COUNT_MANY - 1]);
}

static void every_value_lies_in_a_bucket_close_to_it(void **state)
{
    (void)state;
    for (unsigned power = 0; power < 42; power++)
        for (int around = -1; around <= 1; around++) {
            uint64_t value = (UINT64_C(1) << power) + (uint64_t)(int64_t)around;
            if (value > HISTOGRAM_MAX)
                continue;
            histogram_reset(&histogram);
            histogram_add(&histogram, value);
            histogram_add(&histogram, HISTOGRAM_MAX);
            double found = (double)histogram_percentile(&histogram, 50);
            assert_true(fabs(found - (double)value) <= (double)value * ERROR_MAX);
        }
}

static void values_below_the_first_power_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 0; value < 256; value++) {
        histogram_reset(&histogram);
        histogram_add(&histogram, 0);
        histogram_add(&histogram, value);
        histogram_add(&histogram, value);
        histogram_add(&histogram, 1000);
        assert_true(histogram_percentile(&histogram, 75) == value);
    }
}

static void too_long_a_value_counts_as_the_longest(void **state)
{
    (void)state;
    histogram_add(&histogram, UINT64_MAX);
    histogram_add(&histogram, 5);
    assert_true(histogram.max == UINT64_MAX);
    assert_true(histogram_percentile(&histogram, 50) == 5);
}

static void an_empty_one_has_no_values(void **state)
{
    (void)state;
    histogram_merge(&histogram, &other);
    assert_true(histogram.count == 0);
    assert_true(histogram_percentile(&histogram, 50) == 0);
    assert_true(histogram_mean(&histogram) == 0);
}

static void the_mean_is_exact(void **state)
{
    (void)state;
    histogram_add(&histogram, 1000001);
    histogram_add(&histogram, 3000002);
    assert_true(histogram_mean(&histogram) == 2000001.5);
}

static void what_came_since_is_the_difference(void **state)
{
    static struct histogram since;
    (void)state;
    for (int i = 0; i < 10; i++)
        histogram_add(&histogram, 100);
    other = histogram;
    for (int i = 0; i < 4; i++)
        histogram_add(&histogram, 200);
    histogram_since(&since, &histogram, &other);
    assert_true(since.count == 4);
    assert_true(histogram_percentile(&since, 1) == 200);
    assert_true(histogram_mean(&since) == 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(percentiles_are_within_the_error_of_the_sorted_values, setup),
        cmocka_unit_test_setup(merged_histograms_are_as_one, setup),
        cmocka_unit_test_setup(every_value_lies_in_a_bucket_close_to_it, setup),
        cmocka_unit_test_setup(values_below_the_first_power_are_exact, setup),
        cmocka_unit_test_setup(too_long_a_value_counts_as_the_longest, setup),
        cmocka_unit_test_setup(an_empty_one_has_no_values, setup),
        cmocka_unit_test_setup(the_mean_is_exact, setup),
        cmocka_unit_test_setup(what_came_since_is_the_difference, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
