/* The threads of a runtime: how many, their names, their cpus, and the hooks that they call. */
#define _GNU_SOURCE

#include <errno.h>
#include <sched.h>
#include <signal.h>

#include "os/os.h"
#include "support/runtime.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- Names ---------------------------------------------------------------------------------------- */

struct name {
    char text[LIDO__THREAD_NAME_MAX];
};

static int read_name(void *arg)
{
    struct name *name = arg;
    check_int(pthread_getname_np(pthread_self(), name->text, sizeof(name->text)), 0);
    return 0;
}

static void check_names(const char *prefix, const char *const expected[3])
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    config.workers = 3;
    config.name_prefix = prefix;
    check_int(lido_runtime_new(&runtime, &config), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct name name;
        check_int(lido_join(runtime_start_pinned(runtime, i, read_name, &name), NULL), 0);
        check_string(name.text, expected[i]);
    }
    runtime_end(runtime);
}

static void threads_are_called_by_prefix_and_number(void **state)
{
    (void)state;
    check_names(NULL, (const char *const[]){"lido-1", "lido-2", "lido-3"});
    check_names("pool", (const char *const[]){"pool1", "pool2", "pool3"});
    check_names("", (const char *const[]){"1", "2", "3"});
    check_names("%s%n", (const char *const[]){"%s%n1", "%s%n2", "%s%n3"});
    /* The kernel keeps 15 characters. */
    check_names("a-rather-long-name-",
                (const char *const[]){"a-rather-long-n", "a-rather-long-n", "a-rather-long-n"});
}

static void the_caller_of_lido_run_keeps_its_name(void **state)
{
    struct name before, inside, after;
    (void)state;
    read_name(&before);
    run_on(1, read_name, &inside);
    read_name(&after);
    check_string(inside.text, before.text);
    check_string(after.text, before.text);
}

/* ---- Hooks ---------------------------------------------------------------------------------------- */

enum { WORKERS = 3 };

struct hooks {
    pthread_t started_on[WORKERS];
    pthread_t stopped_on[WORKERS];
    unsigned started[WORKERS];
    unsigned stopped[WORKERS];
    uint32_t starts;
    lido_task *untouched;
};

static void check_outside(struct hooks *hooks)
{
    /* A hook is no task. */
    check(lido_self() == NULL);
    check_int(lido_yield(), -ENXIO);
    check_int(lido_spawn(&hooks->untouched, nothing, NULL), -ENXIO);
    check(hooks->untouched == NULL);
}

static void note_start(void *arg, unsigned worker)
{
    struct hooks *hooks = arg;
    check_outside(hooks);
    hooks->started_on[worker] = pthread_self();
    hooks->started[worker]++;
    lido__fetch_add(&hooks->starts, 1, LIDO__RELAXED);
}

static void note_stop(void *arg, unsigned worker)
{
    struct hooks *hooks = arg;
    check_outside(hooks);
    hooks->stopped_on[worker] = pthread_self();
    hooks->stopped[worker]++;
}

static lido_config with_hooks(struct hooks *hooks)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = WORKERS;
    config.after_start = note_start;
    config.before_stop = note_stop;
    config.hook_arg = hooks;
    return config;
}

static int on_the_hooked_thread(void *arg)
{
    const struct hooks *hooks = arg;
    int worker = lido_worker_index();
    check_int(hooks->started[worker], 1);
    check(pthread_equal(hooks->started_on[worker], pthread_self()));
    return 0;
}

static void check_called_once(const struct hooks *hooks)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        check_int(hooks->started[i], 1);
        check_int(hooks->stopped[i], 1);
        check(pthread_equal(hooks->started_on[i], hooks->stopped_on[i]));
    }
}

static void hooks_are_called_on_each_workers_thread(void **state)
{
    struct hooks hooks = {0};
    lido_config config = with_hooks(&hooks);
    lido_runtime *runtime;
    (void)state;
    check_int(lido_runtime_new(&runtime, &config), 0);
    /* Before it returns, or when they have something to do. */
    check_int(lido__load(&hooks.starts, LIDO__RELAXED), runtimes_steal() ? 0 : WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        lido_task *task = runtime_start_pinned(runtime, i, on_the_hooked_thread, &hooks);
        check_int(lido_join(task, NULL), 0);
    }
    runtime_end(runtime);
    check_called_once(&hooks);
}

