/*
 * The end of a pool: it comes once, when no task lives and none is on its way; until it has come it can
 * be put off, and then the pool is as open as before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explorer.h"

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sched/pool.c"

enum { WORKERS = 2 };

/* The functions of pool.h, so that a broken one can take the place of each. */
struct protocol {
    int (*enter)(struct lido__pool *pool, uint64_t tokens, uint64_t barrier);
    void (*leave)(struct lido__pool *pool, uint64_t tokens);
    void (*end_on_idle)(struct lido__pool *pool);
    bool (*go_on)(struct lido__pool *pool);
};

static struct {
    const struct protocol *protocol;
    struct lido__pool pool;
    struct lido__worker workers[WORKERS];
    uint32_t ending; /* of the broken protocol that keeps it apart */

    unsigned stops[WORKERS];
    unsigned alive; /* tasks that have been accepted and have not ended */
} world;

/* ---- The account: not part of the protocol, and no business of ThreadSanitizer's ------------------- */

MODEL_UNSEEN static void task_comes(void)
{
    world.alive++;
    model_assert(world.stops[0] == 0);
}

MODEL_UNSEEN static void task_ends(void)
{
    world.alive--;
}

MODEL_UNSEEN static void worker_stops(ptrdiff_t worker)
{
    model_assert(world.alive == 0);
    world.stops[worker]++;
}

/* ---- What the pool is given by others ------------------------------------------------------------- */

void lido__worker_order(struct lido__worker *worker, uint32_t orders)
{
    model_assert(orders == LIDO__ORDER_STOP);
    worker_stops(worker - world.workers);
}

int lido__futex_wake(uint32_t *word, int count)
{
    (void)word;
    return count;
}

uint64_t lido__clock_now(void)
{
    return 1;
}

/* ---- The threads --------------------------------------------------------------------------------- */

static void set_up(void)
{
    world.pool = (struct lido__pool){.count = WORKERS, .workers = world.workers};
    world.pool.busy = 1; /* of a worker that has a task */
    world.ending = 0;
    world.alive = 1;
    for (int i = 0; i < WORKERS; i++)
        world.stops[i] = 0;
    model_name(world.pool.busy);
    model_name(world.pool.stopped);
    model_name(world.ending);
}

/* The task that lives at the beginning ends. */
static void work(void *unused)
{
    (void)unused;
    task_ends();
    world.protocol->leave(&world.pool, 1);
}

/* A task that comes from outside, lives, and ends. Returns whether it was accepted. */
static bool try_spawn(void)
{
    if (world.protocol->enter(&world.pool, 1, LIDO__POOL_CLOSED) < 0)
        return false;
    task_comes();
    model_touch(&world.pool);
    task_ends();
    world.protocol->leave(&world.pool, 1);
    return true;
}

static void spawn(void *unused)
{
    (void)unused;
    try_spawn();
}

static bool has_stopped(const void *arg)
{
    return ((const struct lido__pool *)arg)->stopped;
}

/* Loses patience once; if it is in time for that, the pool must be open. */
static void end(void *unused)
{
    (void)unused;
    world.protocol->end_on_idle(&world.pool);
    if (world.protocol->go_on(&world.pool)) {
        model_assert(try_spawn());
        world.protocol->end_on_idle(&world.pool);
    }
    model_block_until(has_stopped, &world.pool);
}

static void ended_once(void)
{
    for (int i = 0; i < WORKERS; i++)
        model_assert(world.stops[i] == 1);
    model_assert((world.pool.busy & LIDO__POOL_TOKENS) == 0);
    model_assert(!try_spawn());
}

