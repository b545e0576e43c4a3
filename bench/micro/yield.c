/* Fibers that take turns, without and with a deadline around each turn. */
#include "micro/micro.h"

#define FIBERS 200
#define YIELDS 2500

static int yield_plainly(void *arg)
{
    for (unsigned i = 0; i < YIELDS; i++)
        lido_yield();
    return micro_nothing(arg);
}

static int yield_under_deadline(void *arg)
{
    for (unsigned i = 0; i < YIELDS; i++) {
        lido_within(1000);
        lido_yield();
    }
    return micro_nothing(arg);
}

static double measure_fibers(lido_fn fn)
{
    lido_task *tasks[FIBERS];
    uint64_t began = bench_thread_cpu();
    for (unsigned i = 0; i < FIBERS; i++)
        micro_check("spawn", lido_spawn(&tasks[i], fn, NULL));
    for (unsigned i = 0; i < FIBERS; i++)
        micro_check("join", lido_join(tasks[i], NULL));
    return (double)(bench_thread_cpu() - began) / (FIBERS * YIELDS);
}

static void measure_yield(double *values)
{
    values[0] = measure_fibers(yield_plainly);
}

static void measure_deadline(double *values)
{
    values[0] = measure_fibers(yield_under_deadline);
}

/* Per yield. */
const struct micro micro_yield = {
    .figures = {{.name = "yield"}}, .measure = measure_yield, .on_fiber = true};

/* Per yield and deadline. */
const struct micro micro_deadline_yield = {
    .figures = {{.name = "deadline_yield"}}, .measure = measure_deadline, .on_fiber = true};
