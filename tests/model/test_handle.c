/*
 * Handles of a runtime: threads that have one of their own spawn while another one ends it. What was accepted keeps the
 * workers until it has ended; what comes later is refused, and nobody touches what is gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explorer.h"

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/rt/handle.c"
#include "../../src/sched/pool.c"

enum { SPAWNS = 2 };

struct protocol {
    int (*enter)(struct lido_runtime *runtime);
    void (*unref)(lido_runtime *runtime);
};

static struct {
    const struct protocol *protocol;
    struct lido_runtime *runtime;
    struct lido__worker *worker;
    unsigned accepted; /* tasks that live */
    bool ended;
    bool buried;
} scene;

/* ---- What is given by others --------------------------------------------------------------------- */

void lido__worker_order(struct lido__worker *worker, uint32_t orders)
{
    (void)orders;
    model_touch(&worker->orders);
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

void lido__runtime_bury(struct lido_runtime *runtime)
{
    scene.buried = true;
    model_free(runtime);
}

/* ---- The account: no business of ThreadSanitizer's ------------------------------------------------ */

MODEL_UNSEEN static void note_accepted(void)
{
    model_assert(!scene.ended);
    scene.accepted++;
}

MODEL_UNSEEN static void note_over(void)
{
    scene.accepted--;
}

MODEL_UNSEEN static void note_ended(void)
{
    model_assert(scene.accepted == 0);
    scene.ended = true;
}

/* ---- The threads --------------------------------------------------------------------------------- */

static void set_up(void)
{
    struct lido_runtime *runtime = model_alloc(sizeof(*runtime), "runtime");
    scene.worker = model_alloc(sizeof(*scene.worker), "worker");
    scene.runtime = runtime;
    scene.accepted = 0;
    scene.ended = scene.buried = false;
    runtime->pool = (struct lido__pool){.count = 1, .workers = scene.worker};
    runtime->handles = 1;
    model_name_memory(&runtime->pool.busy, sizeof(runtime->pool.busy), "busy");
    model_name_memory(&runtime->handles, sizeof(runtime->handles), "handles");
    model_name_memory(&runtime->closing, sizeof(runtime->closing), "closing");
}

static void set_up_two(void)
{
    set_up();
    lido_runtime_ref(scene.runtime);
}

static void set_up_three(void)
{
    set_up_two();
    lido_runtime_ref(scene.runtime);
}

static int enter(struct lido_runtime *runtime)
{
    int r = lido__pool_enter(&runtime->pool, 1, LIDO__POOL_CLOSED);
    if (r == 0)
        model_touch(&scene.worker->live);
    return r;
}

static void spawn(void *unused)
{
    struct lido_runtime *runtime = scene.runtime;
    (void)unused;
    for (int i = 0; i < SPAWNS; i++) {
        if (scene.protocol->enter(runtime) < 0)
            continue;
        note_accepted();
        model_touch(&scene.worker->inbox);
        note_over();
        lido__pool_leave(&runtime->pool, 1);
    }
    scene.protocol->unref(runtime);
}

static bool has_stopped(const void *pool)
{
    return ((const struct lido__pool *)pool)->stopped;
}

/* As lido__runtime_destroy, which frees what the runtime owns and then gives its caller's handle back. */
static void end(void *unused)
{
    struct lido_runtime *runtime = scene.runtime;
    (void)unused;
    lido__pool_end_on_idle(&runtime->pool);
    model_block_until(has_stopped, &runtime->pool);
    lido__load(&runtime->pool.stopped, LIDO__ACQUIRE);
    note_ended();
    lido__store(&runtime->closing, LIDO__CLOSING_ENDED, LIDO__RELAXED);
    model_free(scene.worker);
    runtime->pool.workers = NULL;
    scene.protocol->unref(runtime);
}

static void is_buried(void)
{
    model_assert(scene.ended && scene.buried);
}

static const struct model_scenario one_spawner = {
    .name = "a thread spawns while another ends the runtime",
    .setup = set_up_two,
    .check = is_buried,
    .threads = {{"spawner", spawn, NULL}, {"ender", end, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
};

static const struct model_scenario two_spawners = {
    .name = "two threads spawn while another ends the runtime",
    .setup = set_up_three,
    .check = is_buried,
    .threads = {{"spawner 1", spawn, NULL}, {"spawner 2", spawn, NULL}, {"ender", end, NULL}},
    .preemptions = 3,
};

/* ---- Wrong protocols ------------------------------------------------------------------------------ */

/* Chooses a worker, and takes the token then. */
static int choose_first(struct lido_runtime *runtime)
{
    model_touch(&scene.worker->live);
    return lido__pool_enter(&runtime->pool, 1, LIDO__POOL_CLOSED);
}

/* Asks whether it has ended, as a flag beside the word would say. */
static int ask_closing(struct lido_runtime *runtime)
{
    if (lido__load(&runtime->closing, LIDO__SEQ_CST) == LIDO__CLOSING_ENDED)
        return -ESHUTDOWN;
    lido__fetch_add(&runtime->pool.busy, 1, LIDO__SEQ_CST);
    return 0;
}

/* Whoever has ended it frees it. */
static void free_at_the_end(lido_runtime *runtime)
{
    if (lido__fetch_sub(&runtime->handles, 1, LIDO__ACQ_REL) > 0 &&
        lido__load(&runtime->closing, LIDO__RELAXED) == LIDO__CLOSING_ENDED)
        lido__runtime_bury(runtime);
}

/* Reads, and takes away after that. */
static void unref_in_two_steps(lido_runtime *runtime)
{
    uint32_t handles = lido__load(&runtime->handles, LIDO__SEQ_CST);
    if (handles > 1)
        lido__store(&runtime->handles, handles - 1, LIDO__SEQ_CST);
    else
        lido__runtime_bury(runtime);
}

/* The last one does not see what the others have done. */
static void unref_relaxed(lido_runtime *runtime)
{
    if (lido__fetch_sub(&runtime->handles, 1, LIDO__RELAXED) == 1)
        lido__runtime_bury(runtime);
}

/* ---- The tests ------------------------------------------------------------------------------------ */

static const struct protocol right = {enter, lido_runtime_unref};

static void nobody_touches_a_runtime_that_is_gone(void **state)
{
    (void)state;
    scene.protocol = &right;
    assert_in_range(model_holds(&one_spawner), 100, SIZE_MAX);
    assert_in_range(model_holds(&two_spawners), 1000, SIZE_MAX);
}

static bool caught(const char *name, struct protocol protocol, const char *how)
{
    struct model_scenario scenario = one_spawner;
    scenario.name = name;
    scene.protocol = &protocol;
    return model_catches(&scenario, how) > 0;
}

static void wrong_protocols_are_caught(void **state)
{
    (void)state;
    assert_true(caught("a look at a worker without a token",
                       (struct protocol){choose_first, lido_runtime_unref}, "freed"));
    assert_true(caught("a flag beside the word", (struct protocol){ask_closing, lido_runtime_unref},
                       "!scene.ended"));
    assert_true(caught("the end frees it", (struct protocol){enter, free_at_the_end}, "freed"));
    assert_true(caught("a count in two steps", (struct protocol){enter, unref_in_two_steps},
                       "scene.buried"));
}

static void a_count_that_orders_nothing_is_a_race(void **state)
{
    static const struct protocol wrong = {enter, unref_relaxed};
    (void)state;
    scene.protocol = &wrong;
    assert_true(model_catches_race(&one_spawner));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_touches_a_runtime_that_is_gone),
        cmocka_unit_test(wrong_protocols_are_caught),
        cmocka_unit_test(a_count_that_orders_nothing_is_a_race),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
