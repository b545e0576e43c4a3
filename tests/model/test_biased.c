/*
 * The lock that is biased towards one worker, in all interleavings: never two inside, while the bias begins,
 * ends and begins again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "waiting.h"

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sync/biased.c"
#include "../../src/sync/waitq.c"

struct protocol {
    bool (*lock)(struct lido__biased *lock, struct lido__worker *worker);
    void (*unlock)(struct lido__biased *lock, bool favourite);
};

static struct {
    const struct protocol *protocol;
    struct lido__biased lock;
    int inside; /* plain: the lock protects it */
    unsigned entered;
} scene;

/* The next time that the first worker takes the lock, it is the favourite. */
static void set_up(void)
{
    scene.lock = (struct lido__biased){.last = &model_workers[0], .streak = STREAK_FIRST - 1};
    scene.inside = 0;
    scene.entered = 0;
    model_name(scene.lock.favourite);
    model_name(scene.lock.inside);
    model_name(scene.lock.word);
}

static void enter_as(struct lido__worker *worker)
{
    bool favourite = scene.protocol->lock(&scene.lock, worker);
    model_assert(scene.inside == 0);
    scene.inside = 1;
    model_touch(&scene.inside);
    scene.inside = 0;
    scene.entered++;
    scene.protocol->unlock(&scene.lock, favourite);
}

static void enter_three_times(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++)
        enter_as(&model_workers[0]);
}

/* A plain thread. */
static void enter_once(void *arg)
{
    (void)arg;
    enter_as(NULL);
}

static void all_have_entered(void)
{
    model_assert(scene.entered == 5);
    model_assert(scene.lock.inside == 0 && scene.lock.word == 0);
}

static struct model_scenario entering(const struct protocol *protocol)
{
    scene.protocol = protocol;
    return (struct model_scenario){
        .name = "a favourite and two others",
        .setup = set_up,
        .check = all_have_entered,
        .threads = {{"favourite", enter_three_times, NULL},
                    {"other 1", enter_once, NULL},
                    {"other 2", enter_once, NULL}},
        .per_thread = &lido__worker_of_thread,
    };
}

static const struct protocol correct = {lido__biased_lock, lido__biased_unlock};

static void never_are_two_inside(void **state)
{
    struct model_scenario scenario = entering(&correct);
    (void)state;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

/*
 * A worker finds that it is the favourite, and is slow to say that it is inside. Meanwhile the bias ends, and
 * another worker takes the lock so often that the bias could be its own.
 */
static void favour_the_first(void)
{
    set_up();
    scene.lock.favourite = &model_workers[0];
    scene.lock.streak = 0;
}

static void enter_twice(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        enter_as(&model_workers[0]);
}

static void enter_often(void *arg)
{
    struct lido__worker *worker = &model_workers[1];
    (void)arg;
    bool favourite = scene.protocol->lock(&scene.lock, worker);
    scene.lock.streak = (STREAK_FIRST << scene.lock.lost) - 1;
    scene.entered++;
    scene.protocol->unlock(&scene.lock, favourite);
    for (int i = 0; i < 2; i++)
        enter_as(worker);
}

static struct model_scenario succession(const struct protocol *protocol)
{
    struct model_scenario scenario = entering(protocol);
    scenario.name = "one who was the favourite, and one who would be";
    scenario.setup = favour_the_first;
    scenario.threads[0].run = enter_twice;
    scenario.threads[1] = (struct model_thread){"next", enter_often, NULL};
    scenario.threads[2] = (struct model_thread){NULL, NULL, NULL};
    return scenario;
}

static void who_was_the_favourite_lets_nobody_in(void **state)
{
    struct model_scenario scenario = succession(&correct);
    (void)state;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

/* ---- Broken ---------------------------------------------------------------------------------------------- */

/* The favourite does not look again when it is inside. */
static bool lock_blindly(struct lido__biased *lock, struct lido__worker *worker)
{
    if (worker && lido__load(&lock->favourite, LIDO__RELAXED) == worker) {
        lido__store(&lock->inside, 1, LIDO__RELAXED);
        return true;
    }
    lido__biased_lock_word(lock, worker);
    return false;
}

/* The others do not wait until the favourite is outside. */
static bool lock_hastily(struct lido__biased *lock, struct lido__worker *worker)
{
    if (worker)
        return lido__biased_lock(lock, worker);
    lido__word_lock(&lock->word);
    lido__store(&lock->favourite, NULL, LIDO__RELAXED);
    return false;
}

/* The others do not wait until the favourite's store of `inside` is out. */
static bool lock_without_barrier(struct lido__biased *lock, struct lido__worker *worker)
{
    if (worker)
        return lido__biased_lock(lock, worker);
    lido__word_lock(&lock->word);
    lido__store(&lock->favourite, NULL, LIDO__RELAXED);
    while (lido__load(&lock->inside, LIDO__ACQUIRE))
        model_yield();
    return false;
}

static void unlock_relaxed(struct lido__biased *lock, bool favourite)
{
    if (favourite)
        lido__store(&lock->inside, 0, LIDO__RELAXED);
    else
        lido__word_unlock(&lock->word, 0);
}

static void broken_locking_is_caught(void **state)
{
    static const struct protocol blind = {lock_blindly, lido__biased_unlock};
    static const struct protocol hasty = {lock_hastily, lido__biased_unlock};
    static const struct protocol relaxed = {lido__biased_lock, unlock_relaxed};
    static const struct protocol unfenced = {lock_without_barrier, lido__biased_unlock};
    (void)state;
    struct model_scenario scenario = entering(&blind);
    assert_true(model_catches(&scenario, "inside == 0") > 0);
    scenario = entering(&hasty);
    assert_true(model_catches(&scenario, "inside == 0") > 0);
    scenario = entering(&relaxed);
    assert_true(model_catches_race(&scenario));
    scenario = entering(&unfenced);
    assert_true(model_catches_weak(&scenario, MODEL_TSO, "inside == 0"));
    assert_true(model_catches_weak(&scenario, MODEL_C11, "inside == 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_are_two_inside),
        cmocka_unit_test(who_was_the_favourite_lets_nobody_in),
        cmocka_unit_test(broken_locking_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
