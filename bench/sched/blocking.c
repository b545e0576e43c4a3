/* Blocking sections. */
#define _GNU_SOURCE

#include <stdlib.h>
#include <time.h>

#include "base/atomic.h"
#include "sched/sched.h"

#define TASKS 1000
#define TASK_ITERATIONS 4
#define SECTIONS 1000
#define DELAYS 20
#define BLOCKED_NS 1000000

/* A number of xorshift's: what stands for a computation here. */
static int compute(void *arg)
{
    static _Thread_local uint64_t x = 0x9e3779b97f4a7c15u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    (void)arg;
    return (int)(x & 0xff);
}

static void check_section(int r)
{
    sched_check("blocking", r < 0 ? r : 0);
}

/* ---- Many tasks, each with one section --------------------------------------------------------- */

static int compute_in_place(void *tasks)
{
    check_section(lido_blocking(compute, NULL));
    sched_countdown_one(tasks);
    return 0;
}

/* Hands its computation to the blocking threads and awaits it. */
static void compute_elsewhere(void)
{
    lido_task *task;
    int result;
    sched_check("spawn_blocking", lido_spawn_blocking(&task, compute, NULL));
    sched_check("join", lido_join(task, &result));
    check_section(result);
}

static int compute_elsewhere_and_count(void *tasks)
{
    compute_elsewhere();
    sched_countdown_one(tasks);
    return 0;
}

static void spawn_all(lido_fn fn)
{
    struct sched_countdown tasks;
    sched_countdown_init(&tasks, TASKS);
    for (unsigned i = 0; i < TASKS; i++)
        sched_check("spawn", lido_spawn(NULL, fn, &tasks));
    sched_countdown_await(&tasks);
}

static void spawn_in_place(void)
{
    spawn_all(compute_in_place);
}

static void spawn_elsewhere(void)
{
    spawn_all(compute_elsewhere_and_count);
}

static double cpu_bound(lido_runtime *runtime)
{
    return sched_on_task(runtime, TASK_ITERATIONS, TASKS, spawn_in_place);
}

static double cpu_bound_spawn(lido_runtime *runtime)
{
    return sched_on_task(runtime, TASK_ITERATIONS, TASKS, spawn_elsewhere);
}

/* ---- One task, one section after the other ----------------------------------------------------- */

static void sections(void)
{
    for (unsigned i = 0; i < SECTIONS; i++)
        check_section(lido_blocking(compute, NULL));
}

static double section(lido_runtime *runtime)
{
    return sched_on_task(runtime, 1, SECTIONS, sections);
}

/* Between them the other tasks may go on. */
static void sections_and_yields(void)
{
    for (unsigned i = 0; i < SECTIONS; i++) {
        check_section(lido_blocking(compute, NULL));
        lido_yield();
    }
}

static double section_yield(lido_runtime *runtime)
{
    return sched_on_task(runtime, 1, SECTIONS, sections_and_yields);
}

static void sections_elsewhere(void)
{
    for (unsigned i = 0; i < SECTIONS; i++)
        compute_elsewhere();
}

static double section_spawn(lido_runtime *runtime)
{
    return sched_on_task(runtime, 1, SECTIONS, sections_elsewhere);
}

/* ---- What a section that blocks costs its neighbours ------------------------------------------- */

struct neighbour {
    bool over;
    uint64_t largest_gap;
};

/* Goes on again and again, and notes how long it did not. */
static int watch(void *arg)
{
    struct neighbour *neighbour = arg;
    uint64_t last = bench_now();
    while (!lido__load(&neighbour->over, LIDO__RELAXED)) {
        lido_yield();
        uint64_t now = bench_now();
        if (now - last > lido__load(&neighbour->largest_gap, LIDO__RELAXED))
            lido__store(&neighbour->largest_gap, now - last, LIDO__RELAXED);
        last = now;
    }
    return 0;
}

static int block(void *arg)
{
    struct timespec time = {.tv_nsec = BLOCKED_NS};
    (void)arg;
    return -nanosleep(&time, NULL);
}

static uint64_t gap_of_one_section(struct neighbour *neighbour)
{
    for (unsigned i = 0; i < 100; i++)
        lido_yield();
    lido__store(&neighbour->largest_gap, 0, LIDO__RELAXED);
    check_section(lido_blocking(block, NULL));
    lido_yield();
    return lido__load(&neighbour->largest_gap, LIDO__RELAXED);
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int measure_gaps(void *arg)
{
    struct neighbour neighbour = {false, 0};
    uint64_t gaps[DELAYS];
    double *result = arg;
    lido_task *task;
    sched_check("spawn", lido_spawn(&task, watch, &neighbour));
    for (unsigned i = 0; i < DELAYS; i++)
        gaps[i] = gap_of_one_section(&neighbour);
    lido__store(&neighbour.over, true, LIDO__RELAXED);
    sched_check("join", lido_join(task, NULL));
    qsort(gaps, DELAYS, sizeof(*gaps), ascending);
    *result = (double)gaps[DELAYS / 2];
    return 0;
}

static int measure_in_task(void *arg)
{
    lido_task *task;
    sched_check("spawn", lido_spawn(&task, measure_gaps, arg));
    return lido_join(task, NULL);
}

/* The longest time that a task of the same worker does not go on while a section blocks: the median of
   some sections. */
static double section_delay(lido_runtime *runtime)
{
    double result = 0;
    sched_check("block_on", lido_block_on(runtime, measure_in_task, &result));
    return result;
}

const struct sched_job sched_cpu_bound = {"cpu_bound", cpu_bound};
const struct sched_job sched_cpu_bound_spawn = {"cpu_bound_spawn", cpu_bound_spawn};
const struct sched_job sched_section = {"section", section};
const struct sched_job sched_section_yield = {"section_yield", section_yield};
const struct sched_job sched_section_spawn = {"section_spawn", section_spawn};
const struct sched_job sched_section_delay = {"section_delay", section_delay};
