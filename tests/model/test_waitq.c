/*
 * Waiting in a queue: the word, the waiters, and the semaphore that is built of them, in all interleavings up
 * to a bound. A permit that is lost is a deadlock; whoever touches a task or a semaphore that is gone is
 * caught.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "waiting.h"

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sync/semaphore.c"
#include "../../src/sync/waitq.c"

/* The functions that a broken one can take the place of. */
struct protocol {
    int (*sleep)(struct lido__wait *wait, const char *awaits);
    void (*release)(struct lido__semaphore *semaphore, uint32_t n);
};

enum { FIRST, SECOND, FIBERS };

static struct {
    const struct protocol *protocol;
    struct lido__semaphore *semaphore;
    struct model_fiber *fibers[FIBERS];
} scene;

static void set_up(void)
{
    scene.semaphore = model_alloc(sizeof(*scene.semaphore), "semaphore");
    lido__semaphore_init(scene.semaphore, 0, "permit");
    model_name(scene.semaphore->word);
    scene.fibers[FIRST] = model_fiber_new(1, "first");
    scene.fibers[SECOND] = model_fiber_new(0, "second");
}

/* ---- Fibers -------------------------------------------------------------------------------------------- */

/* As lido__semaphore_acquire, with the protocol's sleep. */
static int acquire(void)
{
    struct lido__wait wait;
    int error;
    if (lido__semaphore_try(scene.semaphore, 1))
        return 0;
    struct lido__worker *worker = lido__wait_begin(&error);
    if (!worker)
        return error;
    lido__wait_init(&wait, &kind, &scene.semaphore->word, worker->current);
    return take_or_list(scene.semaphore, 1, &wait) ? 0 : scene.protocol->sleep(&wait, "permit");
}

/* May be cancelled; passes on the permit that it gets. */
static void take_and_pass_on(void *arg)
{
    struct model_fiber *fiber = scene.fibers[FIRST];
    (void)arg;
    model_fiber_begin(fiber, FIRST);
    int r = acquire();
    model_assert(r == 0 || r == -ECANCELED);
    if (r == 0)
        scene.protocol->release(scene.semaphore, 1);
    model_fiber_end(fiber);
}

/* Must get one in the end. */
static void take_one(void *arg)
{
    struct model_fiber *fiber = scene.fibers[SECOND];
    (void)arg;
    model_fiber_begin(fiber, SECOND);
    model_assert(acquire() == 0);
    model_fiber_end(fiber);
}

/* A future that gives up when it would have to wait; passes on the permit that it gets. */
static void poll_and_forgo(void *arg)
{
    struct model_fiber *fiber = scene.fibers[FIRST];
    lido_wait wait = LIDO_WAIT_INIT;
    (void)arg;
    model_fiber_begin(fiber, FIRST);
    lido_waker waker = lido__waker_borrow(&fiber->task);
    int r = lido__semaphore_acquire_poll(scene.semaphore, &wait, &waker);
    model_assert(r == 0 || r == LIDO_PENDING || r == -ECANCELED);
    if (r == LIDO_PENDING)
        lido_wait_forgo(&wait);
    if (r == 0)
        lido__semaphore_release(scene.semaphore, 1);
    model_fiber_end(fiber);
}

/* ---- Others -------------------------------------------------------------------------------------------- */

static void give_one(void *arg)
{
    (void)arg;
    scene.protocol->release(scene.semaphore, 1);
}

static void cancel_first(void *arg)
{
    (void)arg;
    model_fiber_cancel(scene.fibers[FIRST]);
}

static void all_is_settled(void)
{
    model_assert(scene.semaphore->word == 0 && !scene.semaphore->queue.first);
    model_free(scene.semaphore);
}

/* ---- A permit, a cancellation ---------------------------------------------------------------------------- */

static struct model_scenario canceling(const struct protocol *protocol)
{
    scene.protocol = protocol;
    return (struct model_scenario){
        .name = "one permit for two, of whom one is cancelled",
        .setup = set_up,
        .check = all_is_settled,
        .threads = {{"first", take_and_pass_on, NULL},
                    {"second", take_one, NULL},
                    {"giver", give_one, NULL},
                    {"canceler", cancel_first, NULL}},
        .preemptions = 2,
        .per_thread = &lido__worker_of_thread,
    };
}

static const struct protocol correct = {lido__wait_sleep, lido__semaphore_release};

