/*
 * The scheduler itself, as it is in src/sched, on simulated workers: what test_worker.c, test_share.c and
 * test_rescue.c have in common. A part of those files.
 *
 * Only what lies below is replaced: the reactor is a bell, the clock stands still, and tasks are
 * memory of the explorer. So a wake-up that is lost is a deadlock, and whoever touches a worker, a
 * pool or a task that is gone is caught.
 */
#ifndef LIDO_TESTS_MODEL_POOL_SCENE_H
#define LIDO_TESTS_MODEL_POOL_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "explorer.h"
#include "props.h"

/*
 * What is atomic for onlookers alone is no point, and neither is a fence,
 * nor the end of the idle lock, for which others but spin: they would only multiply the schedules.
 */
static inline bool is_aside(const char *what, const char *where)
{
    static const char *const hints[] = {"->turns", "->slice_left", "->current", "->live",
                                        "->awake", "->seated",     "->sharing", "->unwatched",
                                        "->flags", "->joiner",     "->movable", "->incoming"};
#pragma GCC unroll 16
    for (unsigned i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
        if (__builtin_strstr(where, hints[i]))
            return true;
    return what[0] == 's' && __builtin_strstr(where, "idle->lock");
}

#undef LIDO__POINT
#define LIDO__POINT(what, p)                                                                       \
    (is_aside(what, #p) ? (void)0 : lido__model_point(what, (const void *)(p)))
#undef lido__fence_seq_cst
#define lido__fence_seq_cst() lido__model_fence()
#undef lido__fence_light
#define lido__fence_light() ((void)0)

/* Each schedule makes its workers anew, in the explorer's memory. */
#include "reactor/reactor.h"
#undef LIDO__LENT_SIZE
#define LIDO__LENT_SIZE 64
#define calloc(count, size) model_alloc((count) * (size), "calloc")
#define malloc(size) model_alloc(size, "malloc")
#define free(memory) model_free(memory)

#include "wrong_pool.h"

enum { RESULT = 7 };

/* A future. What a task did is plain: it is seen by whoever sees that the pool has ended. */
struct actor {
    lido_future future;
    uint32_t event;    /* what it waits for */
    int answer;        /* its last, or 0 */
    int ends;          /* how often it has ended */
    lido_task *target; /* whom it joins, or NULL */
    struct lido__op op;
};

static struct {
    struct lido__pool *pool;
    unsigned loops;    /* that have ended */
    unsigned visitors; /* threads that may still use the pool */
    struct model_futex futex;
    bool moody;       /* a sleep in the reactor may end for no reason, once */
    bool interrupted; /* and has */
    bool deaf;        /* the reactor does not hear a wake */
    bool forgetful;   /* the reactor forgets a wake that came before it went to sleep */
} stage;

/* --- what lies below ----------------------------------------------------------------------------*/

struct bell_reactor {
    struct lido__reactor base;
    struct model_bell bell;
    struct lido__op *armed; /* at most one, and handed back once it has come */
    uint32_t come;
};

static struct bell_reactor *reactor_of(struct lido__reactor *reactor)
{
    return (struct bell_reactor *)reactor;
}

static int reactor_init(struct lido__reactor *reactor)
{
    (void)reactor;
    return 0;
}

static void reactor_fini(struct lido__reactor *reactor)
{
    (void)reactor;
}

MODEL_UNSEEN static bool is_interrupted(void)
{
    if (!stage.moody || stage.interrupted || model_choose(2) == 0)
        return false;
    stage.interrupted = true;
    return true;
}

MODEL_UNSEEN static bool has_event(const struct bell_reactor *reactor)
{
    return reactor->armed && reactor->come;
}

static void hand_back(struct bell_reactor *reactor, struct lido__fifo *handed)
{
    if (!has_event(reactor))
        return;
    lido__load(&reactor->come, LIDO__ACQUIRE);
    struct lido__op *op = lido__exchange(&reactor->armed, NULL, LIDO__ACQUIRE);
    if (op)
        lido__fifo_push(handed, &op->link);
}

static void reactor_wait(struct lido__reactor *base, uint64_t timeout, struct lido__fifo *handed)
{
    struct bell_reactor *reactor = reactor_of(base);
    if (stage.forgetful) {
        model_touch(reactor);
        model_bell_clear(&reactor->bell);
    }
    if (timeout && !is_interrupted())
        model_bell_wait(&reactor->bell);
    else
        model_bell_clear(&reactor->bell);
    hand_back(reactor, handed);
}

static void reactor_wake(struct lido__reactor *reactor)
{
    if (!stage.deaf)
        model_bell_ring(&reactor_of(reactor)->bell);
}

/* The index of its worker. */
static int reactor_descriptor(const struct lido__reactor *reactor)
{
    int index = 0;
    while (stage.pool->workers[index].reactor != reactor)
        index++;
    return index;
}

static const struct lido__reactor_ops bell_ops = {
    .name = "bell",
    .size = sizeof(struct bell_reactor),
    .init = reactor_init,
    .fini = reactor_fini,
    .wait = reactor_wait,
    .wake = reactor_wake,
    .descriptor = reactor_descriptor,
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
    return 1;
}

void lido__thread_yield(void)
{
    model_yield();
}

int lido__futex_wake(uint32_t *word, int count)
{
    (void)word;
    model_futex_wake(&stage.futex);
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

/* A thread that may have used the pool does so no more. */
static void leave_pool(void)
{
    lido__fetch_sub(&stage.visitors, 1, LIDO__RELEASE);
}

/* --- ops ----------------------------------------------------------------------------------------*/

/* Is handed back by this worker's reactor, wherever the task goes. */
static inline void arm(struct lido__worker *worker, lido_task *task, struct lido__op *op)
{
    struct bell_reactor *reactor = reactor_of(worker->reactor);
    op->waker = lido__waker_borrow(task);
    lido__store(&op->state, LIDO__OP_ARMED, LIDO__RELAXED);
    lido__store(&reactor->armed, op, LIDO__RELEASE);
    /* As the kernel does it, which has a lock for both sides: the newest is read. */
    if (lido__fetch_or(&reactor->come, 0, LIDO__RELAXED))
        model_bell_ring(&reactor->bell);
}

/* Completes the ops of all reactors, also those to come. */
static inline void complete_ops(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < stage.pool->count; i++) {
        struct bell_reactor *reactor = reactor_of(stage.pool->workers[i].reactor);
        lido__store(&reactor->come, 1, LIDO__RELEASE);
        model_bell_ring(&reactor->bell);
    }
    leave_pool();
}

/* --- futures ------------------------------------------------------------------------------------*/

static struct actor *actor_of(lido_future *future)
{
    return lido__container_of(future, struct actor, future);
}

/* The beginning of each poll: a task that runs belongs to the worker that runs it, and to nobody else. */
static lido_task *begin_poll(const lido_waker *waker)
{
    lido_task *task = lido__waker_task(*waker);
    struct lido__worker *worker = lido__worker_current();
    uint32_t word = lido__load(&task->state.word, LIDO__ACQUIRE);
    model_assert(lido__task_belongs(task, worker, word));
    model_assert(worker->current == task);
    model_assert(!(word & LIDO__DONE));
    return task;
}

static int end_with(struct actor *self, int answer)
{
    self->answer = answer;
    self->ends++;
    return answer;
}

static int end_at_once(lido_future *future, const lido_waker *waker)
{
    begin_poll(waker);
    return end_with(actor_of(future), RESULT);
}

static int wait_for_event(lido_future *future, const lido_waker *waker)
{
    struct actor *self = actor_of(future);
    lido_task *task = begin_poll(waker);
    int r = lido__task_interrupted(lido__task_worker(task), task);
    if (!r && lido__load(&self->event, LIDO__ACQUIRE))
        r = RESULT;
    if (!r)
        return LIDO_PENDING;
    return end_with(self, r);
}

static int join_target(lido_future *future, const lido_waker *waker)
{
    struct actor *self = actor_of(future);
    int result = 0;
    begin_poll(waker);
    int r = lido_join_poll(self->target, &result, waker);
    if (r == LIDO_PENDING)
        return r;
    model_assert(r == 0 || r == -ECANCELED);
    model_assert(r < 0 || result == RESULT || result == -ECANCELED);
    if (r < 0)
        lido__task_unref(self->target);
    end_with(self, RESULT);
    return r;
}

static int spawn_on(int worker, struct actor *actor, lido_mobility mobility, lido_task **handle)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = (unsigned)worker;
    options.mobility = mobility;
    struct lido__spawn spawn = {
        .pool = stage.pool,
        .options = &options,
        .future = &actor->future,
    };
    return lido__spawn(&spawn, handle);
}

/* --- the pool -----------------------------------------------------------------------------------*/

static void watch_nobody(struct lido__pool *pool)
{
    (void)pool;
}

static struct lido__worker *worker_new(struct lido__pool *pool, unsigned index)
{
    static const char *const names[] = {"inbox 1", "inbox 2", "inbox 3"};
    struct lido__worker *worker = &pool->workers[index];
    model_assert(lido__worker_init(worker, pool, index, &bell_ops) == 0);
    worker->seated = 1;
    model_name_memory(&worker->inbox.head, sizeof(worker->inbox.head), names[index]);
    return worker;
}

/* `steals`: as with the scheduler of that name. */
static void set_up_pool(unsigned count, bool steals)
{
    struct lido__pool *pool = model_alloc(sizeof(*pool), "pool");
    pool->count = count;
    pool->budget = 64;
    pool->placement = LIDO_PLACE_ROUND_ROBIN;
    pool->hurries = steals;
    pool->mobility = steals ? LIDO__TASK_STEALABLE : 0;
    pool->watch = watch_nobody;
    pool->workers = model_alloc(count * sizeof(struct lido__worker), "workers");
    model_name_memory(&pool->busy, sizeof(pool->busy), "pool.busy");
    for (unsigned i = 0; i < count; i++)
        worker_new(pool, i);
    lido__share_init(pool);
    stage.pool = pool;
    stage.loops = 0;
    stage.futex = (struct model_futex){0};
    stage.interrupted = false;
}

static int first = 0, second = 1;

static void carry(void *index)
{
    lido__worker_loop(&stage.pool->workers[*(int *)index]);
    /* Pairs with the acquire in tear_down_pool, as the end of a thread does with its join. */
    lido__fetch_add(&stage.loops, 1, LIDO__RELEASE);
}

MODEL_UNSEEN static bool has_stopped(const void *pool)
{
    return ((const struct lido__pool *)pool)->stopped;
}

MODEL_UNSEEN static bool nobody_is_inside(const void *pool)
{
    return stage.loops == ((const struct lido__pool *)pool)->count && stage.visitors == 0;
}

/* The first half of what lido_shutdown does. */
static void end_pool(bool now)
{
    struct lido__pool *pool = stage.pool;
    if (now)
        lido__pool_cancel_all(pool);
    lido__pool_end_on_idle(pool);
    model_block_until(has_stopped, pool);
    lido__load(&pool->stopped, LIDO__ACQUIRE);
}

/* The second. Other threads may not call the pool meanwhile. */
static void tear_down_pool(void)
{
    struct lido__pool *pool = stage.pool;
    model_block_until(nobody_is_inside, pool);
    lido__load(&stage.loops, LIDO__ACQUIRE);
    lido__load(&stage.visitors, LIDO__ACQUIRE);
    for (unsigned i = 0; i < pool->count; i++)
        lido__worker_fini(&pool->workers[i]);
    model_free(pool->workers);
    model_free(pool);
}

/* As a plain thread does in lido_join. */
static inline void join_as_thread(lido_task *task)
{
    uint32_t *word = &task->state.word;
    if (lido__state_await(&task->state, LIDO__THREAD))
        while (!lido__state_done(&task->state)) {
            uint32_t seen = lido__load(word, LIDO__RELAXED);
            if (!(seen & LIDO__DONE))
                model_futex_wait(&stage.futex, word, seen);
        }
    model_assert(task->result == RESULT || task->result == -ECANCELED);
    lido__task_unref(task);
}

#endif
