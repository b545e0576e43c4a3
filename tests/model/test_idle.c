/*
 * Who sleeps and who searches: no published item is left while a worker sleeps, and no more are woken
 * than find something.
 *
 * The workers here are the scheduler in small: each has items of its own and a ring; an inbox brings items
 * from outside, and any worker takes it whole. A worker sleeps on a bell that is rung for those who
 * are called. The first item does not end before all the others have, so that its worker is no help:
 * an item that waits for a worker that sleeps is a deadlock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/inbox.h"
#include "explorer.h"
#include "props.h"
#include "sched/ring.h"

#include "../../src/sched/idle.c"

enum { WORKERS = 3, ITEMS = 3, PAYLOAD = 7 };

struct worker {
    struct lido__idler idler;
    struct lido__ring ring;
    struct lido__fifo items;
    struct model_bell bell;
    bool searching;
};

struct item {
    struct lido__link link;
    int payload;
};

/* What can be done wrong. */
struct protocol {
    void (*publish)(struct lido__link *link);
    struct lido__idler *(*call)(struct lido__idle *idle);
    bool (*found)(struct lido__idle *idle);
    bool (*enter)(struct lido__idle *idle, struct lido__idler *idler, bool searching);
};

static struct {
    const struct protocol *protocol;
    int count;    /* workers */
    int expected; /* items */

    struct lido__idle idle;
    struct lido__inbox inject;
    struct worker workers[WORKERS];
    struct item items[ITEMS];

    int ran;
} world;

/* --- the system ---------------------------------------------------------------------------------*/

void lido__thread_yield(void)
{
    model_yield();
}

/* --- items --------------------------------------------------------------------------------------*/

MODEL_UNSEEN static bool all_ran(const void *unused)
{
    (void)unused;
    return world.ran == world.expected;
}

MODEL_UNSEEN static bool all_after_it_ran(const void *item)
{
    return world.ran >= world.expected - 1 - (int)((const struct item *)item - world.items);
}

MODEL_UNSEEN static void note_ran(void)
{
    world.ran++;
}

static void ring_all_bells(void)
{
    for (int i = 0; i < world.count; i++)
        model_bell_ring(&world.workers[i].bell);
}

static void run(struct lido__link *link)
{
    struct item *item = lido__container_of(link, struct item, link);
    model_touch(item);
    model_assert(item->payload == PAYLOAD);
    item->payload = 0;
    model_block_until(all_after_it_ran, item);
    note_ran();
    if (all_ran(NULL))
        ring_all_bells();
}

static struct lido__link *new_item(int number)
{
    world.items[number].payload = PAYLOAD;
    return &world.items[number].link;
}

/* --- publishing ---------------------------------------------------------------------------------*/

static void wake_one_more(void)
{
    struct lido__idler *idler = world.protocol->call(&world.idle);
    if (idler)
        model_bell_ring(&lido__container_of(idler, struct worker, idler)->bell);
}

static void publish(struct lido__link *link)
{
    lido__inbox_push(&world.inject, link);
    wake_one_more();
}

static int first = 0, second = 1;

static void publish_one(void *number)
{
    world.protocol->publish(new_item(*(int *)number));
}

static void publish_all(void *unused)
{
    (void)unused;
    for (int i = 0; i < world.expected; i++)
        world.protocol->publish(new_item(i));
}

/* --- a worker -----------------------------------------------------------------------------------*/

static bool take_inject(struct worker *self)
{
    struct lido__link *link = lido__inbox_take(&world.inject);
    bool any = link != NULL;
    while (link) {
        struct lido__link *next = link->next;
        lido__fifo_push(&self->items, link);
        link = next;
    }
    return any;
}

static bool steal(struct worker *self)
{
    for (int i = 0; i < world.count; i++)
        if (lido__ring_take(&world.workers[i].ring, &self->items))
            return true;
    return false;
}

/* All but the first, which it runs itself. */
static bool share(struct worker *self)
{
    struct lido__link *own = lido__fifo_pop(&self->items);
    struct lido__link *link;
    bool any = false;
    while ((link = lido__fifo_pop(&self->items))) {
        model_assert(lido__ring_push(&self->ring, link));
        any = true;
    }
    lido__fifo_push(&self->items, own);
    return any;
}

static void share_and_call(struct worker *self)
{
    bool shared = share(self);
    bool last = self->searching && world.protocol->found(&world.idle);
    if (last || (shared && !self->searching))
        wake_one_more();
    self->searching = false;
}

static void run_items(struct worker *self)
{
    struct lido__link *link;
    share_and_call(self);
    while ((link = lido__fifo_pop(&self->items)))
        run(link);
}

