/*
 * Parking: a worker that sleeps in its reactor is woken by whoever brings it something, and a worker
 * that is awake is left alone.
 *
 * The worker here is the loop of sched/worker.c in small: a local queue, the inbox, a reactor that
 * sleeps until its eventfd is written to or its timer expires, orders, and the end, when it frees
 * what wakers may still be about to touch. Pushers write to the eventfd only when push says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/inbox.h"
#include "explorer.h"
#include "props.h"

enum { REPORT = 1, STOP = 2 }; /* orders */

struct worker {
    struct lido__inbox inbox;
    uint32_t orders;
    uint32_t wakes_done;
    uint32_t asleep; /* of the wrong protocol that keeps it apart */
    struct lido__link order;
    struct model_bell *eventfd; /* of the reactor: memory of its own */
};

struct item {
    struct lido__link link;
    int payload;
    bool follow_up; /* when it runs, another comes into the local queue */
};

struct protocol {
    bool (*push)(struct lido__inbox *inbox, struct lido__link *link);
    void (*look)(void);
    bool (*park)(struct lido__inbox *inbox);
    void (*settle)(void);
    struct lido__link *(*next)(struct lido__link *link); /* handles a link, returns the next */
};

static struct {
    const struct protocol *protocol;
    struct worker *worker;
    struct item items[4]; /* of two pushers; of the timer; a follow-up */
    int expected;
    bool timer_expired;

    /* Written by the worker. */
    struct lido__fifo queue;
    uint32_t wakes_owed;
    bool parked;
    bool stop;
    unsigned reports;

    /* Written by nobody: what the words say, kept beside them without a point in between. */
    int ran;
    bool looks_asleep; /* parked, and has not taken since */
    bool claimed;      /* a push has been told to wake it */
} world;

enum { TIMER = 2, FOLLOW_UP = 3 };

/* --- what must hold -----------------------------------------------------------------------------*/

/* Right after a push. */
MODEL_UNSEEN static void judge_push(bool wake)
{
    if (wake) {
        model_assert(world.looks_asleep);
        model_assert(!world.claimed);
        world.claimed = true;
    } else {
        model_assert(!world.looks_asleep || world.claimed);
    }
}

MODEL_UNSEEN static void note_parked(void)
{
    world.looks_asleep = true;
    world.claimed = false;
}

MODEL_UNSEEN static void note_taken(void)
{
    world.looks_asleep = false;
}

MODEL_UNSEEN static void note_run(void)
{
    model_assert(!world.looks_asleep); /* or a push would write to a worker that is awake */
    world.ran++;
}

MODEL_UNSEEN static bool all_ran(const void *unused)
{
    (void)unused;
    return world.ran == world.expected;
}

/* --- any thread ---------------------------------------------------------------------------------*/

static void mail(struct lido__link *link)
{
    struct worker *worker = world.worker;
    bool wake = world.protocol->push(&worker->inbox, link);
    judge_push(wake);
    if (!wake)
        return;
    model_touch(&worker->eventfd);
    model_bell_ring(worker->eventfd);
    lido__fetch_add(&worker->wakes_done, 1, LIDO__RELEASE);
}

static void order(uint32_t orders)
{
    if (lido__fetch_or(&world.worker->orders, orders, LIDO__ACQ_REL) == 0)
        mail(&world.worker->order);
}

/* --- the worker ---------------------------------------------------------------------------------*/

static void obey(void)
{
    uint32_t orders = lido__exchange(&world.worker->orders, 0, LIDO__ACQ_REL);
    if (orders & REPORT)
        world.reports++;
    if (orders & STOP)
        world.stop = true;
}

static void handle(struct lido__link *link)
{
    if (link == &world.worker->order)
        obey();
    else
        lido__fifo_push(&world.queue, link);
}

/* The next one is read first: what is handled may be pushed again at once. */
static struct lido__link *handle_and_next(struct lido__link *link)
{
    struct lido__link *next = link->next;
    handle(link);
    return next;
}

static void take_mail(void)
{
    struct lido__link *link = lido__inbox_take(&world.worker->inbox);
    note_taken();
    world.wakes_owed += world.parked && link;
    world.parked = false;
    while (link)
        link = world.protocol->next(link);
}

static void run_queue(void)
{
    struct lido__link *link;
    while ((link = lido__fifo_pop(&world.queue))) {
        struct item *item = lido__container_of(link, struct item, link);
        model_assert(item->payload == 1);
        item->payload = 0;
        note_run();
        if (!item->follow_up)
            continue;
        world.items[FOLLOW_UP].payload = 1;
        lido__fifo_push(&world.queue, &world.items[FOLLOW_UP].link);
    }
}

