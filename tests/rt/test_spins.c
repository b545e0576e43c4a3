/*
 * Waits for another thread that is about to be done (os/backoff.h): where that one has lost its cpu
 * they sleep, and give up theirs. A test stops the thread that is waited for, as a debugger would,
 * by doing its half of the protocol itself.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "io/signal.h"
#include "reactor/ready.h"
#include "rt/lifeguard.h"
#include "sched/idle.h"
#include "support/gate.h"
#include "support/runtime.h"
#include "sync/biased.h"

/* ---- One that waits -------------------------------------------------------------------------- */

struct waiter {
    void (*wait)(void);
    uint32_t id;
    uint32_t over;
    int errno_after;
};

static void *wait_in_thread(void *arg)
{
    struct waiter *waiter = arg;
    errno = ERANGE;
    lido__store(&waiter->id, (uint32_t)thread_id(), LIDO__RELEASE);
    waiter->wait();
    waiter->errno_after = errno;
    lido__store(&waiter->over, 1, LIDO__RELEASE);
    return NULL;
}

/* How often the thread has slept, as the kernel counts: a yield is not voluntary. */
static long sleeps_of(uint32_t id)
{
    char path[64], line[128];
    long sleeps = -1;
    snprintf(path, sizeof(path), "/proc/self/task/%u/status", id);
    FILE *status = fopen(path, "r");
    while (status && fgets(line, sizeof(line), status))
        sscanf(line, "voluntary_ctxt_switches: %ld", &sleeps);
    if (status)
        fclose(status);
    return sleeps;
}

/* More often than the start of a thread may make it sleep. */
static bool sleeps_again_and_again(const struct waiter *waiter)
{
    uint32_t id = lido__load(&waiter->id, LIDO__ACQUIRE);
    return id && sleeps_of(id) >= 10;
}

#define PATIENCE_NS 20000000000u

static void await_sleeps(const struct waiter *waiter)
{
    uint64_t until = lido__clock_now() + PATIENCE_NS;
    while (!sleeps_again_and_again(waiter)) {
        check(lido__clock_now() < until);
        lido__thread_yield();
    }
}

/* `stop` has been done: the thread sleeps until `go_on`, and errno is still its own. */
static void sleeps_until(void (*wait)(void), void (*go_on)(void))
{
    struct waiter waiter = {.wait = wait};
    pthread_t thread = thread_start(wait_in_thread, &waiter);
    await_sleeps(&waiter);
    assert_int_equal(lido__load(&waiter.over, LIDO__ACQUIRE), 0);
    go_on();
    thread_join(thread);
    assert_int_equal(waiter.errno_after, ERANGE);
}

/* ---- Words of what tasks share --------------------------------------------------------------- */

static lido_event event;
static lido_mutex mutex;

static void notify(void)
{
    lido_event_notify_one(&event);
}

static void let_go_of_event(void)
{
    lido__word_unlock((uint32_t *)&event, 0);
}

static void a_held_word_is_waited_for_in_sleep(void **state)
{
    (void)state;
    event = (lido_event)LIDO_EVENT_INIT;
    lido__word_lock((uint32_t *)&event);
    sleeps_until(notify, let_go_of_event);
}

static void see_mutex_settled(void)
{
    lido__word_settled((uint32_t *)&mutex);
}

static void let_go_of_mutex(void)
{
    lido__word_unlock((uint32_t *)&mutex, 0);
}

static void a_woken_waiter_sleeps_until_the_word_is_free(void **state)
{
    (void)state;
    mutex = (lido_mutex)LIDO_MUTEX_INIT;
    lido__word_lock((uint32_t *)&mutex);
    sleeps_until(see_mutex_settled, let_go_of_mutex);
}

static struct lido__biased biased;
static struct lido__worker worker;

static void lock_and_unlock(void)
{
    lido__biased_unlock(&biased, lido__biased_lock(&biased, NULL));
}

static void favourite_leaves(void)
{
    lido__store(&biased.inside, 0, LIDO__RELEASE);
}

static void a_favourite_is_waited_for_in_sleep(void **state)
{
    (void)state;
    if (lido__barrier_init() < 0)
        skip();
    biased = (struct lido__biased){.favourite = &worker, .inside = 1};
    sleeps_until(lock_and_unlock, favourite_leaves);
}

/* ---- Workers --------------------------------------------------------------------------------- */

static struct lido__gate gate;

static void seize(void)
{
    lido__gate_seize(&gate);
    lido__gate_release(&gate);
}

static void leave(void)
{
    lido__gate_leave(&gate);
}

static void an_owner_inside_its_gate_is_waited_for_in_sleep(void **state)
{
    (void)state;
    lido__gate_init(&gate, true);
    lido__gate_enter(&gate);
    sleeps_until(seize, leave);
}

static void let_other_seizer_go(void)
{
    lido__gate_release(&gate);
}

static void another_seizer_is_waited_for_in_sleep(void **state)
{
    (void)state;
    lido__gate_init(&gate, true);
    lido__gate_seize(&gate);
    sleeps_until(seize, let_other_seizer_go);
}

static struct lido__idle idle;
static struct lido__idler idler;

static void fall_asleep(void)
{
    lido__idle_enter(&idle, &idler, false);
}

static void unlock_idle(void)
{
    lido__store(&idle.lock, 0, LIDO__RELEASE);
}

static void the_lock_of_the_idle_is_waited_for_in_sleep(void **state)
{
    (void)state;
    lido__idle_init(&idle, 2);
    lido__store(&idle.lock, 1, LIDO__RELAXED);
    sleeps_until(fall_asleep, unlock_idle);
}

