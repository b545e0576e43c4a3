/*
 * A fiber that goes on on another worker, and so in another thread, keeps all that is its own; and whatever it
 * waits for, wherever it has begun to, reaches it where it is.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "net/net.h"
#include "os/os.h"
#include "sched/worker.h"
#include "support/net.h"
#include "support/runtime.h"

enum { WORKERS = 3, MOVERS = 2 };

/* A broken promise is mostly a wait without end. */
#define PATIENCE_NS 30000000000u

static uint32_t moves;

/* ---- Threads as they are seen from a fiber ------------------------------------------------------------- */

/* A variable of the user's, that says which worker the thread carries. */
static __thread int tls_index = -1;

/* Not inlined: a compiler may keep the address of a thread-local variable from before a wait. */
static __attribute__((noinline)) int read_tls(void)
{
    __asm__ volatile("" ::: "memory");
    return tls_index;
}

static __attribute__((noinline)) void write_tls(int index)
{
    __asm__ volatile("" ::: "memory");
    tls_index = index;
}

/* The thread, the worker and the task agree. */
static void check_whole(lido_task *self)
{
    check_int(read_tls(), lido_worker_index());
    check(lido_self() == self);
    check_int(lido_worker_count(), WORKERS);
}

/* ---- Moving ------------------------------------------------------------------------------------------ */

static int keep_busy(void *arg)
{
    while (!flag_is_up(arg))
        lido_yield();
    return 0;
}

/* Two, so that it is not always the same that stands first in the queue when the worker looks for others. */
static void start_companions(lido_task *companions[2], struct flag *gone)
{
    for (int i = 0; i < 2; i++)
        companions[i] = start_pinned((unsigned)lido_worker_index(), keep_busy, gone);
}

/* Gives its worker something else to do until it is on another one, of which one is idle. */
static void move(void)
{
    int here = lido_worker_index();
    uint64_t until = lido_now() + PATIENCE_NS;
    struct flag gone = {0};
    lido_task *companions[2];
    start_companions(companions, &gone);
    while (lido_worker_index() == here) {
        check(lido_now() < until);
        lido_yield(); /* may say that there is a deadline, and lets others run all the same */
    }
    flag_raise(&gone);
    lido__fetch_add(&moves, 1, LIDO__RELAXED);
    for (int i = 0; i < 2; i++)
        lido_stop(companions[i], NULL);
}

static int name_thread(void *arg)
{
    (void)arg;
    write_tls(lido_worker_index());
    return 0;
}

static lido_task *start_mover(lido_runtime *runtime, lido_fn fn, void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.mobility = LIDO_STEALABLE;
    check_int(lido_runtime_spawn_with(runtime, &task, fn, arg, &options), 0);
    return task;
}

static void run_movers_by(const char *scheduler, unsigned count, lido_fn fn)
{
    lido_runtime *runtime = runtime_by(scheduler, WORKERS);
    lido_task *movers[WORKERS];
    moves = 0;
    for (unsigned i = 0; i < WORKERS; i++)
        check_int(finish(runtime_start_pinned(runtime, i, name_thread, NULL)), 0);
    for (unsigned i = 0; i < count; i++)
        movers[i] = start_mover(runtime, fn, (void *)(uintptr_t)i);
    for (unsigned i = 0; i < count; i++)
        check_int(finish(movers[i]), 0);
    check(moves >= count);
    runtime_end(runtime);
}

/* As many at once, and one more when it spawns another: so there is always a worker that is idle. */
static void run_movers(unsigned count, lido_fn fn)
{
    check(count < WORKERS);
    for (size_t i = 0; i < COUNT(schedulers); i++)
        run_movers_by(schedulers[i], count, fn);
}

/* ---- What is its own ----------------------------------------------------------------------------------- */

enum { ROUNDS = UNDER_TSAN ? 3 : 10 };

static const lido_local own;

static int keep_own(void *arg)
{
    lido_task *self = lido_self();
    int value = (int)(uintptr_t)arg;
    check_int(lido_local_set(&own, &value), 0);
    for (int i = 0; i < ROUNDS; i++) {
        errno = 1000 + i;
        move();
        check_int(errno, 1000 + i);
        check_whole(self);
        check(lido_local_get(&own) == &value);
    }
    return 0;
}

static void a_fiber_that_moves_keeps_errno_locals_and_itself(void **state)
{
    (void)state;
    run_movers(MOVERS, keep_own);
}

static volatile double half = 0.5;

/* What a compiler keeps in registers, of both kinds. */
static int keep_registers(void *arg)
{
    uintptr_t a = (uintptr_t)arg + 3, b = a * 5, c = a * 7;
    double x = (double)a * half, y = (double)b * half;
    for (int i = 0; i < ROUNDS; i++) {
        move();
        check(b == a * 5 && c == a * 7);
        check(x * 2 == (double)a && y * 2 == (double)b);
    }
    return 0;
}

