/*
 * The ring: no link is lost and none is taken twice, whoever takes and however often the ring wraps.
 *
 * A ring has four slots here. Each scenario ends by emptying the rings and counting; the items' payload
 * is plain memory, so that ThreadSanitizer sees whether a take comes after its push.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explorer.h"
#include "sched/ring.h"

enum { ITEMS = 9, TAKERS = 3, PAYLOAD = 7 };

/* The functions of ring.h, so that a broken one can take the place of each. */
struct protocol {
    bool (*push)(struct lido__ring *ring, struct lido__link *link);
    unsigned (*take)(struct lido__ring *ring, struct lido__fifo *taken);
};

struct item {
    struct lido__link link;
    int number;
    int payload;
};

static struct {
    const struct protocol *protocol;
    int to_push;
    int rounds; /* of each thief */

    struct lido__ring ring;
    struct lido__ring second; /* of the thief that is stolen from */
    struct item items[ITEMS];

    /* Written by one thread each. */
    struct lido__fifo kept; /* what did not fit */
    bool taken[TAKERS + 1][ITEMS];
} world;

enum { OWNER = TAKERS }; /* in world.taken */

static void set_up(void)
{
    lido__ring_init(&world.ring);
    lido__ring_init(&world.second);
    lido__fifo_init(&world.kept);
    for (int i = 0; i < ITEMS; i++) {
        world.items[i] = (struct item){.number = i};
        for (int who = 0; who <= OWNER; who++)
            world.taken[who][i] = false;
    }
    model_name(world.ring.head);
    model_name(world.ring.tail);
    model_name(world.ring.slots);
    model_name(world.second.head);
    model_name(world.second.tail);
    model_name(world.second.slots);
    model_name(world.items);
}

/* --- the threads --------------------------------------------------------------------------------*/

/* Uses what a take has got: oldest first, each published with what is in it. Returns how many. */
static unsigned use_all(int who, struct lido__fifo *taken)
{
    struct lido__link *link;
    unsigned count = 0;
    int last = -1;
    while ((link = lido__fifo_pop(taken))) {
        struct item *item = lido__container_of(link, struct item, link);
        model_touch(item);
        model_assert(item->payload == PAYLOAD);
        model_assert(item->number > last);
        last = item->number;
        item->payload = 0;
        world.taken[who][item->number] = true;
        count++;
    }
    return count;
}

static unsigned take_and_use(int who, struct lido__ring *ring)
{
    struct lido__fifo taken;
    lido__fifo_init(&taken);
    unsigned count = world.protocol->take(ring, &taken);
    model_assert(use_all(who, &taken) == count);
    return count;
}

static bool push_item(int number)
{
    struct item *item = &world.items[number];
    item->payload = PAYLOAD;
    return world.protocol->push(&world.ring, &item->link);
}

/* Takes a part back itself in the middle, and all that is left in the end. */
static void own(void *unused)
{
    (void)unused;
    for (int i = 0; i < world.to_push; i++) {
        model_assert(push_item(i));
        if (i == 1)
            take_and_use(OWNER, &world.ring);
    }
    while (take_and_use(OWNER, &world.ring))
        ;
}

/* Pushes without taking; what is refused, it keeps. */
static void own_too_much(void *unused)
{
    (void)unused;
    for (int i = 0; i < world.to_push; i++)
        if (!push_item(i))
            lido__fifo_push(&world.kept, &world.items[i].link);
}

static int first = 0, second = 1, third = 2;

static void steal(void *who)
{
    for (int i = 0; i < world.rounds; i++)
        take_and_use(*(int *)who, &world.ring);
}

/* Into its own ring, from which another steals at the same time. */
static void steal_and_share(void *who)
{
    struct lido__fifo taken;
    struct lido__link *link;
    lido__fifo_init(&taken);
    world.protocol->take(&world.ring, &taken);
    while ((link = lido__fifo_pop(&taken)))
        model_assert(world.protocol->push(&world.second, link));
    take_and_use(*(int *)who, &world.second);
}

static void steal_from_the_thief(void *who)
{
    for (int i = 0; i < world.rounds; i++)
        take_and_use(*(int *)who, &world.second);
}

/* --- what must hold in the end ------------------------------------------------------------------*/

static void empty_the_rings(void)
{
    use_all(OWNER, &world.kept);
    while (take_and_use(OWNER, &world.ring))
        ;
    while (take_and_use(OWNER, &world.second))
        ;
    model_assert(lido__ring_empty(&world.ring) && lido__ring_empty(&world.second));
    model_assert(lido__ring_room(&world.ring) == LIDO__RING_SIZE);
}

