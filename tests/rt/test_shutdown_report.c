/* What a shutdown that takes too long says of the tasks that are left. */
#include <errno.h>

#include "os/os.h"
#include "support/gate.h"
#include "support/oneshot.h"
#include "support/reports.h"
#include "support/runtime.h"

/* A stamp is good to 17 ms, and the clock behind it to some more. */
#define ROUGHLY 40

/* Until lido has waited in vain for so long, and reported. */
static void time_out(lido_runtime *runtime, lido_shutdown_how how, int64_t ms,
                     struct reports *reports)
{
    *reports = (struct reports){0};
    check_int(lido_shutdown(runtime, how, ms, note, reports), -ETIMEDOUT);
}

static void end_now(lido_runtime *runtime)
{
    struct reports reports = {0};
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, note, &reports), 0);
    check_int(reports.count, 0);
}

/* ---- Tasks -------------------------------------------------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int receive(void *arg)
{
    return oneshot_receive(arg);
}

static int sleep_long(void *arg)
{
    (void)arg;
    return lido_sleep(3600000);
}

struct computing {
    struct flag started;
    struct flag told;
};

/* Until told; never asks lido for anything. */
static int compute(void *arg)
{
    struct computing *computing = arg;
    flag_raise(&computing->started);
    flag_await(&computing->told);
    return 0;
}

/* A task that keeps its worker, begun. */
static lido_task *start_computing(lido_runtime *runtime, unsigned worker, const char *name,
                                  struct computing *computing)
{
    *computing = (struct computing){0};
    lido_task *task = start_named_on(runtime, worker, name, compute, computing);
    flag_await(&computing->started);
    return task;
}

static int yield_until_told(void *arg)
{
    const struct flag *told = arg;
    while (!flag_is_up(told))
        lido_yield();
    return 0;
}

static int join_it(void *arg)
{
    int result;
    int r = lido_join(arg, &result);
    return r < 0 ? r : result;
}

/* Until all that were started on the first worker have come to wait. */
static void let_them_begin(lido_runtime *runtime)
{
    lido_task *last = start_named(runtime, NULL, nothing, NULL);
    check_int(lido_join(last, NULL), 0);
}

/* ---- What they await ---------------------------------------------------------------------------- */

static void what_waits_is_said_to_be_in_its_call(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct reports reports;
    struct oneshot oneshot;
    oneshot_init(&oneshot);
    lido_task *receiver = start_named(runtime, "receiver", receive, &oneshot);
    lido_task *joiner = start_named(runtime, "joiner", join_it, receiver);
    lido_task *sleeper = start_named(runtime, "sleeper", sleep_long, NULL);
    let_them_begin(runtime);
    time_out(runtime, LIDO_SHUTDOWN_ON_IDLE, 1, &reports);
    check_int(reports.count, 4); /* the one-shot is a future of its own */
    const lido_stuck *stuck = reported(&reports, "sleeper");
    check_string(stuck->awaits, "sleep");
    check(strstr(stuck->where, "reports.c:"));
    check(!stuck->runnable);
    check_string(reported(&reports, "joiner")->awaits, "join");
    check_string(reported(&reports, "receiver")->awaits, "join");
    end_now(runtime);
    lido_detach(joiner);
    lido_detach(sleeper);
}

static void a_task_that_ignores_cancellation_is_said_to_yield(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct reports reports;
    struct flag told = {0};
    lido_task *task = start_named(runtime, "stubborn", yield_until_told, &told);
    time_out(runtime, LIDO_SHUTDOWN_NOW, 20, &reports);
    check_int(reports.count, 1);
    check_string(reported(&reports, "stubborn")->awaits, "yield");
    check(reported(&reports, "stubborn")->runnable);
    flag_raise(&told);
    end_now(runtime);
    lido_detach(task);
}

static int pend(lido_future *future, const lido_waker *waker)
{
    (void)future;
    (void)waker;
    return lido_is_cancelled() ? -ECANCELED : LIDO_PENDING;
}

static void a_future_is_said_to_be_pending(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_future future = {pend};
    lido_task *task;
    struct reports reports;
    options.name = "pending";
    check_int(lido_spawn_future_at(runtime, &task, &future, &options, LIDO_HERE), 0);
    time_out(runtime, LIDO_SHUTDOWN_ON_IDLE, 20, &reports);
    check_int(reports.count, 1);
    check_string(reported(&reports, "pending")->awaits, "future");
    end_now(runtime);
    check_int(lido_join(task, NULL), 0);
}

