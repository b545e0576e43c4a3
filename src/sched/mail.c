/* What is sent to a worker: wake-ups, new tasks and orders. */
#include "base/fork.h"
#include "os/os.h"
#include "sched/wake.h"

/* ---- Any thread --------------------------------------------------------------------------------- */

void lido__worker_mail(struct lido__worker *worker, struct lido__link *link)
{
    if (!lido__inbox_push(&worker->inbox, link) || lido__forked)
        return;
    worker->reactor->ops->wake(worker->reactor);
    const lido_park *park = worker->pool->park;
    if (park && park->unpark)
        park->unpark(park->park_arg, worker->index);
    /* Release: pairs with the acquire in settle_wakes, after which the worker is freed. */
    lido__fetch_add(&worker->wakes_done, 1, LIDO__RELEASE);
}

/*
 * A worker may wake for another reason, take what a push brought, and have nothing left to live for,
 * all before the pusher has come to wake it. It must outlive that.
 */
void lido__worker_settle_wakes(struct lido__worker *worker)
{
    struct lido__backoff backoff = {0};
    while (lido__load(&worker->wakes_done, LIDO__ACQUIRE) != worker->wakes_owed)
        lido__backoff(&backoff);
}

void lido__worker_order(struct lido__worker *worker, uint32_t orders)
{
    /* Acq_rel: the worker that takes the link sees the orders; whoever finds some pending knows that
       the link is under way. */
    if (lido__fetch_or(&worker->orders, orders, LIDO__ACQ_REL) == 0)
        lido__worker_mail(worker, &worker->order);
}

/* ---- The worker, inside its gate ---------------------------------------------------------------- */

static void cancel_all(struct lido__worker *worker)
{
    worker->refusing = true;
    for (struct lido__node *n = worker->tasks.next; n != &worker->tasks; n = n->next) {
        lido_task *task = lido__container_of(n, lido_task, live);
        lido__state_cancel(&task->state);
        lido__worker_queue(worker, task);
    }
}

static void obey(struct lido__worker *worker)
{
    /* Release: the link has been read; whoever finds no orders pending may use it again. */
    uint32_t orders = lido__exchange(&worker->orders, 0, LIDO__ACQ_REL);
    if (orders & LIDO__ORDER_CANCEL)
        cancel_all(worker);
    if (orders & LIDO__ORDER_REPORT)
        worker->report(worker);
    if (orders & LIDO__ORDER_STOP)
        worker->stop = true;
}

/* A task from outside; its sender took a token for it. */
static void welcome(struct lido__worker *worker, lido_task *task)
{
    if (task->flags & LIDO__TASK_COUNTED)
        lido__fetch_sub(&worker->incoming, 1, LIDO__RELAXED);
    lido__worker_admit(worker, task);
    if (worker->refusing)
        lido__state_cancel(&task->state);
}

/* A task that has been given away: the wake-up goes after it. */
static void pass_on(lido_task *task)
{
    if (!lido__state_pass(&task->state))
        lido__worker_mail(lido__task_worker(task), &task->mail);
}

/* Handles one link. Returns how many new tasks it was: 0 or 1. */
static unsigned receive(struct lido__worker *worker, struct lido__link *link)
{
    unsigned arrived = 0;
    if (link == &worker->order) {
        obey(worker);
        return 0;
    }
    lido_task *task = lido__container_of(link, lido_task, mail);
    uint32_t word = lido__load(&task->state.word, LIDO__ACQUIRE);
    if (!lido__task_belongs(task, worker, word)) {
        pass_on(task);
        return 0;
    }
    if (task->flags & LIDO__TASK_ARRIVING) {
        task->flags &= ~LIDO__TASK_ARRIVING;
        welcome(worker, task);
        arrived = 1;
    }
    switch (lido__state_take(&task->state)) {
    case LIDO__TAKEN_RUN: lido__worker_queue(worker, task); break;
    case LIDO__TAKEN_DROP: lido__worker_uncount(worker); break;
    case LIDO__TAKEN_FREE:
        lido__task_free(task);
        lido__worker_uncount(worker);
        break;
    }
    return arrived;
}

/* How far ahead of the link that is read the tasks are fetched, which another core has written to. */
#define AHEAD 4

/* The link after this one; fetches what it leads to. */
static struct lido__link *fetch_ahead(struct lido__link *link)
{
    if (!link)
        return NULL;
    __builtin_prefetch(lido__container_of(link, lido_task, mail), 1);
    return link->next;
}

void lido__worker_take_mail(struct lido__worker *worker)
{
    struct lido__link *link = lido__inbox_take(&worker->inbox);
    worker->wakes_owed += worker->parked && link;
    worker->parked = false;
    uint64_t arrived = 0;
    if (!link)
        return;
    struct lido__link *ahead = link;
    for (int i = 0; i < AHEAD; i++)
        ahead = fetch_ahead(ahead);
    while (link) {
        struct lido__link *next = link->next;
        ahead = fetch_ahead(ahead);
        arrived += receive(worker, link);
        link = next;
    }
    worker->tokens += arrived;
}
