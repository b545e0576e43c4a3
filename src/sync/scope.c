/*
 * Scopes: a count of tasks, the list of them, and the first error. A task reports its end to the scope
 * when its last code has run (struct lido__parent): nobody joins it, and the owner is woken once, by the
 * last. While a task is listed it has not reported, so it is alive and can be cancelled; the word protects it
 * all.
 */
#include <errno.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/slab.h"
#include "sched/spawn.h"
#include "sync/waitq.h"

#define CANCELLED LIDO__WORD_OWN

struct child {
    struct child *next; /* in the scope's list */
    struct child *prev;
    struct lido__parent parent;
    struct scope *scope;
    int *result;
    bool listed;
    bool ended;
};

/* Begins as the public one does. */
struct scope {
    bool cancel_on_error;
    lido__shared uint32_t word;
    int error;
    uint32_t live; /* tasks that are listed */
    struct child *first;
    struct lido__waitq queue; /* of the owner */
};

_Static_assert(sizeof(struct scope) <= sizeof(lido_scope), "lido_scope is its public face");

static struct lido__slab children = LIDO__SLAB_INIT_POISON(LIDO__SLAB_CHILD, sizeof(struct child));

static struct scope *scope_of(lido_scope *scope)
{
    return (struct scope *)scope;
}

/* ---- The word is held ----------------------------------------------------------------------------- */

/* Returns the new word. */
static uint32_t cancel(const struct scope *scope, uint32_t word, struct lido__wakes *wakes)
{
    for (struct child *child = scope->first; child && !(word & CANCELLED); child = child->next)
        lido__wakes_add(wakes, child->parent.task, LIDO__CANCELLED);
    return word | CANCELLED;
}

static void note(struct scope *scope, int error)
{
    if (scope->error == 0)
        scope->error = error;
}

static void list(struct scope *scope, struct child *child)
{
    child->listed = true;
    child->prev = NULL;
    child->next = scope->first;
    if (child->next)
        child->next->prev = child;
    scope->first = child;
    scope->live++;
}

static void unlist(struct scope *scope, struct child *child)
{
    if (child->prev)
        child->prev->next = child->next;
    else
        scope->first = child->next;
    if (child->next)
        child->next->prev = child->prev;
    scope->live--;
}

/* ---- Tasks ---------------------------------------------------------------------------------------- */

/* A task may end before the one that spawns it has listed it: then that one takes the rest upon itself. */
static void child_ended(struct lido__parent *parent, int result)
{
    struct child *child = lido__container_of(parent, struct child, parent);
    struct scope *scope = child->scope;
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&scope->word);
    bool listed = child->listed;
    if (child->result)
        *child->result = result;
    if (result < 0) {
        note(scope, result);
        if (scope->cancel_on_error)
            word = cancel(scope, word, &wakes);
    }
    child->ended = true;
    if (listed)
        unlist(scope, child);
    if (scope->live == 0 && scope->queue.first)
        lido__waitq_grant(&scope->queue, scope->queue.first, &wakes);
    lido__word_unlock_and_wake(&scope->word, lido__waitq_mark(&scope->queue, word), &wakes);
    if (listed)
        lido__slab_free(&children, child);
}

/* The task has been spawned. */
static void welcome(struct scope *scope, struct child *child)
{
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&scope->word);
    bool ended = child->ended;
    if (!ended) {
        list(scope, child);
        if (word & CANCELLED)
            lido__wakes_add(&wakes, child->parent.task, LIDO__CANCELLED);
    }
    lido__word_unlock_and_wake(&scope->word, word, &wakes);
    if (ended)
        lido__slab_free(&children, child);
}

static int spawn(struct scope *scope, int *result, struct lido__spawn *spawn)
{
    if (lido__load(&scope->word, LIDO__RELAXED) & CANCELLED)
        return -ECANCELED;
    struct child *child = lido__fault("child") < 0 ? NULL : lido__slab_alloc(&children);
    if (!child)
        return -ENOMEM;
    *child = (struct child){
        .parent = {.ended = child_ended},
        .scope = scope,
        .result = result,
    };
    spawn->parent = &child->parent;
    spawn->flags |= LIDO__TASK_CHILD;
    int r = lido__spawn(spawn, NULL);
    if (r < 0)
        lido__slab_free(&children, child);
    else
        welcome(scope, child);
    return r;
}

