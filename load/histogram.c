#include "histogram.h"

#include <math.h>
#include <string.h>

#define PER_POWER (1u << HISTOGRAM_BITS)

/* Values below 2 * PER_POWER are their own index; above, the power is the index of a row of PER_POWER. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns > HISTOGRAM_MAX)
        ns = HISTOGRAM_MAX;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns | PER_POWER);
    unsigned shift = power - HISTOGRAM_BITS;
    return (shift << HISTOGRAM_BITS) + (unsigned)(ns >> shift);
}

static uint64_t middle_of(unsigned bucket)
{
    if (bucket < 2 * PER_POWER)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_BITS) - 1;
    uint64_t first = (uint64_t)(bucket - (shift << HISTOGRAM_BITS)) << shift;
    return first + (UINT64_C(1) << shift) / 2;
}

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
}

static void note_range(struct histogram *histogram, uint64_t min, uint64_t max)
{
    if (histogram->count == 0 || min < histogram->min)
        histogram->min = min;
    if (max > histogram->max)
        histogram->max = max;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    note_range(histogram, ns, ns);
    histogram->count++;
    histogram->sum += ns;
    histogram->buckets[bucket_of(ns)]++;
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    if (other->count == 0)
        return;
    note_range(histogram, other->min, other->max);
    histogram->count += other->count;
    histogram->sum += other->sum;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += other->buckets[i];
}

void histogram_since(struct histogram *ret, const struct histogram *histogram,
                     const struct histogram *before)
{
    histogram_reset(ret);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        ret->buckets[i] = histogram->buckets[i] - before->buckets[i];
        if (ret->buckets[i])
            note_range(ret, middle_of(i), middle_of(i));
        ret->count += ret->buckets[i];
    }
    ret->sum = histogram->sum - before->sum;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    uint64_t rank = (uint64_t)ceil((double)histogram->count * percent / 100);
    uint64_t seen = 0;
    if (rank >= histogram->count)
        return histogram->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            uint64_t middle = middle_of(i);
            middle = middle < histogram->min ? histogram->min : middle;
            return middle > histogram->max ? histogram->max : middle;
        }
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count ? (double)histogram->sum / (double)histogram->count : 0;
}