/* ---- Blocking code ------------------------------------------------------------------------------ */

struct blocked {
    struct flag begun;
    struct gate gate;
};

static int block(void *arg)
{
    struct blocked *blocked = arg;
    flag_raise(&blocked->begun);
    gate_pass(&blocked->gate);
    return 0;
}

static int block_in_a_section(void *arg)
{
    return lido_blocking(block, arg);
}

static void blocking_code_is_said_to_block(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct reports reports;
    struct blocked in_section = {0}, in_job = {0};
    lido_blocking_options options = LIDO_BLOCKING_OPTIONS_INIT;
    lido_task *job;
    lido_task *section = start_named(runtime, "section", block_in_a_section, &in_section);
    options.name = "job";
    check_int(lido_spawn_blocking_at(runtime, &job, block, &in_job, &options, LIDO_HERE), 0);
    flag_await(&in_section.begun);
    flag_await(&in_job.begun);
    time_out(runtime, LIDO_SHUTDOWN_NOW, 1, &reports);
    check_int(reports.count, 2);
    check_string(reported(&reports, "section")->awaits, "blocking");
    check_string(reported(&reports, "job")->awaits, "blocking");
    gate_open(&in_section.gate);
    gate_open(&in_job.gate);
    end_now(runtime);
    check_int(lido_join(section, NULL), 0);
    check_int(lido_join(job, NULL), 0);
}

/* ---- Workers that do not answer ----------------------------------------------------------------- */

static void all_tasks_of_a_worker_that_does_not_come_back_are_named(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct computing computing;
    struct reports reports;
    struct flag told = {0};
    lido_task *sleeper = start_named(runtime, "sleeper", sleep_long, NULL);
    lido_task *yielder = start_named(runtime, "yielder", yield_until_told, &told);
    lido_task *elsewhere = start_named_on(runtime, 1, "elsewhere", sleep_long, NULL);
    let_them_begin(runtime);
    lido_task *busy = start_computing(runtime, 0, "busy", &computing);
    lido_task *fresh = start_named(runtime, "fresh", sleep_long, NULL); /* in its mail */
    time_out(runtime, LIDO_SHUTDOWN_ON_IDLE, 1, &reports);
    check_int(reports.count, 5);
    check_string(reported(&reports, "busy")->awaits, "running");
    check(!reported(&reports, "busy")->runnable);
    check_string(reported(&reports, "sleeper")->awaits, "sleep");
    check(!reported(&reports, "sleeper")->runnable);
    check_string(reported(&reports, "yielder")->awaits, "yield");
    check(reported(&reports, "yielder")->runnable);
    check_string(reported(&reports, "fresh")->awaits, "start");
    check(reported(&reports, "fresh")->runnable);
    check_int(reported(&reports, "fresh")->worker, 0);
    check_int(reported(&reports, "elsewhere")->worker, 1);
    flag_raise(&told);
    flag_raise(&computing.told);
    end_now(runtime);
    lido_detach(sleeper);
    lido_detach(yielder);
    lido_detach(elsewhere);
    lido_detach(busy);
    lido_detach(fresh);
}

static void count(void *arg, const lido_stuck *stuck)
{
    unsigned *counter = arg;
    (void)stuck;
    (*counter)++;
}

/* Looking into it, three times, has taken in its mail. */
static void the_tasks_of_such_a_worker_go_on_after_that(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct computing computing;
    lido_task *after[50];
    lido_task *busy = start_computing(runtime, 0, "busy", &computing);
    for (size_t i = 0; i < COUNT(after); i++)
        after[i] = start_named(runtime, NULL, nothing, NULL);
    for (int i = 0; i < 3; i++) {
        unsigned counter = 0;
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 1, count, &counter), -ETIMEDOUT);
        check_int(counter, 1 + COUNT(after));
    }
    flag_raise(&computing.told);
    for (size_t i = 0; i < COUNT(after); i++)
        check_int(lido_join(after[i], NULL), 0);
    check_int(lido_join(busy, NULL), 0);
    end_now(runtime);
}

