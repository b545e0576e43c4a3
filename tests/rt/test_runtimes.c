/* Several runtimes in one process, whose tasks spawn, wake, join and stop each other. */
#include <errno.h>

#include "support/oneshot.h"
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

struct pair {
    lido_runtime *here;
    lido_runtime *there;
};

static void with_two_runtimes(unsigned workers, int (*fn)(void *pair))
{
    struct pair pair = {runtime_of(workers), runtime_of(workers)};
    lido_task *task;
    check_int(lido_runtime_spawn(pair.here, &task, fn, &pair), 0);
    check_int(lido_join(task, NULL), 0);
    runtime_end(pair.here);
    runtime_end(pair.there);
}

/* ---- Spawning --------------------------------------------------------------------------------------- */

static int current_is(void *arg)
{
    return lido_runtime_current() == arg;
}

static int spawn_there(void *arg)
{
    struct pair *pair = arg;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    check_int(lido_runtime_spawn(pair->there, &task, current_is, pair->there), 0);
    check_int(finish(task), 1);
    check_int(lido_runtime_spawn(pair->here, &task, current_is, pair->here), 0);
    check_int(finish(task), 1);
    options.placement = LIDO_PLACE_LOCAL; /* from outside: its policy */
    check_int(lido_runtime_spawn_with(pair->there, &task, current_is, pair->there, &options), 0);
    check_int(finish(task), 1);
    return 0;
}

static void a_task_spawns_into_another_runtime(void **state)
{
    (void)state;
    with_two_runtimes(1, spawn_there);
    with_two_runtimes(2, spawn_there);
}

/* ---- Joining and stopping ----------------------------------------------------------------------------- */

static int stop_there(void *arg)
{
    struct pair *pair = arg;
    int result;
    for (int i = 0; i < 50; i++) {
        lido_task *task = runtime_start(pair->there, sleep_long, NULL);
        {
            lido_within(0);
            check_int(lido_join(task, NULL), -ETIMEDOUT);
        }
        check_int(lido_stop(task, &result), 0);
        check_int(result, -ECANCELED);
    }
    return 0;
}

static void a_task_stops_one_of_another_runtime(void **state)
{
    (void)state;
    with_two_runtimes(1, stop_there);
}

static int join_there(void *arg)
{
    int result;
    check_int(lido_join(arg, &result), 0);
    return result;
}

/* The joined task ends because its runtime does. */
static void a_join_survives_the_end_of_the_other_runtime(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct pair pair = {runtime_of(1), runtime_of(1)};
        lido_task *task = runtime_start(pair.there, sleep_long, NULL);
        lido_task *joiner = runtime_start(pair.here, join_there, task);
        int result;
        check_int(lido_shutdown(pair.there, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
        check_int(lido_join(joiner, &result), 0);
        check_int(result, -ECANCELED);
        runtime_end(pair.here);
    }
}

/* ---- Waking ------------------------------------------------------------------------------------------- */

enum { ROUNDS = 300 };

struct table {
    struct oneshot ping[ROUNDS];
    struct oneshot pong[ROUNDS];
};

static int serve_first(void *arg)
{
    struct table *table = arg;
    for (int i = 0; i < ROUNDS; i++) {
        oneshot_send(&table->ping[i], i);
        check_int(oneshot_receive(&table->pong[i]), i + 1);
    }
    return 0;
}

static int return_balls(void *arg)
{
    struct table *table = arg;
    for (int i = 0; i < ROUNDS; i++)
        oneshot_send(&table->pong[i], oneshot_receive(&table->ping[i]) + 1);
    return 0;
}

static void two_runtimes_wake_each_other(void **state)
{
    static struct table tables[3];
    (void)state;
    struct pair pair = {runtime_of(1), runtime_of(1)};
    for (size_t t = 0; t < COUNT(tables); t++)
        for (int i = 0; i < ROUNDS; i++) {
            oneshot_init(&tables[t].ping[i]);
            oneshot_init(&tables[t].pong[i]);
        }
    for (size_t t = 0; t < COUNT(tables); t++) {
        check_int(lido_runtime_spawn(pair.here, NULL, serve_first, &tables[t]), 0);
        check_int(lido_runtime_spawn(pair.there, NULL, return_balls, &tables[t]), 0);
    }
    runtime_end(pair.here);
    runtime_end(pair.there);
}

/* ---- Many ------------------------------------------------------------------------------------------- */

static int start_and_end_another(void *arg)
{
    uint32_t *count = arg;
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    lido_task *task;
    config.workers = 1;
    check_int(lido_runtime_new(&runtime, &config), 0);
    check_int(lido_runtime_spawn(runtime, &task, nothing, NULL), 0);
    check_int(finish(task), 0);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
    lido__fetch_add(count, 1, LIDO__RELAXED);
    return 0;
}

static int start_many_others(void *arg)
{
    lido_task *tasks[6];
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = start_on(i % 2, start_and_end_another, arg);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void a_task_may_start_and_end_runtimes(void **state)
{
    uint32_t count = 0;
    (void)state;
    run_on(2, start_many_others, &count);
    check_int(count, 6);
}

static void lido_run_may_be_called_again(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        run_on(1 + (unsigned)i % 3, nothing, NULL);
}

static void *run_in_thread(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        run_on(2, nothing, NULL);
    return NULL;
}

static void threads_may_run_runtimes_side_by_side(void **state)
{
    pthread_t threads[3];
    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++)
        threads[i] = thread_start(run_in_thread, NULL);
    for (size_t i = 0; i < COUNT(threads); i++)
        thread_join(threads[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_spawns_into_another_runtime),
        cmocka_unit_test(a_task_stops_one_of_another_runtime),
        cmocka_unit_test(a_join_survives_the_end_of_the_other_runtime),
        cmocka_unit_test(two_runtimes_wake_each_other),
        cmocka_unit_test(a_task_may_start_and_end_runtimes),
        cmocka_unit_test(lido_run_may_be_called_again),
        cmocka_unit_test(threads_may_run_runtimes_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
