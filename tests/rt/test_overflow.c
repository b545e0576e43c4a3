/* A fault in a task is told, with the task's name and where it was spawned, before the process dies. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "support/death.h"
#include "support/runtime.h"

static void check_told(const struct death *death, const char *text)
{
    if (!strstr(death->told, text))
        fail_msg("\"%s\" is not in what was told: %s", text, death->told);
}

static void check_not_told(const struct death *death, const char *text)
{
    if (strstr(death->told, text))
        fail_msg("\"%s\" is in what was told: %s", text, death->told);
}

static void check_died_of(const struct death *death, int signal)
{
    check(WIFSIGNALED(death->status));
    check_int(WTERMSIG(death->status), signal);
}

/* ---- Tasks that fault ------------------------------------------------------------------------------ */

static volatile bool deeper = true; /* always, but the compiler does not know */

static int overflow(int depth)
{
    volatile char frame[256];
    frame[0] = (char)depth;
    int below = deeper ? overflow(depth + 1) : 0;
    return below + frame[0];
}

static int overflow_later(void *arg)
{
    (void)arg;
    check_int(lido_yield(), 0);
    return overflow(1);
}

static int read_bad_memory(void)
{
    return *(volatile int *)(uintptr_t)0x1230;
}

static int follow_a_bad_pointer(void *arg)
{
    (void)arg;
    check_int(lido_yield(), 0);
    return read_bad_memory();
}

static int raise_it(void *arg)
{
    (void)arg;
    return raise(SIGSEGV);
}

struct doomed {
    lido_fn fn;
    bool report;
    void (*on_fault)(const lido_fault *fault);
    enum lido__guard_method guard;
    unsigned worker;
};

static int start_doomed(void *arg)
{
    const struct doomed *doomed = arg;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.name = "doomed";
    options.placement = LIDO_PLACE_WORKER;
    options.worker = doomed->worker;
    check_int(lido_spawn_with(&task, doomed->fn, NULL, &options), 0);
    return finish(task);
}

static void run_doomed(void *arg)
{
    const struct doomed *doomed = arg;
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 2;
    config.report_faults = doomed->report;
    config.on_fault = doomed->on_fault;
    lido__pages_guard_force(doomed->guard);
    lido_run(&config, start_doomed, arg);
}

static struct death death_of_doomed(struct doomed doomed)
{
    struct death death;
    death_of(run_doomed, &doomed, &death);
    return death;
}

/* ---- Overflows --------------------------------------------------------------------------------------- */

static void an_overflow_is_told_with_the_task(void **state)
{
    (void)state;
    for (unsigned worker = 0; worker < 2; worker++) {
        struct death death = death_of_doomed(
            (struct doomed){.fn = overflow_later, .report = true, .worker = worker});
        check_told(&death, "lido: stack overflow at 0x");
        check_told(&death, "in task doomed, spawned at ");
        check_told(&death, "test_overflow.c:");
        check_told(&death, "stack_size");
        check_died_of(&death, SIGSEGV);
    }
}

/* However the guard is made. */
static void each_kind_of_guard_tells_an_overflow(void **state)
{
    (void)state;
    for (int method = LIDO__GUARD_BATCH; method <= LIDO__GUARD_PROTECT; method++) {
        struct death death = death_of_doomed((struct doomed){
            .fn = overflow_later, .report = true, .guard = (enum lido__guard_method)method});
        check_told(&death, "lido: stack overflow at 0x");
        check_died_of(&death, SIGSEGV);
    }
}

static void an_overflow_is_not_told_unless_asked(void **state)
{
    (void)state;
    struct death death = death_of_doomed((struct doomed){.fn = overflow_later});
    check_not_told(&death, "lido:");
    check_died_of(&death, SIGSEGV);
}

/* The root has no place of its own. */
static void overflow_as_root(void *arg)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)arg;
    config.workers = 1;
    config.report_faults = true;
    lido_run(&config, overflow_later, NULL);
}

