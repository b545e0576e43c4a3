/*
 * Everything that a runtime asks of the outside world fails once, at every place: it then says so
 * or does without, nothing leaks, and each task that was accepted has run or has said why not.
 */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>

#include "base/fault.h"
#include "os/os.h"
#include "support/runtime.h"

/* ---- What a process holds ------------------------------------------------------------------------- */

static unsigned entries(const char *directory)
{
    DIR *dir = opendir(directory);
    unsigned count = 0;
    check(dir != NULL);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static size_t address_space(void)
{
    size_t pages;
    FILE *file = fopen("/proc/self/statm", "r");
    check(file && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    return pages * lido__page_size();
}

struct holdings {
    unsigned descriptors;
    unsigned threads;
    void *signal_stack;
};

static struct holdings look_around(void)
{
    stack_t stack;
    check_int(sigaltstack(NULL, &stack), 0);
    return (struct holdings){entries("/proc/self/fd"), entries("/proc/self/task"), stack.ss_sp};
}

/* A thread that has been joined may be listed for a moment longer: now, and also in `before`. */
static void check_holds(struct holdings before)
{
    uint64_t until = lido_now() + 5000000000u;
    while (entries("/proc/self/task") > before.threads && lido_now() < until)
        lido__thread_yield();
    struct holdings now = look_around();
    check(now.threads <= before.threads);
    check_int(now.descriptors, before.descriptors);
    check(now.signal_stack == before.signal_stack);
}

/* ---- Tasks: what they do must be right, unless they say that there is no memory -------------------- */

enum { CHILDREN = 4, OUTSIDERS = 4 };

static uint32_t ran;

static int child(void *arg)
{
    (void)arg;
    lido__fetch_add(&ran, 1, LIDO__RELAXED);
    check_int(lido_sleep(1), 0);
    return 0;
}

struct moment {
    lido_future future;
    lido_timer timer;
    bool started;
};

static int moment_poll(lido_future *future, const lido_waker *waker)
{
    struct moment *moment = (struct moment *)future;
    if (!moment->started) {
        moment->started = true;
        lido__fetch_add(&ran, 1, LIDO__RELAXED);
        lido_timer_start(&moment->timer, 1);
    }
    return lido_timer_poll(&moment->timer, waker);
}

/* Joins what was spawned. Returns how many of them ran. */
static uint32_t collect(lido_task *task)
{
    int result;
    check_int(lido_join(task, &result), 0);
    check(result == 0 || result == -ENOMEM);
    return result == 0;
}

static void destroy_value(void *value)
{
    *(int *)value = 0;
}

static const lido_local key = {destroy_value};
static int value;

/* Spawns on both workers, fibers and a future, under a deadline, and joins them. */
static int work(void *arg)
{
    uint32_t *expected = arg;
    lido_task *children[CHILDREN], *task;
    struct moment moment = {.future = {moment_poll}};
    unsigned accepted = 0;
    lido_within(60000);
    value = 1;
    int r = lido_local_set(&key, &value);
    check(r == 0 || r == -ENOMEM);
    if (r < 0)
        value = 0;
    for (int i = 0; i < CHILDREN; i++) {
        r = lido_spawn(&children[accepted], child, NULL);
        check(r == 0 || r == -ENOMEM);
        accepted += r == 0;
    }
    r = lido_spawn_future(&task, &moment.future);
    check(r == 0 || r == -ENOMEM);
    if (r == 0)
        *expected += collect(task);
    while (accepted > 0)
        *expected += collect(children[--accepted]);
    return 0;
}

/* ---- Hooks: each start has its end ------------------------------------------------------------------ */

static uint32_t started;
static uint32_t stopped;

static void note_start(void *arg, unsigned worker)
{
    (void)arg;
    (void)worker;
    lido__fetch_add(&started, 1, LIDO__RELAXED);
}

static void note_stop(void *arg, unsigned worker)
{
    (void)arg;
    (void)worker;
    lido__fetch_add(&stopped, 1, LIDO__RELAXED);
}

/* ---- The scenarios -------------------------------------------------------------------------------- */

static int error;

static bool is_told(int r)
{
    return r == error || r == -ENOMEM;
}

static lido_config configuration(void)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 2;
    config.report_faults = true;
    config.pin_cpus = true;
    config.after_start = note_start;
    config.before_stop = note_stop;
    ran = started = stopped = 0;
    return config;
}

static void end_of_account(uint32_t expected)
{
    check_int(ran, expected);
    check_int(value, 0);
}

static void held_from_outside(void)
{
    lido_config config = configuration();
    lido_runtime *runtime;
    lido_task *outsiders[OUTSIDERS];
    uint32_t expected = 0;
    unsigned accepted = 0;
    int r = lido_runtime_new(&runtime, &config);
    if (r < 0) {
        check(is_told(r));
        return;
    }
    for (int i = 0; i < OUTSIDERS; i++) {
        r = lido_runtime_spawn(runtime, &outsiders[accepted], child, NULL);
        check(r == 0 || is_told(r));
        accepted += r == 0;
    }
    r = lido_block_on(runtime, work, &expected);
    check(r == 0 || is_told(r));
    while (accepted > 0)
        expected += collect(outsiders[--accepted]);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
    end_of_account(expected);
}

static void run_by_the_caller(void)
{
    lido_config config = configuration();
    uint32_t expected = 0;
    int r = lido_run(&config, work, &expected);
    check(r == 0 || is_told(r));
    end_of_account(expected);
}

/* Returns how many places could fail. */
static uint64_t sweep(void (*scenario)(void), int with)
{
    struct holdings before = look_around();
    enum lido__guard_method method = lido__pages_guard_method();
    error = with;
    for (uint64_t n = 1;; n++) {
        lido__fault_plan(NULL, n, with);
        scenario();
        check_int(started, stopped);
        bool hit = lido__fault_hit();
        lido__fault_clear();
        lido__pages_guard_force(method);
        check_holds(before);
        if (!hit)
            return n - 1;
    }
}

/* Leaked memory is found by AddressSanitizer; mappings are found here. */
static void check_sweep(void (*scenario)(void), int with, uint64_t least)
{
    scenario(); /* what is made once and kept */
    size_t before = address_space();
    uint64_t places = sweep(scenario, with);
    check(places >= least);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    check_int((address_space() - before) >> 20, 0);
#else
    (void)before;
#endif
}

static void each_failure_of_a_runtime_is_survived(void **state)
{
    (void)state;
    check_sweep(held_from_outside, -ENOMEM, 12);
    check_sweep(held_from_outside, -EAGAIN, 12);
}

static void each_failure_of_lido_run_is_survived(void **state)
{
    (void)state;
    check_sweep(run_by_the_caller, -ENOMEM, 12);
    check_sweep(run_by_the_caller, -EMFILE, 12);
}

/* In a process that has made no task yet, as the first of a test program. */
static void lido_run_without_memory_for_its_root_leaves_nothing(void **state)
{
    struct holdings before = look_around();
    lido_config config = configuration();
    uint32_t expected = 0;
    (void)state;
    lido__fault_plan("slab", 1, -ENOMEM);
    check_int(lido_run(&config, work, &expected), -ENOMEM);
    check(lido__fault_hit() != NULL);
    lido__fault_clear();
    check_int(started, runtimes_steal() ? 1 : 2);
    check_int(stopped, started);
    check_holds(before);
}

/* ---- No thread for a worker that is called --------------------------------------------------------- */

static int yield_until_hit(void *arg)
{
    (void)arg;
    while (!lido__fault_hit())
        check_int(lido_yield(), 0);
    return 0;
}

/* Enough that one worker calls the other. */
static int fail_to_call(void *arg)
{
    lido_task *tasks[4];
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(lido_spawn(&tasks[i], yield_until_hit, NULL), 0);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static int return_index(void *arg)
{
    (void)arg;
    return lido_worker_index();
}

static void a_worker_that_could_not_be_called_comes_when_it_gets_a_thread(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    lido__fault_plan("pthread_create", 2, -EAGAIN);
    check_int(lido_block_on(runtime, fail_to_call, NULL), 0);
    lido__fault_clear();
    check_int(finish(runtime_start_pinned(runtime, 1, return_index, NULL)), 1);
    for (int i = 0; i < 100;
         i++) /* and it is known who sleeps: somebody is called for each of them */
        check(lido_block_on(runtime, return_index, NULL) >= 0);
    runtime_end(runtime);
}

/* ---- Stacks that the system does not take back ----------------------------------------------------- */

/* More than are kept, so that some are to be unmapped when all have ended. */
enum { CROWD = 64 * 40 };

static int wait_for(void *arg)
{
    return lido_event_wait(arg);
}

static int crowd(void *arg)
{
    static lido_task *tasks[CROWD];
    lido_event leave = LIDO_EVENT_INIT;
    (void)arg;
    for (size_t i = 0; i < CROWD; i++)
        check_int(lido_spawn(&tasks[i], wait_for, &leave), 0);
    check_int(lido_yield(), 0);
    check_int(lido_sleep(1), 0);
    lido_event_notify_all(&leave);
    for (size_t i = 0; i < CROWD; i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static int crowd_twice(void *arg)
{
    lido__fault_plan_from("munmap", 1, -ENOMEM);
    crowd(arg);
    check(lido__fault_hit() != NULL);
    lido__fault_clear();
    return crowd(arg);
}

static void stacks_that_cannot_be_unmapped_are_used_again(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = 1;
    assert_int_equal(lido_run(&config, crowd, NULL), 0);
    size_t before = address_space();
    assert_int_equal(lido_run(&config, crowd_twice, NULL), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    check_int((address_space() - before) >> 20, 0);
#else
    (void)before;
#endif
}

/* ---- No memory for a task -------------------------------------------------------------------------- */

static int wait_for_end(void *arg)
{
    const struct flag *end = arg;
    lido__fetch_add(&ran, 1, LIDO__RELAXED);
    while (!flag_is_up(end))
        check_int(lido_sleep(1), 0);
    return 0;
}

/* Tasks come from chunks of some hundred: one of many spawns finds that there is no further chunk. */
static int spawn_until_refused(void *arg)
{
    uint32_t *accepted = arg;
    struct flag end = {0};
    int refused = 0;
    lido_task *untouched = NULL;
    lido__fault_plan("slab", 1, -ENOMEM);
    for (*accepted = 0; refused == 0 && *accepted < 100000; *accepted += refused == 0)
        refused = lido_spawn(NULL, wait_for_end, &end);
    check_int(refused, -ENOMEM);
    check(untouched == NULL);
    check_int(lido_spawn(&untouched, wait_for_end, &end), 0);
    lido__fault_clear();
    flag_raise(&end);
    return finish(untouched);
}

static void a_spawn_without_memory_is_refused_and_the_next_is_not(void **state)
{
    (void)state;
    uint32_t accepted;
    ran = 0;
    run_on(1, spawn_until_refused, &accepted);
    check_int(ran, accepted + 1);
}

/* ---- No memory for a stack ------------------------------------------------------------------------- */

static int count_and_return(void *arg)
{
    lido__fetch_add(&ran, 1, LIDO__RELAXED);
    return *(const int *)arg;
}

/* Whoever spawned it waits for it: nobody else would ever end. */
static int join_a_child_without_stack(void *arg)
{
    static const int seven = 7;
    (void)arg;
    lido_task *task = start(count_and_return, (void *)&seven);
    lido__fault_plan("mmap", 1, -ENOMEM);
    check_int(finish(task), 7);
    check(lido__fault_hit() != NULL);
    lido__fault_clear();
    return 0;
}

/* A shortage that outlasts several tries, and then ends. */
static int join_a_child_that_must_wait(void *arg)
{
    static const int seven = 7;
    (void)arg;
    lido_task *task = start(count_and_return, (void *)&seven);
    lido__fault_plan_from("mmap", 1, -ENOMEM);
    while (lido__fault_count() < 3)
        check_int(lido_sleep(1), 0);
    check(!lido_task_is_done(task));
    lido__fault_clear();
    check_int(finish(task), 7);
    return 0;
}

/* Uses up the stacks of the first chunk, so that the next needs a mapping. */
static int with_all_stacks_in_use(void *arg)
{
    enum { SLOTS = 64 };
    struct flag end = {0};
    lido_task *others[SLOTS - 1];
    for (size_t i = 0; i < COUNT(others); i++)
        others[i] = start(wait_for_end, &end);
    while (lido__load(&ran, LIDO__RELAXED) < COUNT(others))
        check_int(lido_yield(), 0);
    int r = (*(lido_fn *)arg)(NULL);
    flag_raise(&end);
    for (size_t i = 0; i < COUNT(others); i++)
        check_int(finish(others[i]), 0);
    return r;
}

static void check_late_start(lido_fn with)
{
    ran = 0;
    run_on(1, with_all_stacks_in_use, &with);
    check_int(ran, 64);
}

static void a_fiber_without_a_stack_starts_later(void **state)
{
    (void)state;
    check_late_start(join_a_child_without_stack);
    check_late_start(join_a_child_that_must_wait);
}

/* All of a worker's tasks wait for a stack: they cannot wait for each other. */
static void fibers_that_can_only_wait_for_each_other_fail(void **state)
{
    static int zero;
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    lido_task *tasks[3];
    ran = 0;
    lido__fault_plan_from("mmap", 1, -ENOMEM);
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = runtime_start(runtime, count_and_return, &zero);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), -ENOMEM);
    check_int(ran, 0);
    lido__fault_clear();
    check_int(lido_block_on(runtime, count_and_return, &zero), 0);
    runtime_end(runtime);
}

/* ThreadSanitizer starts one of its own with the first. */
static void *first_thread(void *arg)
{
    return arg;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lido_run_without_memory_for_its_root_leaves_nothing),
        cmocka_unit_test(each_failure_of_a_runtime_is_survived),
        cmocka_unit_test(each_failure_of_lido_run_is_survived),
        cmocka_unit_test(a_worker_that_could_not_be_called_comes_when_it_gets_a_thread),
        cmocka_unit_test(a_spawn_without_memory_is_refused_and_the_next_is_not),
        cmocka_unit_test(a_fiber_without_a_stack_starts_later),
        cmocka_unit_test(fibers_that_can_only_wait_for_each_other_fail),
        cmocka_unit_test(stacks_that_cannot_be_unmapped_are_used_again),
    };
    mallopt(M_ARENA_MAX, 1);
    thread_join(thread_start(first_thread, NULL));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
