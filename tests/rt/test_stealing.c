/*
 * Who runs a task when workers take them from each other: that all have something to do, that nobody is
 * forgotten or run twice, and in which order. What a task keeps that goes from worker to worker is in
 * test_migration.c.
 */
#include <errno.h>
#include <time.h>

#include "os/os.h"
#include "sched/worker.h"
#include "support/net.h"
#include "support/runtime.h"
#include "support/stress.h"

/* A broken promise is mostly a wait without end. */
#define PATIENCE_NS 30000000000u

static bool is_late(uint64_t since)
{
    return lido_now() - since > PATIENCE_NS;
}

static lido_spawn_options with(lido_mobility mobility)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.mobility = mobility;
    return options;
}

/* ---- Taking from a busy worker ---------------------------------------------------------------------- */

enum { WORKERS = 4, CROWD = 32 };

struct crowd {
    uint32_t seen_on;  /* workers, as bits */
    uint32_t expected; /* the same */
};

/* Runnable all the time, until each worker has run one of them. */
static int be_seen(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t since = lido_now();
    while (lido__load(&crowd->seen_on, LIDO__RELAXED) != crowd->expected) {
        check(!is_late(since));
        lido__fetch_or(&crowd->seen_on, 1u << lido_worker_index(), LIDO__RELAXED);
        check_int(lido_yield(), 0);
    }
    return 0;
}

static int gather(void *arg)
{
    lido_spawn_options options = with(LIDO_STEALABLE);
    lido_task *tasks[CROWD];
    options.placement = LIDO_PLACE_LOCAL;
    for (int i = 0; i < CROWD; i++)
        check_int(lido_spawn_with(&tasks[i], be_seen, arg, &options), 0);
    for (int i = 0; i < CROWD; i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void idle_workers_take_tasks_from_a_busy_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(schedulers); i++) {
        lido_runtime *runtime = runtime_by(schedulers[i], WORKERS);
        for (unsigned worker = 0; worker < WORKERS; worker++) {
            struct crowd crowd = {0, (1u << WORKERS) - 1};
            check_int(finish(runtime_start_pinned(runtime, worker, gather, &crowd)), 0);
        }
        runtime_end(runtime);
    }
}

/* It is only busy once, and then waits: what it has sent off comes back to whoever is there. */
static void a_worker_that_has_slept_takes_too(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    for (int i = 0; i < 50; i++) {
        struct crowd crowd = {0, 3};
        check_int(lido_block_on(runtime, gather, &crowd), 0);
    }
    runtime_end(runtime);
}

/* ---- Staying ----------------------------------------------------------------------------------------- */

enum { STAYERS = 8, STEPS = SCALED(2000, 1000, 300) };

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Goes through waits of each kind, in the midst of tasks that move. */
static int stay(void *arg)
{
    int home = *(const int *)arg;
    for (int i = 0; i < STEPS; i++) {
        check_int(lido_worker_index(), home);
        check_int(lido_yield(), 0);
        if (i % 100 == 0)
            check_int(lido_sleep(i % 200 / 100), 0);
        if (i % 50 == 0)
            check_int(finish(start(nothing, NULL)), 0);
    }
    return 0;
}

static void a_pinned_task_never_moves(void **state)
{
    static int homes[WORKERS] = {0, 1, 2, 3};
    (void)state;
    for (size_t i = 0; i < COUNT(schedulers); i++) {
        lido_runtime *runtime = runtime_by(schedulers[i], WORKERS);
        lido_task *tasks[WORKERS * STAYERS];
        struct crowd crowd = {0, (1u << WORKERS) - 1};
        for (int k = 0; k < WORKERS * STAYERS; k++)
            tasks[k] =
                runtime_start_pinned(runtime, (unsigned)k % WORKERS, stay, &homes[k % WORKERS]);
        check_int(finish(runtime_start(runtime, gather, &crowd)), 0);
        for (int k = 0; k < WORKERS * STAYERS; k++)
            check_int(finish(tasks[k]), 0);
        runtime_end(runtime);
    }
}

/* ---- Order ------------------------------------------------------------------------------------------- */

struct trace {
    char text[8];
    size_t length;
    lido_task *first;
};

static void note(struct trace *trace, char who)
{
    check(trace->length < sizeof(trace->text) - 1);
    trace->text[trace->length++] = who;
}

static int be_joined(void *arg)
{
    check_int(lido_yield(), 0); /* so that the other one waits */
    note(arg, 'T');
    return 0;
}