static void an_overflow_of_the_root_is_told(void **state)
{
    struct death death;
    (void)state;
    death_of(overflow_as_root, NULL, &death);
    check_told(&death, "lido: stack overflow at 0x");
    check_told(&death, "in task (unnamed), spawned at root");
    check_died_of(&death, SIGSEGV);
}

/* ---- Other faults -------------------------------------------------------------------------------------- */

static void a_bad_pointer_is_told_with_the_task(void **state)
{
    (void)state;
    struct death death =
        death_of_doomed((struct doomed){.fn = follow_a_bad_pointer, .report = true});
    check_told(&death, "lido: memory fault at 0x0000000000001230 in task doomed, spawned at ");
    check_not_told(&death, "stack overflow");
    check_died_of(&death, SIGSEGV);
}

static void a_raised_signal_kills_too(void **state)
{
    (void)state;
    struct death death = death_of_doomed((struct doomed){.fn = raise_it, .report = true});
    check_told(&death, "in task doomed");
    check_died_of(&death, SIGSEGV);
}

static void fault_in_a_hook(void *arg, unsigned worker)
{
    (void)arg;
    (void)worker;
    read_bad_memory();
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void run_with_bad_hook(void *arg)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)arg;
    config.workers = 1;
    config.report_faults = true;
    config.before_stop = fault_in_a_hook;
    lido_run(&config, nothing, NULL);
}

static void a_fault_outside_of_tasks_is_told_as_such(void **state)
{
    struct death death;
    (void)state;
    death_of(run_with_bad_hook, NULL, &death);
    check_told(&death, "lido: memory fault at 0x");
    check_told(&death, "outside of a task");
    check_died_of(&death, SIGSEGV);
}

/* ---- Who else is told ---------------------------------------------------------------------------------- */

static void tell_fields(const lido_fault *fault)
{
    char text[300];
    int length = snprintf(text, sizeof(text), "fields: %d %d %s %s\n", fault->signal == SIGSEGV,
                          fault->stack_overflow, fault->task_name,
                          strstr(fault->task_where, "test_overflow.c:") ? "here" : "elsewhere");
    check(write(STDERR_FILENO, text, (size_t)length) == length);
}

static void on_fault_is_called(void **state)
{
    (void)state;
    struct death death = death_of_doomed(
        (struct doomed){.fn = overflow_later, .report = true, .on_fault = tell_fields});
    check_told(&death, "fields: 1 1 doomed here\n");
    check_died_of(&death, SIGSEGV);
    death = death_of_doomed(
        (struct doomed){.fn = follow_a_bad_pointer, .report = true, .on_fault = tell_fields});
    check_told(&death, "fields: 1 0 doomed here\n");
}

static void exit_42(int signal)
{
    (void)signal;
    _exit(42);
}

static void handle_and_run(void *arg)
{
    struct sigaction action = {.sa_handler = exit_42, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    run_doomed(arg);
}

static void the_handler_from_before_is_called_in_the_end(void **state)
{
    struct doomed doomed = {.fn = overflow_later, .report = true, .worker = 1};
    struct death death;
    (void)state;
    death_of(handle_and_run, &doomed, &death);
    check_told(&death, "lido: stack overflow");
    check(WIFEXITED(death.status));
    check_int(WEXITSTATUS(death.status), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_overflow_is_told_with_the_task),
        cmocka_unit_test(each_kind_of_guard_tells_an_overflow),
        cmocka_unit_test(an_overflow_is_not_told_unless_asked),
        cmocka_unit_test(an_overflow_of_the_root_is_told),
        cmocka_unit_test(a_bad_pointer_is_told_with_the_task),
        cmocka_unit_test(a_raised_signal_kills_too),
        cmocka_unit_test(a_fault_outside_of_tasks_is_told_as_such),
        cmocka_unit_test(on_fault_is_called),
        cmocka_unit_test(the_handler_from_before_is_called_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
