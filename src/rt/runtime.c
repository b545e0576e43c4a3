#include "rt/runtime.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/fault.h"
#include "rt/fault.h"
#include "sched/spawn.h"

#define STARTED 1u

/* ---- A worker and its thread -------------------------------------------------------------------- */

/* A worker's life, on the thread that carries it: until it is ordered to stop. */
static int seat_open(struct lido__seat *seat)
{
    struct lido_runtime *runtime = seat->runtime;
    const lido_config *config = &runtime->settings.config;
    lido__carrier_init(&seat->carrier, seat->worker, &runtime->stacks);
    void *stack_low;
    size_t stack_size;
    int r = lido__thread_stack(&stack_low, &stack_size);
    if (r == 0)
        lido__carrier_seat(&seat->carrier, stack_low, stack_size);
    if (r == 0 && config->report_faults)
        r = lido__fault_stack_enter(&seat->signal_stack);
    if (r == 0 && config->after_start)
        config->after_start(config->hook_arg, seat->worker->index);
    return r;
}

static void seat_run(struct lido__seat *seat)
{
    const lido_config *config = &seat->runtime->settings.config;
    lido__worker_loop(seat->worker);
    if (config->before_stop)
        config->before_stop(config->hook_arg, seat->worker->index);
    lido__fault_stack_leave(seat->signal_stack);
    lido__carrier_fini(&seat->carrier);
}

static void seat_main(void *arg)
{
    struct lido__seat *seat = arg;
    int r = seat_open(seat);
    /* Release: what after_start did is seen by whoever started the runtime. */
    lido__store(&seat->ready, r < 0 ? (uint32_t)r : STARTED, LIDO__RELEASE);
    lido__futex_wake(&seat->ready, 1);
    if (r == 0)
        seat_run(seat);
}

/* Starts the thread of a seat and waits until it is ready: one after the other, so that an error is
   the caller's and the hooks come in order. */
static int seat_start(struct lido__seat *seat)
{
    const lido_config *config = &seat->runtime->settings.config;
    char name[LIDO__THREAD_NAME_MAX];
    snprintf(name, sizeof(name), "%s%u", seat->runtime->name_prefix, seat->worker->index + 1);
    struct lido__thread_config thread = {
        .name = name,
        .cpu = config->pin_cpus ? lido__cpu_nth(seat->worker->index) : LIDO__CPU_ANY,
    };
    int r = lido__thread_start(&seat->thread, &thread, seat_main, seat);
    if (r < 0)
        return r;
    uint32_t ready;
    while (!(ready = lido__load(&seat->ready, LIDO__ACQUIRE)))
        lido__futex_wait(&seat->ready, 0, LIDO__FOREVER);
    if (ready == STARTED)
        return 0;
    lido__thread_join(&seat->thread);
    return (int)ready;
}

/* ---- Building and tearing down ------------------------------------------------------------------ */

static void free_workers(struct lido_runtime *runtime, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        lido__worker_fini(&runtime->pool.workers[i]);
    free(runtime->pool.workers);
    free(runtime->seats);
}

static int make_workers(struct lido_runtime *runtime)
{
    struct lido__pool *pool = &runtime->pool;
    size_t bytes = pool->count * sizeof(struct lido__worker);
    int r = lido__fault("malloc");
    pool->workers = r < 0 ? NULL : aligned_alloc(_Alignof(struct lido__worker), bytes);
    runtime->seats = lido__fault("malloc") < 0 ? NULL
                                               : calloc(pool->count, sizeof(struct lido__seat));
    unsigned made = 0;
    r = pool->workers && runtime->seats ? 0 : -ENOMEM;
    if (r == 0)
        memset(pool->workers, 0, bytes);
    for (; r == 0 && made < pool->count; made++) {
        struct lido__worker *worker = &pool->workers[made];
        r = lido__worker_init(worker, pool, made, runtime->settings.reactor);
        if (r < 0)
            break;
        worker->report = lido__report_worker;
        runtime->seats[made].runtime = runtime;
        runtime->seats[made].worker = worker;
    }
    if (r < 0)
        free_workers(runtime, made);
    return r;
}

static void join_threads(struct lido_runtime *runtime, unsigned first)
{
    for (unsigned i = 0; i < runtime->running; i++)
        lido__thread_join(&runtime->seats[first + i].thread);
}

static int start_threads(struct lido_runtime *runtime, unsigned first)
{
    for (unsigned i = first; i < runtime->pool.count; i++) {
        int r = seat_start(&runtime->seats[i]);
        if (r < 0) {
            for (unsigned j = 0; j < runtime->running; j++)
                lido__worker_order(&runtime->pool.workers[first + j], LIDO__ORDER_STOP);
            join_threads(runtime, first);
            return r;
        }
        runtime->running++;
    }
    return 0;
}

static void init_pool(struct lido_runtime *runtime)
{
    const lido_config *config = &runtime->settings.config;
    struct lido__pool *pool = &runtime->pool;
    pool->count = config->workers;
    pool->placement = config->placement;
    pool->budget = config->budget;
    pool->start = lido__fiber_start;
    pool->runtime = runtime;
    lido__stack_depot_init(&runtime->stacks, config->stack_size);
    pthread_mutex_init(&runtime->report_lock, NULL);
}

static void free_runtime(struct lido_runtime *runtime)
{
    if (runtime->settings.config.report_faults)
        lido__fault_handlers_release();
    lido__stack_depot_fini(&runtime->stacks);
    pthread_mutex_destroy(&runtime->report_lock);
    free(runtime->name_prefix);
    free(runtime);
}

