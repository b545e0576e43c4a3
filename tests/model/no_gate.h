/*
 * The gate of a worker (sched/gate.h) as nothing, for scenes in which nobody seizes it: its accesses are
 * then one thread's own, and would only multiply the schedules. The gate itself: test_gate.c.
 * Included before the code under test.
 */
#ifndef LIDO_SCHED_GATE_H
#define LIDO_SCHED_GATE_H

#include <stdbool.h>

struct lido__gate {
    unsigned inside;
};

static inline void lido__gate_init(struct lido__gate *gate, bool fenced)
{
    (void)fenced;
    gate->inside = 0;
}

static inline void lido__gate_enter(struct lido__gate *gate)
{
    gate->inside = 1;
}

static inline bool lido__gate_try_enter(struct lido__gate *gate)
{
    gate->inside = 1;
    return true;
}

static inline bool lido__gate_enter_if_outside(struct lido__gate *gate)
{
    bool outside = gate->inside == 0;
    gate->inside = 1;
    return outside;
}

static inline void lido__gate_leave(struct lido__gate *gate)
{
    gate->inside = 0;
}

#endif
