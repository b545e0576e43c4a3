/* A plain thread that spawns empty fibers into a runtime of one worker, idle or busy. */
#include "micro/micro.h"

#define SPAWNS 10000
#define BUSY_TASKS 2
#define BUSY_NS 10000

static lido_task *tasks[SPAWNS];

static int join_all(void *arg)
{
    for (unsigned i = 0; i < SPAWNS; i++)
        micro_check("join", lido_join(tasks[i], NULL));
    return micro_nothing(arg);
}

static int keep_busy(void *arg)
{
    while (!lido_is_cancelled()) {
        uint64_t end = lido_now() + BUSY_NS;
        while (lido_now() < end)
            ;
        lido_yield();
    }
    return micro_nothing(arg);
}

static void spawn_all(lido_runtime *runtime, double *values)
{
    uint64_t began = bench_now();
    uint64_t cpu = bench_thread_cpu();
    for (unsigned i = 0; i < SPAWNS; i++)
        micro_check("spawn", lido_runtime_spawn(runtime, &tasks[i], micro_nothing, NULL));
    values[0] = (double)(bench_thread_cpu() - cpu) / SPAWNS;
    micro_check("block_on", lido_block_on(runtime, join_all, NULL));
    values[1] = (double)(bench_now() - began) / SPAWNS;
}

static void measure(double *values, unsigned busy_tasks)
{
    lido_runtime *runtime;
    lido_task *busy[BUSY_TASKS];
    lido_config config = micro_config();
    micro_check("runtime", lido_runtime_new(&runtime, &config));
    for (unsigned i = 0; i < busy_tasks; i++)
        micro_check("spawn", lido_runtime_spawn(runtime, &busy[i], keep_busy, NULL));
    spawn_all(runtime, values); /* so that the memory is there, and the worker awake */
    spawn_all(runtime, values);
    for (unsigned i = 0; i < busy_tasks; i++)
        micro_check("stop", lido_stop(busy[i], NULL));
    micro_check("shutdown", lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL));
}

static void measure_idle(double *values)
{
    measure(values, 0);
}

static void measure_busy(double *values)
{
    measure(values, BUSY_TASKS);
}

/* Per spawn: the CPU time of the thread that spawns; and the time until all have been joined. */
const struct micro micro_spawn_remote_idle = {.figures = {{.name = "spawn_remote_idle"},
                                                          {.name = "spawn_remote_idle_total"}},
                                              .measure = measure_idle};

const struct micro micro_spawn_remote_busy = {.figures = {{.name = "spawn_remote_busy"},
                                                          {.name = "spawn_remote_busy_total"}},
                                              .measure = measure_busy};