static int spawn_over_the_pool(void *arg)
{
    for (unsigned i = 0; i < WORKERS; i++)
        check_int(finish(start_pinned(i, on_the_hooked_thread, arg)), 0);
    return 0;
}

static void hooks_are_called_for_the_caller_of_lido_run_too(void **state)
{
    struct hooks hooks = {0};
    lido_config config = with_hooks(&hooks);
    (void)state;
    check_int(lido_run(&config, spawn_over_the_pool, &hooks), 0);
    check_called_once(&hooks);
    check(pthread_equal(hooks.started_on[0], pthread_self()));
}

/* The last moment at which a thread of the runtime could spawn: all is over, and says so. */
struct late {
    lido_runtime *runtime;
    int refused;
};

static void spawn_late(void *arg, unsigned worker)
{
    struct late *late = arg;
    (void)worker;
    late->refused = lido_runtime_spawn(late->runtime, NULL, nothing, NULL);
}

static void a_spawn_from_before_stop_is_refused(void **state)
{
    struct late late = {0};
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = 1;
    config.before_stop = spawn_late;
    config.hook_arg = &late;
    check_int(lido_runtime_new(&late.runtime, &config), 0);
    check_int(lido_block_on(late.runtime, nothing, NULL), 0); /* it may have had no thread */
    runtime_end(late.runtime);
    check_int(late.refused, -ESHUTDOWN);
}

/* ---- Around a worker ------------------------------------------------------------------------------- */

struct around {
    uint32_t begun[WORKERS];
    uint32_t ended[WORKERS];
    int runs; /* how often it calls `run` */
};

static void wrap(void *arg, unsigned worker, void (*body)(void *), void *body_arg)
{
    struct around *around = arg;
    check_int(lido_worker_index(), -ENXIO);
    around->begun[worker]++;
    for (int i = 0; i < around->runs; i++)
        body(body_arg);
    around->ended[worker]++;
}

static int is_wrapped(void *arg)
{
    const struct around *around = arg;
    int worker = lido_worker_index();
    check_int(around->begun[worker], 1);
    check_int(around->ended[worker], around->runs == 0);
    return 0;
}

static void run_wrapped(int runs)
{
    struct around around = {.runs = runs};
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    config.workers = WORKERS;
    config.around_worker = wrap;
    config.hook_arg = &around;
    check_int(lido_runtime_new(&runtime, &config), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        check_int(lido_join(runtime_start_pinned(runtime, i, is_wrapped, &around), NULL), 0);
    runtime_end(runtime);
    for (unsigned i = 0; i < WORKERS; i++) {
        check_int(around.begun[i], 1);
        check_int(around.ended[i], 1);
    }
}

static void a_hook_goes_around_each_workers_life(void **state)
{
    (void)state;
    run_wrapped(1);
}

static void a_hook_that_does_not_run_the_worker_does_not_stop_it(void **state)
{
    (void)state;
    run_wrapped(0);
}

static void a_hook_that_runs_the_worker_twice_runs_it_once(void **state)
{
    (void)state;
    run_wrapped(2);
}

/* ---- Cpus ------------------------------------------------------------------------------------------ */

static int pinned_to(void *arg)
{
    cpu_set_t mask;
    (void)arg;
    check_int(sched_getaffinity(0, sizeof(mask), &mask), 0);
    check_int(CPU_COUNT(&mask), 1);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &mask))
        cpu++;
    return cpu;
}

static lido_config pinning(unsigned workers)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = workers;
    config.pin_cpus = true;
    return config;
}

static void pinned_workers_stay_on_the_cpus_in_turn(void **state)
{
    lido_config config = pinning(3);
    lido_runtime *runtime;
    (void)state;
    check_int(lido_runtime_new(&runtime, &config), 0);
    for (unsigned i = 0; i < 3; i++) {
        int cpu;
        check_int(lido_join(runtime_start_pinned(runtime, i, pinned_to, NULL), &cpu), 0);
        check_int(cpu, lido__cpu_nth(i));
    }
    runtime_end(runtime);
}

