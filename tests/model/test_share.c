/*
 * Sharing: tasks that go from worker to worker while they are woken, cancelled, joined and delivered to; spawns
 * from outside that any worker takes; and the end of the pool meanwhile. The workers are those of src/sched.
 *
 * In the end each task has ended once, all tokens are back (the pool has ended), all who joined know, and nothing
 * is left. A task that nobody runs, and a wake-up that goes astray, are deadlocks.
 */
#include "no_gate.h"
#include "pool_scene.h"

enum { MOST = 5 }; /* tasks that are there from the beginning */

struct plan {
    struct model_scenario scenario;
    /*
     * The tasks that lie in the inbox of the first worker in the beginning. Of those that it finds in its queue it
     * shares every second one.
     *   e  ends at once
     *   w  waits for the event
     *   y  yields once
     *   o  waits for an op
     *   j  joins the first one of the others that is no j
     *   h  holds its worker up until others have taken what that one shares
     *   m  meets the other ones like it: each ends when all have begun, so each needs a worker
     */
    const char *tasks;
    bool now;    /* the pool's end cancels */
    bool late;   /* the pool's end comes when all tasks have ended */
    bool hasty;  /* and the pool is freed, whoever is still in a spawn */
    bool absent; /* no thread can be had for the second worker when it is first called */
    size_t least;
};

static struct {
    const struct plan *plan;
    struct actor actors[MOST];
    unsigned count;   /* of actors */
    lido_task *task;  /* of the one that waits, or is joined */
    lido_waker waker; /* owned */
    struct actor late;
    bool spawned; /* the late one */
    unsigned met;
    bool refused; /* the second worker has been asked for in vain */
} scene;

/* --- futures ------------------------------------------------------------------------------------*/

MODEL_UNSEEN static bool all_have_met(const void *unused)
{
    unsigned expected = 0;
    (void)unused;
    for (const char *kind = scene.plan->tasks; *kind; kind++)
        expected += *kind == 'm';
    return scene.met == expected;
}

MODEL_UNSEEN static void come(void)
{
    scene.met++;
}

static int meet_the_others(lido_future *future, const lido_waker *waker)
{
    begin_poll(waker);
    come();
    model_block_until(all_have_met, NULL);
    return end_with(actor_of(future), RESULT);
}

MODEL_UNSEEN static bool ring_is_empty(const void *worker)
{
    return lido__ring_empty(&((const struct lido__worker *)worker)->ring);
}

static int hold_up(lido_future *future, const lido_waker *waker)
{
    begin_poll(waker);
    model_block_until(ring_is_empty, lido__worker_current());
    return end_with(actor_of(future), RESULT);
}

static int yield_once(lido_future *future, const lido_waker *waker)
{
    struct actor *self = actor_of(future);
    begin_poll(waker);
    if (self->event)
        return end_with(self, RESULT);
    self->event = 1;
    lido_waker_wake(waker);
    return LIDO_PENDING;
}

/* Once it has begun it wakes itself: so that it may go elsewhere before the op comes back. */
static int wait_for_op(lido_future *future, const lido_waker *waker)
{
    struct actor *self = actor_of(future);
    lido_task *task = begin_poll(waker);
    if (lido__op_state(&self->op) == LIDO__OP_READY)
        return end_with(self, RESULT);
    if (lido__op_state(&self->op) == LIDO__OP_IDLE) {
        arm(lido__worker_current(), task, &self->op);
        lido_waker_wake(waker);
    }
    return LIDO_PENDING;
}

static lido_future future_of(char kind)
{
    switch (kind) {
    case 'w': return (lido_future){wait_for_event};
    case 'y': return (lido_future){yield_once};
    case 'o': return (lido_future){wait_for_op};
    case 'j': return (lido_future){join_target};
    case 'h': return (lido_future){hold_up};
    case 'm': return (lido_future){meet_the_others};
    default: return (lido_future){end_at_once};
    }
}

/* --- threads ------------------------------------------------------------------------------------*/

static int third = 2;

