/* Blocking sections and the threads of the runtime: how many there are, when they end, who they are. */
#define _GNU_SOURCE

#include <sched.h>
#include <unistd.h>

#include "os/os.h"
#include "support/gate.h"
#include "support/runtime.h"
#include "support/stress.h"

static lido_config of(unsigned workers, unsigned max_blocking)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = workers;
    config.max_blocking = max_blocking;
    return config;
}

static int seven(void *arg)
{
    (void)arg;
    return 7;
}

static int pass(void *arg)
{
    gate_pass(arg);
    return 0;
}

static int open_gate(void *gate)
{
    gate_open(gate);
    return 0;
}

/* Blocks until another task of this worker has run: on another thread. */
static int block_for_neighbour(void *arg)
{
    struct gate gate = {0};
    (void)arg;
    lido_task *neighbour = start(open_gate, &gate);
    check_int(lido_blocking(pass, &gate), 0);
    return finish(neighbour);
}

/* ---- Threads ------------------------------------------------------------------------------------ */

struct crowd {
    struct gate gate;
    uint32_t inside;
    uint32_t expected; /* the last of them opens the gate; 0: somebody else does */
    uint32_t started;
    uint32_t stopped;
    unsigned most; /* threads that were there when all were inside */
};

static int enter_crowd(void *arg)
{
    struct crowd *crowd = arg;
    if (lido__fetch_add(&crowd->inside, 1, LIDO__ACQ_REL) + 1 == crowd->expected) {
        crowd->most = threads_count();
        gate_open(&crowd->gate);
    }
    gate_pass(&crowd->gate);
    return 0;
}

static int section_in_crowd(void *crowd)
{
    return lido_blocking(enter_crowd, crowd);
}

static void count_start(void *arg, unsigned thread)
{
    struct crowd *crowd = arg;
    (void)thread;
    lido__fetch_add(&crowd->started, 1, LIDO__RELAXED);
}

static void count_stop(void *arg, unsigned thread)
{
    struct crowd *crowd = arg;
    (void)thread;
    lido__fetch_add(&crowd->stopped, 1, LIDO__RELAXED);
}

static lido_config counting(struct crowd *crowd, unsigned workers)
{
    lido_config config = of(workers, 0);
    config.after_start = count_start;
    config.before_stop = count_stop;
    config.hook_arg = crowd;
    return config;
}

static void block_ten_and_shut_down(void)
{
    struct crowd crowd = {0};
    lido_config config = counting(&crowd, 1);
    lido_runtime *runtime;
    check_int(lido_runtime_new(&runtime, &config), 0);
    for (int i = 0; i < 10; i++)
        check_int(lido_runtime_spawn(runtime, NULL, section_in_crowd, &crowd), 0);
    check_int(lido_block_on(runtime, seven, NULL), 7); /* behind them, on the eleventh thread */
    gate_open(&crowd.gate);
    runtime_end(runtime);
    check_int(crowd.inside, 10);
    check_int(crowd.started, 11);
    check_int(crowd.stopped, 11);
}

/* The seed's "shutdown". As often as fits into two seconds; under a tool that is not often. */
static void shutdown_with_ten_blocked(void **state)
{
    uint64_t until = lido_now() + 2000000000u;
    (void)state;
    for (int i = 0; i < 1000 && (i < 10 || lido_now() < until); i++)
        block_ten_and_shut_down();
}