static void a_permit_is_had_or_goes_to_the_next(void **state)
{
    struct model_scenario scenario = canceling(&correct);
    (void)state;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

static void what_a_future_forgoes_goes_to_the_next(void **state)
{
    struct model_scenario scenario = canceling(&correct);
    (void)state;
    scenario.name = "one permit for two, of whom one gives up";
    scenario.threads[0].run = poll_and_forgo;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

/* Interrupted, it does not look whether it has been granted what it waited for. */
static int sleep_and_run(struct lido__wait *wait, const char *awaits)
{
    while (lido__wait_state(wait) == LIDO__WAIT_LISTED) {
        struct lido__worker *worker = lido__worker_current();
        int reason = lido__task_interrupted(worker, worker->current);
        if (reason) {
            lido__wait_withdraw(wait);
            return reason;
        }
        lido__fiber_suspend(worker, awaits);
    }
    lido__word_settled(wait->word);
    return 0;
}

/* Looks for waiters, and gives the permit back, in two steps. */
static void release_in_two_steps(struct lido__semaphore *semaphore, uint32_t n)
{
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    bool wanted = lido__word_settled(&semaphore->word) & LIDO__WAITERS;
    uint32_t word = lido__word_lock(&semaphore->word) + n * LIDO__WORD_OWN;
    if (wanted)
        word = serve(semaphore, word, &wakes);
    lido__word_unlock_and_wake(&semaphore->word, word, &wakes);
}

/* Wakes when it has given the word back already, a task that it has no reference to. */
static void release_and_wake_late(struct lido__semaphore *semaphore, uint32_t n)
{
    uint32_t word = lido__word_lock(&semaphore->word) + n * LIDO__WORD_OWN;
    struct lido__wait *first = semaphore->queue.first;
    lido_task *task = first ? first->task : NULL;
    if (first) {
        lido__waitq_remove(&semaphore->queue, first);
        lido__store(&first->state, LIDO__WAIT_GRANTED, LIDO__RELEASE);
        word -= LIDO__WORD_OWN;
    }
    lido__word_unlock(&semaphore->word, lido__waitq_mark(&semaphore->queue, word));
    if (task)
        lido__wake(task);
}

/* Looks at the waiters whom it has granted something when it has given the word back already. */
static void release_and_walk_late(struct lido__semaphore *semaphore, uint32_t n)
{
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&semaphore->word) + n * LIDO__WORD_OWN;
    struct lido__wait *first = semaphore->queue.first;
    if (first) {
        lido__waitq_remove(&semaphore->queue, first);
        lido__store(&first->state, LIDO__WAIT_GRANTED, LIDO__RELEASE);
        word -= LIDO__WORD_OWN;
    }
    lido__word_unlock(&semaphore->word, lido__waitq_mark(&semaphore->queue, word));
    if (first)
        lido__wakes_add(&wakes, first->task, 0);
    lido__wakes_send(&wakes);
}

static void broken_waiting_is_caught(void **state)
{
    static const struct protocol runs = {sleep_and_run, lido__semaphore_release};
    static const struct protocol two_steps = {lido__wait_sleep, release_in_two_steps};
    static const struct protocol late = {lido__wait_sleep, release_and_wake_late};
    static const struct protocol walks = {lido__wait_sleep, release_and_walk_late};
    (void)state;
    struct model_scenario scenario = canceling(&runs);
    assert_true(model_catches(&scenario, "deadlock") > 0);
    scenario = canceling(&two_steps);
    assert_true(model_catches(&scenario, "deadlock") > 0);
    scenario = canceling(&late);
    assert_true(model_catches(&scenario, "freed") > 0);
    scenario = canceling(&walks);
    assert_true(model_catches(&scenario, "") > 0);
}

/* ---- A permit that is used for a future ------------------------------------------------------------------- */

typedef lido_wait *pass_fn(struct lido__semaphore *semaphore, void (*accept)(lido_wait *wait));

/* What rt/blocking.c does: whoever passes a permit to the future begins its work, and tells it of the end. */
static struct {
    pass_fn *pass;
    lido_wait wait;
    uint32_t begun;
    uint32_t done;
    uint32_t times; /* that the work was done */
} heritage;

static void set_up_heritage(void)
{
    set_up();
    heritage.wait = (lido_wait)LIDO_WAIT_INIT;
    heritage.begun = heritage.done = heritage.times = 0;
}

static int poll_heir(const lido_waker *waker)
{
    if (!lido__load(&heritage.begun, LIDO__RELAXED)) {
        int r = lido__semaphore_acquire_poll(scene.semaphore, &heritage.wait, waker);
        if (r)
            return r;
        if (!lido__load(&heritage.begun, LIDO__RELAXED)) {
            heritage.times++;
            lido__semaphore_release(scene.semaphore, 1);
            return 0;
        }
    }
    return lido__load(&heritage.done, LIDO__ACQUIRE) ? 0 : LIDO_PENDING;
}

static void be_heir(void *arg)
{
    struct model_fiber *fiber = scene.fibers[FIRST];
    lido_waker waker = lido__waker_borrow(&fiber->task);
    int r;
    (void)arg;
    model_fiber_begin(fiber, FIRST);
    while ((r = poll_heir(&waker)) == LIDO_PENDING)
        lido__fiber_suspend(lido__worker_current(), "permit");
    model_assert(r == -ECANCELED || (r == 0 && heritage.times == 1));
    model_fiber_end(fiber);
}

/* With a reference to the task, which may end before it is told. */
static void begin_for_heir(lido_wait *wait)
{
    struct model_fiber *fiber = (struct model_fiber *)lido__wait_of(wait)->task;
    model_touch(fiber);
    lido__fetch_add(&fiber->handles, 1, LIDO__RELAXED);
    lido__store(&heritage.begun, 1, LIDO__RELAXED);
}

static void pass_one(void *arg)
{
    (void)arg;
    if (!heritage.pass(scene.semaphore, begin_for_heir))
        return;
    heritage.times++;
    lido__store(&heritage.done, 1, LIDO__RELEASE);
    lido__wake(&scene.fibers[FIRST]->task);
    model_fiber_drop(scene.fibers[FIRST]);
    model_assert(!heritage.pass(scene.semaphore, begin_for_heir));
}

static struct model_scenario passing(pass_fn *pass)
{
    heritage.pass = pass;
    struct model_scenario scenario = canceling(&correct);
    scenario.name = "one permit for two, passed to the first";
    scenario.setup = set_up_heritage;
    scenario.threads[FIRST].run = be_heir;
    scenario.threads[2].run = pass_one;
    return scenario;
}

static void what_is_done_for_a_future_is_done_once(void **state)
{
    struct model_scenario scenario = passing(lido__semaphore_pass);
    (void)state;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

/* Begins the work when it has given the word back already. */
static lido_wait *pass_and_begin_late(struct lido__semaphore *semaphore,
                                      void (*accept)(lido_wait *wait))
{
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&semaphore->word);
    struct lido__wait *first = semaphore->queue.first;
    bool passes = first && first->kind == &heir;
    if (passes) {
        lido__waitq_remove(&semaphore->queue, first);
        lido__store(&first->state, LIDO__WAIT_GRANTED, LIDO__RELEASE);
        word = lido__waitq_mark(&semaphore->queue, word);
    } else {
        word = serve(semaphore, word + LIDO__WORD_OWN, &wakes);
    }
    lido__word_unlock_and_wake(&semaphore->word, word, &wakes);
    if (!passes)
        return NULL;
    accept(lido__wait_public(first));
    return lido__wait_public(first);
}

static void beginning_late_is_caught(void **state)
{
    struct model_scenario scenario = passing(pass_and_begin_late);
    (void)state;
    assert_true(model_catches(&scenario, "assertion failed") > 0); /* one permit was used twice */
}

/* ---- The end of a semaphore -------------------------------------------------------------------------------- */

static void set_up_end(void)
{
    set_up();
    scene.fibers[FIRST]->handles = 1;
    model_fiber_drop(scene.fibers[SECOND]);
}

/* Waits for both permits, and then there is no semaphore any more. */
static void take_both_and_free(void *arg)
{
    struct model_fiber *fiber = scene.fibers[FIRST];
    (void)arg;
    model_fiber_begin(fiber, FIRST);
    model_assert(acquire() == 0);
    model_assert(acquire() == 0);
    model_free(scene.semaphore);
    model_fiber_end(fiber);
}

static struct model_scenario ending(const struct protocol *protocol)
{
    scene.protocol = protocol;
    return (struct model_scenario){
        .name = "who has all permits may free the semaphore",
        .setup = set_up_end,
        .threads = {{"owner", take_both_and_free, NULL},
                    {"giver 1", give_one, NULL},
                    {"giver 2", give_one, NULL}},
        .per_thread = &lido__worker_of_thread,
    };
}

static void giving_is_the_last_that_is_done_with_it(void **state)
{
    struct model_scenario scenario = ending(&correct);
    (void)state;
    assert_in_range(model_holds(&scenario), 500, SIZE_MAX);
}

/* Goes on as soon as it sees that it has been granted something. */
static int sleep_hastily(struct lido__wait *wait, const char *awaits)
{
    while (lido__wait_state(wait) == LIDO__WAIT_LISTED)
        lido__fiber_suspend(lido__worker_current(), awaits);
    return 0;
}

static void going_on_too_early_is_caught(void **state)
{
    static const struct protocol hasty = {sleep_hastily, lido__semaphore_release};
    struct model_scenario scenario = ending(&hasty);
    (void)state;
    assert_true(model_catches(&scenario, "freed") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_permit_is_had_or_goes_to_the_next),
        cmocka_unit_test(what_a_future_forgoes_goes_to_the_next),
        cmocka_unit_test(broken_waiting_is_caught),
        cmocka_unit_test(what_is_done_for_a_future_is_done_once),
        cmocka_unit_test(beginning_late_is_caught),
        cmocka_unit_test(giving_is_the_last_that_is_done_with_it),
        cmocka_unit_test(going_on_too_early_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
