/*
 * Events: a permit at most, or some who wait for one; never both. But for those whom a notification
 * of all is about to tell: a permit that comes then is not for them.
 */
#include <errno.h>

#include "sync/waitq.h"

#define PERMIT LIDO__WORD_OWN

struct event {
    lido__shared uint32_t word;
    uint32_t reserved;
    struct lido__wait *until; /* CHOSEN: all up to this one are being told; or NULL */
    struct lido__waitq queue;
};

_Static_assert(sizeof(struct event) <= sizeof(lido_event), "lido_event is its public face");

static struct event *event_of(lido_event *event)
{
    return (struct event *)event;
}

static uint32_t leave(struct lido__wait *wait, uint32_t word, struct lido__wakes *wakes)
{
    (void)wakes;
    struct event *event = lido__container_of(wait->word, struct event, word);
    lido__waitq_remove(&event->queue, wait);
    return lido__waitq_mark(&event->queue, word);
}

/* What all were told is not passed on: it was for those who waited then. */
static void undo(struct lido__wait *wait)
{
    if (wait->wants)
        lido_event_notify_one((lido_event *)lido__container_of(wait->word, struct event, word));
}

static const struct lido__wait_kind kind = {.leave = leave, .undo = undo};

/* ---- Waiting --------------------------------------------------------------------------------- */

/* Acquire: pairs with the release of all who have notified since the last permit. */
static bool take_permit(struct event *event)
{
    uint32_t permit = PERMIT;
    return lido__load(&event->word, LIDO__RELAXED) == PERMIT &&
           lido__cas(&event->word, &permit, 0, LIDO__ACQUIRE, LIDO__RELAXED);
}

/* True if there was a permit after all; otherwise the waiter is listed. */
static bool take_or_list(struct event *event, struct lido__wait *wait)
{
    uint32_t word = lido__word_lock(&event->word);
    if (word & PERMIT) {
        lido__word_unlock(&event->word, word & ~PERMIT);
        return true;
    }
    lido__waitq_push(&event->queue, wait);
    lido__word_unlock(&event->word, LIDO__WAITERS);
    return false;
}

int lido_event_wait(lido_event *public)
{
    struct event *event = event_of(public);
    struct lido__wait wait;
    int error;
    struct lido__worker *worker = lido__wait_begin(&error);
    if (!worker)
        return error;
    if (take_permit(event))
        return 0;
    lido__wait_init(&wait, &kind, &event->word, worker->current);
    return take_or_list(event, &wait) ? 0 : lido__wait_sleep(&wait, "event");
}

int lido_event_wait_poll(lido_event *public, lido_wait *public_wait, const lido_waker *waker)
{
    struct event *event = event_of(public);
    struct lido__wait *wait = lido__wait_of(public_wait);
    int r = lido__wait_check(wait, waker);
    if (r)
        return r;
    if (lido__wait_state(wait) == LIDO__WAIT_IDLE && !take_permit(event)) {
        lido__wait_init(wait, &kind, &event->word, wait->task);
        if (!take_or_list(event, wait))
            return LIDO_PENDING;
    }
    wait->state = LIDO__WAIT_IDLE;
    return 0;
}

/* ---- Notifying ------------------------------------------------------------------------------- */

/*
 * A permit that is there already is written again: the one who takes it must see what was done
 * before this notification too, and that it is still there was read at a time that proves nothing.
 */
void lido_event_notify_one(lido_event *public)
{
    struct event *event = event_of(public);
    uint32_t word = lido__load(&event->word, LIDO__RELAXED);
    while (!(word & (LIDO__BUSY | LIDO__WAITERS)))
        if (lido__cas(&event->word, &word, PERMIT, LIDO__RELEASE, LIDO__RELAXED))
            return;
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    word = lido__word_lock(&event->word);
    struct lido__wait *next = event->until ? event->until->next : event->queue.first;
    if (next)
        lido__waitq_grant(&event->queue, next, &wakes);
    else
        word |= PERMIT;
    lido__word_unlock_and_wake(&event->word, lido__waitq_mark(&event->queue, word), &wakes);
}

/*
 * So many are told in one go: their nodes and tasks lie in other cpus' caches, some 200 ns each.
 */
#ifdef LIDO_MODEL
#define AT_ONCE 1u
#else
#define AT_ONCE 8u
#endif

/* The first waiter is told, not by the permit. The word is held. */
static void tell_first(struct event *event, struct lido__wakes *wakes)
{
    struct lido__wait *first = event->queue.first;
    if (event->until == first)
        event->until = NULL;
    first->wants = 0;
    lido__waitq_grant(&event->queue, first, wakes);
}

/* All who wait now are to be told. False: there are none, or another thread is at it, and tells
   these, too. The word is held. */
static bool choose_all(struct event *event)
{
    struct lido__wait *last = event->queue.last;
    bool begins = last && !event->until;
    if (last) {
        lido__store(&last->state, LIDO__WAIT_CHOSEN, LIDO__RELAXED);
        event->until = last;
    }
    return begins;
}

/*
 * Some at a time, so that nobody finds the word held for long. Those who have been told may free
 * the event when nobody waits any more: so the last is chosen first, and does not leave before it
 * is told, which ends this.
 */
void lido_event_notify_all(lido_event *public)
{
    struct event *event = event_of(public);
    uint32_t word = lido__word_lock(&event->word);
    for (bool more = choose_all(event);; word = lido__word_lock(&event->word)) {
        struct lido__wakes wakes;
        lido__wakes_init(&wakes);
        for (unsigned i = 0; more && i < AT_ONCE; i++) {
            tell_first(event, &wakes);
            more = event->until;
        }
        lido__word_unlock_and_wake(&event->word, lido__waitq_mark(&event->queue, word), &wakes);
        if (!more)
            return;
    }
}
