/*
 * The code under test of pool_scene.h, compiled here under the explorer's atomics; and what can be done wrong in it.
 * Where one file calls a function of another, a wrong one can take its place.
 */
#ifndef LIDO_TESTS_MODEL_WRONG_POOL_H
#define LIDO_TESTS_MODEL_WRONG_POOL_H

#include "sched/share.h"
#include "sched/wake.h"

#include "../../src/sched/idle.c"

enum wrong {
    NOTHING,
    CLAIM_TOO_EARLY,     /* SHARED is cleared before the worker is written */
    KEEP_LENT,           /* a task takes the waker along that its joiner has lent */
    NO_TOKEN,            /* a task that is shared has none */
    NO_SECOND_LOOK,      /* before a worker sleeps */
    NO_CHAIN,            /* who has found something calls nobody */
    EXCUSE_TWICE,        /* one that could not come is forgotten, but not that it was called */
    DROP_PASSED_MAIL,    /* a wake-up of a task that has left ends here */
    INJECT_ON_ONE_TOKEN, /* which is the task's */
    LEAVE_IN_TWO_STEPS,  /* gives a token back, and looks after that */
    NOTIFY_REGARDLESS,   /* of SHARED */
    WAKE_OUTSIDE,        /* of the gate, a task of the same worker */
    SEIZE_NOTHING,       /* and yet take what is there */
    TRUST_THE_MARK,      /* which is there, even when the owner has been inside */
};

static enum wrong wrong;

/* ---- share.c ------------------------------------------------------------------------------------ */

static lido_task *task_with(struct lido__state *state)
{
    return lido__container_of(state, lido_task, state);
}

/* Only of a thief: then the worker before is the other one. */
static void claim_too_early(struct lido__state *state)
{
    lido_task *task = task_with(state);
    struct lido__worker *self = lido__task_worker(task);
    lido__store(&task->worker, &self->pool->workers[0], LIDO__RELAXED);
    lido__state_claim(state);
    lido__store(&task->worker, self, LIDO__RELAXED);
}

static void try_claim(struct lido__state *state)
{
    if (wrong == NO_TOKEN)
        lido__fetch_add(&lido__task_worker(task_with(state))->pool->busy, 1, LIDO__RELAXED);
    if (wrong == CLAIM_TOO_EARLY)
        claim_too_early(state);
    else
        lido__state_claim(state);
}

static void try_detach(lido_task *task)
{
    if (wrong != KEEP_LENT)
        lido__join_detach(task);
}

static bool try_push(struct lido__ring *ring, struct lido__link *link)
{
    struct lido__worker *worker = lido__container_of(ring, struct lido__worker, ring);
    if (wrong == NO_TOKEN)
        lido__fetch_sub(&worker->pool->busy, 1, LIDO__RELAXED);
    return lido__ring_push(ring, link);
}

static bool try_enter(struct lido__idle *idle, struct lido__idler *idler, bool searching)
{
    return lido__idle_enter(idle, idler, searching) && wrong != NO_SECOND_LOOK;
}

static bool try_found(struct lido__idle *idle)
{
    return lido__idle_found(idle) && wrong != NO_CHAIN;
}

static bool try_excuse(struct lido__idle *idle, struct lido__idler *idler)
{
    return wrong == EXCUSE_TWICE ? lido__idle_found(idle) : lido__idle_excuse(idle, idler);
}

#define lido__state_claim try_claim
#define lido__join_detach try_detach
#define lido__ring_push try_push
#define lido__idle_enter try_enter
#define lido__idle_found try_found
#define lido__idle_excuse try_excuse
#include "../../src/sched/share.c"
#undef lido__state_claim
#undef lido__join_detach
#undef lido__ring_push
#undef lido__idle_enter
#undef lido__idle_found
#undef lido__idle_excuse

/* ---- mail.c ------------------------------------------------------------------------------------- */

static bool try_pass(struct lido__state *state)
{
    if (lido__state_pass(state))
        return true;
    if (wrong != DROP_PASSED_MAIL)
        return false;
    lido__state_take(state);
    return true;
}

#define lido__state_pass try_pass
#include "../../src/sched/mail.c"
#undef lido__state_pass

/* ---- spawn.c ------------------------------------------------------------------------------------ */

/* The second token is given back before it is needed, and seems to be there again after. */
static void try_inject(struct lido__pool *pool, lido_task *task)
{
    if (wrong == INJECT_ON_ONE_TOKEN)
        lido__fetch_sub(&pool->busy, 1, LIDO__RELAXED);
    lido__share_inject(pool, task);
    if (wrong == INJECT_ON_ONE_TOKEN)
        lido__fetch_add(&pool->busy, 1, LIDO__RELAXED);
}

static void try_leave(struct lido__pool *pool, uint64_t tokens)
{
    if (wrong == LEAVE_IN_TWO_STEPS) {
        lido__fetch_sub(&pool->busy, tokens, LIDO__ACQ_REL);
        tokens = 0;
    }
    lido__pool_leave(pool, tokens);
}

#define lido__share_inject try_inject
#define lido__pool_leave try_leave
#include "../../src/sched/spawn.c"
#undef lido__share_inject
#undef lido__pool_leave

/* ---- wake.c ------------------------------------------------------------------------------------- */

static bool notify_regardless(struct lido__state *state, uint32_t flags)
{
    uint32_t old = lido__load(&state->word, LIDO__RELAXED);
    uint32_t new;
    do {
        new = old | flags;
        if (!(old & (LIDO__NOTIFIED | LIDO__DONE)))
            new = (new | LIDO__NOTIFIED) + LIDO__REF;
    } while (!lido__cas(&state->word, &old, new, LIDO__ACQ_REL, LIDO__RELAXED));
    return !(old & (LIDO__NOTIFIED | LIDO__DONE));
}

static bool try_notify(struct lido__state *state, uint32_t flags)
{
    return wrong == NOTIFY_REGARDLESS ? notify_regardless(state, flags)
                                      : lido__state_notify(state, flags);
}

static void mail_to_somebody(struct lido__worker *worker, struct lido__link *link)
{
    model_assert(worker);
    lido__worker_mail(worker, link);
}

static bool try_enter_gate(struct lido__gate *gate)
{
    return wrong != WAKE_OUTSIDE && lido__gate_enter_if_outside(gate);
}

MODEL_UNSEEN MODEL_UNSEEN static bool has_gone(const lido_task *task,
                                               const struct lido__worker *worker)
{
    return task->worker != worker || task->state.word & LIDO__SHARED;
}

/* What follows from the answer is plain: it must hold when somebody has come between. */
static bool belongs_still(const lido_task *task, const struct lido__worker *worker, uint32_t word)
{
    bool belongs = lido__task_belongs(task, worker, word);
    model_touch(task);
    if (belongs && has_gone(task, worker))
        model_fail("it has gone meanwhile", __FILE__, __LINE__);
    return belongs;
}

#define lido__task_belongs belongs_still
#define lido__state_notify try_notify
#define lido__worker_mail mail_to_somebody
#define lido__gate_enter_if_outside try_enter_gate
#include "../../src/sched/wake.c"
#undef lido__task_belongs
#undef lido__state_notify
#undef lido__worker_mail
#undef lido__gate_enter_if_outside

#include "../../src/sched/alarm.c"
#include "../../src/sched/future.c"
#include "../../src/sched/pool.c"
#include "../../src/sched/worker.c"
#include "../../src/time/wheel.c"

#endif
