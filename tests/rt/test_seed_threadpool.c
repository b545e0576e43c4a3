/*
 * The tests of tokio-threadpool (tests/threadpool.rs), by the names that they have there. Where that one drops
 * futures in mid-flight, lido cancels them, and each runs to its end (law 2): so here they count ends. A task
 * that panics is here one that returns an error.
 */
#include <errno.h>

#include "os/os.h"
#include "support/runtime.h"
#include "support/stress.h"

/* Of the short ones: as many as fit into the time, which on a busy machine are few. */
enum { ROUNDS = SCALED(1000, 250, 100), ROUNDS_LEAST = 10 };
#define ROUNDS_NS UINT64_C(3000000000)

static bool goes_on(int round, uint64_t began)
{
    return round < ROUNDS_LEAST || (round < ROUNDS && lido_now() < began + ROUNDS_NS);
}

/* ---- Threads that are started, and end --------------------------------------------------------------- */

struct hooks {
    uint64_t started;
    uint64_t stopped;
};

static void count_start(void *arg, unsigned thread)
{
    struct hooks *hooks = arg;
    (void)thread;
    tally(&hooks->started, 1);
}

static void count_stop(void *arg, unsigned thread)
{
    struct hooks *hooks = arg;
    (void)thread;
    tally(&hooks->stopped, 1);
}

static lido_runtime *hooked_runtime(struct hooks *hooks, unsigned workers)
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    *hooks = (struct hooks){0, 0};
    config.workers = workers;
    config.after_start = count_start;
    config.before_stop = count_stop;
    config.hook_arg = hooks;
    check_int(lido_runtime_new(&runtime, &config), 0);
    return runtime;
}

static void check_threads(const struct hooks *hooks)
{
    check(hooks->started >= 1);
    check_int(hooks->stopped, hooks->started);
}

/* ---- Shutdown ---------------------------------------------------------------------------------------- */

struct messenger {
    lido_oneshot oneshot;
    const char *message;
};

static int send_message(void *arg)
{
    struct messenger *messenger = arg;
    check_int(lido_oneshot_send(&messenger->oneshot, (void *)messenger->message), 0);
    return 0;
}

static int receive_both(void *arg)
{
    struct messenger *messengers = arg;
    void *message;
    for (int i = 0; i < 2; i++) {
        check_int(lido_oneshot_recv(&messengers[i].oneshot, &message), 0);
        check_string(message, messengers[i].message);
    }
    return 0;
}

static void natural_shutdown_simple_futures(void **state)
{
    uint64_t began = lido_now();
    (void)state;
    for (int round = 0; goes_on(round, began); round++) {
        struct messenger messengers[2] = {{LIDO_ONESHOT_INIT, "one"}, {LIDO_ONESHOT_INIT, "two"}};
        struct hooks hooks;
        lido_runtime *runtime = hooked_runtime(&hooks, 2);
        for (int i = 0; i < 2; i++)
            check_int(lido_runtime_spawn(runtime, NULL, send_message, &messengers[i]), 0);
        check_int(lido_block_on(runtime, receive_both, messengers), 0);
        runtime_end(runtime);
        check_threads(&hooks);
    }
}

struct endless {
    uint64_t begun;
    uint64_t ended;
};

static int never_end(void *arg)
{
    struct endless *endless = arg;
    post(&endless->begun);
    int r = lido_sleep(INT64_MAX);
    check_int(r, -ECANCELED);
    post(&endless->ended);
    return r;
}

/* Sometimes it waits already, and sometimes it has not begun. */
static void await_some(const uint64_t *counter, int round)
{
    while (round % 2 && posted(counter) == 0)
        lido__thread_yield();
}

static void force_shutdown_drops_futures(void **state)
{
    uint64_t began = lido_now();
    (void)state;
    for (int round = 0; goes_on(round, began); round++) {
        struct endless endless = {0, 0};
        struct hooks hooks;
        lido_runtime *runtime = hooked_runtime(&hooks, 2);
        check_int(lido_runtime_spawn(runtime, NULL, never_end, &endless), 0);
        await_some(&endless.begun, round);
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
        check_int(endless.ended, 1);
        check_threads(&hooks);
    }
}

static void drop_threadpool_drops_futures(void **state)
{
    uint64_t began = lido_now();
    (void)state;
    for (int round = 0; goes_on(round, began); round++) {
        struct endless endless = {0, 0};
        struct hooks hooks;
        lido_runtime *runtime = hooked_runtime(&hooks, 1 + (unsigned)round % 3);
        for (int i = 0; i < 3; i++)
            check_int(lido_runtime_spawn(runtime, NULL, never_end, &endless), 0);
        await_some(&endless.begun, round);
        check_int(lido_runtime_free(runtime), 0);
        check_int(endless.ended, 3);
        check_threads(&hooks);
    }
}

/* A future of which somebody else keeps a waker: it ends with its runtime all the same. */
struct kept {
    lido_future future;
    lido_waker waker;
    uint64_t kept;
    bool ended;
};

static int keep_waker(lido_future *future, const lido_waker *waker)
{
    struct kept *kept = (struct kept *)future;
    if (posted(&kept->kept) == 0) {
        kept->waker = lido_waker_clone(waker);
        post(&kept->kept);
    }
    if (!lido_is_cancelled())
        return LIDO_PENDING;
    kept->ended = true;
    return 0;
}