/* Tasks that any worker may take, and none can: they are on no worker. */
static void tasks_that_wait_for_some_worker_are_named(void **state)
{
    static const char *const names[] = {"one", "two", "three"};
    (void)state;
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    struct computing computing[2];
    struct reports reports;
    lido_task *busy[2], *waiting[COUNT(names)];
    busy[0] = start_computing(runtime, 0, "busy 0", &computing[0]);
    busy[1] = start_computing(runtime, 1, "busy 1", &computing[1]);
    for (size_t i = 0; i < COUNT(names); i++) {
        lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
        options.name = names[i];
        check_int(lido_runtime_spawn_with(runtime, &waiting[i], nothing, NULL, &options), 0);
    }
    time_out(runtime, LIDO_SHUTDOWN_DRAIN, 1, &reports);
    check_int(reports.count, 2 + COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++) {
        check_string(reported(&reports, names[i])->awaits, "start");
        check(reported(&reports, names[i])->runnable);
    }
    for (size_t i = 0; i < COUNT(busy); i++)
        flag_raise(&computing[i].told);
    for (size_t i = 0; i < COUNT(names); i++)
        check_int(lido_join(waiting[i], NULL), 0);
    end_now(runtime);
    for (size_t i = 0; i < COUNT(busy); i++)
        lido_detach(busy[i]);
}

/* It could not answer, and has no tasks. */
static void a_worker_that_has_no_thread_yet_is_not_asked(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_by("work-stealing", 4);
    struct reports reports;
    uint64_t shortest = UINT64_MAX;
    lido_task *sleeper = start_named(runtime, "sleeper", sleep_long, NULL);
    let_them_begin(runtime);
    for (int i = 0; i < 10; i++) {
        uint64_t began = lido_now();
        time_out(runtime, LIDO_SHUTDOWN_ON_IDLE, 1, &reports);
        uint64_t took = lido_now() - began;
        shortest = took < shortest ? took : shortest;
        check_int(reports.count, 1);
        check_string(reported(&reports, "sleeper")->awaits, "sleep");
    }
    check(shortest < 90000000); /* nobody was waited for until it is too late to answer */
    end_now(runtime);
    lido_detach(sleeper);
}

enum { MANY = 32 };

/* The shortest of some tries, in ms: other things may take the machine's time. */
static int64_t report_took(lido_runtime *runtime, unsigned expected)
{
    int64_t shortest = INT64_MAX;
    for (int i = 0; i < 3; i++) {
        unsigned counter = 0;
        uint64_t began = lido_now();
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 0, count, &counter), -ETIMEDOUT);
        int64_t took = (int64_t)((lido_now() - began) / 1000000);
        check_int(counter, expected);
        shortest = took < shortest ? took : shortest;
    }
    return shortest;
}

static void many_workers_that_compute_are_waited_for_together(void **state)
{
    (void)state;
    static struct computing computing[MANY];
    lido_runtime *runtime = runtime_of(MANY);
    lido_task *busy[MANY];
    for (unsigned i = 0; i < MANY; i++)
        busy[i] = start_computing(runtime, i, NULL, &computing[i]);
    check(report_took(runtime, MANY) < 200);
    for (unsigned i = 0; i < MANY; i++)
        flag_raise(&computing[i].told);
    for (unsigned i = 0; i < MANY; i++)
        check_int(lido_join(busy[i], NULL), 0);
    end_now(runtime);
}

struct sound_sleep {
    struct flag begun;
    lido__shared uint32_t asleep; /* workers */
    struct gate gate;
};

/* An embedder's sleep from which nobody is woken before it is told. */
static void sleep_soundly(void *arg, unsigned worker, int fd, uint64_t timeout)
{
    struct sound_sleep *sleep = arg;
    (void)worker;
    (void)fd;
    (void)timeout;
    if (!flag_is_up(&sleep->begun))
        return;
    lido__fetch_add(&sleep->asleep, 1, LIDO__RELEASE);
    gate_pass(&sleep->gate);
}

static void many_workers_that_sleep_soundly_are_waited_for_together(void **state)
{
    (void)state;
    struct sound_sleep sleep = {0};
    lido_park park = {.park = sleep_soundly, .park_arg = &sleep};
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    lido_task *sleepers[MANY];
    config.workers = MANY;
    config.park = &park;
    check_int(lido_runtime_new(&runtime, &config), 0);
    for (unsigned i = 0; i < MANY; i++)
        sleepers[i] = start_named_on(runtime, i, NULL, sleep_long, NULL);
    flag_raise(&sleep.begun);
    while (lido__load(&sleep.asleep, LIDO__ACQUIRE) < MANY)
        lido__thread_yield();
    check(report_took(runtime, MANY) < 300);
    gate_open(&sleep.gate);
    end_now(runtime);
    for (unsigned i = 0; i < MANY; i++)
        lido_detach(sleepers[i]);
}

