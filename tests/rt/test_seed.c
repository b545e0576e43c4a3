/*
 * The tests of the systems that lido comes from, by the names that they have there: tokio-io-pool's,
 * and those of the multi-threaded runtime of tokio 0.2 alpha. (spawn_all and client_server: see
 * tests/net.)
 */
#include <errno.h>

#include "support/oneshot.h"
#include "support/runtime.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- tokio-io-pool -------------------------------------------------------------------------------- */

static int send_one(void *arg)
{
    oneshot_send(arg, 1);
    return 0;
}

static int receive(void *arg)
{
    return oneshot_receive(arg);
}

static void it_works(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct oneshot oneshot;
    oneshot_init(&oneshot);
    check_int(lido_runtime_spawn(runtime, NULL, send_one, &oneshot), 0);
    check_int(lido_block_on(runtime, receive, &oneshot), 1);
    runtime_end(runtime);
}

static int raise_flag(void *arg)
{
    flag_raise(arg);
    return 0;
}

static int spawn_and_return(void *arg)
{
    check_int(lido_spawn(NULL, raise_flag, arg), 0);
    return 42;
}

static void run_returns_the_roots_result(void **state)
{
    (void)state;
    struct flag flag = {0};
    check_int(lido_run(NULL, spawn_and_return, &flag), 42);
    check(flag_is_up(&flag));
}

struct exchange {
    struct oneshot there;
    struct oneshot back;
    int workers[2];
};

static int ask(void *arg)
{
    struct exchange *exchange = arg;
    exchange->workers[0] = lido_worker_index();
    oneshot_send(&exchange->there, 20);
    return oneshot_receive(&exchange->back);
}

static int answer(void *arg)
{
    struct exchange *exchange = arg;
    exchange->workers[1] = lido_worker_index();
    oneshot_send(&exchange->back, 22 + oneshot_receive(&exchange->there));
    return 0;
}

static void interthread_communication(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct exchange exchange;
    oneshot_init(&exchange.there);
    oneshot_init(&exchange.back);
    lido_task *asking, *answering;
    int result;
    check_int(lido_runtime_spawn(runtime, &asking, ask, &exchange), 0);
    check_int(lido_runtime_spawn(runtime, &answering, answer, &exchange), 0);
    check_int(lido_join(asking, &result), 0);
    check_int(result, 42);
    check_int(lido_join(answering, &result), 0);
    check(exchange.workers[0] != exchange.workers[1]);
    runtime_end(runtime);
}

/* Data that is not thread-safe is shared by tasks of one worker: TSan would see another thread. */
static int count_plainly(void *arg)
{
    int *counter = arg;
    for (int i = 0; i < 100; i++) {
        int seen = *counter;
        *counter = seen + 1;
        lido_yield();
    }
    return 0;
}

static int share_plain_data(void *arg)
{
    (void)arg;
    int counter = 0;
    lido_task *children[10];
    for (size_t i = 0; i < COUNT(children); i++)
        check_int(lido_spawn(&children[i], count_plainly, &counter), 0);
    for (size_t i = 0; i < COUNT(children); i++)
        check_int(finish(children[i]), 0);
    return counter;
}

static void spawn_nonsend_futures(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(4);
    lido_task *tasks[8];
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(lido_runtime_spawn(runtime, &tasks[i], share_plain_data, NULL), 0);
    for (size_t i = 0; i < COUNT(tasks); i++) {
        int result;
        check_int(lido_join(tasks[i], &result), 0);
        check_int(result, 1000);
    }
    runtime_end(runtime);
}

static int spawn_raiser(void *arg)
{
    return lido_spawn(NULL, raise_flag, arg);
}

static int spawn_spawner(void *arg)
{
    return lido_spawn(NULL, spawn_raiser, arg);
}

/* lido_run returns after the children of the root's children. */
static void really_lazy(void **state)
{
    (void)state;
    struct flag flag = {0};
    run_on(3, spawn_spawner, &flag);
    check(flag_is_up(&flag));
}

/* ---- runtime_threaded ----------------------------------------------------------------------------- */

