/*
 * One-shots. The word says what has become of it; the value is written before it says SENT, and only by
 * the sender. Sending to nobody who waits, and receiving what is there, touch the word only.
 */
#include <errno.h>

#include "sync/waitq.h"

#define SENT (LIDO__WORD_OWN << 0)    /* the value is there */
#define HUNG_UP (LIDO__WORD_OWN << 1) /* the sender has closed */
#define GONE (LIDO__WORD_OWN << 2)    /* the receiver has closed */

struct oneshot {
    lido__shared uint32_t word;
    uint32_t reserved;
    void *value;
    struct lido__waitq queue; /* of one waiter */
};

_Static_assert(sizeof(struct oneshot) <= sizeof(lido_oneshot), "lido_oneshot is its public face");

static struct oneshot *oneshot_of(lido_oneshot *oneshot)
{
    return (struct oneshot *)oneshot;
}

/* ---- The sender ----------------------------------------------------------------------------------- */

/* Why the sender cannot end its use of the one-shot, or 0. */
static int refusal(uint32_t word)
{
    if (word & GONE)
        return -EPIPE;
    return word & (SENT | HUNG_UP) ? -EALREADY : 0;
}

static __attribute__((noinline)) int conclude_slowly(struct oneshot *oneshot, uint32_t outcome)
{
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    uint32_t word = lido__word_lock(&oneshot->word);
    int r = refusal(word);
    while (oneshot->queue.first)
        lido__waitq_grant(&oneshot->queue, oneshot->queue.first, &wakes);
    lido__word_unlock_and_wake(&oneshot->word, r < 0 ? word : outcome, &wakes);
    return r;
}

/* Release: the value, and what the sender did before. Acquire, on -EPIPE: what the receiver did before. */
static int conclude(struct oneshot *oneshot, uint32_t outcome)
{
    uint32_t word = lido__load(&oneshot->word, LIDO__ACQUIRE);
    if (word == 0 && lido__cas(&oneshot->word, &word, outcome, LIDO__RELEASE, LIDO__ACQUIRE))
        return 0;
    int r = refusal(word);
    return r < 0 ? r : conclude_slowly(oneshot, outcome);
}

int lido_oneshot_send(lido_oneshot *public, void *value)
{
    struct oneshot *oneshot = oneshot_of(public);
    oneshot->value = value;
    return conclude(oneshot, SENT);
}

int lido_oneshot_close_sender(lido_oneshot *oneshot)
{
    return conclude(oneshot_of(oneshot), HUNG_UP);
}

/* ---- The receiver --------------------------------------------------------------------------------- */

static uint32_t leave(struct lido__wait *wait, uint32_t word, struct lido__wakes *wakes)
{
    (void)wakes;
    struct oneshot *oneshot = lido__container_of(wait->word, struct oneshot, word);
    lido__waitq_remove(&oneshot->queue, wait);
    return lido__waitq_mark(&oneshot->queue, word);
}

/* The value stays where it is until somebody takes it. */
static void undo(struct lido__wait *wait)
{
    (void)wait;
}

static const struct lido__wait_kind kind = {.leave = leave, .undo = undo};

static inline int collect(struct oneshot *oneshot, void **value)
{
    uint32_t word = lido__word_settled(&oneshot->word);
    if (word & SENT) {
        *value = oneshot->value;
        return 0;
    }
    return word & HUNG_UP ? -EPIPE : -EAGAIN;
}

int lido_oneshot_try_recv(lido_oneshot *oneshot, void **value)
{
    return collect(oneshot_of(oneshot), value);
}

/* True if there is nothing to wait for. */
static inline bool concluded_or_list(struct oneshot *oneshot, struct lido__wait *wait)
{
    uint32_t word = lido__word_lock(&oneshot->word);
    bool concluded = word & (SENT | HUNG_UP);
    if (!concluded) {
        lido__waitq_push(&oneshot->queue, wait);
        word |= LIDO__WAITERS;
    }
    lido__word_unlock(&oneshot->word, word);
    return concluded;
}

static __attribute__((noinline)) int wait_for_value(struct lido__worker *worker,
                                                    struct oneshot *oneshot, void **value)
{
    struct lido__wait wait;
    lido__wait_init(&wait, &kind, &oneshot->word, worker->current);
    int r = concluded_or_list(oneshot, &wait) ? 0 : lido__wait_sleep(&wait, "one-shot");
    return r < 0 ? r : collect(oneshot, value);
}

int lido_oneshot_recv(lido_oneshot *public, void **value)
{
    struct oneshot *oneshot = oneshot_of(public);
    int error;
    struct lido__worker *worker = lido__wait_begin(&error);
    if (!worker)
        return error;
    int r = collect(oneshot, value);
    return r == -EAGAIN ? wait_for_value(worker, oneshot, value) : r;
}

int lido_oneshot_recv_poll(lido_oneshot *public, void **value, lido_wait *public_wait,
                           const lido_waker *waker)
{
    struct oneshot *oneshot = oneshot_of(public);
    struct lido__wait *wait = lido__wait_of(public_wait);
    int r = lido__wait_check(wait, waker);
    if (r)
        return r;
    if (lido__wait_state(wait) == LIDO__WAIT_IDLE) {
        lido__wait_init(wait, &kind, &oneshot->word, wait->task);
        if (!concluded_or_list(oneshot, wait))
            return LIDO_PENDING;
    }
    wait->state = LIDO__WAIT_IDLE;
    return collect(oneshot, value);
}

int lido_oneshot_close_receiver(lido_oneshot *public)
{
    struct oneshot *oneshot = oneshot_of(public);
    for (;;) {
        uint32_t word = lido__word_settled(&oneshot->word);
        if (word & (SENT | HUNG_UP | GONE))
            return -EALREADY;
        if (word & LIDO__WAITERS)
            return -EBUSY;
        /* Release: what the receiver did with the memory comes before what the sender does with it. */
        if (lido__cas(&oneshot->word, &word, GONE, LIDO__RELEASE, LIDO__RELAXED))
            return 0;
    }
}
