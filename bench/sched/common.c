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

/* ---- Signals ----------------------------------------------------------------------------------- */

enum { SILENT, AWAITED, SENT };

static int signal_poll(lido_future *future, const lido_waker *waker)
{
    struct sched_signal *signal = (struct sched_signal *)future;
    uint32_t state = lido__load(&signal->state, LIDO__ACQUIRE);
    if (state == SENT)
        return 0;
    if (state == AWAITED)
        return LIDO_PENDING;
    signal->waker = lido_waker_clone(waker);
    if (lido__cas(&signal->state, &state, AWAITED, LIDO__ACQ_REL, LIDO__ACQUIRE))
        return LIDO_PENDING;
    lido_waker_drop(&signal->waker);
    return 0;
}

void sched_signal_init(struct sched_signal *signal)
{
    *signal = (struct sched_signal){.future = {.poll = signal_poll}, .state = SILENT};
}

void sched_signal_send(struct sched_signal *signal)
{
    lido_waker waker = {0};
    uint32_t state = lido__load(&signal->state, LIDO__ACQUIRE);
    do {
        if (state == AWAITED)
            waker = signal->waker;
    } while (!lido__cas(&signal->state, &state, SENT, LIDO__ACQ_REL, LIDO__ACQUIRE));
    if (state != AWAITED)
        return;
    lido_waker_wake(&waker);
    lido_waker_drop(&waker);
}

void sched_signal_await(struct sched_signal *signal)
{
    lido_task *task;
    if (lido__load(&signal->state, LIDO__ACQUIRE) == SENT)
        return;
    sched_check("spawn", lido_spawn_future(&task, &signal->future));
    sched_check("join", lido_join(task, NULL));
}

void sched_countdown_init(struct sched_countdown *countdown, unsigned count)
{
    countdown->left = count;
    sched_signal_init(&countdown->over);
}

void sched_countdown_one(struct sched_countdown *countdown)
{
    if (lido__fetch_sub(&countdown->left, 1, LIDO__ACQ_REL) == 1)
        sched_signal_send(&countdown->over);
}

void sched_countdown_await(struct sched_countdown *countdown)
{
    sched_signal_await(&countdown->over);
}
