/*
 * The scheduler itself: workers, wake-ups, spawns, joins and the end of a pool, as they are in
 * src/sched, in all interleavings up to a bound.
 *
 * Only what lies below is replaced: the reactor is a bell, the clock stands still, and tasks are
 * memory of the explorer. So a wake-up that is lost is a deadlock, and whoever touches a worker, a
 * pool or a task that is gone is caught.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "explorer.h"
#include "props.h"

#include "no_gate.h"

/* Each schedule makes its workers anew, in the explorer's memory. */
#include "reactor/reactor.h"
#undef LIDO__LENT_SIZE
#define LIDO__LENT_SIZE 64
#define calloc(count, size) model_alloc((count) * (size), "calloc")
#define malloc(size) model_alloc(size, "malloc")
#define free(memory) model_free(memory)

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sched/alarm.c"
#include "../../src/sched/future.c"
#include "../../src/sched/idle.c"
#include "../../src/sched/mail.c"
#include "../../src/sched/pool.c"
#include "../../src/sched/share.c"
#include "../../src/sched/spawn.c"
#include "../../src/sched/wake.c"
#include "../../src/sched/worker.c"
#include "../../src/time/wheel.c"

enum { WORKERS = 2, RESULT = 7 };

/* A future that waits for an event, or one that joins another task. */
struct actor {
    lido_future future;
    uint32_t event;
    int answer; /* plain: what a task did is seen by whoever sees that the pool has ended */
    lido_task *target;
};

struct plan {
    struct model_scenario scenario;
    unsigned workers;
    bool now; /* shutdown cancels */
    size_t least;
};

static struct {
    const struct plan *plan;
    struct lido__pool *pool;
    struct actor waiter;
    struct actor joiner;
    struct actor late;
    lido_task *task;   /* of the waiter */
    lido_waker waker;  /* of the waiter, owned */
    uint32_t loops;    /* that have ended */
    uint32_t visitors; /* threads that may still use the pool */
    struct model_futex futex;
    bool interrupted; /* a sleep in the reactor has ended for no reason; once */

    /* Wrong reactors. */
    bool deaf;      /* does not hear a wake */
    bool forgetful; /* forgets a wake that came before it went to sleep */
} scene;

/* --- what lies below ----------------------------------------------------------------------------*/

struct bell_reactor {
    struct lido__reactor base;
    struct model_bell bell;
};

static struct model_bell *bell_of(struct lido__reactor *reactor)
{
    return &((struct bell_reactor *)reactor)->bell;
}

static int reactor_init(struct lido__reactor *reactor)
{
    *bell_of(reactor) = (struct model_bell){0};
    return 0;
}

static void reactor_fini(struct lido__reactor *reactor)
{
    (void)reactor;
}

MODEL_UNSEEN static bool is_interrupted(void)
{
    if (scene.interrupted || model_choose(2) == 0)
        return false;
    scene.interrupted = true;
    return true;
}

static size_t reactor_wait(struct lido__reactor *reactor, uint64_t timeout,
                           struct lido__fifo *handed)
{
    (void)handed;
    if (scene.forgetful) {
        model_touch(reactor);
        model_bell_clear(bell_of(reactor));
    }
    if (timeout && !is_interrupted())
        model_bell_wait(bell_of(reactor));
    else
        model_bell_clear(bell_of(reactor));
    return 0;
}

static void reactor_wake(struct lido__reactor *reactor)
{
    if (!scene.deaf)
        model_bell_ring(bell_of(reactor));
}

static const struct lido__reactor_ops bell_ops = {
    .name = "bell",
    .size = sizeof(struct bell_reactor),
    .init = reactor_init,
    .fini = reactor_fini,
    .wait = reactor_wait,
    .wake = reactor_wake,
};

struct lido__slab lido__tasks;

void *lido__slab_alloc(struct lido__slab *slab)
{
    (void)slab;
    return model_alloc(sizeof(lido_task), "task");
}