MODEL_UNSEEN static bool reactor_has_something(const void *eventfd)
{
    return ((const struct model_bell *)eventfd)->count || world.timer_expired;
}

MODEL_UNSEEN static bool timer_fires(void)
{
    bool expired = world.timer_expired;
    world.timer_expired = false;
    return expired;
}

static void reactor_wait(bool may_sleep)
{
    struct model_bell *eventfd = world.worker->eventfd;
    if (may_sleep)
        model_block_until(reactor_has_something, eventfd);
    model_bell_clear(eventfd);
    if (timer_fires()) {
        world.items[TIMER].payload = 1;
        lido__fifo_push(&world.queue, &world.items[TIMER].link);
    }
}

static bool wants_to_sleep(void)
{
    return lido__fifo_empty(&world.queue) && !world.stop;
}

static void park(void)
{
    world.parked = world.protocol->park(&world.worker->inbox);
    if (world.parked)
        note_parked();
}

static void look(void)
{
    if (wants_to_sleep())
        park();
    reactor_wait(world.parked);
}

/* A waker's last touch is the addition to wakes_done. */
static void settle(void)
{
    while (lido__load(&world.worker->wakes_done, LIDO__ACQUIRE) != world.wakes_owed)
        model_yield();
}

static void work(void *unused)
{
    (void)unused;
    while (!world.stop) {
        take_mail();
        run_queue();
        world.protocol->look();
    }
    take_mail();
    world.protocol->settle();
    model_free(world.worker->eventfd);
    model_free(world.worker);
}

/* --- the others ---------------------------------------------------------------------------------*/

static int first = 0, second = 1;

static void push(void *index)
{
    struct item *item = &world.items[*(int *)index];
    item->payload = 1;
    mail(&item->link);
}

/* The timer expires at some time: before the worker looks, while it sleeps, or while it is awake. */
MODEL_UNSEEN static void expire(void *unused)
{
    (void)unused;
    lido__model_point("expire", &world.timer_expired);
    world.timer_expired = true;
}

static void stop_at_the_end(void *unused)
{
    (void)unused;
    model_block_until(all_ran, NULL);
    order(STOP);
}

/* Both orders use the same link. */
static void report_and_stop(void *unused)
{
    (void)unused;
    order(REPORT);
    stop_at_the_end(NULL);
}

/* --- scenarios ----------------------------------------------------------------------------------*/

static const struct model_scenario *scenario_of_schedule;

static void set_up_items(void)
{
    const struct model_thread *threads = scenario_of_schedule->threads;
    world.expected = 0;
    for (int i = 0; i < 4; i++)
        world.items[i] = (struct item){0};
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        world.expected += threads[i].run == push || threads[i].run == expire;
    world.items[0].follow_up = true;
    world.expected++;
}

static void set_up(void)
{
    struct worker *worker = model_alloc(sizeof(*worker), "worker");
    worker->eventfd = model_alloc(sizeof(*worker->eventfd), "eventfd");
    lido__inbox_init(&worker->inbox);
    world.worker = worker;
    model_name_memory(&worker->inbox.head, sizeof(worker->inbox.head), "inbox.head");
    model_name_memory(&worker->orders, sizeof(worker->orders), "orders");
    model_name_memory(&worker->wakes_done, sizeof(worker->wakes_done), "wakes_done");
    model_name_memory(&worker->order, sizeof(worker->order), "order");
    model_name(world.items);
    model_name(world.timer_expired);

    set_up_items();
    lido__fifo_init(&world.queue);
    world.timer_expired = world.parked = world.stop = false;
    world.looks_asleep = world.claimed = false;
    world.wakes_owed = 0;
    world.reports = 0;
    world.ran = 0;
}

static void all_was_done(void)
{
    bool reported = scenario_of_schedule->threads[1].run == report_and_stop;
    model_assert(world.ran == world.expected);
    model_assert(world.reports == reported);
}

#define SCENARIO(NAME, PREEMPTIONS, ...)                                                           \
    {                                                                                              \
        .name = NAME, .setup = set_up, .check = all_was_done,                                      \
        .threads = {{"worker", work, NULL}, __VA_ARGS__}, .preemptions = PREEMPTIONS,              \
    }

static const struct model_scenario one_pusher =
    SCENARIO("park: a pusher and a timer", 4, {"stopper", stop_at_the_end, NULL},
             {"pusher", push, &first}, {"clock", expire, NULL});

