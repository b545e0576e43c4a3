/*
 * Channels: a ring under a lock, and two queues.
 *
 * Who waits is not given a message, or room, but the right to one: a message of those in the ring that no
 * newcomer gets, or room that no newcomer fills. It is used when the task runs, under the lock again. So a
 * right that is not used any more goes to the next, messages stay in order and never exceed the capacity.
 *
 *     receivers wait only while no message is without an owner:  count <= reserved
 *     senders wait only while no room is:                        count + promised >= capacity
 *
 * The lock is held by the one who grants, and the waiter takes it before it goes on: so its task is
 * alive when it is marked as woken, and stays so until it is (struct lido__wakes).
 *
 * A task that has been woken has its right; so nobody is woken twice for one message, and while the other
 * side does not wait, nobody is woken at all. Closing grants rights to all that wait, which are worth nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/ledger.h"
#include "sync/biased.h"

struct lido_channel {
    struct lido__biased lock; /* of all but `refs` */
    lido__shared uint32_t refs;
    bool closed;
    size_t size; /* of an element */
    size_t capacity;
    size_t head;     /* of the oldest element */
    size_t count;    /* elements in the ring */
    size_t reserved; /* rights to receive that have been granted and not used */
    size_t promised; /* rights to send */
    struct lido__waitq receivers;
    struct lido__waitq senders;
    char ring[] __attribute__((aligned(16)));
};

int lido_channel_new(lido_channel **channel, size_t size, size_t capacity)
{
    size_t bytes;
    if (capacity == 0)
        return -EINVAL;
    if (__builtin_mul_overflow(size, capacity, &bytes) ||
        __builtin_add_overflow(bytes, sizeof(struct lido_channel), &bytes))
        return -ENOMEM;
    struct lido_channel *new = lido__fault("malloc") < 0 ? NULL : malloc(bytes);
    if (!new)
        return -ENOMEM;
    *new = (struct lido_channel){.refs = 1, .size = size, .capacity = capacity};
    lido__ledger_note(new, "channel", NULL, NULL);
    *channel = new;
    return 0;
}

lido_channel *lido_channel_share(lido_channel *channel)
{
    lido__fetch_add(&channel->refs, 1, LIDO__RELAXED);
    return channel;
}

/* Release and acquire: all that anyone did with the channel comes before its end. */
void lido_channel_drop(lido_channel *channel)
{
    if (channel && lido__fetch_sub(&channel->refs, 1, LIDO__ACQ_REL) == 1) {
        lido__ledger_strike(channel);
        free(channel);
    }
}

/* ---- The ring. The lock is held ------------------------------------------------------------------- */

/* Most elements are pointers or numbers: these are copied without a call. */
static inline void copy(void *to, const void *from, size_t size)
{
    if (__builtin_expect(size == sizeof(uint64_t), 1))
        memcpy(to, from, sizeof(uint64_t));
    else
        memcpy(to, from, size);
}

static inline void put(struct lido_channel *channel, const void *element)
{
    size_t at = channel->head + channel->count;
    if (at >= channel->capacity)
        at -= channel->capacity;
    copy(channel->ring + at * channel->size, element, channel->size);
    channel->count++;
}

static inline void get(struct lido_channel *channel, void *element)
{
    copy(element, channel->ring + channel->head * channel->size, channel->size);
    channel->head = channel->head + 1 == channel->capacity ? 0 : channel->head + 1;
    channel->count--;
}

static inline bool has_message(const struct lido_channel *channel)
{
    return channel->count > channel->reserved;
}

static inline bool has_room(const struct lido_channel *channel)
{
    return channel->count + channel->promised < channel->capacity;
}

/* Nothing will ever come. While a message is reserved it may yet be forgone, and go to another. */
static inline bool is_over(const struct lido_channel *channel)
{
    return channel->closed && channel->count == 0;
}

