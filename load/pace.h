/*
 * Waking a task at a time that is exact to some microseconds. lido's timers tick in 65 us, which is too
 * coarse for a schedule of 100 000 requests a second. But lido lets its embedder do the sleeping
 * (lido_park): here a worker sleeps until its reactor has something, or the time of its pacer has come.
 */
#ifndef LOAD_PACE_H
#define LOAD_PACE_H

#include <lido.h>

/* Of one worker, whose tasks alone touch it. */
struct pacer {
    uint64_t at;       /* when to wake the task; UINT64_MAX: not at all */
    lido_waker *waker; /* its own */
};

/*
 * Makes the workers of the runtime that is to be started sleep in this way. `spin`: a worker that has a pacer
 * does not sleep at all, for where the system takes long to wake a core. One runtime in a process.
 */
void pace_configure(lido_config *config, bool spin);

/* From a task of that worker, which must be below PACE_WORKERS; NULL: no pacer any more. */
void pace_set(unsigned worker, const struct pacer *pacer);

#define PACE_WORKERS 1024

#endif