/* Builds all of it; the threads of the seats from `first` on are running. -EINVAL, -EAGAIN, ... */
static int build(struct lido_runtime **ret_runtime, const lido_config *config, unsigned first)
{
    struct lido__settings settings;
    int r = lido__config_resolve(&settings, config, NULL, 0);
    if (r < 0)
        return r;
    struct lido_runtime *runtime =
        lido__fault("malloc") < 0 ? NULL : aligned_alloc(64, lido__round_up(sizeof(*runtime), 64));
    if (!runtime)
        return -ENOMEM;
    memset(runtime, 0, sizeof(*runtime));
    runtime->settings = settings;
    runtime->caller_seated = first > 0;
    runtime->name_prefix = lido__fault("malloc") < 0 ? NULL : strdup(settings.config.name_prefix);
    init_pool(runtime);
    if (settings.config.report_faults)
        lido__fault_handlers_install(settings.config.on_fault);
    r = runtime->name_prefix ? make_workers(runtime) : -ENOMEM;
    if (r == 0) {
        r = start_threads(runtime, first);
        if (r < 0)
            free_workers(runtime, runtime->pool.count);
    }
    if (r < 0) {
        free_runtime(runtime);
        return r;
    }
    *ret_runtime = runtime;
    return 0;
}

void lido__runtime_destroy(struct lido_runtime *runtime)
{
    /* The one who tells the workers may be any thread, and need not have told all of them yet. */
    while (!lido__load(&runtime->pool.stopped, LIDO__ACQUIRE))
        lido__futex_wait(&runtime->pool.stopped, 0, LIDO__FOREVER);
    join_threads(runtime, runtime->caller_seated);
    free_workers(runtime, runtime->pool.count);
    free_runtime(runtime);
}

/* ---- The public face ---------------------------------------------------------------------------- */

static int spawn_root(struct lido_runtime *runtime, lido_task **task, lido_fn fn, void *arg,
                      const lido_spawn_options *options)
{
    struct lido__spawn spawn = {
        .pool = &runtime->pool,
        .options = options,
        .where = "root",
        .flags = LIDO__TASK_FIBER | LIDO__TASK_UNSTARTED | LIDO__TASK_ROOT,
        .entry = fn,
        .arg = arg,
    };
    return lido__spawn(&spawn, task);
}

int lido_runtime_new(lido_runtime **runtime, const lido_config *config)
{
    return build(runtime, config, 0);
}

int lido_block_on(lido_runtime *runtime, lido_fn fn, void *arg)
{
    lido_task *task;
    int result;
    if (lido__worker_current())
        return -EDEADLK;
    int r = spawn_root(runtime, &task, fn, arg, NULL);
    if (r < 0)
        return r;
    r = lido_join(task, &result);
    return r < 0 ? r : result;
}

/* The root of lido_run: what it leaves behind has a limited time. */
struct root {
    lido_fn fn;
    void *arg;
    int64_t grace_ms;
};

static int root_main(void *arg)
{
    struct root *root = arg;
    int result = root->fn(root->arg);
    if (root->grace_ms)
        lido__worker_current()->cancel_at = lido__time_after(lido__clock_now(), root->grace_ms);
    return result;
}

/* Carries the first worker until the pool ends, with `fn` as the root task. */
static int run_seated(struct lido_runtime *runtime, lido_fn fn, void *arg, int *result)
{
    struct root root = {fn, arg, runtime->settings.config.grace_ms};
    lido_spawn_options on_caller = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    on_caller.placement = LIDO_PLACE_WORKER;
    int r = spawn_root(runtime, &task, root_main, &root, &on_caller);
    lido__pool_end_on_idle(&runtime->pool);
    seat_run(&runtime->seats[0]);
    return r < 0 ? r : lido_join(task, result);
}

static int sit_and_run(struct lido_runtime *runtime, lido_fn fn, void *arg, int *result)
{
    int r = seat_open(&runtime->seats[0]);
    return r < 0 ? r : run_seated(runtime, fn, arg, result);
}

/* The same on the cpu of the first worker: the caller had others, and gets them back. */
static int run_pinned(struct lido_runtime *runtime, lido_fn fn, void *arg, int *result)
{
    struct lido__cpus before;
    int r = lido__thread_get_cpus(&before);
    if (r == 0)
        r = lido__thread_pin(lido__cpu_nth(0));
    if (r < 0)
        return r;
    r = sit_and_run(runtime, fn, arg, result);
    lido__thread_set_cpus(&before);
    return r;
}

int lido_run(const lido_config *config, lido_fn fn, void *arg)
{
    struct lido_runtime *runtime;
    int result;
    if (lido__worker_current())
        return -EDEADLK;
    int r = build(&runtime, config, 1);
    if (r < 0)
        return r;
    r = runtime->settings.config.pin_cpus ? run_pinned(runtime, fn, arg, &result)
                                          : sit_and_run(runtime, fn, arg, &result);
    lido__pool_end_on_idle(&runtime->pool); /* also if it has not come to that */
    lido__runtime_destroy(runtime);
    return r < 0 ? r : result;
}

const char *lido_version_string(void)
{
    return LIDO_STRING(LIDO_VERSION_MAJOR) "." LIDO_STRING(LIDO_VERSION_MINOR) "." LIDO_STRING(
        LIDO_VERSION_PATCH);
}
