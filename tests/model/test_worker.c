/*
 * The scheduler itself: workers, wake-ups, spawns, joins and the end of a pool, as they are in
 * src/sched, in all interleavings up to a bound.
 *
 * Only what lies below is replaced: the reactor is a bell, the clock stands still, and tasks are
 * memory of the explorer. So a wake-up that is lost is a deadlock, and whoever touches a worker, a
 * pool or a task that is gone is caught.
 */
#include "no_gate.h"
#include "pool_scene.h"

struct plan {
    struct model_scenario scenario;
    unsigned workers;
    bool now; /* shutdown cancels */
    size_t least;
};

static struct {
    const struct plan *plan;
    struct actor waiter;
    struct actor joiner;
    struct actor late;
    lido_task *task;  /* of the waiter */
    lido_waker waker; /* of the waiter, owned */
} scene;

/* It may be woken in its last poll: then it ends while it is in the queue. */
static int wait_and_wake_itself(lido_future *future, const lido_waker *waker)
{
    int r = wait_for_event(future, waker);
    if (r != LIDO_PENDING && model_choose(2))
        lido_waker_wake(waker);
    return r;
}

/* --- threads ------------------------------------------------------------------------------------*/

/* What lido_shutdown does. */
static void shut_down(void *unused)
{
    (void)unused;
    end_pool(scene.plan->now);
    model_assert(scene.waiter.answer == RESULT || scene.waiter.answer == -ECANCELED);
    model_assert(scene.joiner.answer == RESULT || !scene.joiner.target);
    tear_down_pool();
}

static void wake_waiter(void *unused)
{
    (void)unused;
    lido__store(&scene.waiter.event, 1, LIDO__RELEASE);
    lido__wake_consume(scene.waker);
}

static void cancel_waiter(void *unused)
{
    (void)unused;
    lido_cancel(scene.task);
    lido__task_unref(scene.task);
}

static void join_waiter(void *unused)
{
    (void)unused;
    join_as_thread(scene.task);
}

static void spawn_late(void *unused)
{
    (void)unused;
    int r = spawn_on(0, &scene.late, LIDO_PINNED, NULL);
    model_assert(r == 0 || r == -ESHUTDOWN);
    leave_pool();
}

/* --- scenes -------------------------------------------------------------------------------------*/

static bool has(void (*what)(void *arg))
{
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        if (scene.plan->scenario.threads[i].run == what)
            return true;
    return false;
}

static void set_up(void)
{
    bool handle = has(cancel_waiter) || has(join_waiter);
    scene.waiter = (struct actor){.future = {wait_and_wake_itself}};
    scene.joiner = (struct actor){.future = {join_target}};
    scene.late = (struct actor){.future = {end_at_once}};
    stage.visitors = has(spawn_late);
    stage.moody = true;
    set_up_pool(scene.plan->workers, false);

    lido_task *task;
    bool joined = scene.plan->workers > 1;
    spawn_on(joined, &scene.waiter, LIDO_PINNED, &task);
    model_name_memory(&task->state, sizeof(task->state), "task.state");
    scene.task = task;
    if (has(wake_waiter))
        scene.waker = lido__waker_own(task);
    if (joined) {
        scene.joiner.target = task;
        spawn_on(0, &scene.joiner, LIDO_PINNED, NULL);
    } else if (!handle) {
        lido__task_unref(task);
    }
}

#define PLAN(NAME, WORKERS_, NOW, PREEMPTIONS, LEAST, ...)                                         \
    {                                                                                              \
        .scenario = {.name = NAME,                                                                 \
                     .setup = set_up,                                                              \
                     .threads = {{"worker 1", carry, &first},                                      \
                                 {"main", shut_down, NULL},                                        \
                                 __VA_ARGS__},                                                     \
                     .preemptions = PREEMPTIONS},                                                  \
        .workers = WORKERS_, .now = NOW, .least = LEAST,                                           \
    }

static struct plan plans[] = {
    PLAN("woken from afar", 1, false, 2, 5000, {"waker", wake_waiter, NULL}),
    PLAN("ended at once", 1, true, 3, 3000, {NULL, NULL, NULL}),
    PLAN("woken and ended at once", 1, true, 2, 10000, {"waker", wake_waiter, NULL}),
    PLAN("cancelled", 1, false, 2, 10000, {"canceller", cancel_waiter, NULL}),
    PLAN("cancel racing completion", 1, false, 1, 3000, {"waker", wake_waiter, NULL},
         {"canceller", cancel_waiter, NULL}),
    PLAN("join racing completion", 1, false, 1, 1000, {"waker", wake_waiter, NULL},
         {"joiner", join_waiter, NULL}),
    PLAN("shutdown racing spawn", 1, true, 2, 10000, {"spawner", spawn_late, NULL}),
    PLAN("join by a task elsewhere racing completion", 2, false, 1, 1000,
         {"waker", wake_waiter, NULL}, {"worker 2", carry, &second}),
    PLAN("joined elsewhere and ended at once", 2, true, 1, 2000, {"worker 2", carry, &second}),
};

static void the_scheduler_loses_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        struct plan *plan = &plans[i];
        plan->scenario.per_thread = &lido__worker_of_thread;
        scene.plan = plan;
        assert_in_range(model_holds(&plan->scenario), plan->least, SIZE_MAX);
    }
}

static void wrong_reactors_are_caught(void **state)
{
    struct model_scenario scenario = plans[0].scenario;
    (void)state;
    scene.plan = &plans[0];
    scenario.per_thread = &lido__worker_of_thread;
    scenario.name = "reactor that hears no wake";
    stage.deaf = true;
    assert_true(model_catches(&scenario, "deadlock") > 0);
    stage.deaf = false;
    scenario.name = "reactor that forgets a wake when it goes to sleep";
    stage.forgetful = true;
    assert_true(model_catches(&scenario, "deadlock") > 0);
    stage.forgetful = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scheduler_loses_nothing),
        cmocka_unit_test(wrong_reactors_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
