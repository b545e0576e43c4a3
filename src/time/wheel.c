#include "time/wheel.h"

#include <stddef.h>

#include "base/bits.h"

#define SLOT_BITS 6
#define LAST_TICK (UINT64_MAX >> LIDO__TICK_SHIFT)
#define REST_BIT (UINT64_C(1) << LIDO__WHEEL_LEVELS) /* in `levels` */

_Static_assert(LIDO__WHEEL_SLOTS == 1 << SLOT_BITS, "a slot is a digit of the tick");
_Static_assert(offsetof(struct lido__wheel, rest) ==
                   offsetof(struct lido__wheel, slots) + sizeof(((struct lido__wheel *)0)->slots),
               "the rest is like one slot more");
_Static_assert(LIDO__WHEEL_LEVELS *SLOT_BITS + LIDO__TICK_SHIFT == 64, "all times have a slot");

/*
 * The invariant: a timer whose tick is T is at level L, in slot T's digit L (in base 64), where L
 * is the highest digit in which T differs from the wheel's tick, or 0. So all slots that are
 * occupied at a level are ahead of the wheel's own digit there, and all of a level come before all
 * of the next. Timers of the rest are due at the wheel's tick or later: they come down before
 * anything else.
 */

/* The first tick that begins at or after `expires`: rounded up, or the timer would fire early. */
static uint64_t tick_of(uint64_t expires)
{
    uint64_t round = (1u << LIDO__TICK_SHIFT) - 1;
    return expires > UINT64_MAX - round ? LAST_TICK : (expires + round) >> LIDO__TICK_SHIFT;
}

static void place(struct lido__wheel *wheel, struct lido__timer *timer)
{
    uint64_t tick = lido__max_u64(tick_of(timer->expires), wheel->tick);
    unsigned level = lido__bits_highest((tick ^ wheel->tick) | 1) / SLOT_BITS;
    unsigned slot = (tick >> (level * SLOT_BITS)) % LIDO__WHEEL_SLOTS;

    lido__list_push(&wheel->slots[level][slot], &timer->node);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    wheel->levels |= UINT64_C(1) << level;
}

/* The slot is empty now. */
static void vacate(struct lido__wheel *wheel, unsigned level, unsigned slot)
{
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    if (!wheel->occupied[level])
        wheel->levels &= ~(UINT64_C(1) << level);
}

void lido__wheel_init(struct lido__wheel *wheel, uint64_t now)
{
    wheel->tick = now >> LIDO__TICK_SHIFT;
    wheel->levels = 0;
    lido__list_init(&wheel->rest);
    for (int level = 0; level < LIDO__WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (int slot = 0; slot < LIDO__WHEEL_SLOTS; slot++)
            lido__list_init(&wheel->slots[level][slot]);
    }
}

void lido__wheel_insert(struct lido__wheel *wheel, struct lido__timer *timer, uint64_t expires)
{
    timer->expires = expires;
    place(wheel, timer);
}

/*
 * `head` is that of an empty list: of a slot, of the rest, or of fired timers, which have no bit.
 */
static void clear_occupied(struct lido__wheel *wheel, const struct lido__node *head)
{
    uintptr_t index = ((uintptr_t)head - (uintptr_t)wheel->slots) / sizeof(*head);
    if (index < LIDO__WHEEL_LEVELS * LIDO__WHEEL_SLOTS)
        vacate(wheel, (unsigned)index / LIDO__WHEEL_SLOTS, (unsigned)index % LIDO__WHEEL_SLOTS);
    else if (head == &wheel->rest)
        wheel->levels &= ~REST_BIT;
}

void lido__wheel_cancel(struct lido__wheel *wheel, struct lido__timer *timer)
{
    if (!lido__timer_armed(timer))
        return;
    lido__list_remove(&timer->node);
    /* Only the head of its list can be both neighbours of a node. */
    if (timer->node.next == timer->node.prev)
        clear_occupied(wheel, timer->node.next);
    timer->node.next = NULL;
}

/* The first slot in time that is not empty, and the tick at which it begins. */
struct due {
    uint64_t tick;
    unsigned level;
    unsigned slot;
};

static bool find_due(const struct lido__wheel *wheel, struct due *due)
{
    if (!wheel->levels)
        return false;
    if (wheel->levels & REST_BIT) {
        *due = (struct due){.tick = wheel->tick};
        return true;
    }
    unsigned level = lido__bits_lowest(wheel->levels);
    unsigned slot = lido__bits_lowest(wheel->occupied[level]);
    unsigned shift = level * SLOT_BITS;
    uint64_t lap = (wheel->tick >> shift) & ~(uint64_t)(LIDO__WHEEL_SLOTS - 1);
    *due = (struct due){.tick = (lap | slot) << shift, .level = level, .slot = slot};
    return true;
}

/* The wheel has arrived at a slot of a higher level, whose timers are to be moved down. */
static void arrive(struct lido__wheel *wheel, const struct due *due)
{
    lido__list_splice(&wheel->rest, &wheel->slots[due->level][due->slot]);
    vacate(wheel, due->level, due->slot);
    wheel->levels |= REST_BIT;
}

/* Moves timers of the rest down. Returns how much work is left. */
static unsigned spread(struct lido__wheel *wheel, unsigned work)
{
    for (; work && !lido__list_empty(&wheel->rest); work--) {
        struct lido__node *node = wheel->rest.next;
        lido__list_remove(node);
        place(wheel, lido__container_of(node, struct lido__timer, node));
    }
    if (lido__list_empty(&wheel->rest))
        wheel->levels &= ~REST_BIT;
    return work;
}

/* Timers of the lowest level fire. The same. */
static unsigned fire(struct lido__wheel *wheel, unsigned slot, struct lido__node *fired,
                     unsigned work)
{
    struct lido__node *timers = &wheel->slots[0][slot];
    for (; work && !lido__list_empty(timers); work--) {
        struct lido__node *node = timers->next;
        lido__list_remove(node);
        lido__list_push(fired, node);
    }
    if (lido__list_empty(timers))
        vacate(wheel, 0, slot);
    return work;
}

void lido__wheel_advance(struct lido__wheel *wheel, uint64_t now, unsigned ticks,
                         struct lido__node *fired)
{
    uint64_t target = now >> LIDO__TICK_SHIFT;
    unsigned work = LIDO__WHEEL_WORK;
    struct due due;

    if (target < wheel->tick)
        return;
    while (find_due(wheel, &due) && due.tick <= target) {
        wheel->tick = due.tick;
        if (wheel->levels & REST_BIT)
            work = spread(wheel, work);
        else if (due.level > 0)
            arrive(wheel, &due);
        else if ((work = fire(wheel, due.slot, fired, work)) && --ticks == 0)
            return;
        if (work == 0)
            return;
    }
    wheel->tick = target;
}

struct lido__timer *lido__timer_next_fired(struct lido__node *fired)
{
    if (lido__list_empty(fired))
        return NULL;
    struct lido__timer *timer = lido__container_of(fired->next, struct lido__timer, node);
    lido__list_remove(&timer->node);
    timer->node.next = NULL;
    return timer;
}

uint64_t lido__wheel_next_expiry(const struct lido__wheel *wheel)
{
    struct due due;
    return find_due(wheel, &due) ? due.tick << LIDO__TICK_SHIFT : LIDO__NEVER;
}
