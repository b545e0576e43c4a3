/*
 * The timer wheel: a pure data structure. It knows no clock (`now` is a parameter), no thread and
 * no scheduler, and allocates nothing: the timers are embedded by whoever waits.
 *
 * Eight levels of 64 slots; a tick is 2^16 ns (65.5 us), so that nanoseconds become ticks by a
 * shift. Level L has slots of 64^L ticks. A timer is put into the level of the highest bit in which
 * its tick differs from the wheel's, and moves down as time passes: insert and cancel are O(1),
 * each timer is touched at most eight times in its life. A timer never fires early; it fires at
 * most one tick late (plus however late `advance` is called).
 *
 * An advance touches a bounded number of timers, however many lie in one slot of a far level, or
 * are due at once. Until the next advances have come through with the others the wheel stands
 * still: so their order is kept, and N timers of one slot are late by the time of N /
 * LIDO__WHEEL_WORK advances at most, between which their owner can do something else. (Rejected: to
 * let the time pass meanwhile, where a timer would fire before one that was due earlier; and to
 * move timers down ahead of time, for which each level would need a second set of slots.)
 *
 * One thread (the worker that owns the wheel) calls everything. Source of the idea: G. Varghese, T.
 * Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7; bitmaps of occupied slots
 * to find the next expiry without scanning.
 */
#ifndef LIDO_TIME_WHEEL_H
#define LIDO_TIME_WHEEL_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define LIDO__WHEEL_LEVELS 8
#define LIDO__WHEEL_SLOTS 64
#define LIDO__TICK_SHIFT 16

/* No expiry: what next_expiry returns when the wheel is empty. */
#define LIDO__NEVER UINT64_MAX

struct lido__timer {
    struct lido__node
        node;         /* in a slot of the wheel or in a list of fired; next is NULL in neither */
    uint64_t expires; /* ns, on the same clock as `now` */
};

struct lido__wheel {
    /* What is due at or before it has fired, except what was armed late, or is one of very many:
       that waits in its own slot, or in `rest`. */
    uint64_t tick;
    uint64_t levels; /* a bit for each level that has a slot that is not empty; and for `rest` */
    uint64_t occupied[LIDO__WHEEL_LEVELS]; /* a bit for each slot that is not empty */
    struct lido__node slots[LIDO__WHEEL_LEVELS][LIDO__WHEEL_SLOTS];
    struct lido__node rest; /* of the slot at which the wheel has arrived, not yet moved down */
};

/* So many timers are moved down or fire in one advance, at 50 to 500 ns each. */
#define LIDO__WHEEL_WORK 512u

void lido__wheel_init(struct lido__wheel *wheel, uint64_t now);

static inline void lido__timer_init(struct lido__timer *timer)
{
    timer->node.next = NULL;
}

static inline bool lido__timer_armed(const struct lido__timer *timer)
{
    return timer->node.next != NULL;
}

/*
 * Arms a timer that is not armed. An expiry that has passed already fires at the next advance. One
 * in the last tick that 64 bits of nanoseconds can express (year 584) counts as the begin of that
 * tick.
 */
void lido__wheel_insert(struct lido__wheel *wheel, struct lido__timer *timer, uint64_t expires);

/*
 * Disarms; a timer that is not armed is left alone. One that advance has fired but that nobody has
 * taken yet is taken off the fired list: after this call it does not fire, whatever came before.
 */
void lido__wheel_cancel(struct lido__wheel *wheel, struct lido__timer *timer);

/*
 * Moves the wheel to `now` and appends all timers that are due to `fired`, an initialised list
 * head, in order of their tick (within one tick in the order in which they came to the lowest
 * level). They stay armed, that is: they can be cancelled, until lido__timer_next_fired takes them.
 * A `now` before the wheel's is ignored. After `ticks` ticks with timers it stops, and after
 * LIDO__WHEEL_WORK timers: what else is due stays in the wheel, whose next expiry tells of it.
 */
void lido__wheel_advance(struct lido__wheel *wheel, uint64_t now, unsigned ticks,
                         struct lido__node *fired);

/* For `ticks`: no bound. */
#define LIDO__TICKS_ALL UINT_MAX

/* Takes the oldest timer off a list that advance filled and disarms it; NULL when there is none. */
struct lido__timer *lido__timer_next_fired(struct lido__node *fired);

/*
 * A time at which advance should be called: never later than the first expiry's tick, possibly
 * earlier (when a slot of a higher level must be spread out first). LIDO__NEVER if no timer is
 * armed.
 */
uint64_t lido__wheel_next_expiry(const struct lido__wheel *wheel);

/* True if no timer is armed, not counting those that have fired. */
static inline bool lido__wheel_empty(const struct lido__wheel *wheel)
{
    return wheel->levels == 0;
}

#endif
