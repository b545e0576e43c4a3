/* Signals: to whom one is told, and when. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "support/net.h"
#include "support/runtime.h"

/* Counts up when its task is about to wait. */
struct waiter {
    int signal;
    uint32_t *started;
};

static int await_signal(void *arg)
{
    struct waiter *waiter = arg;
    lido__fetch_add(waiter->started, 1, LIDO__RELAXED);
    return lido_signal(waiter->signal);
}

static bool default_is_gone(void *signal)
{
    struct sigaction now;
    check_int(sigaction(*(int *)signal, NULL, &now), 0);
    return now.sa_handler != SIG_DFL;
}

/* Takes what an earlier test may have left. */
static void forget(int signal)
{
    int r;
    do {
        lido_within(5);
        r = lido_signal(signal);
    } while (r == signal);
    check_int(r, -ETIMEDOUT);
}

/* Lets a first wait install the handler. From here on no signal is kept. */
static void prepare(int signal)
{
    uint32_t started = 0;
    struct waiter waiter = {signal, &started};
    lido_task *task = start(await_signal, &waiter);
    await_that(default_is_gone, &signal);
    check_int(raise(signal), 0);
    check_int(finish(task), signal);
    forget(signal);
}

/* Nobody is told of the signal within a moment. */
static void check_none(int signal)
{
    lido_within(20);
    check_int(lido_signal(signal), -ETIMEDOUT);
}

/* ---- Telling ----------------------------------------------------------------------------------- */

static int be_told(void *arg)
{
    (void)arg;
    prepare(SIGUSR1);
    prepare(SIGUSR1);
    check_none(SIGUSR1);
    return 0;
}

static void a_signal_is_told_to_who_waits_for_it(void **state)
{
    (void)state;
    run(be_told);
}

static int keep_one(void *arg)
{
    (void)arg;
    prepare(SIGUSR1);
    prepare(SIGUSR2);
    for (int i = 0; i < 3; i++)
        check_int(raise(SIGUSR1), 0);
    check_none(SIGUSR2);
    check_int(lido_signal(SIGUSR1), SIGUSR1);
    check_none(SIGUSR1);
    return 0;
}

static void one_that_nobody_waits_for_is_kept_once(void **state)
{
    (void)state;
    run(keep_one);
}

static int choose(void *arg)
{
    static const int both[] = {SIGUSR1, SIGUSR2};
    (void)arg;
    prepare(SIGUSR1);
    prepare(SIGUSR2);
    check_int(raise(SIGUSR2), 0);
    check_int(lido_signal_any(both, 2), SIGUSR2);
    check_int(raise(SIGUSR2), 0);
    check_int(raise(SIGUSR1), 0);
    int first = lido_signal_any(both, 2), second = lido_signal_any(both, 2);
    check_int(first + second, SIGUSR1 + SIGUSR2);
    check_none(SIGUSR1);
    check_none(SIGUSR2);
    return 0;
}

static void of_several_signals_each_is_told(void **state)
{
    (void)state;
    run(choose);
}

#define WAITERS 6u

static bool all_started(void *started)
{
    return lido__load((uint32_t *)started, LIDO__RELAXED) == WAITERS;
}

/* Sends until all have been told: when a task waits is not visible from outside. */
static void send_until_done(int signal, lido_task **tasks)
{
    for (unsigned i = 0; i < WAITERS; i++)
        while (!lido_task_is_done(tasks[i])) {
            check_int(kill(getpid(), signal), 0);
            check_int(lido_sleep(1), 0);
        }
}

static int tell_all(void *arg)
{
    lido_runtime *other = arg;
    uint32_t started = 0;
    struct waiter waiter = {SIGUSR1, &started};
    lido_task *tasks[WAITERS];
    for (unsigned i = 0; i < WAITERS; i++)
        tasks[i] = i % 3 == 2 ? runtime_start(other, await_signal, &waiter)
                              : start_on(i % 3, await_signal, &waiter);
    await_that(all_started, &started);
    send_until_done(SIGUSR1, tasks);
    for (unsigned i = 0; i < WAITERS; i++)
        check_int(finish(tasks[i]), SIGUSR1);
    return 0;
}

static void all_that_wait_are_told_on_all_workers_and_runtimes(void **state)
{
    lido_runtime *other = runtime_of(1);
    (void)state;
    run_on(2, tell_all, other);
    runtime_end(other);
}