static void check_actors(void)
{
    for (unsigned i = 0; i < scene.count; i++) {
        const struct actor *actor = &scene.actors[i];
        model_assert(actor->ends == 1);
        model_assert(actor->answer == RESULT || actor->answer == -ECANCELED);
    }
}

/* At the end all are awake, or asleep, and nobody searches who is not there. */
static void check_idle(void)
{
    uint64_t word = lido__load(&stage.pool->idle.word, LIDO__RELAXED);
    model_assert((uint32_t)word <= stage.pool->count);
    model_assert(word >> 32 <= stage.pool->count);
}

MODEL_UNSEEN static bool all_have_ended(const void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < scene.count; i++)
        if (!scene.actors[i].ends)
            return false;
    return scene.late.ends || !scene.plan->hasty;
}

static void shut_down(void *unused)
{
    (void)unused;
    if (scene.plan->late)
        model_block_until(all_have_ended, NULL);
    end_pool(scene.plan->now);
    check_actors();
    check_idle();
    tear_down_pool();
    model_assert(scene.late.ends == scene.spawned);
}

static void wake_it(void *unused)
{
    (void)unused;
    lido__store(&scene.actors[scene.count - 1].event, 1, LIDO__RELEASE);
    lido__wake_consume(scene.waker);
}

static void cancel_it(void *unused)
{
    (void)unused;
    lido_cancel(scene.task);
    lido__task_unref(scene.task);
}

static void join_it(void *unused)
{
    (void)unused;
    join_as_thread(scene.task);
}

static void spawn_late(lido_task **handle)
{
    struct lido__spawn spawn = {.pool = stage.pool, .future = &scene.late.future};
    int r = lido__spawn(&spawn, handle);
    model_assert(r == 0 || r == -ESHUTDOWN);
    if (!scene.plan->hasty)
        scene.spawned = r == 0;
}

static void spawn_from_outside(void *unused)
{
    (void)unused;
    spawn_late(NULL);
    if (!scene.plan->hasty)
        leave_pool();
}

static void spawn_and_cancel(void *unused)
{
    lido_task *task;
    (void)unused;
    scene.late.future.poll = wait_for_event;
    spawn_late(&task);
    if (scene.spawned) {
        lido_cancel(task);
        lido__task_unref(task);
    }
    leave_pool();
}

static void spawn_on_second(void *unused)
{
    (void)unused;
    int r = spawn_on(1, &scene.late, LIDO_PINNED, NULL);
    model_assert(r == 0 || r == -ESHUTDOWN || (r == -EAGAIN && scene.plan->absent));
    scene.spawned = r == 0;
    leave_pool();
}

/* --- threads that cannot be had -----------------------------------------------------------------*/

MODEL_UNSEEN static bool may_come(const void *worker)
{
    return ((const struct lido__worker *)worker)->seated || stage.pool->stopped;
}

static void carry_second_if_called(void *unused)
{
    struct lido__worker *worker = &stage.pool->workers[1];
    (void)unused;
    model_block_until(may_come, worker);
    lido__load(&worker->seated, LIDO__ACQUIRE);
    carry(&second);
}

MODEL_UNSEEN static bool refuse_once(void)
{
    bool refuses = !scene.refused;
    scene.refused = true;
    return refuses;
}

/* Refused, and from then on until the end, or but for that moment: the clock stands still. */
static int seat(struct lido__worker *worker, bool insist)
{
    (void)insist;
    model_touch(&worker->seated);
    if (refuse_once()) {
        lido__store(&worker->pool->no_thread_until, model_choose(2) ? 0 : UINT64_MAX,
                    LIDO__RELAXED);
        return -EAGAIN;
    }
    lido__store(&worker->seated, 1, LIDO__RELEASE);
    return 0;
}

/* --- scenes -------------------------------------------------------------------------------------*/

static bool has(void (*what)(void *arg))
{
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        if (scene.plan->scenario.threads[i].run == what)
            return true;
    return false;
}

static bool has_argument(const void *arg)
{
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        if (scene.plan->scenario.threads[i].arg == arg)
            return true;
    return false;
}