static void a_fiber_that_moves_keeps_its_variables(void **state)
{
    (void)state;
    run_movers(MOVERS, keep_registers);
}

/* ---- Each kind of wait, on the worker that it has come to -------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 5;
}

static void wait_for_child(void)
{
    lido_task *task;
    check_int(lido_spawn(&task, nothing, NULL), 0);
    check_int(finish(task), 5);
}

static int say_hello(void *stream)
{
    check_int(lido_sleep(1), 0);
    net_say(stream, "hello");
    return 0;
}

static void wait_for_stream(void)
{
    lido_stream *pair[2];
    lido_task *task;
    net_unix_pair(pair);
    check_int(lido_spawn(&task, say_hello, pair[1]), 0);
    net_expect(pair[0], "hello");
    check_int(finish(task), 0);
    net_close_pair(pair);
}

static int fill_pipe(void *arg)
{
    check_int(lido_sleep(1), 0);
    check_int(write(*(int *)arg, "x", 1), 1);
    return 0;
}

static void wait_for_descriptor(void)
{
    lido_task *task;
    int fds[2];
    check_int(pipe(fds), 0);
    check_int(lido_spawn(&task, fill_pipe, &fds[1]), 0);
    check_int(lido_poll_fd(fds[0], LIDO_READABLE), LIDO_READABLE);
    check_int(finish(task), 0);
    close(fds[0]);
    close(fds[1]);
}

static void wait_for_time(void)
{
    uint64_t before = lido_now();
    check_int(lido_sleep(2), 0);
    check(lido_now() - before >= 2000000);
}

struct moment {
    lido_future future;
    lido_timer timer;
    bool started;
};

static int moment_poll(lido_future *future, const lido_waker *waker)
{
    struct moment *moment = (struct moment *)future;
    if (!moment->started)
        lido_timer_start(&moment->timer, 1);
    moment->started = true;
    return lido_timer_poll(&moment->timer, waker);
}

static void wait_for_timer(void)
{
    struct moment moment = {.future = {moment_poll}};
    lido_task *task;
    check_int(lido_spawn_future(&task, &moment.future), 0);
    check_int(finish(task), 0);
}

static int wait_in_each_way(void *arg)
{
    static void (*const waits[])(void) = {
        wait_for_child, wait_for_stream, wait_for_descriptor, wait_for_time, wait_for_timer,
    };
    lido_task *self = lido_self();
    (void)arg;
    for (size_t i = 0; i < COUNT(waits); i++) {
        move();
        waits[i]();
        check_whole(self);
    }
    return 0;
}

static void each_kind_of_wait_works_where_a_fiber_has_come_to(void **state)
{
    (void)state;
    run_movers(MOVERS, wait_in_each_way);
}

static int block(void *arg)
{
    (void)arg;
    lido__thread_yield();
    return 6;
}

/* In which its worker may be given another thread. */
static int block_everywhere(void *arg)
{
    lido_task *self = lido_self();
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        move();
        errno = 3000 + i;
        check_int(lido_blocking(block, NULL), 6);
        check_int(errno, 3000 + i);
        check(lido_self() == self);
    }
    return 0;
}

static void a_fiber_may_block_where_it_has_come_to(void **state)
{
    (void)state;
    run_movers(MOVERS, block_everywhere);
}

/* ---- Streams ------------------------------------------------------------------------------------------- */

/* Answers each byte with the next one, always where it began. */
static int answer(void *stream)
{
    char byte;
    while (lido_read(stream, &byte, 1) == 1) {
        byte++;
        check_int(lido_write(stream, &byte, 1), 1);
    }
    lido_close(stream);
    return 0;
}

static int ask_from_everywhere(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_task *answerer = start_pinned(0, answer, pair[1]);
    for (int i = 0; i < ROUNDS; i++) {
        char byte = (char)i;
        check_int(lido_write(pair[0], &byte, 1), 1);
        move();
        check_int(lido_read(pair[0], &byte, 1), 1);
        check_int(byte, i + 1);
        move();
    }
    lido_close(pair[0]);
    check_int(finish(answerer), 0);
    return 0;
}

static void a_stream_answers_wherever_its_fiber_has_come_to(void **state)
{
    (void)state;
    run_movers(MOVERS, ask_from_everywhere);
}

/* ---- Deadlines ----------------------------------------------------------------------------------------- */

enum { DEADLINE_MS = 30 };

/* Its timer is armed before it moves, and again where it waits. */
static int read_in_time(void *arg)
{
    lido_stream *pair[2];
    char byte;
    (void)arg;
    net_unix_pair(pair);
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t begun = lido_now();
        {
            lido_within(DEADLINE_MS);
            lido_yield(); /* a wait in which it is armed, in time or not */
            int here = lido_worker_index();
            while (lido_worker_index() == here && lido_yield() == 0) {}
            check_int(lido_read(pair[0], &byte, 1), -ETIMEDOUT);
        }
        check(lido_now() - begun >= DEADLINE_MS * 999000u); /* the wheel's ticks and the clock */
        move();
    }
    net_close_pair(pair);
    return 0;
}

