/* A thread of a runtime that is ended in the middle of its work: an abort that names the task, and no hang. */
#define _GNU_SOURCE

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/death.h"
#include "support/runtime.h"

static int exit_thread(void *arg)
{
    pthread_exit(arg);
}

static int yield_and_exit(void *arg)
{
    check_int(lido_yield(), 0);
    return exit_thread(arg);
}

/* The wait that it comes to is a point of cancellation. */
static int cancel_own_thread(void *arg)
{
    (void)arg;
    pthread_cancel(pthread_self());
    usleep(1);
    return 0;
}

static int exit_in_a_section(void *arg)
{
    return lido_blocking(exit_thread, arg);
}

static int poll_and_exit(lido_future *self, const lido_waker *waker)
{
    (void)waker;
    return exit_thread(self);
}

struct doomed {
    const char *scheduler;
    lido_fn fn;
    bool as_future;
    bool as_job;
    bool by_hook;
};

static void exit_hook(void *arg, unsigned thread)
{
    if (thread == 1)
        exit_thread(arg);
}

static int start_doomed(void *arg)
{
    const struct doomed *doomed = arg;
    static lido_future future = {poll_and_exit};
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_blocking_options blocking = LIDO_BLOCKING_OPTIONS_INIT;
    lido_task *task = NULL;
    int r = 0;
    options.name = blocking.name = "doomed";
    if (doomed->as_future)
        r = lido_spawn_future_with(&task, &future, &options);
    else if (doomed->as_job)
        r = lido_spawn_blocking_with(&task, doomed->fn, NULL, &blocking);
    else if (doomed->fn)
        r = lido_spawn_with(&task, doomed->fn, NULL, &options);
    check_int(r, 0);
    return task ? finish(task) : 0;
}

static void run_doomed(void *arg)
{
    const struct doomed *doomed = arg;
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 2;
    config.scheduler = doomed->scheduler;
    config.after_start = doomed->by_hook ? exit_hook : NULL;
    alarm(60); /* a hang is what this is about */
    lido_run(&config, start_doomed, arg);
}

static void check_dies(struct doomed doomed, const char *told)
{
    struct death death;
    for (size_t i = 0; i < COUNT(schedulers); i++) {
        doomed.scheduler = schedulers[i];
        death_of(run_doomed, &doomed, &death);
        if (!strstr(death.told, told))
            fail_msg("\"%s\" is not in what was told: %s", told, death.told);
        assert_true(WIFSIGNALED(death.status));
        assert_int_equal(WTERMSIG(death.status), SIGABRT);
    }
}

#define NAMED "lido: misused: task doomed, spawned at "

static void a_task_that_ends_its_thread_is_named(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* its pthread_exit looks for the thread, and finds the fiber */
    check_dies((struct doomed){.fn = exit_thread}, NAMED);
    check_dies((struct doomed){.fn = yield_and_exit}, NAMED);
    check_dies((struct doomed){.fn = cancel_own_thread}, NAMED);
    check_dies((struct doomed){.as_future = true}, NAMED);
}

static void blocking_code_that_ends_its_thread_is_named(void **state)
{
    (void)state;
    check_dies((struct doomed){.fn = exit_in_a_section}, NAMED);
    check_dies((struct doomed){.fn = exit_thread, .as_job = true}, NAMED);
}

static void a_hook_that_ends_its_thread_is_told(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* its pthread_exit looks for the thread, and finds the fiber */
    check_dies((struct doomed){.by_hook = true, .fn = yield_and_exit}, "lido: misused: ");
}

/* ---- Threads that may end ------------------------------------------------------------------------ */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int run_within(void *arg)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    return lido_run(&config, nothing, arg);
}

static int run_in_a_section(void *arg)
{
    return lido_blocking(run_within, arg);
}

/* It has been a thread of two runtimes, one in the other, and is one of none. */
static void *run_and_exit(void *arg)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 2;
    check_int(lido_run(&config, run_in_a_section, NULL), 0);
    pthread_exit(arg);
}

static void a_thread_that_has_left_its_runtime_may_end(void **state)
{
    (void)state;
    thread_join(thread_start(run_and_exit, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_that_ends_its_thread_is_named),
        cmocka_unit_test(blocking_code_that_ends_its_thread_is_named),
        cmocka_unit_test(a_hook_that_ends_its_thread_is_told),
        cmocka_unit_test(a_thread_that_has_left_its_runtime_may_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