/* ---- For how long ------------------------------------------------------------------------------- */

static void check_waited(const struct reports *reports, const char *name, int64_t least,
                         int64_t most)
{
    int64_t waited = reported(reports, name)->waited_ms;
    check(waited >= least - ROUGHLY);
    check(waited <= most + ROUGHLY);
}

/* Waits, and when it is told, for something else. */
static int receive_and_sleep(void *oneshot)
{
    void *value;
    int r = lido_oneshot_recv(oneshot, &value);
    return r < 0 ? r : lido_sleep(3600000);
}

static void a_report_says_for_how_long(void **state)
{
    enum { LIMIT = 150 };
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct computing computing;
    struct reports reports;
    struct blocked blocked = {0};
    struct flag told = {0};
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    uint64_t began = lido_now();
    lido_task *sleeper = start_named(runtime, "sleeper", sleep_long, NULL);
    lido_task *section = start_named(runtime, "section", block_in_a_section, &blocked);
    lido_task *late = start_named(runtime, "late", receive_and_sleep, &oneshot);
    let_them_begin(runtime);
    /* They have waited for so long when the second half begins. */
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, LIMIT, NULL, NULL), -ETIMEDOUT);
    uint64_t middle = lido_now();
    check_int(lido_oneshot_send(&oneshot, NULL), 0);
    let_them_begin(runtime);
    lido_task *busy = start_computing(runtime, 0, "busy", &computing);
    lido_task *fresh = start_named(runtime, "fresh", yield_until_told, &told);
    time_out(runtime, LIDO_SHUTDOWN_ON_IDLE, LIMIT, &reports);
    int64_t first = (int64_t)((lido_now() - began) / 1000000);
    int64_t second = (int64_t)((lido_now() - middle) / 1000000);
    check_waited(&reports, "sleeper", 2 * LIMIT, first);
    check_waited(&reports, "section", 2 * LIMIT, first);
    check_waited(&reports, "late", LIMIT, second);
    check_waited(&reports, "busy", LIMIT, second);
    /* It came to its worker when that was looked into. */
    check_waited(&reports, "fresh", 0, second);
    flag_raise(&computing.told);
    flag_raise(&told);
    gate_open(&blocked.gate);
    end_now(runtime);
    lido_detach(sleeper);
    lido_detach(section);
    lido_detach(late);
    lido_detach(busy);
    lido_detach(fresh);
}

/* ---- The callback ------------------------------------------------------------------------------- */

struct using_lido {
    lido_runtime *runtime;
    lido_task *task;
    unsigned calls;
};

/* It is called by the caller of lido_shutdown, when all workers are at work again. */
static void use_lido(void *arg, const lido_stuck *stuck)
{
    struct using_lido *using = arg;
    using->calls++;
    check_string(stuck->name, "sleeper");
    check_int(lido_block_on(using->runtime, nothing, NULL), 0);
    check_int(lido_stop(using->task, NULL), 0);
}

static void the_callback_may_use_the_runtime(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct using_lido using = {.runtime = runtime};
    using.task = start_named(runtime, "sleeper", sleep_long, NULL);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 1, use_lido, &using), -ETIMEDOUT);
    check_int(using.calls, 1);
    runtime_end(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_is_said_to_be_in_its_call),
        cmocka_unit_test(a_task_that_ignores_cancellation_is_said_to_yield),
        cmocka_unit_test(a_future_is_said_to_be_pending),
        cmocka_unit_test(blocking_code_is_said_to_block),
        cmocka_unit_test(all_tasks_of_a_worker_that_does_not_come_back_are_named),
        cmocka_unit_test(the_tasks_of_such_a_worker_go_on_after_that),
        cmocka_unit_test(tasks_that_wait_for_some_worker_are_named),
        cmocka_unit_test(a_worker_that_has_no_thread_yet_is_not_asked),
        cmocka_unit_test(many_workers_that_compute_are_waited_for_together),
        cmocka_unit_test(many_workers_that_sleep_soundly_are_waited_for_together),
        cmocka_unit_test(a_report_says_for_how_long),
        cmocka_unit_test(the_callback_may_use_the_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