static int spawn_two_levels(void *arg)
{
    for (int i = 0; i < 10; i++) {
        int r = lido_spawn(NULL, arg ? spawn_two_levels : nothing, NULL);
        check(r == 0 || r == -ESHUTDOWN);
    }
    return 0;
}

static void spawn_shutdown(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        lido_runtime *runtime = runtime_of(2);
        check_int(lido_runtime_spawn(runtime, NULL, spawn_two_levels, runtime), 0);
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
    }
}

static int sleep_100(void *arg)
{
    uint64_t before = lido_now();
    (void)arg;
    check_int(lido_sleep(100), 0);
    check(lido_now() - before >= 100000000);
    return 7;
}

static void block_on_timer(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    check_int(lido_block_on(runtime, sleep_100, NULL), 7);
    runtime_end(runtime);
}

static int sleep_and_send(void *arg)
{
    check_int(lido_sleep(50), 0);
    oneshot_send(arg, 3);
    return 0;
}

static int spawn_and_receive(void *arg)
{
    check_int(lido_spawn(NULL, sleep_and_send, arg), 0);
    return oneshot_receive(arg);
}

static void block_waits(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct oneshot oneshot;
    oneshot_init(&oneshot);
    check_int(lido_block_on(runtime, spawn_and_receive, &oneshot), 3);
    runtime_end(runtime);
}

struct countdown {
    uint32_t left;
    struct oneshot done;
};

static int count_down(void *arg)
{
    struct countdown *countdown = arg;
    if (lido__fetch_sub(&countdown->left, 1, LIDO__ACQ_REL) == 1)
        oneshot_send(&countdown->done, 0);
    return 0;
}

enum { MANY = 200 };

static int spawn_200(void *arg)
{
    struct countdown *countdown = arg;
    for (int i = 0; i < MANY; i++)
        check_int(lido_spawn(NULL, count_down, countdown), 0);
    return oneshot_receive(&countdown->done);
}

static void spawn_many(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(4);
    for (int i = 0; i < 10; i++) {
        struct countdown countdown = {.left = MANY};
        oneshot_init(&countdown.done);
        check_int(lido_block_on(runtime, spawn_200, &countdown), 0);
        check_int(countdown.left, 0);
    }
    runtime_end(runtime);
}

static int enter_again(void *arg)
{
    check_int(lido_block_on(arg, nothing, NULL), -EDEADLK);
    check_int(lido_run(NULL, nothing, NULL), -EDEADLK);
    return 5;
}

static void nested_enter(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    lido_runtime *other = runtime_of(1);
    check_int(lido_block_on(runtime, enter_again, runtime), 5);
    check_int(lido_block_on(runtime, enter_again, other), 5);
    runtime_end(other);
    runtime_end(runtime);
}

struct hooks {
    uint32_t started;
    uint32_t stopped;
};

static void count_start(void *arg, unsigned worker)
{
    (void)worker;
    lido__fetch_add(&((struct hooks *)arg)->started, 1, LIDO__RELAXED);
}

static void count_stop(void *arg, unsigned worker)
{
    (void)worker;
    lido__fetch_add(&((struct hooks *)arg)->stopped, 1, LIDO__RELAXED);
}

static void after_start_and_before_stop_is_called(void **state)
{
    (void)state;
    struct hooks hooks = {0, 0};
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    config.workers = 4;
    config.after_start = count_start;
    config.before_stop = count_stop;
    config.hook_arg = &hooks;
    check_int(lido_runtime_new(&runtime, &config), 0);
    check_int(lido_block_on(runtime, nothing, NULL), 0);
    check_int(hooks.started, 4);
    check_int(lido__load(&hooks.stopped, LIDO__RELAXED), 0);
    runtime_end(runtime);
    check_int(hooks.started, 4);
    check_int(hooks.stopped, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_works),
        cmocka_unit_test(run_returns_the_roots_result),
        cmocka_unit_test(interthread_communication),
        cmocka_unit_test(spawn_nonsend_futures),
        cmocka_unit_test(really_lazy),
        cmocka_unit_test(spawn_shutdown),
        cmocka_unit_test(block_on_timer),
        cmocka_unit_test(block_waits),
        cmocka_unit_test(spawn_many),
        cmocka_unit_test(nested_enter),
        cmocka_unit_test(after_start_and_before_stop_is_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
