/* The watch: who is reported, as what, how often, and to whom. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "support/death.h"
#include "support/gate.h"
#include "support/runtime.h"

enum { LIMIT_MS = 20 };

struct watched {
    lido__shared uint32_t reports;
    lido_watch_report last;
    void *frames[64];
    void *caller; /* an address in the task that does not come back */
    struct gate gate;
};

static void note_report(void *arg, const lido_watch_report *report)
{
    struct watched *watched = arg;
    check(lido_self() == NULL);
    if (!report->task_name || strcmp(report->task_name, "hog") != 0)
        return; /* on a machine that is busy with other things anybody may take long */
    watched->last = *report;
    check(report->frame_count <= COUNT(watched->frames));
    if (report->frame_count)
        memcpy(watched->frames, report->frames, report->frame_count * sizeof(void *));
    lido__fetch_add(&watched->reports, 1, LIDO__RELEASE);
}

static unsigned reports_of(const struct watched *watched)
{
    return lido__load(&watched->reports, LIDO__ACQUIRE);
}

static lido_config watching(struct watched *watched, unsigned limit_ms)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    config.watch_ms = limit_ms;
    config.on_watch = note_report;
    config.hook_arg = watched;
    return config;
}

/* Does not come back until it has been reported so often. Sleeps, for sanitizers deliver signals only there. */
static __attribute__((noinline)) void keep_worker(struct watched *watched, unsigned reports)
{
    watched->caller = __builtin_return_address(0);
    while (reports_of(watched) < reports)
        usleep(100);
    uint64_t until = lido_now() + 2000000 * LIMIT_MS;
    while (lido_now() < until)
        usleep(100);
    check_int(reports_of(watched), reports); /* once for each poll */
}

static void check_hog(const struct watched *watched)
{
    const lido_watch_report *last = &watched->last;
    check_int(last->worker, 0);
    check_string(last->task_name, "hog");
    check(strstr(last->task_where, "test_watch.c:") != NULL);
    check(last->ms >= LIMIT_MS);
    check(!last->blocking);
    bool found = false;
    for (size_t i = 0; i < last->frame_count; i++)
        found |= watched->frames[i] == watched->caller;
    check(found);
}

static int hog(void *arg)
{
    struct watched *watched = arg;
    keep_worker(watched, 1);
    check_hog(watched);
    check_int(lido_yield(), 0);
    keep_worker(watched, 2);
    check_hog(watched);
    return 0;
}

static lido_task *start_named(lido_fn fn, void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.name = "hog";
    check_int(lido_spawn_with(&task, fn, arg, &options), 0);
    return task;
}

static int run_hog(void *arg)
{
    return finish(start_named(hog, arg));
}

static void a_task_that_does_not_come_back_is_reported_once_for_each_poll(void **state)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, LIMIT_MS);
    lido_runtime *runtime;
    (void)state;
    check_int(lido_run(&config, run_hog, &watched), 0);
    check_int(watched.reports, 2);
    watched.reports = 0;
    config.report_faults = true;
    check_int(lido_runtime_new(&runtime, &config), 0);
    check_int(lido_block_on(runtime, run_hog, &watched), 0);
    runtime_end(runtime);
    check_int(watched.reports, 2);
}

static int pass(void *arg)
{
    gate_pass(arg);
    return 0;
}

static int open_gate(void *arg)
{
    gate_open(arg);
    return 0;
}

/* The first thread is in a section that takes longer than the limit, which is what sections are for. */
static int hog_on_second_thread(void *arg)
{
    struct watched *watched = arg;
    check_int(lido_sleep(2 * LIMIT_MS), 0);
    check_int(reports_of(watched), 0);
    hog(arg);
    return open_gate(&watched->gate);
}

static int block_and_hog(void *arg)
{
    struct watched *watched = arg;
    lido_task *task = start_named(hog_on_second_thread, arg);
    check_int(lido_blocking(pass, &watched->gate), 0);
    return finish(task);
}

static void the_thread_that_carries_the_worker_now_is_asked(void **state)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, LIMIT_MS);
    (void)state;
    check_int(lido_run(&config, block_and_hog, &watched), 0);
    check_int(watched.reports, 2);
}

static int come_back(void *arg)
{
    uint64_t until = lido_now() + 1000000000;
    while (lido_now() < until)
        check_int(lido_yield(), 0);
    check_int(lido_sleep(1), 0);
    (void)arg;
    return 0;
}

static int run_that_comes_back(void *arg)
{
    return finish(start_named(come_back, arg));
}

static void a_task_that_comes_back_is_not_reported(void **state)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, 400);
    (void)state;
    check_int(lido_run(&config, run_that_comes_back, NULL), 0);
    check_int(watched.reports, 0);
}

