/*
 * Rescue: the tasks of a worker that sits in one of them are taken to another, while that one ends, they are woken,
 * cancelled, joined and delivered to, and the pool comes to its end. The gate is the real one.
 *
 * In the end each task has ended once, on a worker of its own, and nothing is left.
 */
#include <string.h>

#include "pool_scene.h"

#include "../../src/sched/gate.c"

static bool try_claim_gate(struct lido__gate *gate)
{
    return wrong == SEIZE_NOTHING || lido__gate_claim(gate);
}

static bool try_confirm(struct lido__gate *gate)
{
    return wrong == SEIZE_NOTHING || lido__gate_confirm(gate);
}

static void try_release(struct lido__gate *gate)
{
    if (wrong != SEIZE_NOTHING)
        lido__gate_release_marked(gate);
}

static bool try_mark(const struct lido__gate *gate)
{
    return wrong == TRUST_THE_MARK || lido__gate_is_marked(gate);
}

#define lido__gate_claim try_claim_gate
#define lido__gate_confirm try_confirm
#define lido__gate_release_marked try_release
#define lido__gate_is_marked try_mark
#include "../../src/sched/rescue.c"
#undef lido__gate_claim
#undef lido__gate_confirm
#undef lido__gate_release_marked
#undef lido__gate_is_marked

enum { MOST = 3 };

struct plan {
    struct model_scenario scenario;
    /*
     * The tasks that lie in the inbox of the first worker in the beginning. Those in capitals are pinned, the others
     * rescuable.
     *   S  is stuck until the others have ended
     *   T  the same, and meanwhile wakes the first one, which waits
     *   P  passes
     *   N  wakes the first one, which waits
     *   F  joins the last one, gives that up, and joins it again
     *   e  ends at once
     *   x  the same, and has woken itself
     *   w  waits for the event
     *   o  waits for an op
     *   j  joins the last one
     */
    const char *tasks;
    bool now; /* the pool's end cancels */
    size_t least;
};

static struct {
    const struct plan *plan;
    struct actor actors[MOST];
    unsigned count;
    lido_task *last;  /* of the last actor; for those who join it */
    lido_waker waker; /* owned, of the first actor, as the next */
    lido_waker disturber;
} scene;

/* --- the system ---------------------------------------------------------------------------------*/

int lido__futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    (void)timeout_ns;
    model_futex_wait(&stage.futex, word, expected);
    return 0;
}

bool lido__barrier_refused(void)
{
    return false;
}

/* Whether the reactor has something to hand back: its descriptor is the worker's index. */
bool lido__os_readable(int fd)
{
    const struct lido__worker *worker = &stage.pool->workers[fd];
    return has_event(reactor_of(worker->reactor));
}

void lido__barrier_all(void)
{
    model_barrier_all();
}

/* --- futures ------------------------------------------------------------------------------------*/

MODEL_UNSEEN static bool others_have_ended(const void *self)
{
    for (unsigned i = 0; i < scene.count; i++)
        if (&scene.actors[i] != self && !scene.actors[i].ends)
            return false;
    return true;
}

static int be_stuck(lido_future *future, const lido_waker *waker)
{
    begin_poll(waker);
    model_block_until(others_have_ended, actor_of(future));
    return end_with(actor_of(future), RESULT);
}

/* A neighbour that was not runnable when the rescuer looked. */
static int be_stuck_and_wake(lido_future *future, const lido_waker *waker)
{
    begin_poll(waker);
    model_touch(future);
    lido__store(&scene.actors[0].event, 1, LIDO__RELEASE);
    lido__wake_consume(scene.waker);
    model_block_until(others_have_ended, actor_of(future));
    return end_with(actor_of(future), RESULT);
}

static int pass(lido_future *future, const lido_waker *waker)
{
    begin_poll(waker);
    model_touch(future);
    return end_with(actor_of(future), RESULT);
}

/* It stays in the queue, and is nobody's any more. */
static int wake_itself_and_end(lido_future *future, const lido_waker *waker)
{
    begin_poll(waker);
    lido_waker_wake(waker);
    return end_with(actor_of(future), RESULT);
}

