#include "sched/share.h"

#include <limits.h>

#include "sched/wake.h"

/* One that has no thread: not while none can be started. */
static bool can_come(const struct lido__idler *idler)
{
    const struct lido__worker *worker = lido__container_of(idler, struct lido__worker, idler);
    return lido__load(&worker->seated, LIDO__RELAXED) || lido__pool_may_start(worker->pool);
}

/* With work stealing no worker has a thread yet: all are asleep, the first on top. */
void lido__share_init(struct lido__pool *pool)
{
    lido__inbox_init(&pool->inject);
    lido__idle_init(&pool->idle, pool->count);
    pool->idle.can_come = can_come;
    pool->unwatched = pool->sharing = pool->hurries && pool->count > 1;
    for (unsigned i = pool->sharing ? pool->count : 0; i-- > 0;) {
        struct lido__worker *worker = &pool->workers[i];
        lido__idle_enter(&pool->idle, &worker->idler, false);
        worker->idles = true;
    }
}

static lido_task *task_of(struct lido__link *link)
{
    return lido__container_of(link, lido_task, run);
}

/* ---- Giving ------------------------------------------------------------------------------------- */

/* Whether a task of the queue may be given away; `flags`: one of which it must have. */
static bool may_go(const struct lido__worker *worker, const lido_task *task, uint32_t flags)
{
    unsigned loose = task->flags & LIDO__TASK_JOINED ? 1 : 0; /* detach sees to that one */
    return task->flags & flags && task->anchors == loose && task != worker->current &&
           !(task->flags & LIDO__TASK_ENDED);
}

/* It stays flagged as queued: until it is claimed no wake-up has to queue it. Its deadline gets a timer
   again where it next waits. */
static void detach(struct lido__worker *worker, lido_task *task)
{
    lido__worker_unlist(worker, task);
    lido__worker_uncount(worker);
    if (task->flags & LIDO__TASK_EXTRA)
        lido__wheel_cancel(&worker->wheel, &task->extra->deadline.timer);
    if (task->flags & LIDO__TASK_JOINED)
        lido__join_detach(task);
    lido__state_share(&task->state);
}

/* A token for each; before anyone can claim them, whose tokens they then are. */
static void add_tokens(struct lido__pool *pool, unsigned count)
{
    lido__fetch_add(&pool->busy, count, LIDO__RELAXED);
}

static void append(struct lido__fifo *to, struct lido__fifo *from)
{
    if (lido__fifo_empty(from))
        return;
    *to->tail = from->head;
    to->tail = from->tail;
}

/* How far into a queue is looked for tasks that may go: most may be pinned. */
#define SELECT_AMONG (2 * LIDO__RING_SIZE)
/*
 * For how long nothing is looked for after that was in vain. A turn of cheap tasks takes 2 us, and to look among 512
 * tasks takes as long.
 */
#define VAIN_NS 50000u

/* Takes every second task that may go from the queue, `most` at most. How many. */
static unsigned select_half(struct lido__worker *worker, unsigned most, struct lido__fifo *chosen)
{
    struct lido__fifo kept;
    struct lido__link *link;
    unsigned count = 0;
    bool keep = !worker->hot;
    lido__fifo_init(&kept);
    for (unsigned seen = 0; count < most && seen < SELECT_AMONG; seen++) {
        if (!(link = lido__fifo_pop(&worker->queue)))
            break;
        bool goes = may_go(worker, task_of(link), LIDO__TASK_STEALABLE) && !keep;
        lido__fifo_push(goes ? chosen : &kept, link);
        count += goes;
        keep = !keep;
    }
    append(&kept, &worker->queue);
    lido__fifo_init(&worker->queue);
    append(&worker->queue, &kept);
    return count;
}

/*
 * Whether its ring may have something in it, which the others then look at. Relaxed, as what is injected: it
 * is set before the fence of lido__share_call, and read after those of idle.h.
 */
static void note_offers(struct lido__worker *worker, bool offers)
{
    if (worker->offers == offers)
        return;
    worker->offers = offers;
    if (offers)
        lido__fetch_add(&worker->pool->offers, 1, LIDO__RELAXED);
    else
        lido__fetch_sub(&worker->pool->offers, 1, LIDO__RELAXED);
}

