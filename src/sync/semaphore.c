#include "sync/semaphore.h"

#include <errno.h>

/* Gives what is free to those who wait, in order. The word is held; returns the new one. */
static uint32_t serve(struct lido__semaphore *semaphore, uint32_t word, struct lido__wakes *wakes)
{
    struct lido__wait *first;
    while ((first = semaphore->queue.first) && word / LIDO__WORD_OWN >= first->wants) {
        word -= first->wants * LIDO__WORD_OWN;
        lido__waitq_grant(&semaphore->queue, semaphore->queue.first, wakes);
    }
    return lido__waitq_mark(&semaphore->queue, word);
}

static struct lido__semaphore *semaphore_of(const struct lido__wait *wait)
{
    return lido__container_of(wait->word, struct lido__semaphore, word);
}

/* Those behind it may want less. */
static uint32_t leave(struct lido__wait *wait, uint32_t word, struct lido__wakes *wakes)
{
    struct lido__semaphore *semaphore = semaphore_of(wait);
    lido__waitq_remove(&semaphore->queue, wait);
    return serve(semaphore, word, wakes);
}

static void undo(struct lido__wait *wait)
{
    lido__semaphore_release(semaphore_of(wait), wait->wants);
}

static const struct lido__wait_kind kind = {.leave = leave, .undo = undo};
static const struct lido__wait_kind heir = {.leave = leave, .undo = undo}; /* see pass */

/* True if it could be had after all; otherwise the waiter is listed. */
static bool take_or_list(struct lido__semaphore *semaphore, uint32_t n, struct lido__wait *wait)
{
    uint32_t word = lido__word_lock(&semaphore->word);
    bool taken = !semaphore->queue.first && word / LIDO__WORD_OWN >= n;
    wait->wants = n;
    if (taken)
        word -= n * LIDO__WORD_OWN;
    else
        lido__waitq_push(&semaphore->queue, wait);
    lido__word_unlock(&semaphore->word, lido__waitq_mark(&semaphore->queue, word));
    return taken;
}

int lido__semaphore_acquire(struct lido__semaphore *semaphore, uint32_t n)
{
    if (__builtin_expect(lido__semaphore_try(semaphore, n), 1))
        return 0;
    struct lido__wait wait;
    int error;
    struct lido__worker *worker = lido__wait_begin(&error);
    if (!worker)
        return error;
    lido__wait_init(&wait, &kind, &semaphore->word, worker->current);
    return take_or_list(semaphore, n, &wait) ? 0 : lido__wait_sleep(&wait, semaphore->awaits);
}

int lido__semaphore_acquire_poll(struct lido__semaphore *semaphore, lido_wait *public,
                                 const lido_waker *waker)
{
    struct lido__wait *wait = lido__wait_of(public);
    int r = lido__wait_check(wait, waker);
    if (r)
        return r;
    if (lido__wait_state(wait) == LIDO__WAIT_IDLE) {
        lido__wait_init(wait, &heir, &semaphore->word, wait->task);
        if (!take_or_list(semaphore, 1, wait))
            return LIDO_PENDING;
    }
    wait->state = LIDO__WAIT_IDLE;
    return 0;
}

/* False: somebody waits, or holds the word. */
static bool release_at_once(struct lido__semaphore *semaphore, uint32_t n)
{
    uint32_t word = lido__load(&semaphore->word, LIDO__RELAXED);
    while (!(word & (LIDO__BUSY | LIDO__WAITERS)))
        /* Release: what was done with the permits is seen by who takes them next. */
        if (lido__cas(&semaphore->word, &word, word + n * LIDO__WORD_OWN, LIDO__RELEASE,
                      LIDO__RELAXED))
            return true;
    return false;
}

void lido__semaphore_release(struct lido__semaphore *semaphore, uint32_t n)
{
    if (release_at_once(semaphore, n))
        return;
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&semaphore->word);
    word = serve(semaphore, word + n * LIDO__WORD_OWN, &wakes);
    lido__word_unlock_and_wake(&semaphore->word, word, &wakes);
}

lido_wait *lido__semaphore_pass(struct lido__semaphore *semaphore, void (*accept)(lido_wait *wait))
{
    if (release_at_once(semaphore, 1))
        return NULL;
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&semaphore->word);
    struct lido__wait *first = semaphore->queue.first;
    lido_wait *next = first && first->kind == &heir ? lido__wait_public(first) : NULL;
    if (next) {
        lido__waitq_remove(&semaphore->queue, first);
        accept(next);
        /* Release: the waiter may look at its state without the word, and then sees what accept has done. */
        lido__store(&first->state, LIDO__WAIT_GRANTED, LIDO__RELEASE);
        word = lido__waitq_mark(&semaphore->queue, word);
    } else {
        word = serve(semaphore, word + LIDO__WORD_OWN, &wakes);
    }
    lido__word_unlock_and_wake(&semaphore->word, word, &wakes);
    return next;
}