static bool is_work_anywhere(void)
{
    for (int i = 0; i < world.count; i++)
        if (!lido__ring_empty(&world.workers[i].ring))
            return true;
    return lido__load(&world.inject.head, LIDO__RELAXED) != NULL;
}

static void sleep_until_woken(struct worker *self)
{
    if (world.protocol->enter(&world.idle, &self->idler, self->searching) && is_work_anywhere())
        wake_one_more();
    model_bell_wait(&self->bell);
    self->searching = lido__idle_leave(&world.idle, &self->idler);
}

static bool find(struct worker *self)
{
    if (lido__ring_take(&self->ring, &self->items) || take_inject(self))
        return true;
    if (!self->searching)
        self->searching = lido__idle_search(&world.idle);
    return self->searching && (take_inject(self) || steal(self));
}

static void work(void *arg)
{
    struct worker *self = arg;
    while (!all_ran(NULL)) {
        if (find(self))
            run_items(self);
        else
            sleep_until_woken(self);
    }
    if (self->searching)
        lido__idle_found(&world.idle);
}

/* Has been busy, and has items to give away. */
static void work_with_items(void *arg)
{
    struct worker *self = arg;
    for (int i = 0; i < world.expected; i++)
        lido__fifo_push(&self->items, new_item(i));
    run_items(self);
    work(self);
}

/* --- no lost wake-ups ---------------------------------------------------------------------------*/

static void set_up(void)
{
    lido__idle_init(&world.idle, (unsigned)world.count);
    lido__inbox_init(&world.inject);
    world.ran = 0;
    model_name(world.idle.word);
    model_name(world.idle.lock);
    model_name(world.inject.head);
    model_name(world.items);
    for (int i = 0; i < world.count; i++) {
        struct worker *worker = &world.workers[i];
        *worker = (struct worker){0};
        lido__idler_init(&worker->idler);
        lido__ring_init(&worker->ring);
        lido__fifo_init(&worker->items);
        model_name_memory(&worker->ring, sizeof(worker->ring), "ring");
        model_name_bell(worker->bell);
    }
}

static void all_is_quiet(void)
{
    model_assert(world.ran == world.expected);
    model_assert(world.idle.word == 0);
    model_assert(lido__list_empty(&world.idle.stack));
    model_assert(!is_work_anywhere());
}

#define SCENARIO(NAME, PREEMPTIONS, ...)                                                           \
    {                                                                                              \
        .name = NAME, .setup = set_up, .check = all_is_quiet, .threads = {__VA_ARGS__},            \
        .preemptions = PREEMPTIONS,                                                                \
    }

static const struct model_scenario one_publisher =
    SCENARIO("idle: a publisher of two", 2, {"worker 1", work, &world.workers[0]},
             {"worker 2", work, &world.workers[1]}, {"publisher", publish_all, NULL});

static const struct model_scenario two_publishers =
    SCENARIO("idle: two publishers", 2, {"worker 1", work, &world.workers[0]},
             {"worker 2", work, &world.workers[1]}, {"publisher 1", publish_one, &first},
             {"publisher 2", publish_one, &second});

static const struct model_scenario three_workers =
    SCENARIO("idle: a publisher of three for three workers", 1,
             {"worker 1", work, &world.workers[0]}, {"worker 2", work, &world.workers[1]},
             {"worker 3", work, &world.workers[2]}, {"publisher", publish_all, NULL});

static const struct model_scenario sharing =
    SCENARIO("idle: a worker shares", 2, {"worker 1", work_with_items, &world.workers[0]},
             {"worker 2", work, &world.workers[1]}, {"worker 3", work, &world.workers[2]});

/* --- no herd ------------------------------------------------------------------------------------*/

static struct lido__idler *called[2];

static void set_up_asleep(void)
{
    set_up();
    called[0] = called[1] = NULL;
    for (int i = 0; i < world.count; i++)
        lido__idle_enter(&world.idle, &world.workers[i].idler, false);
}

static void call(void *number)
{
    called[*(int *)number] = world.protocol->call(&world.idle);
}

static void one_was_called(void)
{
    model_assert((called[0] == NULL) != (called[1] == NULL));
    model_assert(world.idle.word == 2 * LIDO__IDLE_SLEEPING + LIDO__IDLE_SEARCHING);
}