static void offer(struct lido__worker *worker, unsigned most)
{
    struct lido__fifo chosen;
    struct lido__link *link;
    unsigned room = lido__ring_room(&worker->ring);
    if (most > room)
        most = room;
    lido__fifo_init(&chosen);
    unsigned count = select_half(worker, most, &chosen);
    if (count == 0) {
        worker->vain_until = most ? worker->now + VAIN_NS : 0;
        return;
    }
    add_tokens(worker->pool, count);
    note_offers(worker, true);
    while ((link = lido__fifo_pop(&chosen))) {
        detach(worker, task_of(link));
        lido__ring_push(&worker->ring, link); /* there is room: only takers change that */
    }
    lido__share_call(worker->pool);
}

/* Takes a link out of the queue: the one that `*at` points to. */
static struct lido__link *take_out(struct lido__fifo *queue, struct lido__link **at)
{
    struct lido__link *link = *at;
    *at = link->next;
    if (!link->next)
        queue->tail = at;
    return link;
}

/* Goes on from `from`, or from the head. How many were chosen. */
static unsigned select_movable(struct lido__worker *worker, unsigned among,
                               struct lido__link ***from, struct lido__fifo *chosen)
{
    struct lido__link **at = *from ? *from : &worker->queue.head;
    unsigned count = 0;
    for (unsigned seen = 0; *at && seen < among; seen++) {
        if (may_go(worker, task_of(*at), LIDO__TASK_MOVABLE)) {
            lido__fifo_push(chosen, take_out(&worker->queue, at));
            count++;
        } else {
            at = &(*at)->next;
        }
    }
    *from = *at ? at : NULL;
    return count;
}

unsigned lido__share_evacuate(struct lido__worker *worker, unsigned among,
                              struct lido__link ***from)
{
    struct lido__fifo chosen;
    struct lido__link *link;
    lido__fifo_init(&chosen);
    if (worker->hot)
        lido__fifo_push(&worker->queue, &worker->hot->run);
    worker->hot = NULL;
    unsigned count = select_movable(worker, among, from, &chosen);
    if (count == 0)
        return 0;
    add_tokens(worker->pool, count);
    while ((link = lido__fifo_pop(&chosen))) {
        detach(worker, task_of(link));
        lido__inbox_push(&worker->pool->inject, link);
    }
    lido__share_call(worker->pool);
    return count;
}

/* ---- Taking ------------------------------------------------------------------------------------- */

/* A task that was given away becomes one of this worker. Its token does too. */
static void claim(struct lido__worker *worker, lido_task *task)
{
    lido__store(&task->worker, worker, LIDO__RELAXED);
    lido__state_claim(&task->state);
    lido__worker_admit(worker, task);
    worker->tokens++;
    if (worker->refusing)
        lido__state_cancel(&task->state);
    lido__fifo_push(&worker->queue, &task->run);
}

static bool take_from(struct lido__worker *worker, struct lido__ring *ring)
{
    struct lido__fifo taken;
    struct lido__link *link;
    lido__fifo_init(&taken);
    if (lido__ring_take(ring, &taken) == 0)
        return false;
    while ((link = lido__fifo_pop(&taken)))
        claim(worker, task_of(link));
    return true;
}

/* It has waited already, so it is offered on at once; what is stolen too. */
static bool take_injected(struct lido__worker *worker)
{
    struct lido__inbox *inject = &worker->pool->inject;
    if (!lido__load(&inject->head, LIDO__RELAXED))
        return false;
    struct lido__link *link = lido__inbox_take(inject);
    bool found = link;
    worker->waited |= found;
    while (link) {
        struct lido__link *next = link->next;
        claim(worker, task_of(link));
        link = next;
    }
    return found;
}

/* What nobody has taken has waited for longest, and comes first: those in the queue may have run meanwhile. */
static void take_back(struct lido__worker *worker)
{
    struct lido__fifo later;
    if (!worker->offers)
        return;
    lido__fifo_init(&later);
    append(&later, &worker->queue);
    lido__fifo_init(&worker->queue);
    while (take_from(worker, &worker->ring)) {}
    append(&worker->queue, &later);
    note_offers(worker, false);
}

/* xorshift (G. Marsaglia, 2003): where to begin, so that thieves do not all go to the same victim. */
static uint32_t next_random(struct lido__worker *worker)
{
    uint32_t x = worker->random;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return worker->random = x;
}

static bool steal(struct lido__worker *worker)
{
    struct lido__pool *pool = worker->pool;
    if (!lido__load(&pool->offers, LIDO__RELAXED))
        return false;
    unsigned first = next_random(worker) % pool->count;
    for (unsigned i = 0; i < pool->count; i++) {
        struct lido__worker *victim = &pool->workers[(first + i) % pool->count];
        if (victim != worker && take_from(worker, &victim->ring))
            return worker->waited = true;
    }
    return false;
}

/* A worker has many more tasks than another if it is by this part of them; or twice as many, at any time. */
#define MUCH_MORE 16u

