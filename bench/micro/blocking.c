/* Blocking sections: what one costs that does not block, and how long one that does keeps the others. */
#include <stdlib.h>
#include <unistd.h>

#include "base/atomic.h"
#include "micro/micro.h"

/* So few that a repetition is mostly left alone on a machine with other things to do. */
#define SECTIONS 5000
#define LONG_SECTIONS 21
#define LONG_US 1000

static void measure_section(double *values)
{
    /* By the clock: a section that is interrupted may return on another thread. */
    uint64_t began = lido_now();
    for (unsigned i = 0; i < SECTIONS; i++)
        lido_blocking(micro_nothing, NULL);
    values[0] = (double)(lido_now() - began) / SECTIONS;
}

struct delay {
    uint64_t began; /* ns, when the section did; 0: it has been seen by the neighbour */
    uint64_t delays[LONG_SECTIONS];
    unsigned count;
    bool over;
};

static int block(void *arg)
{
    struct delay *delay = arg;
    lido__store(&delay->began, lido_now(), LIDO__RELEASE);
    usleep(LONG_US);
    return 0;
}

static int run_beside(void *arg)
{
    struct delay *delay = arg;
    while (!delay->over) {
        uint64_t began = lido__exchange(&delay->began, 0, LIDO__ACQUIRE);
        if (began)
            delay->delays[delay->count++] = lido_now() - began;
        lido_yield();
    }
    return 0;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void measure_delay(double *values)
{
    struct delay delay = {0};
    lido_task *neighbour;
    micro_check("spawn", lido_spawn(&neighbour, run_beside, &delay));
    for (unsigned i = 0; i < LONG_SECTIONS; i++) {
        lido_sleep(1);
        micro_check("blocking", lido_blocking(block, &delay));
    }
    delay.over = true;
    micro_check("join", lido_join(neighbour, NULL));
    qsort(delay.delays, delay.count, sizeof(delay.delays[0]), ascending);
    values[0] = (double)delay.delays[delay.count / 2];
}

/* Per section. */
const struct micro micro_blocking_section = {
    .figures = {{.name = "blocking_section"}}, .measure = measure_section, .on_fiber = true};

/* From the beginning of a section of a millisecond until another task of its worker runs: the median. */
const struct micro micro_blocking_delay = {
    .figures = {{.name = "blocking_delay"}}, .measure = measure_delay, .on_fiber = true};