/* Silent for longer than the lifeguard waits for an answer, as a thread is that gets no cpu. */
static int answer_late(void *arg)
{
    struct watched *watched = arg;
    sigset_t urgent;
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    check_int(pthread_sigmask(SIG_BLOCK, &urgent, NULL), 0);
    uint64_t until = lido_now() + 150000000;
    while (lido_now() < until)
        usleep(100);
    check_int(pthread_sigmask(SIG_UNBLOCK, &urgent, NULL), 0);
    keep_worker(watched, 1);
    check(watched->last.frame_count > 0);
    return 0;
}

static int run_late(void *arg)
{
    return finish(start_named(answer_late, arg));
}

static void a_thread_that_answers_late_is_asked_again(void **state)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, LIMIT_MS);
    (void)state;
    check_int(lido_run(&config, run_late, &watched), 0);
    check_int(watched.reports, 1);
}

/* ---- A thread that does not answer ------------------------------------------------------------------ */

enum { SECTIONS = 20, ROUNDS = 3 };

struct silence {
    struct flag begun;
    struct flag over;
    struct gate gates[SECTIONS];
    uint64_t took; /* ns: to give the worker of each section to another thread */
};

static void block_urgent(int how)
{
    sigset_t urgent;
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    check_int(pthread_sigmask(how, &urgent, NULL), 0);
}

static int be_silent(void *arg)
{
    struct silence *silence = arg;
    block_urgent(SIG_BLOCK);
    flag_raise(&silence->begun);
    flag_await(&silence->over);
    block_urgent(SIG_UNBLOCK);
    return 0;
}

/* Its worker can run this only if it has been taken from the section. */
static int open_the_gate(void *gate)
{
    gate_open(gate);
    return 0;
}

static int block_often(void *arg)
{
    struct silence *silence = arg;
    check_int(lido_sleep(2 * LIMIT_MS), 0);
    uint64_t began = lido_now();
    for (unsigned i = 0; i < SECTIONS; i++) {
        lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
        lido_task *task;
        options.placement = LIDO_PLACE_LOCAL;
        options.mobility = LIDO_PINNED;
        check_int(lido_spawn_with(&task, open_the_gate, &silence->gates[i], &options), 0);
        check_int(lido_blocking(pass, &silence->gates[i]), 0);
        check_int(finish(task), 0);
    }
    silence->took = lido_now() - began;
    flag_raise(&silence->over);
    return 0;
}

/* What 20 sections wait for their lifeguard beside a thread that does not answer. */
static uint64_t sections_beside_silence(void)
{
    struct silence silence = {0};
    struct watched watched = {0};
    lido_config config = watching(&watched, LIMIT_MS);
    lido_runtime *runtime;
    config.workers = 2;
    check_int(lido_runtime_new(&runtime, &config), 0);
    lido_task *silent = runtime_start_pinned(runtime, 0, be_silent, &silence);
    flag_await(&silence.begun);
    check_int(finish(runtime_start_pinned(runtime, 1, block_often, &silence)), 0);
    check_int(finish(silent), 0);
    runtime_end(runtime);
    return silence.took;
}

/* Ten questions of 50 ms each: half a second, if somebody waited for the answers. */
static void a_thread_that_does_not_answer_holds_nobody_up(void **state)
{
    uint64_t least = UINT64_MAX;
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t took = sections_beside_silence();
        least = took < least ? took : least;
    }
    check(least < 150000000);
}

static int compute_shortly(void *arg)
{
    (void)arg;
    usleep(2500 * LIMIT_MS);
    return 0;
}

/* The signal is still pending when the runtime that has asked is gone, and another one watches. */
static void an_answer_may_come_when_its_runtime_is_gone(void **state)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, LIMIT_MS);
    lido_runtime *other;
    (void)state;
    check_int(lido_runtime_new(&other, &config), 0);
    for (int i = 0; i < ROUNDS; i++) {
        block_urgent(SIG_BLOCK);
        check_int(lido_run(&config, compute_shortly, NULL), 0);
        block_urgent(SIG_UNBLOCK);
    }
    runtime_end(other);
}

/* ---- The operator ------------------------------------------------------------------------------- */

static void run_in_debug(void *arg)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, LIMIT_MS);
    setenv("LIDO_DEBUG", arg, 1);
    check_int(lido_run(&config, run_hog, &watched), 0);
}

static void reports_go_to_stderr_if_the_operator_wants(void **state)
{
    struct death death;
    char on[] = "1", off[] = "0";
    (void)state;
    death_of(run_in_debug, on, &death);
    check(WIFEXITED(death.status));
    check_int(WEXITSTATUS(death.status), 0);
    check(strstr(death.told, "lido: worker 0 has been in task hog, spawned at ") != NULL);
    check(strstr(death.told, "test_watch.c:") != NULL);
    death_of(run_in_debug, off, &death);
    check_string(death.told, "");
}