/* A neighbour of the first one, or not any more. */
static int wake_first(lido_future *future, const lido_waker *waker)
{
    begin_poll(waker);
    lido__store(&scene.actors[0].event, 1, LIDO__RELEASE);
    lido__wake_consume(scene.waker);
    return end_with(actor_of(future), RESULT);
}

static int join_twice(lido_future *future, const lido_waker *waker)
{
    struct actor *self = actor_of(future);
    if (!self->event) {
        self->event = 1;
        begin_poll(waker);
        if (lido_join_poll(self->target, NULL, waker) != LIDO_PENDING)
            return end_with(self, RESULT);
        lido_join_forgo(self->target);
        model_touch(future);
    }
    return join_target(future, waker);
}

static int wait_for_op(lido_future *future, const lido_waker *waker)
{
    struct actor *self = actor_of(future);
    lido_task *task = begin_poll(waker);
    if (lido__op_state(&self->op) == LIDO__OP_READY)
        return end_with(self, RESULT);
    if (lido__op_state(&self->op) == LIDO__OP_IDLE)
        arm(lido__worker_current(), task, &self->op);
    return LIDO_PENDING;
}

static lido_future future_of(char kind)
{
    switch (kind) {
    case 'S': return (lido_future){be_stuck};
    case 'T': return (lido_future){be_stuck_and_wake};
    case 'P': return (lido_future){pass};
    case 'N': return (lido_future){wake_first};
    case 'F': return (lido_future){join_twice};
    case 'x': return (lido_future){wake_itself_and_end};
    case 'w': return (lido_future){wait_for_event};
    case 'o': return (lido_future){wait_for_op};
    case 'j': return (lido_future){join_target};
    default: return (lido_future){end_at_once};
    }
}

/* The first of "Se" and the last of "wT". */
static const struct actor *stuck_one(void)
{
    return &scene.actors[scene.plan->tasks[0] == 'S' ? 0 : scene.count - 1];
}

/* --- threads ------------------------------------------------------------------------------------*/

static void check_actors(void)
{
    for (unsigned i = 0; i < scene.count; i++)
        model_assert(scene.actors[i].ends == 1);
}

static void shut_down(void *unused)
{
    (void)unused;
    if (!scene.plan->now)
        model_block_until(others_have_ended, NULL);
    end_pool(scene.plan->now);
    check_actors();
    tear_down_pool();
}

/* As the lifeguard, who looks again and again, but seizes the gate only where that promises something. */
static void rescue_it(void *unused)
{
    struct lido__rescue rescue = {.worker = &stage.pool->workers[0]};
    (void)unused;
    while (!others_have_ended(stuck_one())) {
        if (lido__rescue_promises(&rescue, 1))
            lido__rescue_all(&rescue, NULL);
        model_yield();
    }
    leave_pool();
}

static void rescue_times(unsigned times)
{
    struct lido__rescue rescue = {.worker = &stage.pool->workers[0]};
    for (unsigned i = 0; i < times; i++)
        lido__rescue_all(&rescue, NULL);
    leave_pool();
}

static void rescue_once(void *unused)
{
    (void)unused;
    rescue_times(1);
}

static void rescue_twice(void *unused)
{
    (void)unused;
    rescue_times(2);
}

static void wake_it(void *unused)
{
    (void)unused;
    lido__store(&scene.actors[0].event, 1, LIDO__RELEASE);
    lido__wake_consume(scene.waker);
}

/* For no reason. */
static void disturb_it(void *unused)
{
    (void)unused;
    lido__wake_consume(scene.disturber);
}

/* --- scenes -------------------------------------------------------------------------------------*/

static bool has(void (*what)(void *arg))
{
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        if (scene.plan->scenario.threads[i].run == what)
            return true;
    return false;
}

static bool is_joiner(char kind)
{
    return kind == 'j' || kind == 'F';
}