static int block_many(void *arg)
{
    struct crowd *crowd = arg;
    lido_task *tasks[200];
    for (unsigned i = 0; i < COUNT(tasks); i++)
        check_int(lido_spawn(&tasks[i], section_in_crowd, crowd), 0);
    for (unsigned i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void there_are_no_more_threads_than_allowed(void **state)
{
    enum { WORKERS = 2, SECTIONS = 8, GUARD = 1 };
    struct crowd crowd = {.expected = SECTIONS};
    lido_config config = counting(&crowd, WORKERS);
    unsigned before = threads_count();
    (void)state;
    config.max_blocking = SECTIONS;
    check_int(lido_run(&config, block_many, &crowd), 0);
    check_int(crowd.inside, 200);
    check(crowd.started >= SECTIONS);
    check(crowd.started <= WORKERS + SECTIONS);
    /* The caller is one of the workers, and was there before. */
    check(crowd.most - before <= WORKERS - 1 + SECTIONS + GUARD);
    check_int(crowd.stopped, crowd.started);
}

static bool only_one_is_left(void *arg)
{
    struct crowd *crowd = arg;
    return lido__load(&crowd->stopped, LIDO__RELAXED) + 1 ==
           lido__load(&crowd->started, LIDO__RELAXED);
}

static int use_threads_for_a_while(void *arg)
{
    struct crowd *crowd = arg;
    lido_task *tasks[5];
    for (unsigned i = 0; i < COUNT(tasks); i++)
        tasks[i] = start(section_in_crowd, crowd);
    for (unsigned i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    await_that(only_one_is_left, crowd);
    return 0;
}

static void a_thread_that_nobody_needs_ends(void **state)
{
    struct crowd crowd = {.expected = 5};
    lido_config config = counting(&crowd, 1);
    lido_runtime *runtime;
    (void)state;
    config.keep_alive_ms = 1;
    check_int(lido_runtime_new(&runtime, &config), 0);
    check_int(lido_block_on(runtime, use_threads_for_a_while, &crowd), 0);
    runtime_end(runtime);
    check(crowd.started >= 5); /* the last one in does not block */
    check_int(crowd.stopped, crowd.started);
}

struct whereabouts {
    struct gate gate;
    struct crowd crowd;
    int section;
    int after;
};

static int note_thread(void *arg)
{
    struct whereabouts *whereabouts = arg;
    whereabouts->section = thread_id();
    gate_pass(&whereabouts->gate);
    return 0;
}

static int note_threads(void *arg)
{
    struct whereabouts *whereabouts = arg;
    check_int(lido_blocking(note_thread, whereabouts), 0);
    whereabouts->after = thread_id();
    return 0;
}

static void *shut_down_now(void *runtime)
{
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
    return NULL;
}

static int runs_here(void *arg)
{
    (void)arg;
    return lido_is_cancelled();
}

static void thread_does_not_take_over_shutdown_worker(void **state)
{
    struct whereabouts whereabouts = {0};
    lido_config config = counting(&whereabouts.crowd, 1);
    lido_runtime *runtime;
    (void)state;
    check_int(lido_runtime_new(&runtime, &config), 0);
    check_int(lido_runtime_spawn(runtime, NULL, note_threads, &whereabouts), 0);
    check_int(lido_block_on(runtime, runs_here, NULL), 0); /* on the second thread */
    pthread_t thread = thread_start(shut_down_now, runtime);
    while (lido_runtime_spawn(runtime, NULL, runs_here, NULL) == 0)
        lido__thread_yield();
    gate_open(&whereabouts.gate);
    thread_join(thread);
    check(whereabouts.section != whereabouts.after);
    check_int(whereabouts.crowd.started, 2);
    check_int(whereabouts.crowd.stopped, 2);
}

static int leave_the_caller(void *arg)
{
    int caller = *(int *)arg;
    check_int(thread_id(), caller);
    check_int(block_for_neighbour(NULL), 0);
    check(thread_id() != caller);
    return 0;
}

static void the_caller_of_lido_run_may_lose_its_worker(void **state)
{
    int caller = thread_id();
    (void)state;
    for (int i = 0; i < 20; i++)
        run_on(1, leave_the_caller, &caller);
}

static int cpus_of(void *arg)
{
    cpu_set_t *mask = arg;
    check_int(sched_getaffinity(0, sizeof(*mask), mask), 0);
    return CPU_COUNT(mask);
}

static int use_pinned_threads(void *arg)
{
    const cpu_set_t *all = arg;
    cpu_set_t first, second, job;
    lido_task *task;
    check_int(cpus_of(&first), 1);
    check_int(block_for_neighbour(NULL), 0); /* on another thread now */
    check_int(cpus_of(&second), 1);
    check(CPU_EQUAL(&first, &second));
    for (int i = 0; i < 2; i++) {
        check_int(lido_spawn_blocking(&task, cpus_of, &job), 0);
        check_int(finish(task), CPU_COUNT(all));
        check(CPU_EQUAL(&job, all));
    }
    return 0;
}

static void the_cpu_is_the_workers_and_not_the_threads(void **state)
{
    lido_config config = of(1, 0);
    lido_runtime *runtime;
    cpu_set_t all;
    (void)state;
    config.pin_cpus = true;
    cpus_of(&all);
    check_int(lido_runtime_new(&runtime, &config), 0);
    check_int(lido_block_on(runtime, use_pinned_threads, &all), 0);
    runtime_end(runtime);
}

struct around {
    uint32_t begun;
    uint32_t ended;
};

static void wrap(void *arg, unsigned worker, void (*body)(void *), void *body_arg)
{
    struct around *around = arg;
    check_int(worker, 0);
    lido__fetch_add(&around->begun, 1, LIDO__RELAXED);
    body(body_arg);
    lido__fetch_add(&around->ended, 1, LIDO__RELAXED);
}

static void a_hook_goes_around_each_thread_that_carries_the_worker(void **state)
{
    struct around around = {0};
    lido_config config = of(1, 0);
    lido_runtime *runtime;
    (void)state;
    config.around_worker = wrap;
    config.hook_arg = &around;
    check_int(lido_runtime_new(&runtime, &config), 0);
    check_int(lido_block_on(runtime, block_for_neighbour, NULL), 0);
    runtime_end(runtime);
    check_int(around.begun, 2);
    check_int(around.ended, 2);
}

/* ---- Hammer ------------------------------------------------------------------------------------- */

enum { MANY = SCALED(1000, 1000, 400) }; /* TSan's threads take their time */

struct hammer {
    int sleep_us; /* 0: none, -1: yields, -2: random */
    uint32_t done;
};

static int blow(void *arg)
{
    struct hammer *hammer = arg;
    static uint32_t seed;
    if (hammer->sleep_us == -1)
        lido__thread_yield();
    if (hammer->sleep_us == -2)
        usleep(lido__fetch_add(&seed, 7919, LIDO__RELAXED) % 1200);
    if (hammer->sleep_us > 0)
        usleep((useconds_t)hammer->sleep_us);
    lido__fetch_add(&hammer->done, 1, LIDO__RELAXED);
    return 0;
}

static int section_of_hammer(void *arg)
{
    check_int(lido_blocking(blow, arg), 0);
    check_int(lido_yield(), 0);
    check_int(lido_blocking(blow, arg), 0);
    return 0;
}

static void hammer_on(unsigned workers, unsigned tasks, int sleep_us)
{
    struct hammer hammer = {.sleep_us = sleep_us};
    lido_runtime *runtime = runtime_of(workers);
    for (unsigned i = 0; i < tasks; i++)
        check_int(lido_runtime_spawn(runtime, NULL, section_of_hammer, &hammer), 0);
    runtime_end(runtime);
    check_int(hammer.done, 2 * tasks);
}

static void hammer(void **state)
{
    static const int sleeps_us[] = {0, -1, -2, 300, 1200};
    (void)state;
    for (unsigned workers = 2; workers <= 4; workers += 2)
        for (unsigned tasks = 100; tasks <= MANY; tasks += MANY - 100)
            for (size_t i = 0; i < COUNT(sleeps_us); i++)
                hammer_on(workers, tasks, sleeps_us[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shutdown_with_ten_blocked),
        cmocka_unit_test(there_are_no_more_threads_than_allowed),
        cmocka_unit_test(a_thread_that_nobody_needs_ends),
        cmocka_unit_test(thread_does_not_take_over_shutdown_worker),
        cmocka_unit_test(the_caller_of_lido_run_may_lose_its_worker),
        cmocka_unit_test(the_cpu_is_the_workers_and_not_the_threads),
        cmocka_unit_test(a_hook_goes_around_each_thread_that_carries_the_worker),
        cmocka_unit_test(hammer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
