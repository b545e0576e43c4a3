/*
 * Lingering: a worker that has sent a job to another thread, and has nothing else to do, looks for the answer for
 * a moment before it sleeps; and the thread that has run a job looks for the next. To sleep and to be woken takes
 * 5 us and, if the cpu was idle, up to 50 us: with jobs of 1 us nearly all of the time.
 *
 * It pays only if jobs are short and there is a cpu for both. So whoever lingered in vain does not for a while,
 * for a longer one each time. The first time after that is a long one, since the other thread sleeps too, and is
 * awake only after that. It tells little of how long the jobs take: so only what a short one finds makes good for
 * failures, half of them each time. What is wasted is at most a long one for each LIDO__LINGER_SKIPS sleeps.
 */
#ifndef LIDO_SCHED_LINGER_H
#define LIDO_SCHED_LINGER_H

#include <stdbool.h>
#include <stdint.h>

#define LIDO__LINGER_SHORT_NS 5000u
#define LIDO__LINGER_LONG_NS 50000u
#define LIDO__LINGER_SKIPS 63u /* one less than a power of two */

/* All zero at first. */
struct lido__linger {
    uint32_t skip;    /* so many times not */
    uint32_t penalty; /* what it was set to last */
    bool warm;        /* the other thread was awake the last time */
};

/* How long to linger this time, in ns; 0: not at all. */
static inline uint64_t lido__linger_time(struct lido__linger *linger)
{
    if (linger->skip == 0)
        return linger->warm ? LIDO__LINGER_SHORT_NS : LIDO__LINGER_LONG_NS;
    linger->skip--;
    return 0;
}

/* After it: whether what it waited for has come. */
static inline void lido__linger_note(struct lido__linger *linger, bool came)
{
    if (!came)
        linger->penalty = linger->skip = (2 * linger->penalty + 1) & LIDO__LINGER_SKIPS;
    else if (linger->warm)
        linger->penalty /= 2;
    linger->warm = came;
}

#endif
