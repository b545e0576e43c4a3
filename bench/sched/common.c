#include <errno.h>
#include <unistd.h>

#include "base/atomic.h"
#include "sched/sched.h"

void sched_check(const char *what, int r)
{
    if (r == 0)
        return;
    errno = -r;
    bench_die("%s", what);
}

/* ---- Measuring --------------------------------------------------------------------------------- */

static bool cpu_time;

void sched_measure_cpu_time(void)
{
    cpu_time = true;
}

uint64_t sched_clock(void)
{
    return cpu_time ? bench_process_cpu(getpid()) : bench_now();
}

double sched_per_operation(uint64_t began, unsigned operations)
{
    return (double)(sched_clock() - began) / operations;
}

struct repetition {
    void (*job)(void);
    unsigned iterations;
    unsigned operations;
    double result;
};

static int repeat(void *arg)
{
    struct repetition *repetition = arg;
    uint64_t began = sched_clock();
    for (unsigned i = 0; i < repetition->iterations; i++)
        repetition->job();
    repetition->result =
        sched_per_operation(began, repetition->iterations * repetition->operations);
    return 0;
}

static int repeat_in_task(void *arg)
{
    lido_task *task;
    sched_check("spawn", lido_spawn(&task, repeat, arg));
    return lido_join(task, NULL);
}

double sched_on_root(lido_runtime *runtime, unsigned iterations, unsigned operations,
                     void (*job)(void))
{
    struct repetition repetition = {job, iterations, operations, 0};
    sched_check("block_on", lido_block_on(runtime, repeat, &repetition));
    return repetition.result;
}

double sched_on_task(lido_runtime *runtime, unsigned iterations, unsigned operations,
                     void (*job)(void))
{
    struct repetition repetition = {job, iterations, operations, 0};
    sched_check("block_on", lido_block_on(runtime, repeat_in_task, &repetition));
    return repetition.result;
}

/* ---- Waiting for each other ---------------------------------------------------------------------- */

void sched_send(lido_oneshot *oneshot)
{
    sched_check("send", lido_oneshot_send(oneshot, NULL));
}

void sched_receive(lido_oneshot *oneshot)
{
    void *nothing;
    sched_check("receive", lido_oneshot_recv(oneshot, &nothing));
}

void sched_countdown_init(struct sched_countdown *countdown, unsigned count)
{
    *countdown = (struct sched_countdown){count, LIDO_ONESHOT_INIT};
}

void sched_countdown_one(struct sched_countdown *countdown)
{
    if (lido__fetch_sub(&countdown->left, 1, LIDO__ACQ_REL) == 1)
        sched_send(&countdown->over);
}

void sched_countdown_await(struct sched_countdown *countdown)
{
    sched_receive(&countdown->over);
}