void lido__task_free(lido_task *task)
{
    model_free(task);
}

uint64_t lido__clock_now(void)
{
    return 1;
}

uint64_t lido__clock_coarse(void)
{
    return lido__clock_now();
}

void lido__thread_yield(void)
{
    model_yield();
}

int lido__futex_wake(uint32_t *word, int count)
{
    (void)word;
    model_futex_wake(&scene.futex);
    return count;
}

int *lido_errno_address(void)
{
    static int value;
    return &value;
}

/* Deadlines, timers and task-locals are not in these scenes. */
uint64_t lido__time_after(uint64_t now, int64_t ms)
{
    (void)ms;
    return now;
}

struct lido__extra *lido__extra_of(lido_task *task)
{
    (void)task;
    return NULL;
}

void lido__extra_destroy(lido_task *task)
{
    (void)task;
}

void lido__worker_arm_deadline(struct lido__worker *worker, lido_task *task)
{
    (void)worker;
    (void)task;
}

/* --- futures ------------------------------------------------------------------------------------*/

static int wait_for_event(lido_future *future, const lido_waker *waker)
{
    struct actor *self = (struct actor *)future;
    lido_task *task = lido__waker_task(*waker);
    int r = lido__task_interrupted(task->worker, task);
    if (!r && lido__load(&self->event, LIDO__ACQUIRE))
        r = RESULT;
    if (!r)
        return LIDO_PENDING;
    if (model_choose(2))
        lido_waker_wake(waker); /* in its last poll: it ends while it is in the queue */
    self->answer = r;
    return r;
}

static int join_target(lido_future *future, const lido_waker *waker)
{
    struct actor *self = (struct actor *)future;
    int result = 0;
    int r = lido_join_poll(self->target, &result, waker);
    if (r == LIDO_PENDING)
        return r;
    if (r == 0)
        model_assert(result == RESULT || result == -ECANCELED);
    else
        lido__task_unref(self->target);
    self->answer = RESULT;
    return r;
}

static int end_at_once(lido_future *future, const lido_waker *waker)
{
    (void)waker;
    ((struct actor *)future)->answer = RESULT;
    return 0;
}

static int spawn_on(unsigned worker, struct actor *actor, lido_task **handle)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker;
    struct lido__spawn spawn = {
        .pool = scene.pool,
        .options = &options,
        .future = &actor->future,
    };
    return lido__spawn(&spawn, handle);
}

/* --- threads ------------------------------------------------------------------------------------*/

static int first = 0, second = 1;

static void carry(void *index)
{
    lido__worker_loop(&scene.pool->workers[*(int *)index]);
    /* Pairs with the acquire in shut_down, as the end of a thread does with its join. */
    lido__fetch_add(&scene.loops, 1, LIDO__RELEASE);
}

MODEL_UNSEEN static bool has_stopped(const void *pool)
{
    return ((const struct lido__pool *)pool)->stopped;
}

MODEL_UNSEEN static bool nobody_is_inside(const void *unused)
{
    (void)unused;
    return scene.loops == scene.plan->workers && scene.visitors == 0;
}

