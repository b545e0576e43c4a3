#define _GNU_SOURCE

#include "timers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/figure.h"

/* In milliseconds. None is due while others are still being armed or cancelled. */
#define LATE_FROM 10000
#define LATE_TO 59999
#define SOON_FROM 2000
#define SOON_TO 2999

enum { ARM, CANCEL, FIRE, FIGURES };
static const char *const endings[FIGURES] = {"arm", "cancel", "fire"};

struct plan {
    uint32_t late[PEER_TIMERS];
    uint32_t order[PEER_TIMERS];
    uint32_t soon[PEER_TIMERS];
};

/* G. Marsaglia, "Xorshift RNGs" (2003). The same numbers in each run and each language. */
static uint64_t next_random(void)
{
    static uint64_t x = 0x9e3779b97f4a7c15u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

static void fill(uint32_t *delays, uint32_t from, uint32_t to)
{
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        delays[i] = from + (uint32_t)(next_random() % (to - from + 1));
}

static void shuffle(uint32_t *order)
{
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        order[i] = i;
    for (unsigned i = PEER_TIMERS - 1; i > 0; i--) {
        unsigned other = (unsigned)(next_random() % (i + 1));
        uint32_t swapped = order[i];
        order[i] = order[other];
        order[other] = swapped;
    }
}

static struct plan *make_plan(void)
{
    struct plan *plan = malloc(sizeof(*plan));
    if (!plan)
        bench_die("memory");
    fill(plan->late, LATE_FROM, LATE_TO);
    shuffle(plan->order);
    fill(plan->soon, SOON_FROM, SOON_TO);
    return plan;
}

static uint64_t cpu_time(void)
{
    return bench_process_cpu(getpid());
}

static double per_timer(uint64_t began)
{
    return (double)(cpu_time() - began) / PEER_TIMERS;
}

static void expect_fired(const struct peer_timers *timers, void *self, uint64_t expected)
{
    uint64_t fired = timers->fired(self);
    if (fired == expected)
        return;
    errno = 0;
    bench_die("%llu timers have fired and not %llu: that is wrong, or the machine too slow or busy",
              (unsigned long long)fired, (unsigned long long)expected);
}

static void measure_once(const struct peer_timers *timers, void *self, const struct plan *plan,
                         double *costs)
{
    uint64_t before = timers->fired(self);
    uint64_t began = cpu_time();
    timers->arm(self, plan->late);
    costs[ARM] = per_timer(began);
    began = cpu_time();
    timers->cancel(self, plan->order);
    costs[CANCEL] = per_timer(began);
    (timers->arm_to_fire ? timers->arm_to_fire : timers->arm)(self, plan->soon);
    expect_fired(timers, self, before);
    began = cpu_time();
    timers->run(self);
    costs[FIRE] = per_timer(began);
    expect_fired(timers, self, before + PEER_TIMERS);
}

static void print(const struct peer_timers *timers, const char *ending, double *values,
                  unsigned count)
{
    char name[32];
    snprintf(name, sizeof(name), "%s_%s", timers->name ? timers->name : "timer", ending);
    bench_figure(name, NULL, values, count);
}

void peer_timers_measure(const struct peer_timers *timers, void *self,
                         const struct peer_options *options)
{
    struct plan *plan = make_plan();
    double *values = calloc((size_t)options->repeat * FIGURES, sizeof(*values));
    double costs[FIGURES];
    if (!values)
        bench_die("memory");
    measure_once(timers, self, plan, costs);
    for (unsigned n = 0; n < options->repeat; n++) {
        measure_once(timers, self, plan, costs);
        for (unsigned i = 0; i < FIGURES; i++)
            values[i * options->repeat + n] = costs[i];
    }
    for (unsigned i = 0; i < FIGURES; i++)
        print(timers, endings[i], values + i * options->repeat, options->repeat);
    free(values);
    free(plan);
}
