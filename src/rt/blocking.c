/* Blocking sections: see sched/section.h for how, and lifeguard.h for when, a worker changes hands. */
#include <errno.h>

#include "rt/runtime.h"

int lido_blocking(lido_fn fn, void *arg)
{
    int r;
    struct lido__worker *worker = lido__fiber_worker(&r);
    if (!worker)
        return r == -ENXIO ? fn(arg) : r;
    struct lido_runtime *runtime = worker->pool->runtime;
    if (__builtin_expect(worker->budget == 0, 0)) {
        lido_yield();
        worker = lido__worker_current();
    }
    worker->budget--;
    r = lido__semaphore_acquire(&runtime->capacity[LIDO_POOL_USER], 1);
    if (r < 0)
        return r;
    struct lido__section section = {.fn = fn, .arg = arg, .entered = lido__lifeguard_call};
    r = lido__fiber_section(lido__worker_current(), &section);
    lido__semaphore_release(&runtime->capacity[LIDO_POOL_USER], 1);
    return r;
}