static void each_was_taken_once(void)
{
    empty_the_rings();
    for (int i = 0; i < world.to_push; i++) {
        int takers = 0;
        for (int who = 0; who <= OWNER; who++)
            takers += world.taken[who][i];
        model_assert(takers == 1);
    }
}

static const struct model_scenario basic = {
    .name = "ring: basic",
    .setup = set_up,
    .check = each_was_taken_once,
    .threads = {{"owner", own, NULL}, {"thief", steal, &first}},
    .preemptions = 5,
};

static const struct model_scenario steal_overflow = {
    .name = "ring: steal_overflow",
    .setup = set_up,
    .check = each_was_taken_once,
    .threads = {{"owner", own_too_much, NULL}, {"thief", steal, &first}},
    .preemptions = 4,
};

static const struct model_scenario multi_stealer = {
    .name = "ring: multi_stealer",
    .setup = set_up,
    .check = each_was_taken_once,
    .threads = {{"owner", own_too_much, NULL},
                {"thief 1", steal, &first},
                {"thief 2", steal, &second}},
    .preemptions = 3,
};

static const struct model_scenario chained_steal = {
    .name = "ring: chained_steal",
    .setup = set_up,
    .check = each_was_taken_once,
    .threads = {{"owner", own, NULL},
                {"thief", steal_and_share, &first},
                {"thief's thief", steal_from_the_thief, &third}},
    .preemptions = 3,
};

/* --- wrong protocols ----------------------------------------------------------------------------*/

/* Does not look whether there is room. */
static bool push_over(struct lido__ring *ring, struct lido__link *link)
{
    uint64_t tail = lido__load(&ring->tail, LIDO__RELAXED);
    lido__store(lido__ring_slot(ring, tail), link, LIDO__RELAXED);
    lido__store(&ring->tail, tail + 1, LIDO__RELEASE);
    return true;
}

/* The tail says that the slot is full before it is. */
static bool push_tail_first(struct lido__ring *ring, struct lido__link *link)
{
    if (lido__ring_room(ring) == 0)
        return false;
    uint64_t tail = lido__load(&ring->tail, LIDO__RELAXED);
    lido__store(&ring->tail, tail + 1, LIDO__RELEASE);
    lido__store(lido__ring_slot(ring, tail), link, LIDO__RELAXED);
    return true;
}

/* Right in each interleaving, but what is in the item is not published with it. */
static bool push_relaxed(struct lido__ring *ring, struct lido__link *link)
{
    if (lido__ring_room(ring) == 0)
        return false;
    uint64_t tail = lido__load(&ring->tail, LIDO__RELAXED);
    lido__store(lido__ring_slot(ring, tail), link, LIDO__RELAXED);
    lido__store(&ring->tail, tail + 1, LIDO__RELAXED);
    return true;
}

static unsigned append(struct lido__fifo *taken, struct lido__link *found[], unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        lido__fifo_push(taken, found[i]);
    return count;
}

/* Says which are its own without asking whether they still are. */
static unsigned take_by_store(struct lido__ring *ring, struct lido__fifo *taken)
{
    struct lido__link *found[LIDO__RING_MOST];
    uint64_t head = lido__load(&ring->head, LIDO__ACQUIRE);
    unsigned count = lido__ring_peek(ring, head, found);
    if (count)
        lido__store(&ring->head, head + count, LIDO__RELEASE);
    return append(taken, found, count);
}

/* Claims first, and reads what may be another's by then. */
static unsigned take_before_reading(struct lido__ring *ring, struct lido__fifo *taken)
{
    uint64_t head = lido__load(&ring->head, LIDO__ACQUIRE);
    uint64_t count;
    do {
        count = lido__load(&ring->tail, LIDO__ACQUIRE) - head;
        count -= count / 2;
        if (count == 0)
            return 0;
    } while (!lido__cas(&ring->head, &head, head + count, LIDO__ACQ_REL, LIDO__ACQUIRE));
    for (uint64_t i = 0; i < count; i++)
        lido__fifo_push(taken, lido__load(lido__ring_slot(ring, head + i), LIDO__RELAXED));
    return (unsigned)count;
}

/* Links what it has found, and then asks whether it may. */
static unsigned take_linking_early(struct lido__ring *ring, struct lido__fifo *taken)
{
    struct lido__link *found[LIDO__RING_MOST];
    uint64_t head = lido__load(&ring->head, LIDO__ACQUIRE);
    unsigned count = lido__ring_peek(ring, head, found);
    struct lido__fifo mine;
    lido__fifo_init(&mine);
    append(&mine, found, count);
    if (!count || !lido__cas(&ring->head, &head, head + count, LIDO__ACQ_REL, LIDO__ACQUIRE))
        return 0;
    *taken->tail = mine.head;
    taken->tail = mine.tail;
    return count;
}

