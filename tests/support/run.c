#include "support/run.h"

#include <stdio.h>

#include "os/os.h"
#include "task/task.h"

/* Far beyond what a loaded machine under a sanitizer needs: only a broken promise takes so long. */
#define PATIENCE_NS 30000000000u

void run_on(unsigned workers, lido_fn fn, void *arg)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = workers;
    int r = lido_run(&config, fn, arg);
    if (r != 0)
        fail_msg("the root task returned %d: %s", r, lido_strerror(r));
}

void run(lido_fn fn)
{
    run_on(1, fn, NULL);
}

struct pinned {
    lido_fn fn;
    void *arg;
};

static int run_pinned(void *arg)
{
    struct pinned *pinned = arg;
    return finish(start_pinned(0, pinned->fn, pinned->arg));
}

void run_pinned_on(unsigned workers, lido_fn fn, void *arg)
{
    struct pinned pinned = {fn, arg};
    run_on(workers, run_pinned, &pinned);
}

lido_mobility mobility_of_caller(void)
{
    uint32_t movable = LIDO__TASK_STEALABLE | LIDO__TASK_RESCUABLE;
    return lido__task_flags(lido_self()) & movable ? LIDO_MOBILITY_DEFAULT : LIDO_PINNED;
}

lido_task *start(lido_fn fn, void *arg)
{
    int here = lido_worker_index();
    check(here >= 0);
    return start_on((unsigned)here, fn, arg);
}

static lido_task *place(unsigned worker, lido_mobility mobility, lido_fn fn, void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker;
    options.mobility = mobility;
    check_int(lido_spawn_with(&task, fn, arg, &options), 0);
    return task;
}

lido_task *start_on(unsigned worker, lido_fn fn, void *arg)
{
    return place(worker, mobility_of_caller(), fn, arg);
}

lido_task *start_pinned(unsigned worker, lido_fn fn, void *arg)
{
    return place(worker, LIDO_PINNED, fn, arg);
}

int finish(lido_task *task)
{
    int result;
    check_int(lido_join(task, &result), 0);
    return result;
}

void await_that(bool (*happened)(void *arg), void *arg)
{
    uint64_t until = lido_now() + PATIENCE_NS;
    while (!happened(arg)) {
        check(lido_now() < until);
        check_int(lido_yield(), 0);
        lido__thread_yield();
    }
}
