/*
 * A million fibers that all sleep at the same time: created, slept, joined.
 *
 * All sleep until one time, so that the last is asleep before the first wakes; should creating them take
 * longer than that, the figure would mean something else, and the program ends. In a process of its
 * own, whose peak memory is that of the fibers.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "micro/micro.h"

#define SLEEPERS 1000000u
#define SLEEP_MS 2000
#define STRIDE ((size_t)65536)

struct crowd {
    uint64_t wake_at;
    uint64_t took; /* ns, from the first spawn to the last join */
    unsigned asleep;
    unsigned most_asleep;
    lido_task **tasks;
};

static int sleeper(void *arg)
{
    struct crowd *crowd = arg;
    if (++crowd->asleep > crowd->most_asleep)
        crowd->most_asleep = crowd->asleep;
    int r = lido_sleep_until(crowd->wake_at);
    crowd->asleep--;
    return r;
}

static int create_and_join(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t began = lido_now();
    crowd->wake_at = began + SLEEP_MS * UINT64_C(1000000);
    for (unsigned i = 0; i < SLEEPERS; i++)
        micro_check("spawn", lido_spawn(&crowd->tasks[i], sleeper, crowd));
    for (unsigned i = 0; i < SLEEPERS; i++) {
        int result;
        micro_check("join", lido_join(crowd->tasks[i], &result));
        micro_check("sleep", result);
    }
    crowd->took = lido_now() - began;
    return 0;
}

static uint64_t sleep_in_crowd(void)
{
    struct crowd crowd = {.tasks = calloc(SLEEPERS, sizeof(*crowd.tasks))};
    lido_config config = micro_config();
    if (!crowd.tasks)
        bench_die("memory");
    micro_check("run", lido_run(&config, create_and_join, &crowd));
    if (crowd.most_asleep != SLEEPERS) {
        errno = 0;
        bench_die("only %u of %u slept at the same time: the machine is too slow, or busy",
                  crowd.most_asleep, SLEEPERS);
    }
    return crowd.took;
}

static double ns_of(struct timeval time)
{
    return (double)time.tv_sec * 1e9 + (double)time.tv_usec * 1e3;
}

/* Runs `measured`, which returns ns, in a process of its own. Returns what that returns. */
static double in_child(uint64_t (*measured)(void), struct rusage *usage)
{
    uint64_t took = 0;
    int result[2];
    pid_t child;
    if (pipe(result) < 0 || (child = fork()) < 0)
        bench_die("fork");
    if (child == 0) {
        took = measured();
        _exit(write(result[1], &took, sizeof(took)) != sizeof(took));
    }
    close(result[1]);
    ssize_t n = read(result[0], &took, sizeof(took));
    close(result[0]);
    if (wait4(child, NULL, 0, usage) < 0)
        bench_die("wait");
    if (n != sizeof(took))
        exit(2); /* the child has said why */
    return (double)took;
}

static void measure_sleepers(double *values)
{
    struct rusage usage;
    values[0] = in_child(sleep_in_crowd, &usage);
    values[1] = ns_of(usage.ru_utime) + ns_of(usage.ru_stime);
    values[2] = (double)usage.ru_maxrss * 1024;
}

/* ---- The memory alone -------------------------------------------------------------------------- */

/* A page in a stride, as the stack of a fiber that sleeps. */
static uint64_t touch_pages(void)
{
    size_t size = STRIDE * SLEEPERS;
    uint64_t began = bench_now();
    char *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED)
        bench_die("mmap");
    for (size_t i = 0; i < size; i += STRIDE)
        pages[i] = 1;
    return bench_now() - began;
}

static void measure_pages(double *values)
{
    struct rusage usage;
    values[0] = in_child(touch_pages, &usage);
}

/* Two seconds of the time are the sleep itself. The CPU time is that of the whole process. */
const struct micro micro_million_sleepers = {
    .figures = {{.name = "million_sleepers"},
                {.name = "million_sleepers_cpu"},
                {.name = "million_sleepers_peak", .unit = "bytes"}},
    .measure = measure_sleepers,
    .once = true};

/* What the system takes to hand out that memory: no lido in it. */
const struct micro micro_million_pages = {
    .figures = {{.name = "million_pages"}}, .measure = measure_pages, .once = true};
