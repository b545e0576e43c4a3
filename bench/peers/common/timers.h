/*
 * The job `timers` (see ../README.md): what is armed, in which order it is cancelled, and how it is measured.
 * A peer says how it does that.
 */
#ifndef LIDO_BENCH_TIMERS_H
#define LIDO_BENCH_TIMERS_H

#include <stdint.h>

#include "peer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Each function works on all PEER_TIMERS timers at once. `self` is the peer's own. */
struct peer_timers {
    /* Arms timer i for `delays[i]` milliseconds from now. */
    void (*arm)(void *self, const uint32_t *delays);
    /* The same where those that are to fire are not those that are to be cancelled. NULL: they are. */
    void (*arm_to_fire)(void *self, const uint32_t *delays);
    /* Cancels them in this order; when it returns none of them is left to be dealt with. */
    void (*cancel)(void *self, const uint32_t *order);
    /* Runs until all that have been armed have fired. */
    void (*run)(void *self);
    /* How many have fired since the peer began. */
    uint64_t (*fired)(void *self);
    const char *name; /* of the figures; NULL: "timer" */
};

/*
 * Measures and prints. It warms up before, and the program ends if one timer too many or too few has
 * fired.
 */
void peer_timers_measure(const struct peer_timers *timers, void *self,
                         const struct peer_options *options);

#ifdef __cplusplus
}
#endif

#endif
