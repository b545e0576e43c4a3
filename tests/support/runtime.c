#include "support/runtime.h"

#include "os/os.h"

const char *const schedulers[2] = {"io-pool", "work-stealing"};

lido_runtime *runtime_by(const char *scheduler, unsigned workers)
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    const char *operators = getenv("LIDO_SCHEDULER");
    char *kept = operators ? strdup(operators) : NULL;
    config.workers = workers;
    config.scheduler = scheduler;
    if (scheduler)
        unsetenv("LIDO_SCHEDULER");
    check_int(lido_runtime_new(&runtime, &config), 0);
    if (kept)
        setenv("LIDO_SCHEDULER", kept, 1);
    free(kept);
    return runtime;
}

lido_runtime *runtime_of(unsigned workers)
{
    return runtime_by(NULL, workers);
}

bool runtimes_steal(void)
{
    const char *scheduler = getenv("LIDO_SCHEDULER");
    return scheduler && strcmp(scheduler, "work-stealing") == 0;
}

void runtime_end(lido_runtime *runtime)
{
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
}

static lido_task *place(lido_runtime *runtime, unsigned worker, lido_mobility mobility, lido_fn fn,
                        void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker;
    options.mobility = mobility;
    check_int(lido_runtime_spawn_with(runtime, &task, fn, arg, &options), 0);
    return task;
}

lido_task *runtime_start_on(lido_runtime *runtime, unsigned worker, lido_fn fn, void *arg)
{
    return place(runtime, worker, LIDO_MOBILITY_DEFAULT, fn, arg);
}

lido_task *runtime_start_pinned(lido_runtime *runtime, unsigned worker, lido_fn fn, void *arg)
{
    return place(runtime, worker, LIDO_PINNED, fn, arg);
}

lido_task *runtime_start(lido_runtime *runtime, lido_fn fn, void *arg)
{
    return runtime_start_on(runtime, 0, fn, arg);
}

void flag_raise(struct flag *flag)
{
    lido__store(&flag->up, 1, LIDO__RELEASE);
}

bool flag_is_up(const struct flag *flag)
{
    return lido__load(&flag->up, LIDO__ACQUIRE);
}

void flag_await(const struct flag *flag)
{
    while (!flag_is_up(flag))
        lido__thread_yield();
}

pthread_t thread_start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    check_int(pthread_create(&thread, NULL, fn, arg), 0);
    return thread;
}

void thread_join(pthread_t thread)
{
    check_int(pthread_join(thread, NULL), 0);
}