static void serve(struct lido_channel *channel, struct lido__wakes *wakes)
{
    while (channel->receivers.first && (has_message(channel) || is_over(channel))) {
        channel->reserved++;
        lido__waitq_grant(&channel->receivers, channel->receivers.first, wakes);
    }
    while (channel->senders.first && (has_room(channel) || channel->closed)) {
        channel->promised++;
        lido__waitq_grant(&channel->senders, channel->senders.first, wakes);
    }
}

static inline bool lock(struct lido_channel *channel)
{
    return lido__biased_lock(&channel->lock, lido__worker_current());
}

static __attribute__((noinline)) void serve_and_unlock(struct lido_channel *channel, bool token)
{
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    serve(channel, &wakes);
    lido__biased_unlock(&channel->lock, token);
    lido__wakes_send(&wakes);
}

/* Grants what there is now to those who wait. `token`: what lock has returned. */
static inline void unlock(struct lido_channel *channel, bool token)
{
    if (__builtin_expect(channel->receivers.first || channel->senders.first, 0))
        serve_and_unlock(channel, token);
    else
        lido__biased_unlock(&channel->lock, token);
}

void lido_channel_close(lido_channel *channel)
{
    bool token = lock(channel);
    channel->closed = true;
    unlock(channel, token);
}

/* ---- Waiters -------------------------------------------------------------------------------------- */

static struct lido_channel *channel_of(const struct lido__wait *wait)
{
    return lido__container_of(wait->word, struct lido_channel, lock.word);
}

static bool leave(struct lido__wait *wait, struct lido__waitq *queue)
{
    struct lido_channel *channel = channel_of(wait);
    bool token = lock(channel);
    bool listed = lido__wait_state(wait) == LIDO__WAIT_LISTED;
    if (listed) {
        lido__waitq_remove(queue, wait);
        lido__store(&wait->state, LIDO__WAIT_IDLE, LIDO__RELAXED);
    }
    unlock(channel, token);
    return listed;
}

static bool withdraw_sender(struct lido__wait *wait)
{
    return leave(wait, &channel_of(wait)->senders);
}

static bool withdraw_receiver(struct lido__wait *wait)
{
    return leave(wait, &channel_of(wait)->receivers);
}

static void undo_send(struct lido__wait *wait)
{
    struct lido_channel *channel = channel_of(wait);
    bool token = lock(channel);
    channel->promised--;
    unlock(channel, token);
}

static void undo_receive(struct lido__wait *wait)
{
    struct lido_channel *channel = channel_of(wait);
    bool token = lock(channel);
    channel->reserved--;
    unlock(channel, token);
}

static const struct lido__wait_kind sending = {.withdraw = withdraw_sender, .undo = undo_send};
static const struct lido__wait_kind receiving = {.withdraw = withdraw_receiver,
                                                 .undo = undo_receive};

/* ---- Sending -------------------------------------------------------------------------------------- */

/* -EAGAIN if the channel is full; then `wait` is listed, unless it is NULL. */
static inline __attribute__((always_inline)) int offer(struct lido_channel *channel,
                                                       const void *element, struct lido__wait *wait)
{
    bool token = lock(channel);
    int r = 0;
    if (__builtin_expect(channel->closed, 0)) {
        r = -EPIPE;
    } else if (__builtin_expect(has_room(channel), 1)) {
        put(channel, element);
    } else {
        r = -EAGAIN;
        if (wait)
            lido__waitq_push(&channel->senders, wait);
    }
    unlock(channel, token);
    return r;
}

/* Uses the right that has been granted. */
static int send_granted(struct lido_channel *channel, const void *element)
{
    bool token = lock(channel);
    int r = channel->closed ? -EPIPE : 0;
    channel->promised--;
    if (r == 0)
        put(channel, element);
    unlock(channel, token);
    return r;
}

