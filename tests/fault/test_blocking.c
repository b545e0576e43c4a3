/*
 * Blocking code when threads and memory cannot be had: what was accepted ends, with its result or with the
 * reason, nothing is left behind, and no capacity is lost.
 */
#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "os/os.h"
#include "support/gate.h"
#include "support/runtime.h"

static int seven(void *arg)
{
    (void)arg;
    return 7;
}

static struct flag passing;

static int pass(void *arg)
{
    flag_raise(&passing);
    gate_pass(arg);
    return 7;
}

static int open_gate(void *arg)
{
    gate_open(arg);
    return 0;
}

static lido_config small(void)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    config.max_blocking = config.max_fs = config.max_dns = 1;
    return config;
}

/* ---- No threads at all -------------------------------------------------------------------------- */

static int no_threads(void *arg)
{
    lido_task *task;
    (void)arg;
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    check_int(lido_blocking(seven, NULL), 7);
    check_int(lido_blocking(seven, NULL), 7);
    for (int i = 0; i < 3; i++) {
        check_int(lido_spawn_blocking(&task, seven, NULL), 0);
        check_int(finish(task), -EAGAIN);
    }
    check(lido__fault_hit() != NULL);
    lido__fault_clear();
    check_int(lido_spawn_blocking(&task, seven, NULL), 0);
    check_int(finish(task), 7);
    return 0;
}

static void without_threads_sections_run_and_tasks_say_so(void **state)
{
    lido_config config = small();
    (void)state;
    check_int(lido_run(&config, no_threads, NULL), 0);
}

static int one_thread(void *arg)
{
    struct gate gate = {0};
    lido_blocking_options options = LIDO_BLOCKING_OPTIONS_INIT;
    lido_task *runs, *waits;
    (void)arg;
    passing = (struct flag){0};
    check_int(lido_spawn_blocking(&runs, pass, &gate), 0);
    while (!flag_is_up(&passing)) /* until then its thread would see to others, too */
        check_int(lido_yield(), 0);
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    options.pool = LIDO_POOL_FS;
    check_int(lido_spawn_blocking_with(&waits, seven, NULL, &options), 0);
    for (int i = 0; i < 10; i++)
        check_int(lido_yield(), 0);
    check(lido__fault_hit() != NULL);
    check(!lido_task_is_done(waits));
    gate_open(&gate);
    check_int(finish(runs), 7);
    check_int(finish(waits), 7);
    lido__fault_clear();
    return 0;
}

static void a_task_for_which_no_thread_can_be_started_waits_for_one(void **state)
{
    lido_config config = small();
    (void)state;
    check_int(lido_run(&config, one_thread, NULL), 0);
}

struct departure {
    struct flag begun;
    struct gate gate;
};

/* The caller of lido_run is the first thread. */
static void depart(void *arg, unsigned thread)
{
    struct departure *departure = arg;
    if (thread == 0)
        return;
    flag_raise(&departure->begun);
    gate_pass(&departure->gate);
}

static int one_thread_that_leaves(void *arg)
{
    struct departure *departure = arg;
    lido_task *task;
    int result;
    check_int(lido_spawn_blocking(&task, seven, NULL), 0);
    check_int(finish(task), 7);
    while (!flag_is_up(&departure->begun))
        check_int(lido_sleep(1), 0);
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    check_int(lido_spawn_blocking(&task, seven, NULL), 0);
    lido_within(10000);
    check_int(lido_join(task, &result), 0);
    check_int(result, -EAGAIN);
    lido__fault_clear();
    gate_open(&departure->gate);
    return 0;
}

static void a_task_does_not_wait_for_a_thread_that_is_about_to_end(void **state)
{
    struct departure departure = {0};
    lido_config config = small();
    (void)state;
    config.keep_alive_ms = 1;
    config.before_stop = depart;
    config.hook_arg = &departure;
    check_int(lido_run(&config, one_thread_that_leaves, &departure), 0);
}

static int retake_fails_at_first(void *arg)
{
    struct gate gate = {0};
    (void)arg;
    lido__fault_plan("pthread_create", 2, -EAGAIN); /* the first is the lifeguard itself */
    lido_task *neighbour = start(open_gate, &gate);
    check_int(lido_blocking(pass, &gate), 7);
    check(lido__fault_hit() != NULL);
    lido__fault_clear();
    return finish(neighbour);
}