/* ---- The worker's turn -------------------------------------------------------------------------- */

/* Whether there is something to be had; for those who do not take it. */
static bool anything(struct lido__pool *pool)
{
    if (lido__load(&pool->inject.head, LIDO__RELAXED))
        return true;
    if (!lido__load(&pool->offers, LIDO__RELAXED))
        return false;
    for (unsigned i = 0; i < pool->count; i++)
        if (!lido__ring_empty(&pool->workers[i].ring))
            return true;
    return false;
}

/* The last one to find something looks whether there is more, for those who relied on its search. The fence:
   as in lido__idle_enter. */
static void stop_searching(struct lido__worker *worker)
{
    worker->searching = false;
    if (!lido__idle_found(&worker->pool->idle))
        return;
    lido__fence_seq_cst();
    if (anything(worker->pool))
        lido__share_call(worker->pool);
}

/*
 * How many tasks it is to give away before they have waited: half of what it has more than another, if that is many.
 * So two workers get equally many in the long run, though neither ever leaves something in its queue. For a small
 * difference once in a while only (stamps are 17 ms apart): otherwise it would be undone, and done again, by what is
 * given away because it has waited. The other one is drawn; to look at all would fetch as many cache lines that
 * others write.
 */
static unsigned surplus(struct lido__worker *worker)
{
    struct lido__pool *pool = worker->pool;
    unsigned other = next_random(worker) % (pool->count - 1);
    struct lido__worker *drawn = &pool->workers[other + (other >= worker->index)];
    uint32_t live = lido__load(&drawn->live, LIDO__RELAXED);
    uint32_t more = live / (worker->evened == worker->stamp ? 1 : MUCH_MORE);
    worker->evened = worker->stamp;
    return worker->live > live + more ? (worker->live - live) / 2 : 0;
}

/* Not where all tasks are pinned, and not all the time where those that run are. */
static bool may_offer(const struct lido__worker *worker)
{
    return lido__worker_has_work(worker) && worker->movable && worker->now >= worker->vain_until;
}

void lido__share_gather(struct lido__worker *worker)
{
    take_back(worker);
    take_injected(worker);
}

void lido__share_turn(struct lido__worker *worker)
{
    lido__share_gather(worker);
    if (worker->searching && lido__worker_has_work(worker))
        stop_searching(worker);
    if (may_offer(worker) && lido__idle_hungry(&worker->pool->idle))
        offer(worker, worker->waited ? UINT_MAX : surplus(worker));
    worker->waited = false;
}

bool lido__share_forage(struct lido__worker *worker)
{
    struct lido__idle *idle = &worker->pool->idle;
    take_back(worker);
    if (lido__worker_has_work(worker))
        return true; /* and its next turn ends a search */
    if (!worker->searching)
        worker->searching = lido__idle_search(idle);
    if (worker->searching && (take_injected(worker) || steal(worker))) {
        stop_searching(worker);
        return true;
    }
    bool last = lido__idle_enter(idle, &worker->idler, worker->searching);
    worker->searching = false;
    worker->idles = true;
    if (last && anything(worker->pool))
        lido__share_call(worker->pool);
    return false;
}

void lido__share_awake(struct lido__worker *worker)
{
    worker->idles = false;
    worker->searching = lido__idle_leave(&worker->pool->idle, &worker->idler);
}

/* ---- Any thread --------------------------------------------------------------------------------- */

void lido__share_call(struct lido__pool *pool)
{
    struct lido__idler *idler;
    while ((idler = lido__idle_call(&pool->idle))) {
        struct lido__worker *worker = lido__container_of(idler, struct lido__worker, idler);
        if (lido__worker_seat(worker, false) == 0) {
            lido__worker_order(worker, LIDO__ORDER_LOOK);
            return;
        }
        /* No thread can be started for it: the pool goes on with fewer, and another is called. */
        if (!lido__idle_excuse(&pool->idle, idler))
            return;
    }
}

void lido__share_inject(struct lido__pool *pool, lido_task *task)
{
    lido__inbox_push(&pool->inject, &task->run);
    lido__share_call(pool);
}

/* Those who sleep have not said so yet. */
void lido__share_begin(struct lido__pool *pool)
{
    if (pool->count == 1 || lido__exchange(&pool->sharing, 1, LIDO__ACQ_REL))
        return;
    lido__store(&pool->unwatched, 1, LIDO__RELAXED);
    for (unsigned i = 0; i < pool->count; i++)
        lido__worker_order(&pool->workers[i], LIDO__ORDER_LOOK);
}