static __attribute__((noinline)) int send_waiting(struct lido__worker *worker,
                                                  struct lido_channel *channel, const void *element)
{
    struct lido__wait wait;
    lido__wait_init(&wait, &sending, &channel->lock.word, worker->current);
    int r = offer(channel, element, &wait);
    if (r != -EAGAIN)
        return r;
    r = lido__wait_sleep(&wait, "send");
    return r < 0 ? r : send_granted(channel, element);
}

int lido_channel_send(lido_channel *channel, const void *element)
{
    int error;
    struct lido__worker *worker = lido__wait_begin(&error);
    if (!worker)
        return error;
    int r = offer(channel, element, NULL);
    return __builtin_expect(r != -EAGAIN, 1) ? r : send_waiting(worker, channel, element);
}

int lido_channel_try_send(lido_channel *channel, const void *element)
{
    return offer(channel, element, NULL);
}

int lido_channel_send_poll(lido_channel *channel, const void *element, lido_wait *public_wait,
                           const lido_waker *waker)
{
    struct lido__wait *wait = lido__wait_of(public_wait);
    int r = lido__wait_check(wait, waker);
    if (r)
        return r;
    if (lido__wait_state(wait) == LIDO__WAIT_IDLE) {
        lido__wait_init(wait, &sending, &channel->lock.word, wait->task);
        r = offer(channel, element, wait);
        return r == -EAGAIN ? LIDO_PENDING : r;
    }
    wait->state = LIDO__WAIT_IDLE;
    return send_granted(channel, element);
}

/* ---- Receiving ------------------------------------------------------------------------------------ */

/* -EAGAIN if the channel is empty; then `wait` is listed, unless it is NULL. */
static inline __attribute__((always_inline)) int take(struct lido_channel *channel, void *element,
                                                      struct lido__wait *wait)
{
    bool token = lock(channel);
    int r = 0;
    if (__builtin_expect(has_message(channel), 1)) {
        get(channel, element);
    } else if (is_over(channel)) {
        r = -EPIPE;
    } else {
        r = -EAGAIN;
        if (wait)
            lido__waitq_push(&channel->receivers, wait);
    }
    unlock(channel, token);
    return r;
}

/* Uses the right that has been granted. */
static int receive_granted(struct lido_channel *channel, void *element)
{
    bool token = lock(channel);
    int r = is_over(channel) ? -EPIPE : 0;
    channel->reserved--;
    if (r == 0)
        get(channel, element);
    unlock(channel, token);
    return r;
}

static __attribute__((noinline)) int receive_waiting(struct lido__worker *worker,
                                                     struct lido_channel *channel, void *element)
{
    struct lido__wait wait;
    lido__wait_init(&wait, &receiving, &channel->lock.word, worker->current);
    int r = take(channel, element, &wait);
    if (r != -EAGAIN)
        return r;
    r = lido__wait_sleep(&wait, "receive");
    return r < 0 ? r : receive_granted(channel, element);
}

int lido_channel_recv(lido_channel *channel, void *element)
{
    int error;
    struct lido__worker *worker = lido__wait_begin(&error);
    if (!worker)
        return error;
    int r = take(channel, element, NULL);
    return __builtin_expect(r != -EAGAIN, 1) ? r : receive_waiting(worker, channel, element);
}

int lido_channel_try_recv(lido_channel *channel, void *element)
{
    return take(channel, element, NULL);
}

int lido_channel_recv_poll(lido_channel *channel, void *element, lido_wait *public_wait,
                           const lido_waker *waker)
{
    struct lido__wait *wait = lido__wait_of(public_wait);
    int r = lido__wait_check(wait, waker);
    if (r)
        return r;
    if (lido__wait_state(wait) == LIDO__WAIT_IDLE) {
        lido__wait_init(wait, &receiving, &channel->lock.word, wait->task);
        r = take(channel, element, wait);
        return r == -EAGAIN ? LIDO_PENDING : r;
    }
    wait->state = LIDO__WAIT_IDLE;
    return receive_granted(channel, element);
}
