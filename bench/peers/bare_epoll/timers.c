/*
 * timers: a hashed wheel with a slot for each millisecond (G. Varghese, A. Lauck, "Hashed and hierarchical
 * timing wheels", 1987, scheme 6), a map of the slots in use, and the timeout of epoll_wait. A timer that is
 * due after more than one turn stays in its slot until its turn.
 */
#include <stdlib.h>

#include "bare_epoll.h"
#include "timers.h"

#define SLOTS 65536u
#define WORD 64u

struct timer {
    struct timer *next;
    struct timer **link; /* what points to it */
    uint64_t due;
    void (*fire)(struct timer *timer);
};

struct wheel {
    int epoll;
    uint64_t now; /* ms; all that was due until then has been fired */
    unsigned armed;
    struct timer *slots[SLOTS];
    uint64_t used[SLOTS / WORD];
    struct timer timers[PEER_TIMERS];
};

static uint64_t fired;

static void count(struct timer *timer)
{
    (void)timer;
    fired++;
}

static uint64_t bit(unsigned slot)
{
    return (uint64_t)1 << slot % WORD;
}

static void start(struct wheel *wheel, struct timer *timer, uint64_t due)
{
    timer->due = due > wheel->now ? due : wheel->now + 1;
    unsigned slot = timer->due % SLOTS;
    struct timer **first = &wheel->slots[slot];
    timer->next = *first;
    timer->link = first;
    if (*first)
        (*first)->link = &timer->next;
    *first = timer;
    wheel->used[slot / WORD] |= bit(slot);
    wheel->armed++;
}

static void stop(struct wheel *wheel, struct timer *timer)
{
    unsigned slot = timer->due % SLOTS;
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    if (!wheel->slots[slot])
        wheel->used[slot / WORD] &= ~bit(slot);
    wheel->armed--;
}

/* How many slots behind `from`, SLOTS at most, the next one in use is. */
static unsigned distance(const struct wheel *wheel, unsigned from)
{
    for (unsigned passed = 0; passed < SLOTS;) {
        unsigned slot = (from + passed) % SLOTS;
        uint64_t word = wheel->used[slot / WORD] >> slot % WORD;
        if (word)
            return passed + (unsigned)__builtin_ctzll(word);
        passed += WORD - slot % WORD;
    }
    return SLOTS;
}

/* Those that are called may start and stop any timer. So all are taken out of the slot before. */
static void fire_slot(struct wheel *wheel)
{
    struct timer **slot = &wheel->slots[wheel->now % SLOTS];
    struct timer *taken = *slot;
    *slot = NULL;
    if (taken)
        taken->link = &taken;
    while (taken) {
        struct timer *timer = taken;
        stop(wheel, timer);
        if (timer->due <= wheel->now)
            timer->fire(timer);
        else
            start(wheel, timer, timer->due);
    }
}

static uint64_t clock_ms(void)
{
    return bench_now() / 1000000;
}

static void fire_due(struct wheel *wheel, uint64_t until)
{
    while (wheel->now < until) {
        unsigned next = distance(wheel, (unsigned)((wheel->now + 1) % SLOTS));
        if (wheel->now + 1 + next > until) {
            wheel->now = until;
            return;
        }
        wheel->now += 1 + next;
        fire_slot(wheel);
    }
}

/* ---- The job ------------------------------------------------------------------------------------- */

static void arm(void *self, const uint32_t *delays)
{
    struct wheel *wheel = self;
    if (wheel->armed == 0)
        wheel->now = clock_ms();
    uint64_t now = clock_ms();
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        start(wheel, &wheel->timers[i], now + delays[i]);
}

static void cancel(void *self, const uint32_t *order)
{
    struct wheel *wheel = self;
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        stop(wheel, &wheel->timers[order[i]]);
}

static void run(void *self)
{
    struct wheel *wheel = self;
    struct epoll_event event;
    while (wheel->armed > 0) {
        uint64_t due = wheel->now + 1 + distance(wheel, (unsigned)((wheel->now + 1) % SLOTS));
        uint64_t now = clock_ms();
        if (due > now)
            epoll_wait(wheel->epoll, &event, 1, (int)(due - now));
        fire_due(wheel, clock_ms());
    }
}

static uint64_t count_fired(void *self)
{
    (void)self;
    return fired;
}

void bare_timers(const struct peer_options *options)
{
    static const struct peer_timers job = {
        .arm = arm, .cancel = cancel, .run = run, .fired = count_fired};
    struct wheel *wheel = calloc(1, sizeof(*wheel));
    if (!wheel)
        bench_die("memory");
    wheel->epoll = bare_epoll();
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        wheel->timers[i].fire = count;
    peer_timers_measure(&job, wheel, options);
}