static void settle_wakes(void)
{
    lido__worker_settle_wakes(&worker);
}

static void wake_comes(void)
{
    lido__fetch_add(&worker.wakes_done, 1, LIDO__RELEASE);
}

static void a_wake_that_is_owed_is_waited_for_in_sleep(void **state)
{
    (void)state;
    worker = (struct lido__worker){.wakes_owed = 1};
    sleeps_until(settle_wakes, wake_comes);
}

static struct lido__lifeguard guard;

static void end_guard(void)
{
    lido__lifeguard_fini(&guard);
}

static void no_guard_could_start(void)
{
    lido__store(&guard.watch, LIDO__WATCH_ABSENT, LIDO__RELEASE);
}

static void a_thread_that_starts_is_waited_for_in_sleep(void **state)
{
    (void)state;
    guard = (struct lido__lifeguard){.watch = LIDO__WATCH_STARTING};
    sleeps_until(end_guard, no_guard_could_start);
}

/* ---- Ops ------------------------------------------------------------------------------------- */

static struct lido__handle handle;
static struct lido__op op;

static void take_ops(void)
{
    struct lido__fifo taken;
    lido__fifo_init(&taken);
    lido__ready_take(&handle, &taken);
}

static void attempt_ends(void)
{
    lido__store(&handle.side[0], LIDO__SIDE_DRAINED, LIDO__RELEASE);
}

static void an_attempt_is_waited_for_in_sleep(void **state)
{
    (void)state;
    handle.side[0] = (uintptr_t)&op | LIDO__SIDE_TRYING;
    handle.side[1] = LIDO__SIDE_DRAINED;
    sleeps_until(take_ops, attempt_ends);
}

static void op_comes_back(void)
{
    lido__store(&op.state, LIDO__OP_READY, LIDO__RELEASE);
}

static void a_handing_back_is_waited_for_in_sleep(void **state)
{
    (void)state;
    handle.side[0] = (uintptr_t)&op | LIDO__SIDE_READY;
    handle.side[1] = LIDO__SIDE_DRAINED;
    op.state = LIDO__OP_ARMED;
    sleeps_until(take_ops, op_comes_back);
}

/* ---- Signals --------------------------------------------------------------------------------- */

static int await_signal(void *arg)
{
    (void)arg;
    return lido_signal(SIGUSR1);
}

/* First a signal that is awaited, so that there is the handler. */
static void install_handler(void)
{
    lido_runtime *runtime = runtime_of(1);
    lido_task *task = runtime_start(runtime, await_signal, NULL);
    struct sigaction action;
    do {
        lido__thread_yield();
        sigaction(SIGUSR1, NULL, &action);
    } while (action.sa_handler == SIG_DFL);
    kill(getpid(), SIGUSR1);
    assert_int_equal(finish(task), SIGUSR1);
    runtime_end(runtime);
}

/* Has begun with all signals blocked, as its starter had them. */
static void interrupt_self(void)
{
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    pthread_kill(pthread_self(), SIGUSR1);
}

static void the_handler_of_a_signal_waits_in_sleep(void **state)
{
    (void)state;
    install_handler();
    lido__signals_hold();
    sleeps_until(interrupt_self, lido__signals_let_go);
}

/* ---- Priorities ------------------------------------------------------------------------------ */

#define CPU_TIME_MOST_NS 10000000u

static struct {
    int refused;
    uint64_t cpu_time;
} urgent;

static int run_before_all_others(void)
{
    struct sched_param priority = {.sched_priority = 10};
    return pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
}

static void *notify_urgently(void *arg)
{
    struct timespec used;
    urgent.refused = run_before_all_others();
    if (urgent.refused)
        return arg;
    notify();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    urgent.cpu_time = (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
    return arg;
}

/* On one cpu with the other one, which takes it over as soon as it can run. */
static void *be_preempted(void *arg)
{
    lido__thread_pin(lido__cpu_nth(0));
    lido__word_lock((uint32_t *)&event);
    pthread_t thread = thread_start(notify_urgently, NULL);
    sched_yield();
    let_go_of_event();
    thread_join(thread);
    return arg;
}

/* Where yields are all that it does, it has the cpu until the system throttles it, after most of a
   second. */
static void a_thread_that_goes_before_all_others_lets_the_holder_get_on(void **state)
{
    (void)state;
    event = (lido_event)LIDO_EVENT_INIT;
    thread_join(thread_start(be_preempted, NULL));
    if (urgent.refused) {
        print_message("skipped: SCHED_FIFO needs CAP_SYS_NICE\n");
        skip();
    }
    assert_true(urgent.cpu_time < CPU_TIME_MOST_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_held_word_is_waited_for_in_sleep),
        cmocka_unit_test(a_woken_waiter_sleeps_until_the_word_is_free),
        cmocka_unit_test(a_favourite_is_waited_for_in_sleep),
        cmocka_unit_test(an_owner_inside_its_gate_is_waited_for_in_sleep),
        cmocka_unit_test(another_seizer_is_waited_for_in_sleep),
        cmocka_unit_test(the_lock_of_the_idle_is_waited_for_in_sleep),
        cmocka_unit_test(a_wake_that_is_owed_is_waited_for_in_sleep),
        cmocka_unit_test(a_thread_that_starts_is_waited_for_in_sleep),
        cmocka_unit_test(an_attempt_is_waited_for_in_sleep),
        cmocka_unit_test(a_handing_back_is_waited_for_in_sleep),
        cmocka_unit_test(the_handler_of_a_signal_waits_in_sleep),
        cmocka_unit_test(a_thread_that_goes_before_all_others_lets_the_holder_get_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