struct cpus {
    int nth[2];
};

static int pinned_as_expected(void *arg)
{
    const struct cpus *cpus = arg;
    for (unsigned i = 0; i < 2; i++)
        check_int(finish(start_pinned(i, pinned_to, NULL)), cpus->nth[i]);
    return 0;
}

static void the_caller_of_lido_run_is_pinned_while_it_is_a_worker(void **state)
{
    struct cpus cpus = {{lido__cpu_nth(0), lido__cpu_nth(1)}};
    lido_config config = pinning(2);
    cpu_set_t before, after;
    (void)state;
    check_int(sched_getaffinity(0, sizeof(before), &before), 0);
    check_int(lido_run(&config, pinned_as_expected, &cpus), 0);
    check_int(sched_getaffinity(0, sizeof(after), &after), 0);
    check(CPU_EQUAL(&before, &after));
}

static int unpinned(void *arg)
{
    cpu_set_t *mask = arg;
    return sched_getaffinity(0, sizeof(*mask), mask);
}

static void workers_are_not_pinned_unless_asked(void **state)
{
    cpu_set_t here, there;
    (void)state;
    check_int(unpinned(&here), 0);
    lido_runtime *runtime = runtime_of(1);
    check_int(lido_join(runtime_start(runtime, unpinned, &there), NULL), 0);
    check(CPU_EQUAL(&here, &there));
    runtime_end(runtime);
}

/* ---- What is left ------------------------------------------------------------------------------------ */

static void the_caller_keeps_its_signal_stack(void **state)
{
    static char memory[65536];
    stack_t mine = {.ss_sp = memory, .ss_size = sizeof(memory)}, before, after;
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = 1;
    config.report_faults = true;
    check_int(sigaltstack(&mine, &before), 0);
    check_int(lido_run(&config, nothing, NULL), 0);
    check_int(sigaltstack(&before, &after), 0);
    check(after.ss_sp == memory && after.ss_size == sizeof(memory));
}

static void the_handlers_for_faults_are_given_back(void **state)
{
    static const int signals[] = {SIGSEGV, SIGBUS};
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = 1;
    for (int asked = 0; asked < 2; asked++) {
        config.report_faults = asked;
        for (size_t i = 0; i < COUNT(signals); i++) {
            struct sigaction before, during, after;
            lido_runtime *first, *second;
            check_int(sigaction(signals[i], NULL, &before), 0);
            check_int(lido_runtime_new(&first, &config), 0);
            check_int(lido_runtime_new(&second, &config), 0);
            check_int(sigaction(signals[i], NULL, &during), 0);
            check_int(during.sa_sigaction != before.sa_sigaction, asked);
            runtime_end(first);
            check_int(sigaction(signals[i], NULL, &during), 0);
            check_int(during.sa_sigaction != before.sa_sigaction, asked);
            runtime_end(second);
            check_int(sigaction(signals[i], NULL, &after), 0);
            check(after.sa_sigaction == before.sa_sigaction);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_are_called_by_prefix_and_number),
        cmocka_unit_test(the_caller_of_lido_run_keeps_its_name),
        cmocka_unit_test(hooks_are_called_on_each_workers_thread),
        cmocka_unit_test(hooks_are_called_for_the_caller_of_lido_run_too),
        cmocka_unit_test(a_spawn_from_before_stop_is_refused),
        cmocka_unit_test(a_hook_goes_around_each_workers_life),
        cmocka_unit_test(a_hook_that_does_not_run_the_worker_does_not_stop_it),
        cmocka_unit_test(a_hook_that_runs_the_worker_twice_runs_it_once),
        cmocka_unit_test(pinned_workers_stay_on_the_cpus_in_turn),
        cmocka_unit_test(the_caller_of_lido_run_is_pinned_while_it_is_a_worker),
        cmocka_unit_test(workers_are_not_pinned_unless_asked),
        cmocka_unit_test(the_caller_keeps_its_signal_stack),
        cmocka_unit_test(the_handlers_for_faults_are_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
