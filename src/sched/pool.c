#include "sched/pool.h"

#include <errno.h>
#include <limits.h>

#include "os/os.h"
#include "sched/worker.h"

int lido__pool_enter(struct lido__pool *pool, uint64_t tokens, uint64_t barrier)
{
    /* The tokens first: an idle pool can then not close before this task has arrived. Relaxed is
       enough, all that matters is the order of changes to this one word. */
    if (lido__fetch_add(&pool->busy, tokens, LIDO__RELAXED) & barrier) {
        lido__pool_leave(pool, tokens);
        return -ESHUTDOWN;
    }
    return 0;
}

/* `stopped` last: it says that the pool may be freed, once the workers' threads have ended. */
static void stop(struct lido__pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++)
        lido__worker_order(&pool->workers[i], LIDO__ORDER_STOP);
    if (pool->ended)
        pool->ended(pool);
    lido__store(&pool->stopped, 1, LIDO__RELEASE);
    lido__futex_wake(&pool->stopped, INT_MAX);
}

/* The pool's word, when that is what has become of it. */
static uint64_t settled(uint64_t busy)
{
    bool ends = busy & LIDO__POOL_ENDING && !(busy & (LIDO__POOL_TOKENS | LIDO__POOL_OVER));
    return ends ? busy | LIDO__POOL_CLOSED | LIDO__POOL_BARRED | LIDO__POOL_OVER : busy;
}

/*
 * Gives tokens back or sets flags, and ends the pool if it is to, in the same step: it may be freed as soon as
 * somebody else ends it, so who does not end it never looks again.
 * Acq_rel: what the tasks did, each worker's before its last token, is seen by whoever sees that the pool has
 * ended.
 */
static void settle(struct lido__pool *pool, uint64_t tokens, uint64_t flags)
{
    uint64_t busy = lido__load(&pool->busy, LIDO__RELAXED);
    uint64_t next;
    do
        next = settled((busy - tokens) | flags);
    while (!lido__cas(&pool->busy, &busy, next, LIDO__ACQ_REL, LIDO__RELAXED));
    if ((busy ^ next) & LIDO__POOL_OVER)
        stop(pool);
}

void lido__pool_leave(struct lido__pool *pool, uint64_t tokens)
{
    settle(pool, tokens, 0);
}

void lido__pool_end_on_idle(struct lido__pool *pool)
{
    settle(pool, 0, LIDO__POOL_ENDING);
}

bool lido__pool_go_on(struct lido__pool *pool)
{
    uint64_t before = lido__fetch_and(&pool->busy, ~LIDO__POOL_ENDING, LIDO__ACQ_REL);
    return !(before & LIDO__POOL_OVER);
}

void lido__pool_close(struct lido__pool *pool)
{
    lido__fetch_or(&pool->busy, LIDO__POOL_CLOSED, LIDO__SEQ_CST);
}

void lido__pool_cancel_all(struct lido__pool *pool)
{
    lido__fetch_or(&pool->busy, LIDO__POOL_CLOSED | LIDO__POOL_BARRED, LIDO__SEQ_CST);
    for (unsigned i = 0; i < pool->count; i++)
        lido__worker_order(&pool->workers[i], LIDO__ORDER_CANCEL);
}

/* ---- Placement ----------------------------------------------------------------------------------- */

bool lido__pool_may_start(const struct lido__pool *pool)
{
    uint64_t until = lido__load(&pool->no_thread_until, LIDO__RELAXED);
    return until == 0 || lido__clock_now() >= until;
}

static bool is_seated(const struct lido__worker *worker)
{
    return lido__load(&worker->seated, LIDO__ACQUIRE);
}

/* Of all, or of those that have a thread; NULL: none has. */
static struct lido__worker *least_loaded(struct lido__pool *pool, bool seated)
{
    struct lido__worker *best = NULL;
    uint32_t least = UINT32_MAX;
    for (unsigned i = 0; i < pool->count; i++) {
        struct lido__worker *worker = &pool->workers[i];
        uint32_t load = lido__load(&worker->live, LIDO__RELAXED) +
                        lido__load(&worker->incoming, LIDO__RELAXED);
        if (load < least && (!seated || is_seated(worker))) {
            least = load;
            best = worker;
        }
    }
    return best;
}

/* Not one step: two who deal at the same moment may both begin with the same worker, and each deals on from
   there. */
static struct lido__worker *next_in_round(struct lido__pool *pool)
{
    uint32_t turn = lido__load(&pool->round, LIDO__RELAXED);
    lido__store(&pool->round, turn + 1 < pool->count ? turn + 1 : 0, LIDO__RELAXED);
    return &pool->workers[turn];
}

static struct lido__worker *next_seated_in_round(struct lido__pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++) {
        struct lido__worker *worker = next_in_round(pool);
        if (is_seated(worker))
            return worker;
    }
    return NULL;
}

/* One that has a thread, in the place of one for which none could be started. */
static struct lido__worker *stand_in(struct lido__pool *pool, bool by_load)
{
    return by_load ? least_loaded(pool, true) : next_seated_in_round(pool);
}

/* Insists only if there is nobody else. */
static int place_dealt(struct lido__pool *pool, bool by_load, struct lido__worker **ret_worker)
{
    struct lido__worker *worker = by_load ? least_loaded(pool, false) : next_in_round(pool);
    struct lido__worker *other = NULL;
    int r = lido__worker_seat(worker, false);
    if (r < 0 && !(other = stand_in(pool, by_load)))
        r = lido__worker_seat(worker, true);
    if (r < 0 && !other)
        return r;
    *ret_worker = other ? other : worker;
    return 0;
}

int lido__pool_place(struct lido__pool *pool, lido_placement placement, unsigned index,
                     struct lido__worker **ret_worker)
{
    if (placement != LIDO_PLACE_WORKER)
        return place_dealt(pool, placement == LIDO_PLACE_LEAST_LOADED, ret_worker);
    *ret_worker = &pool->workers[index];
    return lido__worker_seat(*ret_worker, true);
}

/* The first if there is none, so that threads come in the order of the workers. */
int lido__pool_open(struct lido__pool *pool)
{
    if (lido__worker_seat(&pool->workers[0], false) == 0 || next_seated_in_round(pool))
        return 0;
    return lido__worker_seat(&pool->workers[0], true);
}
