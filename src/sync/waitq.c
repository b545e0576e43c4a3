#include "sync/waitq.h"

#include <errno.h>

#include "base/assert.h"
#include "base/fork.h"

/* ---- The word ------------------------------------------------------------------------------------- */

static uint32_t await_change(const uint32_t *word, struct lido__backoff *backoff)
{
    LIDO__ASSERT(!lido__forked); /* the thread that holds it is not in the child */
    lido__backoff(backoff);
    return lido__load(word, LIDO__ACQUIRE);
}

uint32_t lido__word_settled_slowly(const uint32_t *word)
{
    struct lido__backoff backoff = {0};
    uint32_t value;
    do
        value = await_change(word, &backoff);
    while (value & LIDO__BUSY);
    return value;
}

/* With one backoff for all of it: a thread that loses a race for the word does not begin anew. */
uint32_t lido__word_lock_slowly(uint32_t *word)
{
    struct lido__backoff backoff = {0};
    uint32_t old = lido__load(word, LIDO__ACQUIRE);
    while (old & LIDO__BUSY ||
           !lido__cas(word, &old, old | LIDO__BUSY, LIDO__ACQUIRE, LIDO__ACQUIRE))
        if (old & LIDO__BUSY)
            old = await_change(word, &backoff);
    return old;
}

/* ---- Waiters -------------------------------------------------------------------------------------- */

bool lido__wait_withdraw(struct lido__wait *wait)
{
    if (wait->kind->withdraw)
        return wait->kind->withdraw(wait);
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(wait->word);
    enum lido__wait_state state = lido__wait_state(wait);
    bool listed = state != LIDO__WAIT_GRANTED && state != LIDO__WAIT_CHOSEN;
    if (listed) {
        word = wait->kind->leave(wait, word, &wakes);
        lido__store(&wait->state, LIDO__WAIT_IDLE, LIDO__RELAXED);
    }
    lido__word_unlock_and_wake(wait->word, word, &wakes);
    return listed;
}

/* The first poll: it may be interrupted, or have used up its budget, before anything has begun. */
static int check_first(struct lido__wait *wait, struct lido__worker *worker)
{
    int reason = lido__task_interrupted(worker, worker->current);
    if (reason)
        return reason;
    if (worker->budget == 0) {
        lido__wake(worker->current);
        return LIDO_PENDING;
    }
    worker->budget--;
    wait->task = worker->current;
    return 0;
}

int lido__wait_check(struct lido__wait *wait, const lido_waker *waker)
{
    struct lido__worker *worker = lido__worker_current();
    if (!worker || worker->current != lido__waker_task(*waker))
        return -ENXIO;
    enum lido__wait_state state = lido__wait_state(wait);
    if (state == LIDO__WAIT_IDLE)
        return check_first(wait, worker);
    if (state == LIDO__WAIT_LISTED) {
        int reason = lido__task_interrupted(worker, worker->current);
        if (!reason)
            return LIDO_PENDING;
        if (lido__wait_withdraw(wait))
            return reason;
        state = lido__wait_state(wait);
    }
    if (state == LIDO__WAIT_CHOSEN)
        return LIDO_PENDING;
    lido__word_settled(wait->word);
    return 0;
}

void lido_wait_forgo(lido_wait *public)
{
    struct lido__wait *wait = lido__wait_of(public);
    struct lido__backoff backoff = {0};
    if (lido__wait_state(wait) == LIDO__WAIT_IDLE || lido__wait_withdraw(wait))
        return;
    while (lido__wait_state(wait) == LIDO__WAIT_CHOSEN)
        lido__backoff(&backoff);
    lido__store(&wait->state, LIDO__WAIT_IDLE, LIDO__RELAXED);
    wait->kind->undo(wait);
}