/* ---- The signal --------------------------------------------------------------------------------- */

static int foreign;

static void on_foreign(int signal)
{
    foreign += signal == SIGURG;
}

static int raise_foreign(void *arg)
{
    (void)arg;
    raise(SIGURG);
    return 0;
}

static void a_signal_that_is_not_the_lifeguards_goes_where_it_went(void **state)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, LIMIT_MS);
    struct sigaction mine = {.sa_handler = on_foreign}, before, after;
    (void)state;
    check_int(lido_run(&config, raise_foreign, NULL), 0); /* by default nowhere */
    check_int(sigaction(SIGURG, &mine, &before), 0);
    check_int(lido_run(&config, raise_foreign, NULL), 0);
    check_int(foreign, 1);
    check_int(sigaction(SIGURG, &before, &after), 0);
    check(after.sa_handler == on_foreign);
}

static struct sigaction under; /* what was there when this one came */
static unsigned over_calls;

static void on_top(int signal, siginfo_t *info, void *context)
{
    over_calls++;
    if (under.sa_flags & SA_SIGINFO)
        under.sa_sigaction(signal, info, context);
}

static int install_and_raise(void *arg)
{
    struct sigaction mine = {.sa_sigaction = on_top, .sa_flags = SA_SIGINFO};
    (void)arg;
    check_int(sigaction(SIGURG, &mine, &under), 0);
    raise(SIGURG);
    return 0;
}

/* It calls the one before; which passes on to it, when the next runtime has come. */
static void a_handler_that_is_installed_later_stays(void **state)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, LIMIT_MS);
    struct sigaction now, before;
    (void)state;
    check_int(sigaction(SIGURG, NULL, &before), 0);
    check_int(lido_run(&config, install_and_raise, NULL), 0);
    check_int(over_calls, 1);
    check_int(sigaction(SIGURG, NULL, &now), 0);
    check(now.sa_sigaction == on_top);
    check_int(lido_run(&config, raise_foreign, NULL), 0);
    check_int(over_calls, 2);
    check_int(sigaction(SIGURG, &before, &now), 0);
    check(now.sa_sigaction == on_top);
}

/* ---- The end of the task that is asked for ---------------------------------------------------------- */

static void check_name(void *arg, const lido_watch_report *report)
{
    struct watched *watched = arg;
    if (!report->task_name)
        return;
    check(strncmp(report->task_name, "short", 5) == 0);
    lido__fetch_add(&watched->reports, 1, LIDO__RELAXED);
}

/* Ends just when it is asked, or before, or after. */
static int end_about_then(void *arg)
{
    uint64_t until = lido_now() + *(const uint64_t *)arg;
    while (lido_now() < until)
        usleep(20);
    return 0;
}

static void run_short(lido_runtime *runtime, unsigned round)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    uint64_t ns = 900000 + round % 50 * 30000;
    char *name = strdup("short");
    lido_task *task;
    options.name = name;
    check_int(lido_runtime_spawn_with(runtime, &task, end_about_then, &ns, &options), 0);
    check_int(finish(task), 0);
    memset(name, '?', 5);
    free(name);
}

/* Its name lives no longer than the task. */
static void a_task_that_ends_meanwhile_is_not_looked_at(void **state)
{
    struct watched watched = {0};
    lido_config config = watching(&watched, 1);
    lido_runtime *runtime;
    (void)state;
    config.on_watch = check_name;
    check_int(lido_runtime_new(&runtime, &config), 0);
    for (unsigned round = 0; round < 600; round++)
        run_short(runtime, round);
    runtime_end(runtime);
    check(watched.reports > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First, for it forks, which a process with threads should not. */
        cmocka_unit_test(reports_go_to_stderr_if_the_operator_wants),
        cmocka_unit_test(a_task_that_does_not_come_back_is_reported_once_for_each_poll),
        cmocka_unit_test(the_thread_that_carries_the_worker_now_is_asked),
        cmocka_unit_test(a_thread_that_answers_late_is_asked_again),
        cmocka_unit_test(a_thread_that_does_not_answer_holds_nobody_up),
        cmocka_unit_test(an_answer_may_come_when_its_runtime_is_gone),
        cmocka_unit_test(a_task_that_comes_back_is_not_reported),
        cmocka_unit_test(a_signal_that_is_not_the_lifeguards_goes_where_it_went),
        cmocka_unit_test(a_handler_that_is_installed_later_stays),
        cmocka_unit_test(a_task_that_ends_meanwhile_is_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