static const struct model_scenario two_pushers =
    SCENARIO("park: two pushers and a timer", 3, {"stopper", stop_at_the_end, NULL},
             {"pusher 1", push, &first}, {"pusher 2", push, &second}, {"clock", expire, NULL});

static const struct model_scenario orders = SCENARIO("park: a pusher and two orders", 4,
                                                     {"orders", report_and_stop, NULL},
                                                     {"pusher", push, &first});

/* --- wrong protocols ----------------------------------------------------------------------------*/

/* Does not ask whether something has come. */
static bool park_blindly(struct lido__inbox *inbox)
{
    lido__inbox_park(inbox);
    return true;
}

/* Looks, and then says that it sleeps, in another word. */
static bool park_in_two_words(struct lido__inbox *inbox)
{
    if (lido__load(&inbox->head, LIDO__SEQ_CST))
        return false;
    lido__store(&world.worker->asleep, 1, LIDO__SEQ_CST);
    return true;
}

static bool push_in_two_words(struct lido__inbox *inbox, struct lido__link *link)
{
    lido__inbox_push(inbox, link);
    return lido__exchange(&world.worker->asleep, 0, LIDO__SEQ_CST);
}

static bool push_wakes_always(struct lido__inbox *inbox, struct lido__link *link)
{
    lido__inbox_push(inbox, link);
    return true;
}

static bool push_wakes_never(struct lido__inbox *inbox, struct lido__link *link)
{
    lido__inbox_push(inbox, link);
    return false;
}

/* What is in the eventfd when it goes to sleep is from before, it thinks. */
static void look_with_a_clean_eventfd(void)
{
    if (wants_to_sleep())
        park();
    model_touch(&world.worker->eventfd);
    model_bell_clear(world.worker->eventfd);
    reactor_wait(world.parked);
}

/* The timer has something to run, and the inbox is left for later. */
static void look_and_run(void)
{
    look();
    run_queue();
}

static void settle_nothing(void) {}

/* What has been handled goes elsewhere, with its link. */
static struct lido__link *handle_then_next(struct lido__link *link)
{
    handle(link);
    model_touch(link);
    return link->next;
}

/* --- the tests ----------------------------------------------------------------------------------*/

#define RIGHT                                                                                      \
    .push = lido__inbox_push, .look = look, .park = lido__inbox_park, .settle = settle,            \
    .next = handle_and_next

static size_t holds(const struct model_scenario *scenario)
{
    static const struct protocol right = {RIGHT};
    world.protocol = &right;
    scenario_of_schedule = scenario;
    return model_holds(scenario);
}

static void no_wake_up_is_lost_and_none_is_needless(void **state)
{
    (void)state;
    assert_in_range(holds(&one_pusher), 10000, SIZE_MAX);
    assert_in_range(holds(&two_pushers), 50000, SIZE_MAX);
    assert_in_range(holds(&orders), 10000, SIZE_MAX);
}

static bool caught(const char *name, const struct model_scenario *in, struct protocol protocol,
                   const char *how)
{
    struct model_scenario scenario = *in;
    scenario.name = name;
    scenario_of_schedule = in;
    world.protocol = &protocol;
    return model_catches(&scenario, how) > 0;
}

static void wrong_protocols_are_caught(void **state)
{
    struct protocol blind = {RIGHT}, words = {RIGHT}, eager = {RIGHT}, lazy = {RIGHT},
                    clean = {RIGHT}, busy = {RIGHT}, hasty = {RIGHT}, late = {RIGHT};
    (void)state;
    blind.park = park_blindly;
    words.park = park_in_two_words;
    words.push = push_in_two_words;
    eager.push = push_wakes_always;
    lazy.push = push_wakes_never;
    clean.look = look_with_a_clean_eventfd;
    busy.look = look_and_run;
    hasty.settle = settle_nothing;
    late.next = handle_then_next;
    assert_true(caught("sleep without asking", &one_pusher, blind, "deadlock"));
    assert_true(caught("empty and asleep in two words", &one_pusher, words, "looks_asleep"));
    assert_true(caught("push that wakes always", &one_pusher, eager, "looks_asleep"));
    assert_true(caught("push that wakes never", &one_pusher, lazy, "claimed"));
    assert_true(caught("eventfd cleared after parking", &one_pusher, clean, "deadlock"));
    assert_true(caught("run while it looks asleep", &one_pusher, busy, "looks_asleep"));
    assert_true(caught("end before the wakers are done", &one_pusher, hasty, "freed"));
    assert_true(caught("link read after it was handled", &orders, late, "deadlock"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_up_is_lost_and_none_is_needless),
        cmocka_unit_test(wrong_protocols_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
