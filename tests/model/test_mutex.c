/*
 * Mutexes in all interleavings: never two at once, and nobody is left waiting for one that is free, also
 * when those who are on their way to it, or have asked for it, are cancelled.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "waiting.h"

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sync/mutex.c"
#include "../../src/sync/waitq.c"

enum { FIBERS = 3 };

static struct {
    int (*unlock)(lido_mutex *mutex);
    lido_mutex *mutex;
    struct model_fiber *fibers[FIBERS];
    int inside; /* plain: the mutex protects it */
} scene;

static void set_up(void)
{
    static const char *const names[] = {"first", "second", "third"};
    scene.mutex = model_alloc(sizeof(*scene.mutex), "mutex");
    scene.inside = 0;
    model_name(*(uint32_t *)scene.mutex);
    for (int i = 0; i < FIBERS; i++)
        scene.fibers[i] = model_fiber_new(i == 0, names[i]);
}

/* The first may be cancelled. */
static void use(void *arg)
{
    int place = *(const int *)arg;
    struct model_fiber *fiber = scene.fibers[place];
    model_fiber_begin(fiber, place);
    int r = lido_mutex_lock(scene.mutex);
    model_assert(r == 0 || (r == -ECANCELED && place == 0));
    if (r == 0) {
        model_assert(scene.inside == 0);
        scene.inside = 1;
        model_touch(&scene.inside);
        scene.inside = 0;
        model_assert(scene.unlock(scene.mutex) == 0);
    }
    model_fiber_end(fiber);
}

/* A future that polls once more, and gives up. */
static void poll_and_forgo(void *arg)
{
    struct model_fiber *fiber = scene.fibers[0];
    lido_wait wait = LIDO_WAIT_INIT;
    (void)arg;
    model_fiber_begin(fiber, 0);
    lido_waker waker = lido__waker_borrow(&fiber->task);
    int r = lido_mutex_lock_poll(scene.mutex, &wait, &waker);
    if (r == LIDO_PENDING)
        r = lido_mutex_lock_poll(scene.mutex, &wait, &waker);
    if (r == LIDO_PENDING)
        lido_wait_forgo(&wait);
    if (r == 0)
        lido_mutex_unlock(scene.mutex);
    model_fiber_end(fiber);
}

static void cancel_first(void *arg)
{
    (void)arg;
    model_fiber_cancel(scene.fibers[0]);
}

static void is_free(void)
{
    struct mutex *mutex = mutex_of(scene.mutex);
    model_assert(mutex->word == 0 && !mutex->queue.first);
    model_free(mutex);
}

static const int places[] = {0, 1, 2};

static struct model_scenario using(int (*unlock)(lido_mutex *mutex))
{
    scene.unlock = unlock;
    return (struct model_scenario){
        .name = "three, of whom one is cancelled",
        .setup = set_up,
        .check = is_free,
        .threads = {{"first", use, (void *)&places[0]},
                    {"second", use, (void *)&places[1]},
                    {"third", use, (void *)&places[2]},
                    {"canceler", cancel_first, NULL}},
        .preemptions = 2,
        .per_thread = &lido__worker_of_thread,
    };
}

static void one_at_a_time_and_nobody_is_left(void **state)
{
    struct model_scenario scenario = using(lido_mutex_unlock);
    (void)state;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
    scenario.name = "three, of whom one gives up";
    scenario.threads[0].run = poll_and_forgo;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

/* ---- Broken ---------------------------------------------------------------------------------------------- */

/* Looks whether somebody waits, and releases, in two steps. */
static int unlock_in_two_steps(lido_mutex *public)
{
    struct mutex *mutex = mutex_of(public);
    uint32_t word = lido__word_settled(&mutex->word);
    if (word & (LIDO__WAITERS | HANDOFF))
        return unlock_slowly(mutex);
    lido__store(&mutex->word, 0, LIDO__RELEASE);
    return 0;
}

/* Hands it over, and does not say that it is taken. */
static int unlock_twice(lido_mutex *public)
{
    struct mutex *mutex = mutex_of(public);
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&mutex->word) & ~(LOCKED | HANDOFF);
    if (mutex->queue.first)
        lido__waitq_grant(&mutex->queue, mutex->queue.first, &wakes);
    lido__word_unlock_and_wake(&mutex->word, lido__waitq_mark(&mutex->queue, word), &wakes);
    return 0;
}

static int unlock_relaxed(lido_mutex *public)
{
    struct mutex *mutex = mutex_of(public);
    uint32_t word = LOCKED;
    if (lido__cas(&mutex->word, &word, 0, LIDO__RELAXED, LIDO__RELAXED))
        return 0;
    return lido_mutex_unlock(public);
}

static void broken_unlocking_is_caught(void **state)
{
    (void)state;
    struct model_scenario scenario = using(unlock_in_two_steps);
    assert_true(model_catches(&scenario, "deadlock") > 0);
    scenario = using(unlock_twice);
    assert_true(model_catches(&scenario, "inside == 0") > 0);
    scenario = using(unlock_relaxed);
    assert_true(model_catches_race(&scenario));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time_and_nobody_is_left),
        cmocka_unit_test(broken_unlocking_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
