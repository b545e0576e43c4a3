/*
 * A histogram of durations, as of HdrHistogram: log-linear. Each power of two is cut into 128 buckets of
 * the same width, so a value is known to 1/128 of itself at worst, and what is reported, the middle of
 * its bucket, is off by half of that. Values below 128 ns are exact.
 *
 * Recording is an addition, without memory to allocate; histograms add up bucket by bucket. One thread at a
 * time. Source of the idea: G. Tene, HdrHistogram.
 */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS 7u /* 128 buckets for each power of two */
/* What is longer (73 minutes) counts as that long in the percentiles; min, mean and max are exact. */
#define HISTOGRAM_MAX ((UINT64_C(1) << 42) - 1)
#define HISTOGRAM_BUCKETS ((42u - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS)

struct histogram {
    uint64_t count;
    uint64_t min; /* if there is any */
    uint64_t max;
    uint64_t sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* All zero is an empty one. */
void histogram_reset(struct histogram *histogram);

void histogram_add(struct histogram *histogram, uint64_t ns);

/* Adds all of `other`. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* What was added to `histogram` since it was equal to `before`. Its min and max are those of its buckets.
   */
void histogram_since(struct histogram *ret, const struct histogram *histogram,
                     const struct histogram *before);

/* The value that `percent` of all values do not exceed; 0 if there are none. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

double histogram_mean(const struct histogram *histogram);

#endif
