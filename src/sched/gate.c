#include "sched/gate.h"

#include "base/assert.h"
#include "base/fork.h"
#include "os/os.h"

void lido__gate_init(struct lido__gate *gate, bool fenced)
{
    gate->inside = 0;
    gate->wanted = fenced ? LIDO__GATE_FENCED : 0;
}

/* ---- The owner -------------------------------------------------------------------------------- */

/*
 * One attempt: whether no seizer is there. seq_cst on both words, for gates that are fenced: either this
 * load sees what `want` has exchanged, or `is_out` sees what is exchanged here. For others the
 * light fence would do, but this is the slow path.
 */
static bool step_in(struct lido__gate *gate)
{
    lido__exchange(&gate->inside, 1, LIDO__SEQ_CST);
    return !(lido__load(&gate->wanted, LIDO__SEQ_CST) & LIDO__GATE_WANTED);
}

/* Release: the seizer may read this 0 and not the one of the last leave. */
static void step_back(struct lido__gate *gate)
{
    lido__store(&gate->inside, 0, LIDO__RELEASE);
}

bool lido__gate_try_enter_slowly(struct lido__gate *gate)
{
    LIDO__ASSERT(!lido__forked); /* as in enter_slowly */
    if (step_in(gate))
        return true;
    step_back(gate);
    return false;
}

static void wait_for_release(struct lido__gate *gate)
{
    uint32_t wanted;
    while ((wanted = lido__load(&gate->wanted, LIDO__RELAXED)) & LIDO__GATE_WANTED)
        lido__futex_wait(&gate->wanted, wanted, LIDO__FOREVER);
}

void lido__gate_enter_slowly(struct lido__gate *gate)
{
    LIDO__ASSERT(!lido__forked); /* the child of a fork must not come back */
    while (!step_in(gate)) {
        step_back(gate);
        wait_for_release(gate);
    }
}

/* ---- The seizer ------------------------------------------------------------------------------- */

/* False: another seizer is at it. Acquire, for what the one before has done; seq_cst for gates that are fenced. */
static bool want(struct lido__gate *gate)
{
    uint32_t before = lido__load(&gate->wanted, LIDO__RELAXED);
    if (before & LIDO__GATE_WANTED || !lido__cas(&gate->wanted, &before, before | LIDO__GATE_WANTED,
                                                 LIDO__SEQ_CST, LIDO__RELAXED))
        return false;
    if (!(before & LIDO__GATE_FENCED))
        lido__barrier_all();
    return true;
}

/* seq_cst, which is acquire, for gates that are fenced. */
static bool is_out(struct lido__gate *gate)
{
    return lido__load(&gate->inside, LIDO__SEQ_CST) == 0;
}

void lido__gate_seize(struct lido__gate *gate)
{
    struct lido__backoff backoff = {0};
    while (!want(gate))
        lido__backoff(&backoff);
    backoff = (struct lido__backoff){0};
    while (!is_out(gate))
        lido__backoff(&backoff);
}

bool lido__gate_try_seize(struct lido__gate *gate)
{
    if (!want(gate))
        return false;
    if (is_out(gate))
        return true;
    lido__gate_release(gate);
    return false;
}

/*
 * What `wanted` is without a seizer. A gate becomes fenced after its last barrier, which every enter has passed that
 * did not see `wanted` change; all others come to the slow path.
 */
static uint32_t unwanted(const struct lido__gate *gate)
{
    bool fenced = lido__load(&gate->wanted, LIDO__RELAXED) & LIDO__GATE_FENCED;
    return fenced || lido__barrier_refused() ? LIDO__GATE_FENCED : 0;
}

/* The owner's thread may go on, and away, before the wake: that only names the address. */
void lido__gate_release(struct lido__gate *gate)
{
    lido__store(&gate->wanted, unwanted(gate), LIDO__RELEASE);
    lido__futex_wake(&gate->wanted, 1);
}
