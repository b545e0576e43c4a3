/*
 * Scopes: the owner goes on when all tasks have ended, and frees the scope at once; a task that ends before it is
 * listed is not waited for, and one that is listed after the scope was cancelled is cancelled too.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "waiting.h"

/* Children are memory of the explorer. */
#define lido__slab_alloc(slab) model_alloc((slab)->size, "child")
#define lido__slab_free(slab, object) ((void)(slab), model_free(object))

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sync/scope.c"
#include "../../src/sync/waitq.c"

enum { OWNER, FIRST, SECOND, FIBERS };

struct protocol {
    int (*spawn)(struct scope *scope, int *result, struct lido__spawn *spawn);
    void (*ended)(struct lido__parent *parent, int result);
};

static struct {
    const struct protocol *protocol;
    lido_scope *scope;
    struct model_fiber *fibers[FIBERS];
    struct lido__parent *parents[FIBERS];
    uint32_t spawned[FIBERS];
    uint32_t over;         /* nothing more is spawned */
    int results[FIBERS];   /* that the scope has stored */
    int ends_with[FIBERS]; /* LIDO_PENDING: it waits until it is cancelled */
    bool cancel_on_error;
    bool cancels_owner;
    int next;
    int told; /* by the scope to its owner */
} scene;

/* ---- Tasks ---------------------------------------------------------------------------------------- */

MODEL_UNSEEN static int next_child(void)
{
    return scene.next++;
}

/* What the scheduler does: the parent knows the task before that can run. */
int lido__spawn(const struct lido__spawn *spawn, lido_task **handle)
{
    int child = next_child();
    (void)handle;
    spawn->parent->task = &scene.fibers[child]->task;
    scene.parents[child] = spawn->parent;
    lido__store(&scene.spawned[child], 1, LIDO__RELEASE);
    return 0;
}

MODEL_UNSEEN static bool may_begin(const void *spawned)
{
    return *(const uint32_t *)spawned || scene.over;
}

static int run_child(int self)
{
    struct model_fiber *fiber = scene.fibers[self];
    if (scene.ends_with[self] != LIDO_PENDING)
        return scene.ends_with[self];
    while (!lido__state_cancelled(&fiber->task.state))
        model_bell_wait(&fiber->bell);
    return -ECANCELED;
}

/* The task is gone when it has told its parent. */
static void be_child(void *arg)
{
    int self = (int)(intptr_t)arg;
    model_block_until(may_begin, &scene.spawned[self]);
    if (lido__load(&scene.spawned[self], LIDO__ACQUIRE)) {
        struct lido__parent *parent = scene.parents[self];
        model_fiber_begin(scene.fibers[self], self);
        int result = run_child(self);
        scene.protocol->ended(parent, result);
    }
    model_fiber_end(scene.fibers[self]);
}

static int spawn_into_it(int *result)
{
    struct lido__spawn plan = {.flags = 0};
    return scene.protocol->spawn(scope_of(scene.scope), result, &plan);
}

static void be_owner(void *unused)
{
    (void)unused;
    model_fiber_begin(scene.fibers[OWNER], OWNER);
    for (int i = FIRST; i < FIBERS; i++) {
        int r = spawn_into_it(&scene.results[i]);
        model_assert(r == 0 || r == -ECANCELED);
    }
    lido__store(&scene.over, 1, LIDO__RELEASE);
    int told = lido_scope_wait(scene.scope);
    model_free(scene.scope);
    scene.told = told;
    model_fiber_end(scene.fibers[OWNER]);
}

static void cancel_owner(void *unused)
{
    (void)unused;
    model_fiber_cancel(scene.fibers[OWNER]);
}

/* ---- Scenes ---------------------------------------------------------------------------------------- */

static void set_up(void)
{
    scene.scope = model_alloc(sizeof(*scene.scope), "scope");
    scene.scope->cancel_on_error = scene.cancel_on_error;
    model_name(scope_of(scene.scope)->word);
    scene.over = 0;
    scene.next = FIRST;
    scene.told = 1;
    for (int i = 0; i < FIBERS; i++) {
        scene.fibers[i] = model_fiber_new(i == OWNER && scene.cancels_owner, "fiber");
        scene.spawned[i] = 0;
        scene.results[i] = 1;
    }
}

/* The second is cancelled, or was not spawned any more. */
static void error_was_told(void)
{
    model_assert(scene.told == -EIO && scene.results[FIRST] == -EIO);
    model_assert(scene.results[SECOND] == (scene.spawned[SECOND] ? -ECANCELED : 1));
}

static void all_have_ended(void)
{
    model_assert(scene.told == 0);
    model_assert(scene.results[FIRST] == 0 && scene.results[SECOND] == 7);
}

static void interruption_was_told(void)
{
    model_assert(scene.told == -ECANCELED);
    for (int i = FIRST; i < FIBERS; i++)
        model_assert(scene.results[i] == -ECANCELED);
}