/* What lido_shutdown does. Other threads may not call the pool while it is destroyed. */
static void shut_down(void *unused)
{
    struct lido__pool *pool = scene.pool;
    (void)unused;
    if (scene.plan->now)
        lido__pool_cancel_all(pool);
    lido__pool_end_on_idle(pool);
    model_block_until(has_stopped, pool);
    lido__load(&pool->stopped, LIDO__ACQUIRE);
    model_assert(scene.waiter.answer == RESULT || scene.waiter.answer == -ECANCELED);
    model_assert(scene.joiner.answer == RESULT || !scene.joiner.target);
    model_block_until(nobody_is_inside, NULL);
    lido__load(&scene.loops, LIDO__ACQUIRE);
    lido__load(&scene.visitors, LIDO__ACQUIRE);
    for (unsigned i = 0; i < pool->count; i++)
        lido__worker_fini(&pool->workers[i]);
    model_free(pool->workers);
    model_free(pool);
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

/* As a plain thread does in lido_join. */
static void join_waiter(void *unused)
{
    lido_task *task = scene.task;
    uint32_t *word = &task->state.word;
    (void)unused;
    if (lido__state_await(&task->state, LIDO__THREAD))
        while (!lido__state_done(&task->state)) {
            uint32_t seen = lido__load(word, LIDO__RELAXED);
            if (!(seen & LIDO__DONE))
                model_futex_wait(&scene.futex, word, seen);
        }
    model_assert(task->result == RESULT || task->result == -ECANCELED);
    lido__task_unref(task);
}

static void spawn_late(void *unused)
{
    (void)unused;
    int r = spawn_on(0, &scene.late, NULL);
    model_assert(r == 0 || r == -ESHUTDOWN);
    lido__fetch_sub(&scene.visitors, 1, LIDO__RELEASE);
}

/* --- scenes -------------------------------------------------------------------------------------*/

static bool has(void (*what)(void *arg))
{
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        if (scene.plan->scenario.threads[i].run == what)
            return true;
    return false;
}

static void set_up_pool(void)
{
    unsigned count = scene.plan->workers;
    struct lido__pool *pool = model_alloc(sizeof(*pool), "pool");
    pool->count = count;
    pool->budget = 64;
    pool->placement = LIDO_PLACE_ROUND_ROBIN;
    pool->workers = model_alloc(count * sizeof(struct lido__worker), "workers");
    model_name_memory(&pool->busy, sizeof(pool->busy), "pool.busy");
    for (unsigned i = 0; i < count; i++) {
        static const char *const names[WORKERS] = {"inbox 1", "inbox 2"};
        struct lido__worker *worker = &pool->workers[i];
        model_assert(lido__worker_init(worker, pool, i, &bell_ops) == 0);
        worker->seated = 1;
        model_name_memory(&worker->inbox.head, sizeof(worker->inbox.head), names[i]);
    }
    scene.pool = pool;
}

static void set_up(void)
{
    bool handle = has(cancel_waiter) || has(join_waiter);
    scene.waiter = (struct actor){.future = {wait_for_event}};
    scene.joiner = (struct actor){.future = {join_target}};
    scene.late = (struct actor){.future = {end_at_once}};
    scene.futex = (struct model_futex){0};
    scene.loops = 0;
    scene.visitors = has(spawn_late);
    scene.interrupted = false;
    set_up_pool();

    lido_task *task;
    bool joined = scene.plan->workers > 1;
    spawn_on(joined, &scene.waiter, &task);
    model_name_memory(&task->state, sizeof(task->state), "task.state");
    scene.task = task;
    if (has(wake_waiter))
        scene.waker = lido__waker_own(task);
    if (joined) {
        scene.joiner.target = task;
        spawn_on(0, &scene.joiner, NULL);
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
    PLAN("cancelled and woken", 1, false, 1, 3000, {"waker", wake_waiter, NULL},
         {"canceller", cancel_waiter, NULL}),
    PLAN("joined by a thread", 1, false, 1, 1000, {"waker", wake_waiter, NULL},
         {"joiner", join_waiter, NULL}),
    PLAN("a spawn meanwhile", 1, true, 2, 10000, {"spawner", spawn_late, NULL}),
    PLAN("joined by a task elsewhere", 2, false, 1, 1000, {"waker", wake_waiter, NULL},
         {"worker 2", carry, &second}),
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
    scene.deaf = true;
    assert_true(model_catches(&scenario, "deadlock") > 0);
    scene.deaf = false;
    scenario.name = "reactor that forgets a wake when it goes to sleep";
    scene.forgetful = true;
    assert_true(model_catches(&scenario, "deadlock") > 0);
    scene.forgetful = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scheduler_loses_nothing),
        cmocka_unit_test(wrong_reactors_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