static void eagerly_drops_futures(void **state)
{
    uint64_t began = lido_now();
    (void)state;
    for (int round = 0; goes_on(round, began); round++) {
        struct kept kept = {.future = {keep_waker}};
        lido_runtime *runtime = runtime_of(2);
        check_int(lido_runtime_spawn_future(runtime, NULL, &kept.future), 0);
        while (posted(&kept.kept) == 0)
            lido__thread_yield();
        check_int(lido_runtime_free(runtime), 0);
        check(kept.ended);
        lido_waker_wake(&kept.waker); /* does nothing any more */
        lido_waker_drop(&kept.waker);
    }
}

/* ---- Idle and busy ----------------------------------------------------------------------------------- */

static void new_threadpool_is_idle(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(4);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
}

static int receive_one(void *arg)
{
    void *message;
    return lido_oneshot_recv(arg, &message);
}

static void busy_threadpool_is_not_idle(void **state)
{
    (void)state;
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    lido_runtime *runtime = runtime_of(4);
    check_int(lido_runtime_spawn(runtime, NULL, receive_one, &oneshot), 0);
    for (int i = 0; i < 3; i++)
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 2, NULL, NULL), -ETIMEDOUT);
    check_int(lido_oneshot_send(&oneshot, NULL), 0);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
}

/* ---- Tasks that fail --------------------------------------------------------------------------------- */

static void count_end(void *value)
{
    tally(value, 1);
}

static const lido_local tracked = {count_end};

static int fail_with_cleanup(void *arg)
{
    check_int(lido_local_set(&tracked, arg), 0);
    return -EIO;
}

static int succeed(void *arg)
{
    (void)arg;
    return 0;
}

static void panic_in_task(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    lido_task *task;
    uint64_t ended = 0;
    check_int(lido_runtime_spawn(runtime, &task, fail_with_cleanup, &ended), 0);
    check_int(finish(task), -EIO);
    check_int(ended, 1);
    check_int(lido_block_on(runtime, succeed, NULL), 0); /* nobody else has noticed */
    runtime_end(runtime);
}

static int fail_by_number(void *arg)
{
    check_int(lido_yield(), 0);
    return (uintptr_t)arg % 3 ? 0 : -EIO;
}

static void count_panics(void **state)
{
    enum { TASKS = 99 };
    (void)state;
    lido_runtime *runtime = runtime_of(4);
    lido_task *tasks[TASKS];
    int failures = 0;
    for (uintptr_t i = 0; i < TASKS; i++)
        check_int(lido_runtime_spawn(runtime, &tasks[i], fail_by_number, (void *)i), 0);
    for (int i = 0; i < TASKS; i++)
        failures += finish(tasks[i]) == -EIO;
    check_int(failures, TASKS / 3);
    runtime_end(runtime);
}

/* ---- Two at once ------------------------------------------------------------------------------------- */

struct table {
    lido_channel *there;
    lido_channel *back;
};

enum { RALLIES = SCALED(2000, 1000, 300), TABLES = 8 };

static int serve_ball(void *arg)
{
    struct table *table = arg;
    for (int i = 0; i < RALLIES; i++) {
        int ball = i;
        check_int(lido_channel_send(table->there, &ball), 0);
        check_int(lido_channel_recv(table->back, &ball), 0);
        check_int(ball, i + 1);
    }
    lido_channel_close(table->there);
    return 0;
}

static int return_ball(void *arg)
{
    struct table *table = arg;
    int ball, r;
    while ((r = lido_channel_recv(table->there, &ball)) == 0) {
        ball++;
        check_int(lido_channel_send(table->back, &ball), 0);
    }
    check_int(r, -EPIPE);
    return 0;
}

/* Tasks of two runtimes wake each other, and only each other. */
static void multi_threadpool(void **state)
{
    (void)state;
    struct table tables[TABLES];
    lido_runtime *runtimes[2] = {runtime_of(2), runtime_of(2)};
    for (int i = 0; i < TABLES; i++) {
        check_int(lido_channel_new(&tables[i].there, sizeof(int), 1), 0);
        check_int(lido_channel_new(&tables[i].back, sizeof(int), 1), 0);
        check_int(lido_runtime_spawn(runtimes[i % 2], NULL, serve_ball, &tables[i]), 0);
        check_int(lido_runtime_spawn(runtimes[(i + 1) % 2], NULL, return_ball, &tables[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        runtime_end(runtimes[i]);
    for (int i = 0; i < TABLES; i++) {
        lido_channel_drop(tables[i].there);
        lido_channel_drop(tables[i].back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(natural_shutdown_simple_futures),
        cmocka_unit_test(force_shutdown_drops_futures),
        cmocka_unit_test(drop_threadpool_drops_futures),
        cmocka_unit_test(eagerly_drops_futures),
        cmocka_unit_test(new_threadpool_is_idle),
        cmocka_unit_test(busy_threadpool_is_not_idle),
        cmocka_unit_test(panic_in_task),
        cmocka_unit_test(count_panics),
        cmocka_unit_test(multi_threadpool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
