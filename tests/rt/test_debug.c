/* What lido says of the program that uses it, by hooks and with LIDO_DEBUG=1; and that it is silent
   else. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "support/runtime.h"

/* ---- What is said ---------------------------------------------------------------------------- */

static char said[8192];

/* lido_run, with what it writes to stderr in `said`. */
static int run_and_listen(const lido_config *config, bool debug, lido_fn fn)
{
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    check(file && before >= 0);
    dup2(fileno(file), STDERR_FILENO);
    if (debug)
        setenv("LIDO_DEBUG", "1", 1);
    int r = lido_run(config, fn, NULL);
    unsetenv("LIDO_DEBUG");
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    said[fread(said, 1, sizeof(said) - 1, file)] = 0;
    fclose(file);
    return r;
}

static unsigned times_said(const char *text)
{
    unsigned times = 0;
    for (const char *at = said; (at = strstr(at, text)); at++)
        times++;
    return times;
}

/* ---- Tasks that fail ------------------------------------------------------------------------- */

static struct {
    uint32_t count;
    char name[32];
    int result;
    bool placed;
} failed;

static void note_failure(void *arg, const char *name, const char *where, int result)
{
    (void)arg;
    lido__fetch_add(&failed.count, 1, LIDO__RELAXED);
    snprintf(failed.name, sizeof(failed.name), "%s", name ? name : "");
    failed.placed = strstr(where, "test_debug.c:") != NULL;
    failed.result = result;
}

static int end_badly(void *arg)
{
    (void)arg;
    return -EIO;
}

static int succeed(void *arg)
{
    (void)arg;
    return 5;
}

static int await_cancellation(void *arg)
{
    (void)arg;
    return lido_sleep(1000000);
}

static int fail_detached(void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    (void)arg;
    options.name = "loser";
    return lido_spawn_with(NULL, end_badly, NULL, &options);
}

static int fail_and_join(void *arg)
{
    lido_task *task = start(end_badly, NULL);
    lido_scoped(scope);
    (void)arg;
    check_int(finish(task), -EIO);
    check_int(lido_scope_spawn(&scope, end_badly, NULL), 0);
    check_int(lido_scope_wait(&scope), -EIO);
    check_int(lido_spawn(NULL, succeed, NULL), 0);
    return lido_spawn(NULL, await_cancellation, NULL);
}

static lido_config config_of_failures(void)
{
    lido_config config = LIDO_CONFIG_INIT;
    memset(&failed, 0, sizeof(failed));
    config.workers = 2;
    config.on_task_error = note_failure;
    config.grace_ms = -1;
    return config;
}

static void a_detached_task_that_fails_is_told_of(void **state)
{
    lido_config config = config_of_failures();
    (void)state;
    config.grace_ms = 0;
    assert_int_equal(run_and_listen(&config, false, fail_detached), 0);
    assert_int_equal(failed.count, 1);
    assert_string_equal(failed.name, "loser");
    assert_true(failed.placed);
    assert_int_equal(failed.result, -EIO);
    assert_string_equal(said, "");
}

static void a_task_whose_result_is_wanted_or_expected_is_not(void **state)
{
    lido_config config = config_of_failures();
    (void)state;
    assert_int_equal(run_and_listen(&config, false, fail_and_join), 0);
    assert_int_equal(failed.count, 0);
}

/* At its second poll. */
static int poll_and_fail(lido_future *future, const lido_waker *waker)
{
    static bool polled;
    (void)future;
    polled = !polled;
    if (!polled)
        return -EPROTO;
    lido_waker_wake(waker);
    return LIDO_PENDING;
}

static int fail_as_future(void *arg)
{
    static lido_future future = {.poll = poll_and_fail};
    (void)arg;
    return lido_spawn_future(NULL, &future);
}

static void a_future_that_fails_is_told_of_too(void **state)
{
    lido_config config = config_of_failures();
    (void)state;
    config.grace_ms = 0;
    assert_int_equal(run_and_listen(&config, false, fail_as_future), 0);
    assert_int_equal(failed.count, 1);
    assert_int_equal(failed.result, -EPROTO);
}

static void with_lido_debug_it_is_written_to_stderr(void **state)
{
    (void)state;
    assert_int_equal(run_and_listen(NULL, true, fail_detached), 0);
    assert_int_equal(times_said("task loser"), 1);
    assert_int_equal(times_said("-5 ("), 1);
    assert_int_equal(run_and_listen(NULL, false, fail_detached), 0);
    assert_string_equal(said, "");
}

/* ---- Tasks that do not end ------------------------------------------------------------------- */

static struct {
    uint32_t told;
    bool stubborn, first, second;
    lido_task *tasks[2];
} stuck;

static int be_stubborn(void *arg)
{
    (void)arg;
    while (!lido__load(&stuck.told, LIDO__ACQUIRE))
        lido_yield();
    return 0;
}

static int leave_stubborn(void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    (void)arg;
    options.name = "stubborn";
    return lido_spawn_with(NULL, be_stubborn, NULL, &options);
}

static void note_stubborn(void *arg, const lido_stuck *task)
{
    (void)arg;
    stuck.stubborn |= task->name && strcmp(task->name, "stubborn") == 0;
    lido__store(&stuck.told, 1, LIDO__RELEASE);
}