static struct model_scenario scenario_of(const char *name, void (*check)(void))
{
    return (struct model_scenario){
        .name = name,
        .setup = set_up,
        .check = check,
        .threads = {{"owner", be_owner, NULL},
                    {"first", be_child, (void *)FIRST},
                    {"second", be_child, (void *)SECOND}},
        .preemptions = 3,
        .per_thread = &lido__worker_of_thread,
    };
}

static struct model_scenario ending(void)
{
    scene.cancel_on_error = scene.cancels_owner = false;
    scene.ends_with[FIRST] = 0;
    scene.ends_with[SECOND] = 7;
    return scenario_of("tasks of a scope end", all_have_ended);
}

static struct model_scenario failing(void)
{
    scene.cancel_on_error = true;
    scene.cancels_owner = false;
    scene.ends_with[FIRST] = -EIO;
    scene.ends_with[SECOND] = LIDO_PENDING;
    return scenario_of("a task of a scope fails", error_was_told);
}

static struct model_scenario interrupting(void)
{
    scene.cancel_on_error = false;
    scene.cancels_owner = true;
    scene.ends_with[FIRST] = scene.ends_with[SECOND] = LIDO_PENDING;
    struct model_scenario scenario = scenario_of("the owner is cancelled", interruption_was_told);
    scenario.threads[3] = (struct model_thread){"canceler", cancel_owner, NULL};
    scenario.preemptions = 2;
    return scenario;
}

/* ---- Wrong protocols ------------------------------------------------------------------------------ */

/* Looks whether somebody waits once it has given the word back. */
static void wake_afterwards(struct lido__parent *parent, int result)
{
    struct child *child = lido__container_of(parent, struct child, parent);
    struct scope *scope = child->scope;
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&scope->word);
    bool listed = child->listed;
    *child->result = result;
    child->ended = true;
    if (listed)
        unlist(scope, child);
    lido__word_unlock(&scope->word, word);
    if (listed)
        lido__slab_free(&children, child);
    word = lido__word_lock(&scope->word);
    if (scope->live == 0 && scope->queue.first)
        lido__waitq_grant(&scope->queue, scope->queue.first, &wakes);
    lido__word_unlock_and_wake(&scope->word, lido__waitq_mark(&scope->queue, word), &wakes);
}

/* Asks whether it is listed before it has the word. */
static void look_before(struct lido__parent *parent, int result)
{
    struct child *child = lido__container_of(parent, struct child, parent);
    struct scope *scope = child->scope;
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    bool listed = child->listed;
    uint32_t word = lido__word_lock(&scope->word);
    *child->result = result;
    child->ended = true;
    if (listed)
        unlist(scope, child);
    if (scope->live == 0 && scope->queue.first)
        lido__waitq_grant(&scope->queue, scope->queue.first, &wakes);
    lido__word_unlock_and_wake(&scope->word, lido__waitq_mark(&scope->queue, word), &wakes);
    if (listed)
        lido__slab_free(&children, child);
}

/* A task that is listed after the cancelling is not told. */
static int spawn_untold(struct scope *scope, int *result, struct lido__spawn *spawn)
{
    if (lido__load(&scope->word, LIDO__RELAXED) & CANCELLED)
        return -ECANCELED;
    struct child *child = lido__slab_alloc(&children);
    *child = (struct child){.parent = {.ended = child_ended}, .scope = scope, .result = result};
    spawn->parent = &child->parent;
    lido__spawn(spawn, NULL);
    uint32_t word = lido__word_lock(&scope->word);
    bool ended = child->ended;
    if (!ended)
        list(scope, child);
    lido__word_unlock(&scope->word, word);
    if (ended)
        lido__slab_free(&children, child);
    return 0;
}

/* ---- The tests ------------------------------------------------------------------------------------ */

static const struct protocol right = {spawn, child_ended};

static void the_owner_goes_on_when_all_have_ended(void **state)
{
    struct model_scenario scenario = ending();
    (void)state;
    scene.protocol = &right;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

static void an_error_cancels_the_others_and_is_told(void **state)
{
    struct model_scenario scenario = failing();
    (void)state;
    scene.protocol = &right;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

static void an_owner_that_is_cancelled_waits_for_its_tasks(void **state)
{
    struct model_scenario scenario = interrupting();
    (void)state;
    scene.protocol = &right;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

static bool caught(struct model_scenario scenario, const char *name, struct protocol protocol,
                   const char *how)
{
    scenario.name = name;
    scene.protocol = &protocol;
    return model_catches(&scenario, how) > 0;
}

static void wrong_protocols_are_caught(void **state)
{
    (void)state;
    assert_true(caught(ending(), "the owner is woken after the word is free",
                       (struct protocol){spawn, wake_afterwards}, "freed"));
    assert_true(caught(ending(), "a task asks too early whether it is listed",
                       (struct protocol){spawn, look_before}, "deadlock"));
    assert_true(caught(failing(), "a late task is not told",
                       (struct protocol){spawn_untold, child_ended}, "deadlock"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_owner_goes_on_when_all_have_ended),
        cmocka_unit_test(an_error_cancels_the_others_and_is_told),
        cmocka_unit_test(an_owner_that_is_cancelled_waits_for_its_tasks),
        cmocka_unit_test(wrong_protocols_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