int lido_scope_spawn_at(lido_scope *scope, int *result, lido_fn fn, void *arg,
                        const lido_spawn_options *options, const char *where)
{
    struct lido__spawn plan = {
        .options = options,
        .where = where,
        .flags = LIDO__TASK_FIBER | LIDO__TASK_UNSTARTED,
        .entry = fn,
        .arg = arg,
    };
    return spawn(scope_of(scope), result, &plan);
}

int lido_scope_spawn_future_at(lido_scope *scope, int *result, lido_future *future,
                               const lido_spawn_options *options, const char *where)
{
    struct lido__spawn plan = {
        .options = options,
        .where = where,
        .future = future,
    };
    return spawn(scope_of(scope), result, &plan);
}

void lido_scope_cancel(lido_scope *public)
{
    struct scope *scope = scope_of(public);
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&scope->word);
    word = cancel(scope, word, &wakes);
    lido__word_unlock_and_wake(&scope->word, word, &wakes);
}

/* ---- Waiting -------------------------------------------------------------------------------------- */

static uint32_t leave(struct lido__wait *wait, uint32_t word, struct lido__wakes *wakes)
{
    (void)wakes;
    struct scope *scope = lido__container_of(wait->word, struct scope, word);
    lido__waitq_remove(&scope->queue, wait);
    return lido__waitq_mark(&scope->queue, word);
}

/* That all have ended stays true. */
static void undo(struct lido__wait *wait)
{
    (void)wait;
}

static const struct lido__wait_kind kind = {.leave = leave, .undo = undo};

/* 0: all have ended. -EBUSY. LIDO_PENDING: the waiter is listed. */
static int ended_or_list(struct scope *scope, struct lido__wait *wait)
{
    uint32_t word = lido__word_lock(&scope->word);
    int r = 0;
    if (scope->queue.first) {
        r = -EBUSY;
    } else if (scope->live > 0) {
        lido__waitq_push(&scope->queue, wait);
        r = LIDO_PENDING;
    }
    lido__word_unlock(&scope->word, lido__waitq_mark(&scope->queue, word));
    return r;
}

/* The owner is interrupted: so are its tasks. */
static void interrupt(struct scope *scope, int reason)
{
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&scope->word);
    note(scope, reason);
    word = cancel(scope, word, &wakes);
    lido__word_unlock_and_wake(&scope->word, word, &wakes);
}

/* No task is left: what there is to tell, and the scope begins anew. Somebody may be about to cancel it still. */
static int conclude(struct scope *scope)
{
    lido__word_lock(&scope->word);
    int error = scope->error;
    LIDO__ASSERT(!scope->first && scope->live == 0);
    scope->error = 0;
    lido__word_unlock(&scope->word, 0);
    return error;
}

static int await_end(struct lido__worker *worker, struct scope *scope)
{
    struct lido__wait wait;
    lido__wait_init(&wait, &kind, &scope->word, worker->current);
    int r = ended_or_list(scope, &wait);
    return r == LIDO_PENDING ? lido__wait_sleep(&wait, "scope") : r;
}

static int await_end_anyway(struct lido__worker *worker, struct scope *scope)
{
    uint32_t shield = lido__task_shield();
    int r = await_end(worker, scope);
    lido__task_unshield(shield);
    return r < 0 ? r : conclude(scope);
}

int lido_scope_wait(lido_scope *public)
{
    struct scope *scope = scope_of(public);
    int r;
    struct lido__worker *worker = lido__fiber_worker(&r);
    if (!worker)
        return r;
    r = await_end(worker, scope);
    if (r == 0)
        return conclude(scope);
    if (r == -EBUSY)
        return r;
    interrupt(scope, r);
    return await_end_anyway(lido__worker_current(), scope);
}

int lido_scope_stop(lido_scope *public)
{
    struct scope *scope = scope_of(public);
    int r;
    struct lido__worker *worker = lido__fiber_worker(&r);
    if (!worker)
        return r;
    lido_scope_cancel(public);
    return await_end_anyway(worker, scope);
}

int lido_scope_wait_poll(lido_scope *public, lido_wait *public_wait, const lido_waker *waker)
{
    struct scope *scope = scope_of(public);
    struct lido__wait *wait = lido__wait_of(public_wait);
    int r = lido__wait_check(wait, waker);
    if (r == LIDO_PENDING || r == -ENXIO)
        return r;
    if (r < 0)
        interrupt(scope, r);
    if (lido__wait_state(wait) == LIDO__WAIT_IDLE) {
        lido__wait_init(wait, &kind, &scope->word, lido__waker_task(*waker));
        r = ended_or_list(scope, wait);
        if (r < 0)
            return r;
    }
    wait->state = LIDO__WAIT_IDLE;
    return conclude(scope);
}
