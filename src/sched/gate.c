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
    uint32_t wanted = lido__load(&gate->wanted, LIDO__SEQ_CST);
    if (wanted & LIDO__GATE_WANTED)
        return false;
    /* Relaxed: whoever sees that the mark is gone seizes the gate before it looks at anything. */
    if (wanted & LIDO__GATE_MARKED)
        lido__fetch_and(&gate->wanted, ~LIDO__GATE_MARKED, LIDO__RELAXED);
    return true;
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

/* Acquire, for what the seizer before has done; seq_cst for gates that are fenced. */
bool lido__gate_claim(struct lido__gate *gate)
{
    uint32_t before = lido__load(&gate->wanted, LIDO__RELAXED);
    while (!(before & LIDO__GATE_WANTED))
        if (lido__cas(&gate->wanted, &before, before | LIDO__GATE_WANTED, LIDO__SEQ_CST,
                      LIDO__RELAXED))
            return true;
    return false;
}

void lido__gate_barrier(void)
{
    lido__barrier_all();
}

static bool want(struct lido__gate *gate)
{
    if (!lido__gate_claim(gate))
        return false;
    if (!lido__gate_fenced(gate))
        lido__gate_barrier();
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

bool lido__gate_confirm(struct lido__gate *gate)
{
    if (is_out(gate))
        return true;
    lido__gate_release(gate);
    return false;
}

bool lido__gate_try_seize(struct lido__gate *gate)
{
    return want(gate) && lido__gate_confirm(gate);
}

/*
 * What `wanted` is without a seizer. A gate becomes fenced after its last barrier, which every enter has passed that
 * did not see `wanted` change; all others come to the slow path.
 */
static uint32_t unwanted(const struct lido__gate *gate)
{
    return lido__gate_fenced(gate) || lido__barrier_refused() ? LIDO__GATE_FENCED : 0;
}

/* The owner's thread may go on, and away, before the wake: that only names the address. */
static void release(struct lido__gate *gate, uint32_t mark)
{
    lido__store(&gate->wanted, unwanted(gate) | mark, LIDO__RELEASE);
    lido__futex_wake(&gate->wanted, 1);
}

void lido__gate_release(struct lido__gate *gate)
{
    release(gate, 0);
}

void lido__gate_release_marked(struct lido__gate *gate)
{
    release(gate, LIDO__GATE_MARKED);
}
