/* Two tasks of one worker that wake each other in turn. */
#include "micro/micro.h"

#define ROUNDS 20000

/* ---- Fibers, over one-shots -------------------------------------------------------------------- */

struct table {
    struct micro_gate ping;
    struct micro_gate pong;
};

static int answer(void *arg)
{
    struct table *table = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        micro_gate_wait(&table->ping);
        micro_gate_init(&table->ping);
        micro_gate_open(&table->pong);
    }
    return 0;
}

static void measure_fibers(double *values)
{
    struct table table;
    lido_task *task;
    micro_gate_init(&table.ping);
    micro_check("spawn", lido_spawn(&task, answer, &table));
    uint64_t began = bench_thread_cpu();
    for (unsigned i = 0; i < ROUNDS; i++) {
        micro_gate_init(&table.pong);
        micro_gate_open(&table.ping);
        micro_gate_wait(&table.pong);
    }
    values[0] = (double)(bench_thread_cpu() - began) / ROUNDS;
    micro_check("join", lido_join(task, NULL));
    micro_gate_open(&table.ping);
    micro_gate_wait(&table.ping);
}

/* ---- Futures, over wakers ---------------------------------------------------------------------- */

struct player {
    lido_future future;
    struct player *other;
    lido_waker waker;
    bool present;
    bool has_ball;
    unsigned left; /* how often it will still play the ball */
};

static int play(lido_future *future, const lido_waker *waker)
{
    struct player *self = (struct player *)future;
    if (!self->present) {
        self->waker = lido_waker_clone(waker);
        self->present = true;
    }
    if (!self->has_ball)
        return LIDO_PENDING;
    self->has_ball = false;
    self->other->has_ball = true;
    lido_waker_wake(&self->other->waker);
    return --self->left ? LIDO_PENDING : 0;
}

static void measure_futures(double *values)
{
    struct player second = {.future = {.poll = play}, .left = ROUNDS};
    struct player first = {
        .future = {.poll = play}, .other = &second, .has_ball = true, .left = ROUNDS};
    lido_task *tasks[2];
    second.other = &first;
    uint64_t began = bench_thread_cpu();
    micro_check("spawn", lido_spawn_future(&tasks[0], &second.future));
    micro_check("spawn", lido_spawn_future(&tasks[1], &first.future));
    micro_check("join", lido_join(tasks[0], NULL));
    micro_check("join", lido_join(tasks[1], NULL));
    values[0] = (double)(bench_thread_cpu() - began) / ROUNDS;
    lido_waker_drop(&first.waker);
    lido_waker_drop(&second.waker);
}

/* Per round trip: two one-shots made, opened and awaited. */
const struct micro micro_ping_pong = {
    .figures = {{.name = "ping_pong"}}, .measure = measure_fibers, .on_fiber = true};

/* Per round trip: two wake-ups, two polls. */
const struct micro micro_ping_pong_futures = {
    .figures = {{.name = "ping_pong_futures"}}, .measure = measure_futures, .on_fiber = true};