static void ref_it(void)
{
    lido__state_ref(&scene.task->state);
}

/* Those who wake, cancel and join it have a reference each. */
static void hand_it_out(void)
{
    for (unsigned i = 0; i < scene.count; i++) {
        if (scene.plan->tasks[i] == 'j') {
            scene.actors[i].target = scene.task;
            ref_it();
        }
    }
    if (has(wake_it))
        scene.waker = lido__waker_own(scene.task);
    if (has(cancel_it) || has(join_it))
        ref_it();
}

static void place_actors(void)
{
    const char *kinds = scene.plan->tasks;
    lido_task *tasks[MOST];
    for (scene.count = 0; kinds[scene.count]; scene.count++) {
        struct actor *actor = &scene.actors[scene.count];
        *actor = (struct actor){.future = future_of(kinds[scene.count])};
        spawn_on(0, actor, LIDO_MOBILITY_DEFAULT, &tasks[scene.count]);
        model_name_memory(&tasks[scene.count]->state, sizeof(uint32_t), "state");
        if (kinds[scene.count] != 'j')
            scene.task = tasks[scene.count];
    }
    hand_it_out();
    for (unsigned i = 0; i < scene.count; i++)
        lido__task_unref(tasks[i]);
}

static void set_up(void)
{
    scene.late = (struct actor){.future = {end_at_once}};
    scene.spawned = scene.plan->hasty; /* it cannot be said after that it was */
    scene.met = 0;
    scene.refused = false;
    stage.visitors = has(complete_ops) + has(spawn_and_cancel) + has(spawn_on_second) +
                     (has(spawn_from_outside) && !scene.plan->hasty);
    set_up_pool(2 + has_argument(&third), true);
    stage.pool->seat = seat;
    if (scene.plan->absent)
        stage.pool->workers[1].seated = 0;
    place_actors();
    /* So that what has run once is looked through before it runs again; and at first at once. */
    stage.pool->workers[0].slice = 1 + scene.count / 2;
    stage.pool->workers[0].waited = true;
}

/* The first worker comes last: so the first schedules are those in which the others sleep. */
#define PLAN(NAME, TASKS, PREEMPTIONS, LEAST, ...)                                                 \
    {                                                                                              \
        .scenario = {.name = NAME,                                                                 \
                     .setup = set_up,                                                              \
                     .threads = {__VA_ARGS__,                                                      \
                                 {"worker 1", carry, &first},                                      \
                                 {"main", shut_down, NULL}},                                       \
                     .preemptions = PREEMPTIONS},                                                  \
        .tasks = TASKS, .least = LEAST                                                             \
    }

#define WORKER_2                                                                                   \
    {                                                                                              \
        "worker 2", carry, &second                                                                 \
    }
#define WORKER_3                                                                                   \
    {                                                                                              \
        "worker 3", carry, &third                                                                  \
    }
#define SHY_WORKER_2                                                                               \
    {                                                                                              \
        "worker 2", carry_second_if_called, NULL                                                   \
    }

static struct plan stolen = PLAN("stolen", "ee", 2, 20000, WORKER_2);
static struct plan woken =
    PLAN("stolen and woken", "hw", 1, 2000, WORKER_2, {"waker", wake_it, NULL});
static struct plan woken_late =
    PLAN("stolen later and woken", "yyw", 1, 15000, WORKER_2, {"waker", wake_it, NULL});
static struct plan cancelled =
    PLAN("stolen and cancelled", "hw", 1, 1500, WORKER_2, {"canceller", cancel_it, NULL});
static struct plan delivered =
    PLAN("stolen and delivered to", "yyo", 1, 30000, WORKER_2, {"system", complete_ops, NULL});
static struct plan joined =
    PLAN("stolen and joined by a thread", "he", 1, 40000, WORKER_2, {"joiner", join_it, NULL});
static struct plan joined_by_left = PLAN("stolen from who joins it", "je", 1, 2000, WORKER_2);
static struct plan joined_before =
    PLAN("stolen from who has joined it", "yejey", 1, 3000, WORKER_2);
