/* Tasks that come and go, on one worker. */
#include "micro/micro.h"

#define SPAWNS 100000
#define DEPTH 1000
#define CHAINS 100

static void measure_spawn_join(double *values)
{
    uint64_t began = bench_thread_cpu();
    for (unsigned i = 0; i < SPAWNS; i++) {
        lido_task *task;
        micro_check("spawn", lido_spawn(&task, micro_nothing, NULL));
        micro_check("join", lido_join(task, NULL));
    }
    values[0] = (double)(bench_thread_cpu() - began) / SPAWNS;
}

static int poll_nothing(lido_future *self, const lido_waker *waker)
{
    (void)self;
    (void)waker;
    return 0;
}

static void measure_future(double *values)
{
    lido_future future = {.poll = poll_nothing};
    uint64_t began = bench_thread_cpu();
    for (unsigned i = 0; i < SPAWNS; i++) {
        lido_task *task;
        micro_check("spawn", lido_spawn_future(&task, &future));
        micro_check("join", lido_join(task, NULL));
    }
    values[0] = (double)(bench_thread_cpu() - began) / SPAWNS;
}

struct chain {
    struct micro_gate end;
    unsigned left;
};

static int chain_link(void *arg)
{
    struct chain *chain = arg;
    if (--chain->left == 0)
        micro_gate_open(&chain->end);
    else
        micro_check("spawn", lido_spawn(NULL, chain_link, chain));
    return 0;
}

static void measure_chain(double *values)
{
    uint64_t began = bench_thread_cpu();
    for (unsigned i = 0; i < CHAINS; i++) {
        struct chain chain = {.left = DEPTH};
        micro_gate_init(&chain.end);
        micro_check("spawn", lido_spawn(NULL, chain_link, &chain));
        micro_gate_wait(&chain.end);
    }
    values[0] = (double)(bench_thread_cpu() - began) / (CHAINS * DEPTH);
}

/* Per spawn and join of an empty fiber. */
const struct micro micro_spawn_join = {
    .figures = {{.name = "spawn_join"}}, .measure = measure_spawn_join, .on_fiber = true};

/* Per spawn and join of a future that is done at its first poll. */
const struct micro micro_spawn_local_future = {
    .figures = {{.name = "spawn_local_future"}}, .measure = measure_future, .on_fiber = true};

/* Per fiber of a chain in which each spawns the next. */
const struct micro micro_chained_spawn = {
    .figures = {{.name = "chained_spawn"}}, .measure = measure_chain, .on_fiber = true};
