/*
 * The inbox: what is pushed is taken once, in the order of its pusher, and whoever parks is woken
 * by exactly one of those who come next.
 *
 * The owner sleeps on a bell that only the pushers ring, when they are told to. So a wake-up that
 * is forgotten is a deadlock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/inbox.h"
#include "explorer.h"
#include "props.h"

enum { PUSHERS = 3, ITEMS = 2 };

/* The functions of inbox.h, so that a broken one can take the place of each. */
struct protocol {
    bool (*push)(struct lido__inbox *inbox, struct lido__link *link);
    struct lido__link *(*take)(struct lido__inbox *inbox);
    bool (*park)(struct lido__inbox *inbox);
};

struct item {
    struct lido__link link;
    int pusher;
    int number; /* among the pusher's */
};

static struct {
    const struct protocol *protocol;
    int expected; /* items in all */
    int per_pusher;

    struct lido__inbox inbox;
    uint32_t asleep; /* of the broken protocol that keeps it apart */
    struct model_bell bell;
    struct item items[PUSHERS][ITEMS];

    /* Written by the owner. */
    int next[PUSHERS];
    int received;
    unsigned parked;
} world;

static void set_up(void)
{
    lido__inbox_init(&world.inbox);
    world.asleep = 0;
    world.bell = (struct model_bell){0};
    world.received = 0;
    world.parked = 0;
    for (int pusher = 0; pusher < PUSHERS; pusher++)
        world.next[pusher] = 0;
    model_name(world.inbox.head);
    model_name(world.asleep);
    model_name_bell(world.bell);
    model_name(world.items);
}

/* --- the threads --------------------------------------------------------------------------------*/

static void push_items(void *arg)
{
    int self = *(int *)arg;
    for (int i = 0; i < world.per_pusher; i++) {
        struct item *item = &world.items[self][i];
        item->pusher = self;
        item->number = i;
        if (world.protocol->push(&world.inbox, &item->link))
            model_bell_ring(&world.bell);
    }
}

static void receive(struct lido__link *link)
{
    while (link) {
        struct item *item = lido__container_of(link, struct item, link);
        link = link->next;
        model_assert(item->number == world.next[item->pusher]);
        world.next[item->pusher]++;
        world.received++;
    }
}

static void own(void *unused)
{
    (void)unused;
    for (;;) {
        receive(world.protocol->take(&world.inbox));
        if (world.received == world.expected)
            return;
        if (world.protocol->park(&world.inbox)) {
            world.parked++;
            model_bell_wait(&world.bell);
        }
    }
}

static void nothing_is_lost(void)
{
    model_assert(world.received == world.expected);
    model_assert(world.parked == world.bell.rung);
    model_assert(world.inbox.head == NULL);
}

static int first = 0, second = 1, third = 2;