static const struct model_scenario two_callers = {
    .name = "idle: two callers while all sleep",
    .setup = set_up_asleep,
    .check = one_was_called,
    .threads = {{"caller 1", call, &first}, {"caller 2", call, &second}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
};

/* The one on top wakes by itself at that moment: it is called, or another, but not both or none. */
static void wake_by_itself(void *unused)
{
    (void)unused;
    struct worker *self = &world.workers[2];
    self->searching = lido__idle_leave(&world.idle, &self->idler);
}

static void one_searches(void)
{
    model_assert(called[0]);
    model_assert(world.workers[2].searching == (called[0] == &world.workers[2].idler));
    model_assert(searching_in(world.idle.word) == 1);
    model_assert(sleeping_in(world.idle.word) == (world.workers[2].searching ? 2 : 1));
}

static const struct model_scenario caller_and_waker = {
    .name = "idle: a caller while one wakes by itself",
    .setup = set_up_asleep,
    .check = one_searches,
    .threads = {{"caller", call, &first}, {"worker 3", wake_by_itself, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
};

/* --- wrong protocols ----------------------------------------------------------------------------*/

/* Asks whom to wake before there is anything to be found. */
static void publish_after_reading(struct lido__link *link)
{
    bool wake = may_wake(&world.idle);
    lido__inbox_push(&world.inject, link);
    if (wake)
        wake_one_more();
}

/* Sleeps without a second look. */
static bool enter_at_once(struct lido__idle *idle, struct lido__idler *idler, bool searching)
{
    lido__idle_enter(idle, idler, searching);
    return false;
}

/* Leaves the second look to the last searcher, who may be busy by then. */
static bool enter_leaving_it_to_others(struct lido__idle *idle, struct lido__idler *idler,
                                       bool searching)
{
    return lido__idle_enter(idle, idler, searching) && searching;
}

/* Looks first, and then says that it sleeps. */
static bool enter_after_looking(struct lido__idle *idle, struct lido__idler *idler, bool searching)
{
    if (is_work_anywhere())
        return lido__idle_enter(idle, idler, searching);
    lido__idle_enter(idle, idler, searching);
    return false;
}

/* Keeps it to itself that there may be more. */
static bool found_alone(struct lido__idle *idle)
{
    lido__idle_found(idle);
    return false;
}

static struct lido__idler *pop(struct lido__idle *idle)
{
    struct lido__idler *idler = lido__container_of(idle->stack.prev, struct lido__idler, node);
    lido__list_remove(&idler->node);
    idler->listed = false;
    idler->called = true;
    return idler;
}

/* Believes what it has read before it had the lock. */
static struct lido__idler *call_believing(struct lido__idle *idle)
{
    if (!may_wake(idle))
        return NULL;
    lock(idle);
    lido__fetch_add(&idle->word, LIDO__IDLE_SEARCHING - LIDO__IDLE_SLEEPING, LIDO__SEQ_CST);
    struct lido__idler *idler = pop(idle);
    unlock(idle);
    return idler;
}

/* Reads the word while what it has published is still on its way. */
static struct lido__idler *call_without_fence(struct lido__idle *idle)
{
    struct lido__idler *idler = NULL;
    if (!may_wake(idle))
        return NULL;
    lock(idle);
    if (wake_one(idle))
        idler = pop(idle);
    unlock(idle);
    return idler;
}

/* --- the tests ----------------------------------------------------------------------------------*/

static const struct protocol right = {publish, lido__idle_call, lido__idle_found, lido__idle_enter};

static void use(const struct protocol *protocol, int workers, int items)
{
    world.protocol = protocol;
    world.count = workers;
    world.expected = items;
}

static void no_item_waits_while_a_worker_sleeps(void **state)
{
    (void)state;
    use(&right, 2, 2);
    assert_in_range(model_holds(&one_publisher), 20000, SIZE_MAX);
    assert_in_range(model_holds(&two_publishers), 100000, SIZE_MAX);
    use(&right, 3, 3);
    assert_in_range(model_holds(&three_workers), 10000, SIZE_MAX);
    assert_in_range(model_holds(&sharing), 20000, SIZE_MAX);
}

static void one_is_woken_however_many_call(void **state)
{
    (void)state;
    use(&right, 3, 0);
    assert_in_range(model_holds(&two_callers), 300, SIZE_MAX);
    assert_in_range(model_holds(&caller_and_waker), 30, SIZE_MAX);
}

static bool caught(const struct model_scenario *right_one, const char *name, struct protocol wrong,
                   const char *how)
{
    struct model_scenario scenario = *right_one;
    scenario.name = name;
    world.protocol = &wrong;
    return model_catches(&scenario, how) > 0;
}

static void wrong_protocols_are_caught(void **state)
{
    static const struct protocol early = {publish_after_reading, lido__idle_call, lido__idle_found,
                                          lido__idle_enter};
    static const struct protocol hasty = {publish, lido__idle_call, lido__idle_found,
                                          enter_at_once};
    static const struct protocol lazy = {publish, lido__idle_call, lido__idle_found,
                                         enter_leaving_it_to_others};
    static const struct protocol vain = {publish, lido__idle_call, lido__idle_found,
                                         enter_after_looking};
    static const struct protocol alone = {publish, lido__idle_call, found_alone, lido__idle_enter};
    static const struct protocol herd = {publish, call_believing, lido__idle_found,
                                         lido__idle_enter};
    (void)state;
    use(&right, 2, 2);
    assert_true(caught(&one_publisher, "the word read before publishing", early, "deadlock"));
    assert_true(caught(&one_publisher, "no second look", hasty, "deadlock"));
    assert_true(caught(&one_publisher, "a second look of searchers only", lazy, "deadlock"));
    assert_true(caught(&one_publisher, "a second look that comes first", vain, "deadlock"));
    use(&right, 3, 3);
    assert_true(caught(&sharing, "a searcher that calls nobody", alone, "deadlock"));
    use(&right, 3, 0);
    assert_true(caught(&two_callers, "a call that does not look again", herd, "called[0]"));
}

static void a_call_needs_its_fence(void **state)
{
    static const struct protocol wrong = {publish, call_without_fence, lido__idle_found,
                                          lido__idle_enter};
    struct model_scenario scenario = sharing;
    (void)state;
    scenario.name = "a call without its fence";
    scenario.threads[2] = (struct model_thread){NULL, NULL, NULL};
    scenario.weak_preemptions = 2;
    use(&wrong, 2, 2);
    assert_true(model_catches_weak(&scenario, MODEL_TSO, "deadlock"));
    assert_true(model_catches_weak(&scenario, MODEL_C11, "deadlock"));
}

static void who_slept_last_is_called_first(void **state)
{
    (void)state;
    use(&right, 3, 0);
    set_up_asleep();
    lido__idle_leave(&world.idle, &world.workers[1].idler);
    assert_ptr_equal(lido__idle_call(&world.idle), &world.workers[2].idler);
    assert_null(lido__idle_call(&world.idle));
    assert_true(lido__idle_leave(&world.idle, &world.workers[2].idler));
    assert_true(lido__idle_found(&world.idle));
    lido__idle_enter(&world.idle, &world.workers[1].idler, false);
    assert_ptr_equal(lido__idle_call(&world.idle), &world.workers[1].idler);
}

/* Whether a thread can be started for the ones that have none: all but the first. */
static bool threads;

static bool can_come(const struct lido__idler *idler)
{
    return idler == &world.workers[0].idler || threads;
}

/* So those on top of it are called first, and it is called again when that may help. */
static void who_cannot_come_sleeps_on_below_the_others(void **state)
{
    struct lido__idle *idle = &world.idle;
    (void)state;
    use(&right, 3, 0);
    set_up();
    idle->can_come = can_come;
    threads = true;
    for (int i = 1; i < world.count; i++)
        lido__idle_enter(idle, &world.workers[i].idler, false);
    struct lido__idler *top = lido__idle_call(idle);
    assert_ptr_equal(top, &world.workers[2].idler);
    lido__idle_enter(idle, &world.workers[0].idler, false);
    threads = false;
    assert_true(lido__idle_excuse(idle, top));
    assert_int_equal(idle->word, 3 * LIDO__IDLE_SLEEPING);
    assert_ptr_equal(lido__idle_call(idle), &world.workers[0].idler);
    assert_true(lido__idle_leave(idle, &world.workers[0].idler));
    assert_true(lido__idle_found(idle));
    assert_null(lido__idle_call(idle)); /* and nobody counts as one who searches */
    assert_int_equal(idle->word, 2 * LIDO__IDLE_SLEEPING);
    threads = true;
    assert_ptr_equal(lido__idle_call(idle), &world.workers[1].idler);
    assert_true(lido__idle_leave(idle, &world.workers[1].idler));
    assert_false(lido__idle_excuse(idle, &world.workers[1].idler)); /* it has come by itself */
}

static void half_of_those_awake_may_search(void **state)
{
    (void)state;
    use(&right, 3, 0);
    set_up();
    assert_false(lido__idle_hungry(&world.idle));
    assert_true(lido__idle_search(&world.idle));
    assert_true(lido__idle_hungry(&world.idle));
    assert_true(lido__idle_search(&world.idle));
    assert_false(lido__idle_search(&world.idle));
    assert_false(lido__idle_enter(&world.idle, &world.workers[0].idler, true));
    assert_false(lido__idle_search(&world.idle));
    assert_true(lido__idle_found(&world.idle));
    assert_true(lido__idle_enter(&world.idle, &world.workers[1].idler, false));
    assert_true(lido__idle_search(&world.idle));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_item_waits_while_a_worker_sleeps),
        cmocka_unit_test(one_is_woken_however_many_call),
        cmocka_unit_test(wrong_protocols_are_caught),
        cmocka_unit_test(a_call_needs_its_fence),
        cmocka_unit_test(who_slept_last_is_called_first),
        cmocka_unit_test(who_cannot_come_sleeps_on_below_the_others),
        cmocka_unit_test(half_of_those_awake_may_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