/* Keeps to the tail that it saw when it came, whatever head the swap has brought. */
static unsigned take_to_an_old_tail(struct lido__ring *ring, struct lido__fifo *taken)
{
    struct lido__link *found[LIDO__RING_MOST];
    uint64_t head = lido__load(&ring->head, LIDO__ACQUIRE);
    unsigned count = lido__ring_peek(ring, head, found);
    while (count)
        if (lido__cas(&ring->head, &head, head + count, LIDO__ACQ_REL, LIDO__ACQUIRE))
            break;
    return append(taken, found, count);
}

static unsigned take_relaxed(struct lido__ring *ring, struct lido__fifo *taken)
{
    struct lido__link *found[LIDO__RING_MOST];
    uint64_t head = lido__load(&ring->head, LIDO__RELAXED);
    uint64_t count = lido__load(&ring->tail, LIDO__RELAXED) - head;
    if (count == 0 || count > LIDO__RING_SIZE)
        return 0;
    count -= count / 2;
    for (uint64_t i = 0; i < count; i++)
        found[i] = lido__load(lido__ring_slot(ring, head + i), LIDO__RELAXED);
    if (!lido__cas(&ring->head, &head, head + count, LIDO__RELAXED, LIDO__RELAXED))
        return 0;
    return append(taken, found, (unsigned)count);
}

/* --- the tests ----------------------------------------------------------------------------------*/

static const struct protocol right = {lido__ring_push, lido__ring_take};

static void use(const struct protocol *protocol, int to_push, int rounds)
{
    world.protocol = protocol;
    world.to_push = to_push;
    world.rounds = rounds;
}

static void nothing_is_lost_or_taken_twice(void **state)
{
    (void)state;
    use(&right, 3, 2);
    assert_in_range(model_holds(&basic), 100000, SIZE_MAX);
    use(&right, 4, 2);
    assert_in_range(model_holds(&chained_steal), 100000, SIZE_MAX);
}

static void what_does_not_fit_stays_with_the_owner(void **state)
{
    (void)state;
    use(&right, 9, 3);
    assert_in_range(model_holds(&steal_overflow), 50000, SIZE_MAX);
    use(&right, 6, 2);
    assert_in_range(model_holds(&multi_stealer), 50000, SIZE_MAX);
}

static bool caught(const char *name, const struct protocol *protocol, const char *how)
{
    struct model_scenario scenario = multi_stealer;
    scenario.name = name;
    use(protocol, 6, 2);
    return model_catches(&scenario, how) > 0;
}

static void wrong_protocols_are_caught(void **state)
{
    static const struct protocol over = {push_over, lido__ring_take};
    static const struct protocol hasty = {push_tail_first, lido__ring_take};
    static const struct protocol store = {lido__ring_push, take_by_store};
    static const struct protocol late = {lido__ring_push, take_before_reading};
    static const struct protocol early = {lido__ring_push, take_linking_early};
    static const struct protocol old = {lido__ring_push, take_to_an_old_tail};
    (void)state;
    assert_true(caught("push into a full ring", &over, "item->payload"));
    assert_true(caught("tail before the slot", &hasty, "item->payload"));
    assert_true(caught("take by a store", &store, "item->payload"));
    assert_true(caught("slots read after the swap", &late, "item->number > last"));
    assert_true(caught("links written before the swap", &early, "use_all(who, &taken) == count"));
    assert_true(caught("a swap with another's head", &old, "item->payload"));
}

static bool races(const char *name, const struct protocol *protocol)
{
    struct model_scenario scenario = multi_stealer;
    scenario.name = name;
    use(protocol, 4, 1);
    return model_catches_race(&scenario);
}

static void missing_orderings_are_caught_by_tsan(void **state)
{
    static const struct protocol unreleased = {push_relaxed, lido__ring_take};
    static const struct protocol unacquired = {lido__ring_push, take_relaxed};
    (void)state;
    assert_true(races("push without release", &unreleased));
    assert_true(races("take without acquire", &unacquired));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_or_taken_twice),
        cmocka_unit_test(what_does_not_fit_stays_with_the_owner),
        cmocka_unit_test(wrong_protocols_are_caught),
        cmocka_unit_test(missing_orderings_are_caught_by_tsan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