static const struct model_scenario putting_off = {
    .name = "the end is put off while the last task ends",
    .setup = set_up,
    .check = ended_once,
    .threads = {{"worker", work, NULL}, {"ender", end, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
};

static const struct model_scenario spawning = {
    .name = "a task comes from outside meanwhile",
    .setup = set_up,
    .check = ended_once,
    .threads = {{"worker", work, NULL}, {"ender", end, NULL}, {"spawner", spawn, NULL}},
    .preemptions = 4,
};

/* ---- Wrong protocols ------------------------------------------------------------------------------ */

/* Looks first, and takes the token then. */
static int enter_late(struct lido__pool *pool, uint64_t tokens, uint64_t barrier)
{
    if (lido__load(&pool->busy, LIDO__SEQ_CST) & barrier)
        return -ESHUTDOWN;
    lido__fetch_add(&pool->busy, tokens, LIDO__SEQ_CST);
    return 0;
}

static void end_in_two_steps(struct lido__pool *pool)
{
    uint64_t busy = lido__load(&pool->busy, LIDO__SEQ_CST);
    if ((busy & LIDO__POOL_TOKENS) || !(busy & LIDO__POOL_ENDING) || (busy & LIDO__POOL_OVER))
        return;
    lido__store(&pool->busy, busy | LIDO__POOL_CLOSED | LIDO__POOL_OVER, LIDO__SEQ_CST);
    stop(pool);
}

static void leave_in_two_steps(struct lido__pool *pool, uint64_t tokens)
{
    uint64_t before = lido__fetch_sub(&pool->busy, tokens, LIDO__SEQ_CST);
    if ((before & LIDO__POOL_TOKENS) == tokens)
        end_in_two_steps(pool);
}

/* "Ending" beside the word: it can be taken back between being read and being acted on. */
static void quiet_beside(struct lido__pool *pool)
{
    uint64_t expected = 0;
    if (!lido__load(&world.ending, LIDO__SEQ_CST))
        return;
    if (lido__cas(&pool->busy, &expected, LIDO__POOL_CLOSED, LIDO__SEQ_CST, LIDO__SEQ_CST))
        stop(pool);
}

static void leave_beside(struct lido__pool *pool, uint64_t tokens)
{
    uint64_t before = lido__fetch_sub(&pool->busy, tokens, LIDO__SEQ_CST);
    if ((before & LIDO__POOL_TOKENS) == tokens)
        quiet_beside(pool);
}

static int enter_beside(struct lido__pool *pool, uint64_t tokens, uint64_t barrier)
{
    if (lido__fetch_add(&pool->busy, tokens, LIDO__SEQ_CST) & barrier) {
        leave_beside(pool, tokens);
        return -ESHUTDOWN;
    }
    return 0;
}

static void end_beside(struct lido__pool *pool)
{
    lido__store(&world.ending, 1, LIDO__SEQ_CST);
    if (!(lido__load(&pool->busy, LIDO__SEQ_CST) & LIDO__POOL_TOKENS))
        quiet_beside(pool);
}

static bool go_on_beside(struct lido__pool *pool)
{
    lido__store(&world.ending, 0, LIDO__SEQ_CST);
    return !lido__load(&pool->stopped, LIDO__SEQ_CST);
}

/* ---- The tests ------------------------------------------------------------------------------------ */

static const struct protocol right = {lido__pool_enter, lido__pool_leave, lido__pool_end_on_idle,
                                      lido__pool_go_on};

static void a_pool_ends_once_and_loses_no_task(void **state)
{
    (void)state;
    world.protocol = &right;
    assert_in_range(model_holds(&putting_off), 20, SIZE_MAX);
    assert_in_range(model_holds(&spawning), 1000, SIZE_MAX);
}

static bool caught(const char *name, const struct protocol *protocol)
{
    struct model_scenario scenario = spawning;
    scenario.name = name;
    world.protocol = protocol;
    return model_catches(&scenario, "assertion failed") > 0;
}

static void wrong_protocols_are_caught(void **state)
{
    static const struct protocol late = {enter_late, lido__pool_leave, lido__pool_end_on_idle,
                                         lido__pool_go_on};
    static const struct protocol steps = {lido__pool_enter, leave_in_two_steps,
                                          lido__pool_end_on_idle, lido__pool_go_on};
    static const struct protocol beside = {enter_beside, leave_beside, end_beside, go_on_beside};
    (void)state;
    assert_true(caught("a token that is taken after the look", &late));
    assert_true(caught("an end in two steps", &steps));
    assert_true(caught("an end beside the word", &beside));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_ends_once_and_loses_no_task),
        cmocka_unit_test(wrong_protocols_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