static int join_first(void *arg)
{
    struct trace *trace = arg;
    check_int(finish(trace->first), 0);
    note(trace, 'J');
    return 0;
}

static int be_bystander(void *arg)
{
    check_int(lido_yield(), 0);
    note(arg, 'X');
    return 0;
}

static int trace_wake_up(void *arg)
{
    struct trace *trace = arg;
    trace->first = start(be_joined, trace);
    lido_task *joiner = start(join_first, trace);
    check_int(finish(start(be_bystander, trace)), 0);
    check_int(finish(joiner), 0);
    return 0;
}

static void where_tasks_are_stolen_who_is_woken_by_a_task_runs_next(void **state)
{
    static const char *const orders[] = {"TXJ", "TJX"};
    (void)state;
    for (size_t i = 0; i < COUNT(schedulers); i++) {
        lido_runtime *runtime = runtime_by(schedulers[i], 1);
        struct trace trace = {.length = 0};
        check_int(lido_block_on(runtime, trace_wake_up, &trace), 0);
        check_string(trace.text, orders[i]);
        runtime_end(runtime);
    }
}

/* Two futures that wake each other for ever. */
struct player {
    lido_future future;
    struct player *other;
    lido_waker self; /* for the other one */
    uint32_t polls;
    bool over;
};

static int play(lido_future *future, const lido_waker *waker)
{
    struct player *player = (struct player *)future;
    player->polls++;
    if (player->self.lido_private == 0)
        player->self = lido_waker_clone(waker);
    if (player->other->self.lido_private)
        lido_waker_wake(&player->other->self);
    if (!player->over)
        return LIDO_PENDING;
    return 0;
}

/* Between two turns of a task in the queue. */
enum { TURNS = 1000, POLLS_MOST = 2 * (LIDO__HOT_MAX + 1) };

static int get_turns(void *arg)
{
    struct player *players = arg;
    uint32_t before = 0;
    while (players[0].polls == 0 || players[1].polls == 0)
        check_int(lido_yield(), 0);
    for (int i = 0; i < TURNS; i++) {
        uint32_t polls = players[0].polls + players[1].polls;
        check(i == 0 || (polls - before >= 1 && polls - before <= POLLS_MOST));
        before = polls;
        check_int(lido_yield(), 0);
    }
    return 0;
}

static int play_for_ever(void *arg)
{
    struct player players[2] = {{.future = {play}}, {.future = {play}}};
    lido_task *tasks[2];
    (void)arg;
    for (int i = 0; i < 2; i++) {
        players[i].other = &players[!i];
        check_int(lido_spawn_future(&tasks[i], &players[i].future), 0);
    }
    check_int(finish(start(get_turns, players)), 0);
    for (int i = 0; i < 2; i++)
        players[i].over = true;
    for (int i = 0; i < 2; i++)
        check_int(finish(tasks[i]), 0);
    for (int i = 0; i < 2; i++)
        lido_waker_drop(&players[i].self);
    return 0;
}

static void tasks_that_wake_each_other_for_ever_leave_others_their_turns(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(schedulers); i++) {
        lido_runtime *runtime = runtime_by(schedulers[i], 1);
        check_int(lido_block_on(runtime, play_for_ever, NULL), 0);
        runtime_end(runtime);
    }
}

/* ---- Fairness ---------------------------------------------------------------------------------------- */

enum { RIVALS = 9, TURNS_OF_ALL = RIVALS * 10000, TURNS_OF_EACH = 1000 };

struct contest {
    lido__shared uint64_t turns;  /* of all */
    lido__shared uint32_t behind; /* how many have not had TURNS_OF_EACH */
    uint64_t turns_of[RIVALS];
    lido__shared uint32_t begun;
    lido_fn play;
};

static uint64_t *enter_contest(struct contest *contest)
{
    return &contest->turns_of[lido__fetch_add(&contest->begun, 1, LIDO__RELAXED)];
}

static int play_for_all(void *arg)
{
    struct contest *contest = arg;
    uint64_t *own = enter_contest(contest);
    while (lido__fetch_add(&contest->turns, 1, LIDO__RELAXED) < TURNS_OF_ALL) {
        ++*own;
        check_int(lido_yield(), 0);
    }
    return 0;
}

