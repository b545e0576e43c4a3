/* Timers that are stopped before their time: what most timers of a server are. */
#include "micro/micro.h"

#define TIMERS 100000

static int arm_and_cancel(lido_future *self, const lido_waker *waker)
{
    (void)self;
    for (unsigned i = 0; i < TIMERS; i++) {
        lido_timer timer;
        lido_timer_start(&timer, 1000);
        if (lido_timer_poll(&timer, waker) != LIDO_PENDING)
            bench_die("a timer of a second was due at once");
        lido_timer_stop(&timer);
    }
    return 0;
}

static void measure(double *values)
{
    lido_future future = {.poll = arm_and_cancel};
    lido_task *task;
    uint64_t began = bench_thread_cpu();
    micro_check("spawn", lido_spawn_future(&task, &future));
    micro_check("join", lido_join(task, NULL));
    values[0] = (double)(bench_thread_cpu() - began) / TIMERS;
}

/* Per timer, with the two looks at the clock that this takes. */
const struct micro micro_timer_arm_cancel = {
    .figures = {{.name = "timer_arm_cancel"}}, .measure = measure, .on_fiber = true};