static void the_lifeguard_tries_again_until_it_has_a_thread(void **state)
{
    lido_config config = small();
    (void)state;
    check_int(lido_run(&config, retake_fails_at_first, NULL), 0);
}

static int which_worker(void *arg)
{
    (void)arg;
    return lido_worker_index();
}

static int block_beside_another(void *arg)
{
    struct gate gate = {0};
    unsigned other = !lido_worker_index();
    (void)arg;
    check_int(finish(start_pinned(other, which_worker, NULL)), other); /* it has a thread */
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    check_int(lido_spawn(NULL, open_gate, &gate), 0);
    check_int(lido_blocking(pass, &gate), 7);
    lido__fault_clear();
    return 0;
}

static void without_threads_tasks_beside_a_section_are_rescued(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    config.workers = 2;
    config.scheduler = "work-stealing";
    for (int i = 0; i < 20; i++)
        check_int(lido_run(&config, block_beside_another, NULL), 0);
}

static void note_report(void *arg, const lido_watch_report *report)
{
    if (!report->blocking)
        return;
    check_string(report->task_where, "root");
    check(report->frame_count > 0);
    lido__fault_clear();
    gate_open(arg);
}

/* Sleeps, for sanitizers deliver signals only there. */
static int sleep_until_open(void *arg)
{
    struct gate *gate = arg;
    while (!lido__load(&gate->open, LIDO__ACQUIRE))
        usleep(100);
    return 7;
}

static int block_unwatched(void *arg)
{
    lido__fault_plan_from("pthread_create", 1, -EAGAIN); /* the lifeguard is there */
    return lido_blocking(sleep_until_open, arg) - 7;
}

static void a_section_that_keeps_its_worker_is_reported_as_such(void **state)
{
    struct gate gate = {0};
    lido_config config = small();
    (void)state;
    config.watch_ms = 10;
    config.on_watch = note_report;
    config.hook_arg = &gate;
    check_int(lido_run(&config, block_unwatched, &gate), 0);
}

/* ---- Everything, once --------------------------------------------------------------------------- */

static int error;

static bool is_told(int r)
{
    return r == error || r == -ENOMEM || r == -EAGAIN;
}

/* Long enough to lose the worker; if nobody could watch it, it has it still. */
static int block_for_a_while(void *arg)
{
    (void)arg;
    usleep(300);
    return 7;
}

static int all_of_it(void *arg)
{
    lido_task *task;
    (void)arg;
    for (int i = 0; i < 2; i++) {
        check_int(lido_blocking(block_for_a_while, NULL), 7);
        int r = lido_spawn_blocking(&task, seven, NULL);
        check(r == 0 || is_told(r));
        int result = r == 0 ? finish(task) : 7;
        check(result == 7 || is_told(result));
    }
    return 0;
}

static uint64_t sweep(int with)
{
    lido_config config = small();
    unsigned threads = threads_count();
    error = with;
    for (uint64_t n = 1;; n++) {
        lido__fault_plan(NULL, n, with);
        int r = lido_run(&config, all_of_it, NULL);
        check(r == 0 || is_told(r));
        bool hit = lido__fault_hit();
        lido__fault_clear();
        while (threads_count() >
               threads) /* one that has been joined may be listed a moment longer */
            lido__thread_yield();
        if (!hit)
            return n - 1;
    }
}

static void each_failure_is_survived(void **state)
{
    (void)state;
    check_int(lido_run(NULL, seven, NULL), 7); /* what is made once and kept */
    check(sweep(-ENOMEM) > 15);
    check(sweep(-EAGAIN) > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_threads_sections_run_and_tasks_say_so),
        cmocka_unit_test(a_task_for_which_no_thread_can_be_started_waits_for_one),
        cmocka_unit_test(a_task_does_not_wait_for_a_thread_that_is_about_to_end),
        cmocka_unit_test(the_lifeguard_tries_again_until_it_has_a_thread),
        cmocka_unit_test(without_threads_tasks_beside_a_section_are_rescued),
        cmocka_unit_test(a_section_that_keeps_its_worker_is_reported_as_such),
        cmocka_unit_test(each_failure_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