static void place_actors(void)
{
    const char *kinds = scene.plan->tasks;
    lido_task *tasks[MOST];
    for (scene.count = 0; kinds[scene.count]; scene.count++) {
        struct actor *actor = &scene.actors[scene.count];
        bool pinned = kinds[scene.count] < 'a';
        *actor = (struct actor){.future = future_of(kinds[scene.count])};
        spawn_on(0, actor, pinned ? LIDO_PINNED : LIDO_RESCUABLE, &tasks[scene.count]);
        model_name_memory(&tasks[scene.count]->state, sizeof(uint32_t), "state");
    }
    scene.last = tasks[scene.count - 1];
    if (has(wake_it) || strpbrk(kinds, "NT"))
        scene.waker = lido__waker_own(tasks[0]);
    if (has(disturb_it))
        scene.disturber = lido__waker_own(tasks[0]);
    for (unsigned i = 0; i < scene.count; i++) {
        if (is_joiner(kinds[i])) {
            scene.actors[i].target = scene.last;
            lido__state_ref(&scene.last->state);
        }
    }
    for (unsigned i = 0; i < scene.count; i++)
        lido__task_unref(tasks[i]);
}

static void set_up(void)
{
    stage.visitors = 1 + has(complete_ops);
    set_up_pool(2, true);
    model_name_memory(&stage.pool->workers[0].gate.inside, sizeof(uint32_t), "gate.inside");
    model_name_memory(&stage.pool->workers[0].gate.wanted, sizeof(uint32_t), "gate.wanted");
    place_actors();
}

#define PLAN(NAME, TASKS, PREEMPTIONS, LEAST, RESCUE, ...)                                         \
    {                                                                                              \
        .scenario = {.name = NAME,                                                                 \
                     .setup = set_up,                                                              \
                     .threads = {{"worker 2", carry, &second},                                     \
                                 {"worker 1", carry, &first},                                      \
                                 {"rescuer", RESCUE, NULL},                                        \
                                 {"main", shut_down, NULL},                                        \
                                 __VA_ARGS__},                                                     \
                     .preemptions = PREEMPTIONS},                                                  \
        .tasks = TASKS, .least = LEAST                                                             \
    }

static struct plan stuck = PLAN("rescued from one that is stuck", "Se", 1, 8000, rescue_it);
static struct plan waking = PLAN("rescued when the stuck one wakes it", "wT", 1, 5000, rescue_it);
static struct plan passing = PLAN("rescued from one that ends", "Pe", 1, 5000, rescue_twice);
static struct plan woken =
    PLAN("rescued and woken", "wP", 1, 30000, rescue_twice, {"waker", wake_it, NULL});
static struct plan woken_by_neighbour = PLAN("rescued and woken by a neighbour", "wN", 1, 50000,
                                             rescue_once, {"disturber", disturb_it, NULL});
static struct plan delivered =
    PLAN("rescued and delivered to", "oP", 1, 50000, rescue_once, {"system", complete_ops, NULL});
static struct plan joined = PLAN("rescued and joined", "jPe", 1, 5000, rescue_twice);
static struct plan joining =
    PLAN("rescued while it joins", "jPP", 1, 50000, rescue_once, {"disturber", disturb_it, NULL});
static struct plan ended_itself = PLAN("rescued after its end", "xP", 1, 5000, rescue_twice);
static struct plan forgone = PLAN("rescued and joined twice", "FPe", 1, 5000, rescue_twice);
static struct plan ended = PLAN("rescued and ended at once", "wwP", 1, 30000, rescue_twice);

static struct plan *const plans[] = {
    &stuck,   &waking,       &passing, &woken, &woken_by_neighbour, &delivered, &joined,
    &joining, &ended_itself, &forgone, &ended};

static int vary(void **state)
{
    (void)state;
    ended.now = true;
    return 0;
}

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

static bool caught(enum wrong what, const struct plan *plan, const char *name, const char *how)
{
    struct plan wrong_plan = *plan;
    wrong_plan.scenario.name = name;
    wrong = what;
    prepare(&wrong_plan);
    bool found = model_catches(&wrong_plan.scenario, how) > 0;
    wrong = NOTHING;
    return found;
}

static void wrong_ways_of_rescuing_are_caught(void **state)
{
    (void)state;
    assert_true(caught(WAKE_OUTSIDE, &woken_by_neighbour, "a wake-up beside the gate", "gone"));
    assert_true(caught(SEIZE_NOTHING, &woken, "a rescue beside the gate", "deadlock"));
    assert_true(caught(TRUST_THE_MARK, &waking, "a mark that is never wiped off", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tasks_of_all_are_run_once),
        cmocka_unit_test(wrong_ways_of_rescuing_are_caught),
    };
    return cmocka_run_group_tests(tests, vary, NULL);
}