static int play_for_each(void *arg)
{
    struct contest *contest = arg;
    uint64_t *own = enter_contest(contest);
    while (lido__load(&contest->behind, LIDO__RELAXED)) {
        if (++*own == TURNS_OF_EACH)
            lido__fetch_sub(&contest->behind, 1, LIDO__RELAXED);
        check_int(lido_yield(), 0);
    }
    return 0;
}

/* They begin in one turn of the worker. */
static int hold_contest(void *arg)
{
    struct contest *contest = arg;
    lido_task *tasks[RIVALS];
    for (int i = 0; i < RIVALS; i++)
        check_int(lido_spawn(&tasks[i], contest->play, contest), 0);
    for (int i = 0; i < RIVALS; i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void compete(unsigned workers, struct contest *contest)
{
    lido_runtime *runtime = runtime_by("work-stealing", workers);
    check_int(finish(runtime_start(runtime, hold_contest, contest)), 0);
    runtime_end(runtime);
}

static void none_of_those_who_yield_on_a_worker_gets_less_than_half_of_the_mean(void **state)
{
    struct contest contest = {.play = play_for_all};
    (void)state;
    compete(1, &contest);
    for (int i = 0; i < RIVALS; i++)
        check(contest.turns_of[i] >= TURNS_OF_ALL / RIVALS / 2);
}

/* How many turns one gets depends on how many share a worker, and on what the system gives its thread. But with one
   who gets none, the others would play on for ever. */
static void none_of_those_who_yield_on_two_workers_is_forgotten(void **state)
{
    struct contest contest = {.play = play_for_each, .behind = RIVALS};
    (void)state;
    compete(2, &contest);
}

/* ---- The world outside --------------------------------------------------------------------------------- */

static int yield_until(void *arg)
{
    while (!flag_is_up(arg))
        check_int(lido_yield(), 0);
    return 0;
}

static int answer(void *stream)
{
    net_expect(stream, "?");
    net_say(stream, "!");
    return 0;
}

static int talk_among_yielders(void *arg)
{
    struct flag enough = {0};
    lido_stream *pair[2];
    lido_task *yielders[3];
    (void)arg;
    net_unix_pair(pair);
    for (size_t i = 0; i < COUNT(yielders); i++)
        yielders[i] = start(yield_until, &enough);
    for (int i = 0; i < 20; i++) {
        lido_task *other = start(answer, pair[1]);
        net_await_reader(pair[1]);
        net_say(pair[0], "?");
        net_expect(pair[0], "!");
        check_int(finish(other), 0);
    }
    flag_raise(&enough);
    for (size_t i = 0; i < COUNT(yielders); i++)
        check_int(finish(yielders[i]), 0);
    net_close_pair(pair);
    return 0;
}

static void sockets_are_looked_at_though_tasks_yield_for_ever(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(schedulers); i++)
        for (unsigned workers = 1; workers <= 2; workers++) {
            lido_runtime *runtime = runtime_by(schedulers[i], workers);
            check_int(lido_block_on(runtime, talk_among_yielders, NULL), 0);
            runtime_end(runtime);
        }
}

/* ---- From outside ------------------------------------------------------------------------------------ */

enum { SPAWNERS = 4, SPAWNS = SCALED(10000, 3000, 300) };

struct spawner {
    lido_runtime *runtime;
    uint8_t runs[SPAWNS];
};

static int count_run(void *arg)
{
    lido__fetch_add((uint8_t *)arg, 1, LIDO__RELAXED);
    return 0;
}

static void *spawn_many(void *arg)
{
    struct spawner *spawner = arg;
    lido_spawn_options options = with(LIDO_STEALABLE);
    for (int i = 0; i < SPAWNS; i++)
        check_int(lido_runtime_spawn_with(spawner->runtime, NULL, count_run, &spawner->runs[i],
                                          &options),
                  0);
    return NULL;
}

static void each_task_that_comes_from_outside_runs_once(void **state)
{
    static struct spawner spawners[SPAWNERS];
    (void)state;
    for (size_t k = 0; k < COUNT(schedulers); k++) {
        lido_runtime *runtime = runtime_by(schedulers[k], WORKERS);
        pthread_t threads[SPAWNERS];
        memset(spawners, 0, sizeof(spawners));
        for (int i = 0; i < SPAWNERS; i++) {
            spawners[i].runtime = runtime;
            threads[i] = thread_start(spawn_many, &spawners[i]);
        }
        for (int i = 0; i < SPAWNERS; i++)
            thread_join(threads[i]);
        runtime_end(runtime);
        for (int i = 0; i < SPAWNERS; i++)
            for (int n = 0; n < SPAWNS; n++)
                check_int(spawners[i].runs[n], 1);
    }
}

/* ---- Shutdown ---------------------------------------------------------------------------------------- */

enum { STORM_AHEAD = 2000 }; /* so many tasks may have been spawned and not have run */

struct storm {
    lido_runtime *runtime;
    struct flag told;
    uint64_t accepted;
    uint64_t ran;
};

static int yield_once(void *arg)
{
    struct storm *storm = arg;
    int r = lido_yield();
    check(r == 0 || r == -ECANCELED);
    tally(&storm->ran, 1);
    return 0;
}

/* On a machine that is busy with other things they would be millions before the shutdown comes. */
static void let_them_catch_up(struct storm *storm)
{
    while (posted(&storm->accepted) > posted(&storm->ran) + STORM_AHEAD)
        lido__thread_yield();
}

static void *spawn_until_refused(void *arg)
{
    struct storm *storm = arg;
    int r;
    while ((r = lido_runtime_spawn(storm->runtime, NULL, yield_once, storm)) == 0) {
        tally(&storm->accepted, 1);
        let_them_catch_up(storm);
    }
    check_int(r, -ESHUTDOWN);
    return NULL;
}

/* Keeps the runtime there for those who still spawn. */
static int hold(void *arg)
{
    struct storm *storm = arg;
    while (!flag_is_up(&storm->told))
        lido_yield();
    return 0;
}

static void a_spawn_that_shutdown_overtakes_is_refused_or_runs(void **state)
{
    enum { ROUNDS = SCALED(30, 10, 4) };
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct storm storm = {.runtime = runtime_by("work-stealing", WORKERS)};
        pthread_t threads[2];
        lido_detach(runtime_start(storm.runtime, hold, &storm));
        for (size_t k = 0; k < COUNT(threads); k++)
            threads[k] = thread_start(spawn_until_refused, &storm);
        while (posted(&storm.accepted) < (uint64_t)i * 50)
            lido__thread_yield();
        check_int(lido_shutdown(storm.runtime, LIDO_SHUTDOWN_NOW, 0, NULL, NULL), -ETIMEDOUT);
        for (size_t k = 0; k < COUNT(threads); k++)
            thread_join(threads[k]);
        flag_raise(&storm.told);
        check_int(lido_shutdown(storm.runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
        check_int(storm.ran, storm.accepted);
    }
}

static int yield_until_cancelled(void *arg)
{
    uint64_t *started = arg;
    int r;
    tally(started, 1);
    while ((r = lido_yield()) == 0) {}
    return r;
}

/* Whether they are in a queue, in a ring, or on their way between two workers. */
static void tasks_are_cancelled_wherever_they_are(void **state)
{
    enum { ROUNDS = SCALED(100, 50, 10), TASKS = 50 };
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        lido_runtime *runtime = runtime_by(schedulers[i % 2], WORKERS);
        lido_spawn_options options = with(LIDO_STEALABLE);
        lido_task *tasks[TASKS];
        uint64_t started = 0;
        for (int k = 0; k < TASKS; k++)
            check_int(lido_runtime_spawn_with(runtime, &tasks[k], yield_until_cancelled, &started,
                                              &options),
                      0);
        while (posted(&started) < (uint64_t)(i % TASKS))
            lido__thread_yield();
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
        for (int k = 0; k < TASKS; k++)
            check_int(finish(tasks[k]), -ECANCELED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_workers_take_tasks_from_a_busy_one),
        cmocka_unit_test(a_worker_that_has_slept_takes_too),
        cmocka_unit_test(a_pinned_task_never_moves),
        cmocka_unit_test(where_tasks_are_stolen_who_is_woken_by_a_task_runs_next),
        cmocka_unit_test(tasks_that_wake_each_other_for_ever_leave_others_their_turns),
        cmocka_unit_test(none_of_those_who_yield_on_a_worker_gets_less_than_half_of_the_mean),
        cmocka_unit_test(none_of_those_who_yield_on_two_workers_is_forgotten),
        cmocka_unit_test(sockets_are_looked_at_though_tasks_yield_for_ever),
        cmocka_unit_test(each_task_that_comes_from_outside_runs_once),
        cmocka_unit_test(a_spawn_that_shutdown_overtakes_is_refused_or_runs),
        cmocka_unit_test(tasks_are_cancelled_wherever_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