static void a_task_that_ignores_its_cancellation_is_told_of(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    memset(&stuck, 0, sizeof(stuck));
    config.workers = 2;
    config.grace_ms = -1;
    config.after_cancel_ms = 1;
    config.on_stuck = note_stubborn;
    assert_int_equal(run_and_listen(&config, false, leave_stubborn), 0);
    assert_true(stuck.stubborn);
    assert_string_equal(said, "");
    memset(&stuck, 0, sizeof(stuck));
    assert_int_equal(run_and_listen(&config, true, leave_stubborn), 0);
    assert_int_equal(times_said("task stubborn, spawned at"), 1);
}

static lido_mutex mutexes[2];

/* Takes one mutex, and when the other task has its own, wants that. */
static int lock_both(void *arg)
{
    lido_mutex *other = arg == &mutexes[0] ? &mutexes[1] : &mutexes[0];
    check_int(lido_mutex_lock(arg), 0);
    while (lido_mutex_try_lock(other) == 0) {
        lido_mutex_unlock(other);
        lido_yield();
    }
    int r = lido_mutex_lock(other);
    if (r == 0)
        lido_mutex_unlock(other);
    lido_mutex_unlock(arg);
    return r;
}

static int lock_each_other_out(void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    (void)arg;
    for (int i = 0; i < 2; i++) {
        mutexes[i] = (lido_mutex)LIDO_MUTEX_INIT;
        options.name = i ? "second" : "first";
        check_int(lido_spawn_with(&stuck.tasks[i], lock_both, &mutexes[i], &options), 0);
    }
    int r = finish(stuck.tasks[0]);
    return r == 0 ? finish(stuck.tasks[1]) : finish(stuck.tasks[1]) == 0 ? r : -EINVAL;
}

/* When it knows both, it frees them. */
static void note_deadlock(void *arg, const lido_stuck *task)
{
    (void)arg;
    bool waits = task->name && strcmp(task->awaits, "mutex") == 0;
    stuck.first |= waits && strcmp(task->name, "first") == 0;
    stuck.second |= waits && strcmp(task->name, "second") == 0;
    if (stuck.first && stuck.second && !stuck.told++)
        lido_cancel(stuck.tasks[0]);
}

static void tasks_that_wait_for_each_other_are_told_of(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)state;
    memset(&stuck, 0, sizeof(stuck));
    config.workers = 2;
    config.on_stuck = note_deadlock;
    assert_int_equal(run_and_listen(&config, true, lock_each_other_out), -ECANCELED);
    assert_true(stuck.first && stuck.second);
    assert_int_equal(times_said("task first, spawned at"), 1);
    assert_int_equal(times_said("task second, spawned at"), 1);
    assert_int_equal(times_said("awaits mutex"), 2);
}

/* ---- What is not given back ------------------------------------------------------------------ */

static struct {
    lido_stream *pair[2];
    lido_listener *listener;
    lido_datagram *datagram;
    lido_channel *channel;
    lido_task *task;
} left;

static int leave_all(void *arg)
{
    (void)arg;
    check_int(lido_stream_pair(left.pair), 0);
    check_int(lido_listen_tcp(&left.listener, "127.0.0.1:0"), 0);
    check_int(lido_bind_udp(&left.datagram, "127.0.0.1:0"), 0);
    check_int(lido_channel_new(&left.channel, 1, 1), 0);
    return lido_spawn(&left.task, succeed, NULL);
}

static int clear_up(void *arg)
{
    check_int(leave_all(arg), 0);
    lido_close(left.pair[0]);
    lido_close(left.pair[1]);
    lido_listener_close(left.listener);
    lido_datagram_close(left.datagram);
    lido_channel_drop(left.channel);
    check_int(finish(left.task), 5);
    return 0;
}

/* Closes what the runtime that has ended has left. */
static int clear_up_later(void *arg)
{
    (void)arg;
    lido_close(left.pair[0]);
    lido_close(left.pair[1]);
    lido_listener_close(left.listener);
    lido_datagram_close(left.datagram);
    lido_channel_drop(left.channel);
    lido_detach(left.task);
    return 0;
}

static void what_was_not_given_back_is_named(void **state)
{
    (void)state;
    assert_int_equal(run_and_listen(NULL, true, leave_all), 0);
    assert_int_equal(times_said("not given back: stream"), 2);
    assert_int_equal(times_said("not given back: listener"), 1);
    assert_int_equal(times_said("not given back: datagram socket"), 1);
    assert_int_equal(times_said("not given back: channel"), 1);
    assert_int_equal(times_said("not given back: handle, spawned at"), 1);
    assert_int_equal(times_said("test_debug.c:"), 1);
    assert_int_equal(run_and_listen(NULL, true, clear_up_later), 0);
    assert_string_equal(said, "");
}

static void who_gives_all_back_hears_nothing(void **state)
{
    (void)state;
    assert_int_equal(run_and_listen(NULL, true, clear_up), 0);
    assert_string_equal(said, "");
    assert_int_equal(run_and_listen(NULL, false, leave_all), 0);
    assert_string_equal(said, "");
    assert_int_equal(run_and_listen(NULL, false, clear_up_later), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_detached_task_that_fails_is_told_of),
        cmocka_unit_test(a_task_whose_result_is_wanted_or_expected_is_not),
        cmocka_unit_test(a_future_that_fails_is_told_of_too),
        cmocka_unit_test(with_lido_debug_it_is_written_to_stderr),
        cmocka_unit_test(a_task_that_ignores_its_cancellation_is_told_of),
        cmocka_unit_test(tasks_that_wait_for_each_other_are_told_of),
        cmocka_unit_test(what_was_not_given_back_is_named),
        cmocka_unit_test(who_gives_all_back_hears_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
