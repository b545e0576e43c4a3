/*
 * What happens while a runtime is ended: it is drained while tasks spawn, reported while they run, and waited
 * for by tasks of another one that lose patience in the moment in which it ends.
 */
#include <errno.h>

#include "os/os.h"
#include "support/runtime.h"
#include "support/stress.h"

#define ROUNDS SCALED(500, 200, 100)

/* ---- Draining while everybody spawns ---------------------------------------------------------------- */

struct account {
    lido_runtime *runtime;
    struct flag stop; /* for the spawning threads */
    struct flag told; /* for the task that keeps the runtime */
    uint64_t accepted;
    uint64_t refused;
    uint64_t ran;
};

struct counting {
    lido_future future;
    struct account *account;
};

static int count_as_a_future(lido_future *future, const lido_waker *waker)
{
    struct counting *counting = (struct counting *)future;
    (void)waker;
    tally(&counting->account->ran, 1);
    free(counting);
    return 0;
}

static int child(void *arg)
{
    struct account *account = arg;
    lido_yield();
    tally(&account->ran, 1);
    return 0;
}

/* From within nothing is refused. */
static int parent(void *arg)
{
    struct account *account = arg;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_ROUND_ROBIN;
    for (int i = 0; i < 2; i++) {
        tally(&account->accepted, 1);
        check_int(lido_spawn_with(NULL, child, account, &options), 0);
        options.placement = LIDO_PLACE_DEFAULT;
    }
    tally(&account->ran, 1);
    return 0;
}

/* A future that is refused remains its maker's. */
static int spawn_future(struct account *account)
{
    struct counting *counting = malloc(sizeof(*counting));
    check(counting != NULL);
    *counting = (struct counting){{count_as_a_future}, account};
    int r = lido_runtime_spawn_future(account->runtime, NULL, &counting->future);
    if (r < 0)
        free(counting);
    return r;
}

static void *spawn_until_told(void *arg)
{
    struct account *account = arg;
    for (unsigned i = 0; !flag_is_up(&account->stop); i++) {
        int r = i % 2 ? spawn_future(account)
                      : lido_runtime_spawn(account->runtime, NULL, parent, account);
        check(r == 0 || r == -ESHUTDOWN);
        tally(r == 0 ? &account->accepted : &account->refused, 1);
        lido__thread_yield();
    }
    return NULL;
}

static int keep(void *arg)
{
    const struct flag *told = arg;
    while (!flag_is_up(told))
        lido_yield();
    return 0;
}

static void drain_while_spawning(const char *scheduler, unsigned round)
{
    struct account account = {.runtime = runtime_by(scheduler, 2)};
    pthread_t threads[2];
    check_int(lido_runtime_spawn(account.runtime, NULL, keep, &account.told), 0);
    for (size_t i = 0; i < COUNT(threads); i++)
        threads[i] = thread_start(spawn_until_told, &account);
    while (posted(&account.accepted) < round % 50)
        lido__thread_yield();
    check_int(lido_shutdown(account.runtime, LIDO_SHUTDOWN_DRAIN, 0, NULL, NULL), -ETIMEDOUT);
    uint64_t refused = posted(&account.refused);
    while (posted(&account.refused) < refused + 4)
        lido__thread_yield();
    flag_raise(&account.stop);
    for (size_t i = 0; i < COUNT(threads); i++)
        thread_join(threads[i]);
    flag_raise(&account.told);
    check_int(lido_shutdown(account.runtime, LIDO_SHUTDOWN_DRAIN, -1, NULL, NULL), 0);
    check_int(account.ran, account.accepted);
}

static void drain_runs_what_it_accepted_and_what_that_spawned(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++)
        drain_while_spawning(schedulers[round % 2], round);
}

/* ---- Reports while tasks run, and go from worker to worker ------------------------------------------- */

struct crowd {
    struct flag told;
    uint32_t living;
};

/* Lets others wait for a millisecond or two at times, so that its worker does not answer at once. */
static int bustle(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; !flag_is_up(&crowd->told); i++) {
        if (i % 64 == 63)
            for (uint64_t end = lido_now() + 1500000; lido_now() < end;)
                lido__thread_yield();
        if (i % 8 == 7)
            lido_sleep(1);
        lido_yield();
    }
    return 0;
}

/* Longer than a worker may take for its answer. */
static int hog(void *arg)
{
    struct crowd *crowd = arg;
    while (!flag_is_up(&crowd->told)) {
        for (uint64_t end = lido_now() + 130000000; lido_now() < end;)
            lido__thread_yield();
        lido_yield();
    }
    return 0;
}

static void note_words(void *arg, const lido_stuck *stuck)
{
    unsigned *count = arg;
    check_string(stuck->name, "crowd");
    check(strlen(stuck->awaits) > 0 && strlen(stuck->where) > 0);
    check(stuck->worker < 2);
    (*count)++;
}