/* On one worker all of them wait when the sender's turn comes, so one signal must do. */
static int tell_all_at_once(void *arg)
{
    uint32_t started = 0;
    struct waiter waiter = {SIGUSR1, &started};
    lido_task *tasks[WAITERS];
    (void)arg;
    prepare(SIGUSR1);
    for (unsigned i = 0; i < WAITERS; i++)
        tasks[i] = start(await_signal, &waiter);
    check_int(lido_yield(), 0);
    check_int(started, WAITERS);
    check_int(raise(SIGUSR1), 0);
    for (unsigned i = 0; i < WAITERS; i++)
        check_int(finish(tasks[i]), SIGUSR1);
    check_none(SIGUSR1);
    return 0;
}

static void one_signal_wakes_all_that_wait(void **state)
{
    (void)state;
    run(tell_all_at_once);
}

/* ---- Not telling ------------------------------------------------------------------------------- */

static int cancel_wait(void *arg)
{
    uint32_t started = 0;
    struct waiter waiter = {SIGUSR1, &started};
    int result;
    (void)arg;
    prepare(SIGUSR1);
    lido_task *task = start(await_signal, &waiter);
    check_int(lido_yield(), 0);
    check_int(lido_stop(task, &result), 0);
    check_int(result, -ECANCELED);
    check_int(raise(SIGUSR1), 0);
    {
        lido_within(0);
        check_int(lido_signal(SIGUSR1), -ETIMEDOUT);
    }
    check_int(lido_signal(SIGUSR1), SIGUSR1); /* nobody has consumed it */
    return 0;
}

static void a_wait_that_was_cut_short_has_consumed_no_signal(void **state)
{
    (void)state;
    run(cancel_wait);
}

static int ask_nonsense(void *arg)
{
    static const int mixed[] = {SIGUSR1, SIGKILL};
    static const int nonsense[] = {0,      -1,     65,     1000,    SIGKILL, SIGSTOP, SIGSEGV,
                                   SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS,  32,      33};
    (void)arg;
    for (size_t i = 0; i < COUNT(nonsense); i++)
        check_int(lido_signal(nonsense[i]), -EINVAL);
    check_int(lido_signal_any(mixed, 2), -EINVAL);
    check_int(lido_signal_any(mixed, 0), -EINVAL);
    return 0;
}

static void what_cannot_be_caught_is_refused(void **state)
{
    (void)state;
    run(ask_nonsense);
    assert_int_equal(lido_signal(SIGUSR1), -ENXIO);
}

static int ask_without_descriptors(void *arg)
{
    struct rlimit before, none;
    (void)arg;
    check_int(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 1;
    check_int(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r = lido_signal(SIGUSR1);
    check_int(setrlimit(RLIMIT_NOFILE, &before), 0);
    check_int(r, -EMFILE);
    return 0;
}

static void without_descriptors_there_is_an_error(void **state)
{
    (void)state;
    run(ask_without_descriptors);
}

/* ---- Under load -------------------------------------------------------------------------------- */

#define ROUNDS 300

static int await_often(void *done)
{
    for (int i = 0; i < ROUNDS; i++)
        check_int(lido_signal(SIGUSR1), SIGUSR1);
    lido__fetch_add((uint32_t *)done, 1, LIDO__RELEASE);
    return 0;
}

/* From a plain thread, into whatever the workers are doing, until all have had enough. */
static void *send_many(void *done)
{
    while (lido__load((uint32_t *)done, LIDO__ACQUIRE) < 2) {
        kill(getpid(), SIGUSR1);
        sched_yield();
    }
    return NULL;
}

static int endure(void *arg)
{
    uint32_t done = 0;
    (void)arg;
    prepare(SIGUSR1);
    lido_task *here = start(await_often, &done), *there = start_on(1, await_often, &done);
    pthread_t sender = thread_start(send_many, &done);
    check_int(finish(here), 0);
    check_int(finish(there), 0);
    thread_join(sender);
    return 0;
}

static void signals_may_come_at_any_moment(void **state)
{
    (void)state;
    run_on(2, endure, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_is_told_to_who_waits_for_it),
        cmocka_unit_test(one_that_nobody_waits_for_is_kept_once),
        cmocka_unit_test(of_several_signals_each_is_told),
        cmocka_unit_test(one_signal_wakes_all_that_wait),
        cmocka_unit_test(all_that_wait_are_told_on_all_workers_and_runtimes),
        cmocka_unit_test(a_wait_that_was_cut_short_has_consumed_no_signal),
        cmocka_unit_test(what_cannot_be_caught_is_refused),
        cmocka_unit_test(without_descriptors_there_is_an_error),
        cmocka_unit_test(signals_may_come_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
