#include "rt/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/fault.h"
#include "io/pipes.h"
#include "io/watch.h"
#include "rt/fault.h"
#include "rt/fork.h"
#include "rt/watch.h"
#include "sched/share.h"
#include "sched/spawn.h"

/* ---- Building and tearing down ------------------------------------------------------------------ */

static void free_workers(struct lido_runtime *runtime, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        lido__carrier_fini(&runtime->seats[i].carrier);
        lido__pipes_fini(&runtime->pool.workers[i]);
        lido__watches_fini(&runtime->pool.workers[i]);
        lido__worker_fini(&runtime->pool.workers[i]);
    }
    free(runtime->pool.workers);
    free(runtime->seats);
    runtime->pool.workers = NULL;
    runtime->seats = NULL;
}

static int make_worker(struct lido_runtime *runtime, unsigned index)
{
    struct lido__worker *worker = &runtime->pool.workers[index];
    struct lido__seat *seat = &runtime->seats[index];
    int r = lido__worker_init(worker, &runtime->pool, index, runtime->settings.reactor);
    if (r < 0)
        return r;
    worker->report = lido__report_worker;
    lido__carrier_init(&seat->carrier, worker, &runtime->stacks);
    seat->cpu = runtime->settings.config.pin_cpus ? lido__cpu_nth(index) : LIDO__CPU_ANY;
    return 0;
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
    while (r == 0 && made < pool->count) {
        r = make_worker(runtime, made);
        made += r == 0;
    }
    if (r < 0)
        free_workers(runtime, made);
    else
        lido__share_init(pool);
    if (runtime->settings.config.watch_ms)
        pool->unwatched = 1; /* the first worker that is carried calls the lifeguard */
    return r;
}

int lido__runtime_seat(struct lido__worker *worker, bool insist)
{
    struct lido_runtime *runtime = worker->pool->runtime;
    return lido__crew_carry(&runtime->crew, worker, insist);
}

/* Starts the workers' threads, one after the other, so that an error is the caller's and the hooks
   come in order. `first`: the worker that the first of them carries. */
static int start_threads(struct lido_runtime *runtime, unsigned first)
{
    struct lido__worker *workers = runtime->pool.workers;
    int r = 0;
    for (unsigned i = first; r == 0 && i < runtime->pool.count; i++) {
        r = lido__runtime_seat(&workers[i], true);
        if (r == 0)
            lido__crew_await_opened(&runtime->crew);
        for (unsigned j = first; r < 0 && j < i; j++)
            lido__worker_order(&workers[j], LIDO__ORDER_STOP);
    }
    return r;
}

static void init_pool(struct lido_runtime *runtime)
{
    const lido_config *config = &runtime->settings.config;
    struct lido__pool *pool = &runtime->pool;
    pool->count = config->workers;
    pool->placement = config->placement;
    pool->budget = config->budget;
    pool->hurries = runtime->settings.scheduler == LIDO__WORK_STEALING;
    pool->mobility = pool->hurries ? LIDO__TASK_STEALABLE : 0;
    pool->fenced = lido__barrier_init() < 0;
    pool->start = lido__fiber_start;
    pool->rest = lido__fiber_rest;
    pool->seat = lido__runtime_seat;
    pool->ended = lido__runtime_ended;
    pool->park = config->park;
    pool->watch = lido__lifeguard_watch;
    pool->employ = lido__blocking_employ;
    if (runtime->settings.debug || config->on_task_error)
        pool->failed = lido__debug_failed;
    pool->runtime = runtime;
    lido__stack_depot_init(&runtime->stacks, config->stack_size, config->clear_stacks);
    lido__report_init(&runtime->report);
    lido__semaphore_init(&runtime->ended, 0, "shutdown");
    lido__semaphore_init(&runtime->capacity[LIDO_POOL_USER], config->max_blocking, "capacity");
    lido__semaphore_init(&runtime->capacity[LIDO_POOL_FS], config->max_fs, "capacity");
    lido__semaphore_init(&runtime->capacity[LIDO_POOL_DNS], config->max_dns, "capacity");
}

/* What it owns besides its workers and threads. */
static void fini_runtime(struct lido_runtime *runtime)
{
    if (runtime->settings.config.report_faults)
        lido__fault_handlers_release();
    if (runtime->settings.config.watch_ms)
        lido__watch_release();
    lido__stack_depot_fini(&runtime->stacks);
    lido__report_fini(&runtime->report);
    free(runtime->name_prefix);
}

