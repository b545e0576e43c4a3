#include "support/oneshot.h"

#include "base/atomic.h"
#include "base/list.h"
#include "support/check.h"

/* TAKEN: the sender reads the waker, and SENT follows: whoever waits is woken then. */
enum { EMPTY, WAITING, TAKEN, SENT };

/* Cancelled: takes the waker back, unless the value has come, or is about to. */
static int give_up(struct oneshot *oneshot)
{
    uint32_t expected = WAITING;
    if (lido__cas(&oneshot->state, &expected, EMPTY, LIDO__ACQ_REL, LIDO__ACQUIRE))
        lido_waker_drop(&oneshot->waker);
    else if (expected == TAKEN)
        return LIDO_PENDING;
    else if (expected == SENT)
        return oneshot->value;
    return -ECANCELED;
}

static int oneshot_poll(lido_future *future, const lido_waker *waker)
{
    struct oneshot *oneshot = lido__container_of(future, struct oneshot, future);
    uint32_t state = lido__load(&oneshot->state, LIDO__ACQUIRE);
    if (state == SENT)
        return oneshot->value;
    if (lido_is_cancelled())
        return give_up(oneshot);
    if (state != EMPTY)
        return LIDO_PENDING;
    oneshot->waker = lido_waker_clone(waker);
    if (lido__cas(&oneshot->state, &state, WAITING, LIDO__ACQ_REL, LIDO__ACQUIRE))
        return LIDO_PENDING;
    lido_waker_drop(&oneshot->waker);
    return oneshot->value;
}

void oneshot_init(struct oneshot *oneshot)
{
    oneshot->future.poll = oneshot_poll;
    oneshot->state = EMPTY;
}

void oneshot_send(struct oneshot *oneshot, int value)
{
    uint32_t state = EMPTY;
    lido_waker waker;
    oneshot->value = value;
    if (lido__cas(&oneshot->state, &state, SENT, LIDO__ACQ_REL, LIDO__ACQUIRE))
        return;
    bool waits = lido__cas(&oneshot->state, &state, TAKEN, LIDO__ACQ_REL, LIDO__ACQUIRE);
    if (waits)
        waker = oneshot->waker;
    /* The receiver may see it and be gone at once. */
    lido__store(&oneshot->state, SENT, LIDO__RELEASE);
    if (!waits)
        return; /* it has just given up */
    lido_waker_wake(&waker);
    lido_waker_drop(&waker);
}

int oneshot_receive(struct oneshot *oneshot)
{
    lido_task *task;
    int result;
    check_int(lido_spawn_future(&task, &oneshot->future), 0);
    int r = lido_join(task, &result);
    if (r == 0)
        return result;
    check_int(lido_stop(task, &result), 0);
    return result >= 0 ? result : r;
}
