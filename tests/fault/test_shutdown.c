/* The end of a runtime on a machine that has run out of something. */
#include <errno.h>

#include "base/fault.h"
#include "support/reports.h"
#include "support/runtime.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return lido_sleep(3600000);
}

/* Before any other: it is asked for once in a process. */
static void without_a_handler_for_forks_there_is_no_runtime(void **state)
{
    lido_runtime *untouched = NULL;
    (void)state;
    lido__fault_plan("pthread_atfork", 1, -ENOMEM);
    check_int(lido_runtime_new(&untouched, NULL), -ENOMEM);
    check(untouched == NULL);
    check(lido__fault_hit() != NULL);
    lido__fault_clear();
    runtime_end(runtime_of(1));
}

/* Each is told of, if not by its name. */
static void without_memory_a_report_still_counts_the_tasks(void **state)
{
    enum { TASKS = 5 };
    (void)state;
    for (unsigned n = 1; n <= TASKS; n++) {
        lido_runtime *runtime = runtime_of(1);
        struct reports reports = {0};
        unsigned named = 0;
        lido_task *tasks[TASKS];
        for (size_t i = 0; i < TASKS; i++)
            tasks[i] = start_named(runtime, "sleeper", sleep_long, NULL);
        check_int(lido_block_on(runtime, nothing, NULL), 0);
        lido__fault_plan_from("malloc", n, -ENOMEM);
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 1, note, &reports), -ETIMEDOUT);
        lido__fault_clear();
        check_int(reports.count, TASKS);
        for (size_t i = 0; i < TASKS; i++) {
            named += reports.stuck[i].name != NULL;
            check(reports.stuck[i].awaits != NULL && reports.stuck[i].where != NULL);
        }
        check_int(named, n - 1);
        check_int(lido_runtime_free(runtime), 0);
        for (size_t i = 0; i < TASKS; i++)
            lido_detach(tasks[i]);
    }
}

/* It blocks its worker for the moment in which the other's threads end. */
static int end_another(void *arg)
{
    lido_runtime *other = arg;
    struct reports reports = {0};
    lido__fault_plan_from("pthread_create", 1, -EAGAIN);
    check_int(lido_shutdown(other, LIDO_SHUTDOWN_ON_IDLE, 1, note, &reports), -ETIMEDOUT);
    check_int(reports.count, 1);
    check_int(lido_shutdown(other, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
    lido__fault_clear();
    return 0;
}

static void without_threads_a_fiber_can_end_a_runtime(void **state)
{
    (void)state;
    lido_runtime *other = runtime_by("io-pool", 2);
    lido_task *task = start_named(other, "sleeper", sleep_long, NULL);
    run_on(1, end_another, other);
    check_int(lido_join(task, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_handler_for_forks_there_is_no_runtime),
        cmocka_unit_test(without_memory_a_report_still_counts_the_tasks),
        cmocka_unit_test(without_threads_a_fiber_can_end_a_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