/* The threads of the workers from `first` on are running. */
static int furnish(struct lido_runtime *runtime, unsigned first)
{
    const lido_config *config = &runtime->settings.config;
    if (!runtime->name_prefix)
        return -ENOMEM;
    int r = make_workers(runtime);
    if (r < 0)
        return r;
    r = lido__crew_init(&runtime->crew, config, first > 0);
    if (r == 0) {
        /* With work stealing a worker has a thread when it is first called. */
        r = runtime->settings.scheduler == LIDO__IO_POOL ? start_threads(runtime, first) : 0;
        if (r < 0) {
            lido__lifeguard_fini(&runtime->lifeguard); /* a worker may have called it */
            lido__crew_fini(&runtime->crew);
        }
    }
    if (r < 0)
        free_workers(runtime, runtime->pool.count);
    return r;
}

static int assemble(struct lido_runtime **ret_runtime, const lido_config *config, unsigned first)
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
    runtime->handles = 1;
    runtime->name_prefix = lido__fault("malloc") < 0 ? NULL : strdup(settings.config.name_prefix);
    runtime->settings.config.name_prefix = runtime->name_prefix;
    init_pool(runtime);
    if (settings.config.report_faults)
        lido__fault_handlers_install(settings.config.on_fault);
    if (settings.config.watch_ms)
        lido__watch_install();
    r = furnish(runtime, first);
    if (r < 0) {
        fini_runtime(runtime);
        free(runtime);
        return r;
    }
    lido__debug_init(runtime);
    *ret_runtime = runtime;
    return 0;
}

/* Builds all of it, with a thread for each worker but the first `first`. -EINVAL, -EAGAIN, ... */
static int build(struct lido_runtime **ret_runtime, const lido_config *config, unsigned first)
{
    int r = lido__fork_runtime_comes();
    if (r < 0)
        return r;
    r = assemble(ret_runtime, config, first);
    if (r < 0)
        lido__fork_runtime_gone();
    return r;
}

/*
 * The last few that have no handle any more, so that a copy of one that was not counted is told -ESHUTDOWN too, or that it
 * was given back twice, and does not reach memory that is another's.
 */
#define GRAVES 16

static lido__shared struct lido_runtime *graves[GRAVES];
static lido__shared uint32_t next_grave;

/* Acq_rel: who frees the one that lies there comes after who has put it there. */
void lido__runtime_bury(struct lido_runtime *runtime)
{
    uint32_t grave = lido__fetch_add(&next_grave, 1, LIDO__RELAXED) % GRAVES;
    free(lido__exchange(&graves[grave], runtime, LIDO__ACQ_REL));
}

void lido__runtime_destroy(struct lido_runtime *runtime)
{
    /* The one who tells the workers may be any thread, and need not have told all of them yet. */
    while (!lido__load(&runtime->pool.stopped, LIDO__ACQUIRE))
        lido__futex_wait(&runtime->pool.stopped, 0, LIDO__FOREVER);
    lido__store(&runtime->closing, LIDO__CLOSING_ENDED, LIDO__RELAXED);
    lido__lifeguard_fini(&runtime->lifeguard);
    lido__crew_fini(&runtime->crew);
    lido__debug_fini(runtime);
    free_workers(runtime, runtime->pool.count);
    fini_runtime(runtime);
    lido__fork_runtime_gone();
    lido_runtime_unref(runtime);
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
    lido__debug_root_ended(lido_runtime_current(), root->grace_ms);
    return result;
}

/* Carries the first worker, with `fn` as the root task, and stays until the pool has ended. */
static int serve(struct lido_runtime *runtime, struct lido__member *guest, lido_fn fn, void *arg,
                 int *result)
{
    struct root root = {fn, arg, runtime->settings.config.grace_ms};
    lido_spawn_options on_caller = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    on_caller.placement = LIDO_PLACE_WORKER;
    int r = spawn_root(runtime, &task, root_main, &root, &on_caller);
    lido__pool_end_on_idle(&runtime->pool);
    lido__crew_serve(guest, &runtime->pool.workers[0]);
    return r < 0 ? r : lido_join(task, result);
}

int lido_run(const lido_config *config, lido_fn fn, void *arg)
{
    struct lido_runtime *runtime;
    struct lido__member guest;
    int result;
    if (lido__worker_current())
        return -EDEADLK;
    int r = build(&runtime, config, 1);
    if (r < 0)
        return r;
    r = lido__crew_enter(&runtime->crew, &guest, &runtime->pool.workers[0]);
    if (r == 0)
        r = serve(runtime, &guest, fn, arg, &result);
    lido__pool_end_on_idle(&runtime->pool); /* also if it has not come to that */
    lido__runtime_destroy(runtime);
    return r < 0 ? r : result;
}

const char *lido_version_string(void)
{
    return LIDO_STRING(LIDO_VERSION_MAJOR) "." LIDO_STRING(LIDO_VERSION_MINOR) "." LIDO_STRING(
        LIDO_VERSION_PATCH);
}