static void report_a_crowd(const char *scheduler, lido_fn first)
{
    enum { CROWD = 50, REPORTS = 5 };
    lido_runtime *runtime = runtime_by(scheduler, 2);
    struct crowd crowd = {.living = 0};
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.name = "crowd";
    for (int i = 0; i < CROWD; i++)
        check_int(lido_runtime_spawn_with(runtime, NULL, i ? bustle : first, &crowd, &options), 0);
    for (int i = 0; i < REPORTS; i++) {
        unsigned count = 0;
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 0, note_words, &count), -ETIMEDOUT);
        /* Those that go from worker to worker meanwhile may be missed. */
        check(count > 0);
    }
    flag_raise(&crowd.told);
    runtime_end(runtime);
}

static void reports_hold_still_what_they_look_at(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(schedulers); i++) {
        report_a_crowd(schedulers[i], bustle);
        report_a_crowd(schedulers[i], hog);
    }
}

/* ---- Tasks that lose patience ------------------------------------------------------------------------ */

static int yield_some(void *arg)
{
    const unsigned *times = arg;
    for (unsigned i = 0; i < *times; i++)
        lido_yield();
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

struct impatience {
    lido_runtime *other;
    unsigned timeouts;
};

/* Either the other is over, or it goes on as if nothing had been. */
static int wait_again_and_again(void *arg)
{
    struct impatience *self = arg;
    unsigned more = 8;
    int r;
    while ((r = lido_shutdown(self->other, LIDO_SHUTDOWN_ON_IDLE, 0, NULL, NULL)) == -ETIMEDOUT) {
        self->timeouts++;
        if (more && more--)
            check_int(lido_runtime_spawn(self->other, NULL, nothing, NULL), 0);
    }
    return r;
}

static int wait_in_fibers(void *arg)
{
    unsigned timeouts = 0;
    (void)arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct impatience self = {runtime_of(1), 0};
        unsigned yields = round % 64 * 8;
        check_int(lido_runtime_spawn(self.other, NULL, yield_some, &yields), 0);
        check_int(finish(start(wait_again_and_again, &self)), 0);
        timeouts += self.timeouts;
    }
    check(timeouts > 0);
    return 0;
}

static void a_fiber_that_times_out_leaves_the_runtime_open(void **state)
{
    (void)state;
    run(wait_in_fibers);
}

static int end_on_idle(void *runtime)
{
    return lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL);
}

/* Cancelled at any moment: of the call, of the end, of the joining of threads. */
static int cancel_waiters(void *arg)
{
    unsigned ended = 0, cancelled = 0;
    (void)arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        lido_runtime *other = runtime_of(2);
        unsigned yields = round % 64 * 8;
        int result;
        check_int(lido_runtime_spawn(other, NULL, yield_some, &yields), 0);
        lido_task *waiter = start(end_on_idle, other);
        for (unsigned i = 0; i < round % 32; i++)
            check_int(lido_yield(), 0);
        check_int(lido_stop(waiter, &result), 0);
        check(result == 0 || result == -ECANCELED);
        ended += result == 0;
        cancelled += result != 0;
        if (result != 0)
            check_int(lido_runtime_free(other), 0);
    }
    check(ended + cancelled == ROUNDS && cancelled > 0);
    return 0;
}

static void a_waiter_that_is_cancelled_has_ended_it_or_not(void **state)
{
    (void)state;
    run(cancel_waiters);
}

struct ending {
    lido_future future;
    lido_runtime *other;
    lido_wait wait;
    unsigned patience;
};

/* Gives up after so many polls; between them it lets its neighbours run. */
static int ending_poll(lido_future *future, const lido_waker *waker)
{
    struct ending *ending = (struct ending *)future;
    int r = lido_shutdown_poll(ending->other, LIDO_SHUTDOWN_ON_IDLE, &ending->wait, waker);
    if (r != LIDO_PENDING)
        return r;
    if (ending->patience-- == 0) {
        lido_shutdown_forgo(ending->other, &ending->wait);
        return 1;
    }
    lido_waker_wake(waker);
    return LIDO_PENDING;
}

static int wait_in_futures(void *arg)
{
    unsigned given_up = 0;
    (void)arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct ending ending = {{ending_poll}, runtime_of(2), LIDO_WAIT_INIT, round % 50};
        unsigned yields = round % 64 * 8;
        lido_task *task;
        check_int(lido_runtime_spawn(ending.other, NULL, yield_some, &yields), 0);
        check_int(lido_spawn_future(&task, &ending.future), 0);
        int r = finish(task);
        check(r == 0 || r == 1);
        given_up += r;
        if (r == 1)
            check_int(end_on_idle(ending.other), 0);
    }
    check(given_up > 0);
    return 0;
}

static void a_future_that_gives_up_has_ended_it_or_not(void **state)
{
    (void)state;
    run(wait_in_futures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drain_runs_what_it_accepted_and_what_that_spawned),
        cmocka_unit_test(reports_hold_still_what_they_look_at),
        cmocka_unit_test(a_fiber_that_times_out_leaves_the_runtime_open),
        cmocka_unit_test(a_waiter_that_is_cancelled_has_ended_it_or_not),
        cmocka_unit_test(a_future_that_gives_up_has_ended_it_or_not),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