static void a_deadline_goes_along(void **state)
{
    (void)state;
    run_movers(MOVERS, read_in_time);
}

/* ---- Cancellation -------------------------------------------------------------------------------------- */

struct victim {
    lido_stream *stream;
    uint32_t steps;
};

/* Moves about, and then waits for what never comes: meanwhile it is cancelled. */
static int move_and_read(void *arg)
{
    struct victim *victim = arg;
    char byte;
    for (int i = 0; i < 50; i++) {
        lido__fetch_add(&victim->steps, 1, LIDO__RELAXED);
        if (lido_yield() == -ECANCELED)
            break;
    }
    return (int)lido_read(victim->stream, &byte, 1);
}

static int cancel_movers(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_unix_pair(pair);
    for (uint32_t i = 0; i < 20; i++) {
        struct victim victim = {pair[0], 0};
        lido_task *task = start_mover(lido_runtime_current(), move_and_read, &victim);
        while (lido__load(&victim.steps, LIDO__RELAXED) < i * 3 % 50)
            check_int(lido_yield(), 0);
        lido_cancel(task);
        check_int(finish(task), -ECANCELED);
    }
    move();
    net_close_pair(pair);
    return 0;
}

static void cancellation_finds_a_fiber_that_moves(void **state)
{
    (void)state;
    run_movers(1, cancel_movers);
}

/* ---- Joining ------------------------------------------------------------------------------------------- */

static int move_away(void *arg)
{
    (void)arg;
    move();
    return 7;
}

static int join_other(void *task)
{
    int result;
    move();
    check_int(lido_join(task, &result), 0);
    return result;
}

static int yield_twice(void *arg)
{
    (void)arg;
    check_int(lido_yield(), 0);
    check_int(lido_yield(), 0);
    return 8;
}

/* The joined one moves, the joiner does, and both. */
static int join_movers(void *arg)
{
    lido_runtime *runtime = lido_runtime_current();
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        check_int(finish(start_mover(runtime, move_away, NULL)), 7);
        lido_task *still = start_pinned((unsigned)i % WORKERS, yield_twice, NULL);
        check_int(finish(start_mover(runtime, join_other, still)), 8);
        lido_task *other = start_mover(runtime, move_away, NULL);
        check_int(finish(start_mover(runtime, join_other, other)), 7);
    }
    return 0;
}

static void joins_meet_whoever_has_moved(void **state)
{
    (void)state;
    run_movers(1, join_movers);
}

/* A join that is given up, and taken up again on another worker. */
static int join_in_turns(void *arg)
{
    struct flag end = {0};
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        lido_task *task = start_pinned((unsigned)i % WORKERS, yield_twice, &end);
        {
            lido_within(0);
            int r = lido_join(task, NULL);
            check_int(r, -ETIMEDOUT);
        }
        move();
        check_int(finish(task), 8);
    }
    return 0;
}

static void a_join_that_was_given_up_is_taken_up_elsewhere(void **state)
{
    (void)state;
    run_movers(1, join_in_turns);
}

/* ---- Signals ------------------------------------------------------------------------------------------- */

static int await_signals(void *arg)
{
    int signal = SIGRTMIN + 1 + (int)(uintptr_t)arg; /* one for each mover */
    for (int i = 0; i < ROUNDS; i++) {
        check_int(raise(signal), 0);
        move();
        check_int(lido_signal(signal), signal);
    }
    return 0;
}

static int install_handlers(void *arg)
{
    (void)arg;
    for (int i = 0; i < MOVERS; i++) {
        lido_within(1);
        check_int(lido_signal(SIGRTMIN + 1 + i), -ETIMEDOUT);
    }
    return 0;
}

static void a_signal_finds_a_fiber_that_has_moved(void **state)
{
    (void)state;
    check_int(lido_run(NULL, install_handlers, NULL), 0);
    run_movers(MOVERS, await_signals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fiber_that_moves_keeps_errno_locals_and_itself),
        cmocka_unit_test(a_fiber_that_moves_keeps_its_variables),
        cmocka_unit_test(each_kind_of_wait_works_where_a_fiber_has_come_to),
        cmocka_unit_test(a_fiber_may_block_where_it_has_come_to),
        cmocka_unit_test(a_stream_answers_wherever_its_fiber_has_come_to),
        cmocka_unit_test(a_deadline_goes_along),
        cmocka_unit_test(cancellation_finds_a_fiber_that_moves),
        cmocka_unit_test(joins_meet_whoever_has_moved),
        cmocka_unit_test(a_join_that_was_given_up_is_taken_up_elsewhere),
        cmocka_unit_test(a_signal_finds_a_fiber_that_has_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
