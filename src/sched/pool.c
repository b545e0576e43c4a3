#include "sched/pool.h"

#include <errno.h>
#include <limits.h>

#include "os/os.h"
#include "sched/worker.h"

int lido__pool_enter(struct lido__pool *pool)
{
    /* The token first: an idle pool can then not close before this task has arrived. Relaxed is
       enough, all that matters is the order of changes to this one word. */
    if (lido__fetch_add(&pool->busy, 1, LIDO__RELAXED) & LIDO__POOL_CLOSED) {
        lido__pool_leave(pool, 1);
        return -ESHUTDOWN;
    }
    return 0;
}

/* Once: `stopped` goes from 0 to 1. */
static void stop(struct lido__pool *pool)
{
    if (lido__exchange(&pool->stopped, 1, LIDO__ACQ_REL))
        return;
    for (unsigned i = 0; i < pool->count; i++)
        lido__worker_order(&pool->workers[i], LIDO__ORDER_STOP);
    lido__futex_wake(&pool->stopped, INT_MAX);
}

/* Busy has been seen at zero: if the pool is to end, closes it, unless a task has come meanwhile. */
static void quiet(struct lido__pool *pool)
{
    uint64_t expected = 0;
    /* Seq_cst: pairs with end_on_idle, which writes `ending` and then reads `busy`. */
    if (!lido__load(&pool->ending, LIDO__SEQ_CST))
        return;
    if (lido__cas(&pool->busy, &expected, LIDO__POOL_CLOSED, LIDO__SEQ_CST, LIDO__SEQ_CST) ||
        expected == LIDO__POOL_CLOSED)
        stop(pool);
}

void lido__pool_leave(struct lido__pool *pool, uint64_t tokens)
{
    uint64_t before = lido__fetch_sub(&pool->busy, tokens, LIDO__SEQ_CST);
    if ((before & ~LIDO__POOL_CLOSED) == tokens)
        quiet(pool);
}

void lido__pool_end_on_idle(struct lido__pool *pool, bool yes)
{
    lido__store(&pool->ending, yes, LIDO__SEQ_CST);
    if (yes && !(lido__load(&pool->busy, LIDO__SEQ_CST) & ~LIDO__POOL_CLOSED))
        quiet(pool);
}

void lido__pool_cancel_all(struct lido__pool *pool)
{
    lido__fetch_or(&pool->busy, LIDO__POOL_CLOSED, LIDO__SEQ_CST);
    for (unsigned i = 0; i < pool->count; i++)
        lido__worker_order(&pool->workers[i], LIDO__ORDER_CANCEL);
}

static struct lido__worker *least_loaded(struct lido__pool *pool)
{
    struct lido__worker *best = NULL;
    uint32_t least = UINT32_MAX;
    for (unsigned i = 0; i < pool->count; i++) {
        struct lido__worker *worker = &pool->workers[i];
        uint32_t load = lido__load(&worker->live, LIDO__RELAXED) +
                        lido__load(&worker->incoming, LIDO__RELAXED);
        if (load < least) {
            least = load;
            best = worker;
        }
    }
    return best;
}

static struct lido__worker *next_in_round(struct lido__pool *pool)
{
    uint32_t turn = lido__fetch_add(&pool->round, 1, LIDO__RELAXED);
    return &pool->workers[turn % pool->count];
}

struct lido__worker *lido__pool_place(struct lido__pool *pool, struct lido__worker *self,
                                      lido_placement placement, unsigned index)
{
    if (placement == LIDO_PLACE_DEFAULT) {
        bool dealt = !self || (self->current->flags & LIDO__TASK_ROOT);
        placement = dealt ? pool->placement : LIDO_PLACE_LOCAL;
    }
    if (placement == LIDO_PLACE_LOCAL && !self)
        placement = pool->placement;
    switch (placement) {
    case LIDO_PLACE_ROUND_ROBIN: return next_in_round(pool);
    case LIDO_PLACE_LEAST_LOADED: return least_loaded(pool);
    case LIDO_PLACE_LOCAL: return self;
    case LIDO_PLACE_WORKER: return index < pool->count ? &pool->workers[index] : NULL;
    default: return NULL;
    }
}
