/* Tasks that come and go. */
#include "sched/sched.h"

#define SPAWNS 10000
#define SPAWN_ITERATIONS 4
#define DEPTH 1000
#define CHAINS 50
#define JOINS 1000
#define JOIN_ITERATIONS 20

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int count(void *arg)
{
    sched_countdown_one(arg);
    return 0;
}

static void spawn_many(void)
{
    struct sched_countdown tasks;
    sched_countdown_init(&tasks, SPAWNS);
    for (unsigned i = 0; i < SPAWNS; i++)
        sched_check("spawn", lido_spawn(NULL, count, &tasks));
    sched_countdown_await(&tasks);
}

static double spawn_many_local(lido_runtime *runtime)
{
    return sched_on_root(runtime, SPAWN_ITERATIONS, SPAWNS, spawn_many);
}

static double spawn_many_task(lido_runtime *runtime)
{
    return sched_on_task(runtime, SPAWN_ITERATIONS, SPAWNS, spawn_many);
}

/* ---- From outside ------------------------------------------------------------------------------ */

static int join_all(void *arg)
{
    lido_task **tasks = arg;
    for (unsigned i = 0; i < SPAWNS; i++)
        sched_check("join", lido_join(tasks[i], NULL));
    return 0;
}

static double spawn_many_remote_idle(lido_runtime *runtime)
{
    static lido_task *tasks[SPAWNS];
    uint64_t began = sched_clock();
    for (unsigned n = 0; n < SPAWN_ITERATIONS; n++) {
        for (unsigned i = 0; i < SPAWNS; i++)
            sched_check("spawn", lido_runtime_spawn(runtime, &tasks[i], nothing, NULL));
        sched_check("block_on", lido_block_on(runtime, join_all, tasks));
    }
    return sched_per_operation(began, SPAWN_ITERATIONS * SPAWNS);
}

/* ---- One after the other ----------------------------------------------------------------------- */

/* Its links run one after the other, on whatever worker. */
struct chain {
    lido_oneshot end;
    unsigned left;
};

static int chain_link(void *arg)
{
    struct chain *chain = arg;
    if (--chain->left == 0)
        sched_send(&chain->end);
    else
        sched_check("spawn", lido_spawn(NULL, chain_link, chain));
    return 0;
}

static void spawn_chain(void)
{
    struct chain chain = {LIDO_ONESHOT_INIT, DEPTH};
    sched_check("spawn", lido_spawn(NULL, chain_link, &chain));
    sched_receive(&chain.end);
}

static double chained_spawn(lido_runtime *runtime)
{
    return sched_on_task(runtime, CHAINS, DEPTH, spawn_chain);
}

static void spawn_and_join(void)
{
    for (unsigned i = 0; i < JOINS; i++) {
        lido_task *task;
        sched_check("spawn", lido_spawn(&task, nothing, NULL));
        sched_check("join", lido_join(task, NULL));
    }
}

static double spawn_join(lido_runtime *runtime)
{
    return sched_on_task(runtime, JOIN_ITERATIONS, JOINS, spawn_and_join);
}

const struct sched_job sched_spawn_many_local = {"spawn_many_local", spawn_many_local};
const struct sched_job sched_spawn_many_task = {"spawn_many_task", spawn_many_task};
const struct sched_job sched_spawn_many_remote_idle = {"spawn_many_remote_idle",
                                                       spawn_many_remote_idle};
const struct sched_job sched_chained_spawn = {"chained_spawn", chained_spawn};
const struct sched_job sched_spawn_join = {"spawn_join", spawn_join};
