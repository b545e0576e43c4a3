#include "micro/micro.h"

void micro_check(const char *what, int r)
{
    if (r == 0)
        return;
    errno = -r;
    bench_die("%s", what);
}

int micro_nothing(void *arg)
{
    (void)arg;
    return 0;
}

lido_config micro_config(void)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    return config;
}

static int gate_poll(lido_future *future, const lido_waker *waker)
{
    struct micro_gate *gate = (struct micro_gate *)future;
    if (gate->open)
        return 0;
    gate->waker = lido_waker_clone(waker);
    gate->waits = true;
    return LIDO_PENDING;
}

void micro_gate_init(struct micro_gate *gate)
{
    *gate = (struct micro_gate){.future = {.poll = gate_poll}};
    micro_check("spawn", lido_spawn_future(&gate->task, &gate->future));
}

void micro_gate_open(struct micro_gate *gate)
{
    gate->open = true;
    if (!gate->waits)
        return;
    lido_waker_wake(&gate->waker);
    lido_waker_drop(&gate->waker);
}

void micro_gate_wait(struct micro_gate *gate)
{
    micro_check("join", lido_join(gate->task, NULL));
}