static struct plan joined_by_right = PLAN("stolen, and joins", "hj", 1, 1500, WORKER_2);
static struct plan injected = PLAN("inject: spawned from outside", "", 1, 7500, WORKER_2,
                                   {"spawner", spawn_from_outside, NULL});
static struct plan injected_and_cancelled =
    PLAN("inject: cancelled at once", "", 1, 7500, WORKER_2, {"spawner", spawn_and_cancel, NULL});
static struct plan chained =
    PLAN("stolen in a chain", "mmem", MODEL_NO_PREEMPTION, 500, WORKER_3, WORKER_2);
static struct plan ended = PLAN("stolen and ended at once", "ww", 1, 3000, WORKER_2);
static struct plan hasty = PLAN("inject: ended, and the pool freed", "", 1, 3000, WORKER_2,
                                {"spawner", spawn_from_outside, NULL});
static struct plan absent =
    PLAN("called in vain", "ee", 1, 3000, SHY_WORKER_2, {"spawner", spawn_on_second, NULL});

/* What is particular to some. */
static int vary(void **state)
{
    (void)state;
    ended.now = true;
    absent.absent = true;
    hasty.hasty = true;
    hasty.late = stolen.late = cancelled.late = woken.late = true;
    return 0;
}

static struct plan *const plans[] = {
    &stolen,
    &woken,
    &woken_late,
    &cancelled,
    &delivered,
    &joined,
    &joined_by_left,
    &joined_before,
    &joined_by_right,
    &injected,
    &injected_and_cancelled,
    &chained,
    &ended,
    &hasty,
    &absent,
};

static void prepare(struct plan *plan)
{
    plan->scenario.per_thread = &lido__worker_of_thread;
    scene.plan = plan;
}

static void the_tasks_of_all_are_run_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        prepare(plans[i]);
        assert_in_range(model_holds(&plans[i]->scenario), plans[i]->least, SIZE_MAX);
    }
}

/* --- wrong ones ----------------------------------------------------------------------------------*/

static bool caught(enum wrong what, const struct plan *plan, int preemptions, const char *name,
                   const char *how)
{
    struct plan wrong_plan = *plan;
    wrong_plan.scenario.preemptions = preemptions;
    wrong_plan.scenario.name = name;
    wrong = what;
    prepare(&wrong_plan);
    bool found = model_catches(&wrong_plan.scenario, how) > 0;
    wrong = NOTHING;
    return found;
}

static void wrong_ways_of_sharing_are_caught(void **state)
{
    struct plan early = stolen;
    (void)state;
    early.late = false;
    assert_true(
        caught(CLAIM_TOO_EARLY, &cancelled, 2, "a claim that clears SHARED first", "deadlock"));
    assert_true(caught(KEEP_LENT, &joined_before, 1, "a lent waker that goes along", "belongs"));
    assert_true(caught(NO_TOKEN, &early, 2, "a shared task without a token", "actor->ends"));
    assert_true(
        caught(DROP_PASSED_MAIL, &cancelled, 2, "mail that ends where the task was", "deadlock"));
    assert_true(
        caught(NO_CHAIN, &chained, MODEL_NO_PREEMPTION, "a thief that calls nobody", "deadlock"));
    assert_true(
        caught(NO_SECOND_LOOK, &injected, 1, "a worker that does not look again", "deadlock"));
    assert_true(caught(EXCUSE_TWICE, &absent, 1, "an excuse that does not last", "word"));
    assert_true(caught(INJECT_ON_ONE_TOKEN, &hasty, 1, "a spawn on the task's token", "freed"));
    assert_true(caught(LEAVE_IN_TWO_STEPS, &hasty, 1, "a token given back in two steps", "freed"));
    assert_true(caught(NOTIFY_REGARDLESS, &injected_and_cancelled, 1,
                       "a wake-up that ignores SHARED", "worker"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tasks_of_all_are_run_once),
        cmocka_unit_test(wrong_ways_of_sharing_are_caught),
    };
    return cmocka_run_group_tests(tests, vary, NULL);
}