static const struct model_scenario one_pusher = {
    .name = "one pusher of two",
    .setup = set_up,
    .check = nothing_is_lost,
    .threads = {{"owner", own, NULL}, {"pusher", push_items, &first}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
};

static const struct model_scenario two_pushers = {
    .name = "two pushers of two",
    .setup = set_up,
    .check = nothing_is_lost,
    .threads = {{"owner", own, NULL},
                {"pusher 1", push_items, &first},
                {"pusher 2", push_items, &second}},
    .preemptions = 5,
};

static const struct model_scenario three_pushers = {
    .name = "three pushers of one",
    .setup = set_up,
    .check = nothing_is_lost,
    .threads = {{"owner", own, NULL},
                {"pusher 1", push_items, &first},
                {"pusher 2", push_items, &second},
                {"pusher 3", push_items, &third}},
    .preemptions = 5,
};

/* --- wrong protocols ----------------------------------------------------------------------------*/

/* Forgets that somebody sleeps. */
static bool push_silently(struct lido__inbox *inbox, struct lido__link *link)
{
    lido__inbox_push(inbox, link);
    return false;
}

/* Wakes when the inbox was empty, as one would with a plain stack: also an owner that is awake. */
static bool push_wakes_if_empty(struct lido__inbox *inbox, struct lido__link *link)
{
    struct lido__link *head = lido__load(&inbox->head, LIDO__RELAXED);
    do {
        link->next = head == LIDO__ASLEEP ? NULL : head;
    } while (!lido__cas(&inbox->head, &head, link, LIDO__RELEASE, LIDO__RELAXED));
    return head == NULL || head == LIDO__ASLEEP;
}

/* Reads and writes in two steps. */
static bool push_in_two_steps(struct lido__inbox *inbox, struct lido__link *link)
{
    struct lido__link *head = lido__load(&inbox->head, LIDO__RELAXED);
    link->next = head == LIDO__ASLEEP ? NULL : head;
    lido__store(&inbox->head, link, LIDO__RELEASE);
    return head == LIDO__ASLEEP;
}

static struct lido__link *take_in_two_steps(struct lido__inbox *inbox)
{
    struct lido__link *head = lido__load(&inbox->head, LIDO__ACQUIRE);
    struct lido__inbox taken = {.head = head};
    lido__store(&inbox->head, NULL, LIDO__RELAXED);
    return lido__inbox_take(&taken);
}

/* Newest first. */
static struct lido__link *take_as_it_is(struct lido__inbox *inbox)
{
    struct lido__link *link = lido__exchange(&inbox->head, NULL, LIDO__ACQUIRE);
    return link == LIDO__ASLEEP ? NULL : link;
}

/* "Empty" and "asleep" in two words: looks, and then goes to sleep. */
static bool park_in_two_words(struct lido__inbox *inbox)
{
    if (lido__load(&inbox->head, LIDO__SEQ_CST))
        return false;
    lido__store(&world.asleep, 1, LIDO__SEQ_CST);
    return true;
}

static bool push_in_two_words(struct lido__inbox *inbox, struct lido__link *link)
{
    lido__inbox_push(inbox, link);
    return lido__exchange(&world.asleep, 0, LIDO__SEQ_CST);
}

/* Right in each interleaving, but what is in the item is not published with it. */
static bool push_relaxed(struct lido__inbox *inbox, struct lido__link *link)
{
    struct lido__link *head = lido__load(&inbox->head, LIDO__RELAXED);
    do {
        link->next = head == LIDO__ASLEEP ? NULL : head;
    } while (!lido__cas(&inbox->head, &head, link, LIDO__RELAXED, LIDO__RELAXED));
    return head == LIDO__ASLEEP;
}

static struct lido__link *take_relaxed(struct lido__inbox *inbox)
{
    struct lido__inbox taken = {.head = lido__exchange(&inbox->head, NULL, LIDO__RELAXED)};
    return lido__inbox_take(&taken);
}

/* --- the tests ----------------------------------------------------------------------------------*/

static const struct protocol right = {lido__inbox_push, lido__inbox_take, lido__inbox_park};

static void use(const struct protocol *protocol, int pushers, int per_pusher)
{
    world.protocol = protocol;
    world.per_pusher = per_pusher;
    world.expected = pushers * per_pusher;
}

static void nothing_is_lost_or_taken_twice(void **state)
{
    (void)state;
    use(&right, 1, 2);
    assert_in_range(model_holds(&one_pusher), 50, SIZE_MAX);
    use(&right, 2, 2);
    assert_in_range(model_holds(&two_pushers), 50000, SIZE_MAX);
    use(&right, 3, 1);
    assert_in_range(model_holds(&three_pushers), 100000, SIZE_MAX);
}

static bool caught(const char *name, const struct protocol *protocol, const char *how)
{
    struct model_scenario scenario = two_pushers;
    scenario.name = name;
    use(protocol, 2, 2);
    return model_catches(&scenario, how) > 0;
}

static void wrong_protocols_are_caught(void **state)
{
    static const struct protocol silent = {push_silently, lido__inbox_take, lido__inbox_park};
    static const struct protocol eager = {push_wakes_if_empty, lido__inbox_take, lido__inbox_park};
    static const struct protocol lossy = {push_in_two_steps, lido__inbox_take, lido__inbox_park};
    static const struct protocol hasty = {lido__inbox_push, take_in_two_steps, lido__inbox_park};
    static const struct protocol stack = {lido__inbox_push, take_as_it_is, lido__inbox_park};
    static const struct protocol words = {push_in_two_words, lido__inbox_take, park_in_two_words};
    (void)state;
    assert_true(caught("push that wakes nobody", &silent, "deadlock"));
    assert_true(caught("push that wakes if empty", &eager, "parked == world.bell.rung"));
    assert_true(caught("push in two steps", &lossy, "deadlock"));
    assert_true(caught("take in two steps", &hasty, "deadlock"));
    assert_true(caught("take of the newest first", &stack, "item->number"));
    assert_true(caught("empty and asleep in two words", &words, "deadlock"));
}

static bool races(const char *name, const struct protocol *protocol)
{
    struct model_scenario scenario = two_pushers;
    scenario.name = name;
    use(protocol, 2, 2);
    return model_catches_race(&scenario);
}

static void missing_orderings_are_caught_by_tsan(void **state)
{
    static const struct protocol unreleased = {push_relaxed, lido__inbox_take, lido__inbox_park};
    static const struct protocol unacquired = {lido__inbox_push, take_relaxed, lido__inbox_park};
    (void)state;
    assert_true(races("push without release", &unreleased));
    assert_true(races("take without acquire", &unacquired));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_or_taken_twice),
        cmocka_unit_test(wrong_protocols_are_caught),
        cmocka_unit_test(missing_orderings_are_caught_by_tsan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
