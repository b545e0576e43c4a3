#include "support/oneshot.h"

#include "base/atomic.h"
#include "base/list.h"
#include "support/check.h"

enum { EMPTY, WAITING, SENT };

static void forget_waker(struct oneshot *oneshot)
{
    lido_waker_drop(&oneshot->waker);
}

/* Cancelled: takes the waker back, unless the value has just come. */
static int give_up(struct oneshot *oneshot)
{
    uint32_t expected = WAITING;
    if (!lido__cas(&oneshot->state, &expected, EMPTY, LIDO__ACQ_REL, LIDO__ACQUIRE) &&
        expected == SENT)
        return oneshot->value;
    if (expected == WAITING)
        forget_waker(oneshot);
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
    if (state == WAITING)
        return LIDO_PENDING;
    oneshot->waker = lido_waker_clone(waker);
    if (lido__cas(&oneshot->state, &state, WAITING, LIDO__ACQ_REL, LIDO__ACQUIRE))
        return LIDO_PENDING;
    forget_waker(oneshot);
    return oneshot->value;
}

void oneshot_init(struct oneshot *oneshot)
{
    oneshot->future.poll = oneshot_poll;
    oneshot->state = EMPTY;
}

void oneshot_send(struct oneshot *oneshot, int value)
{
    oneshot->value = value;
    /* The receiver may see SENT and be gone at once: the waker is ours only if it was WAITING, and then
       it is the receiver who waits for us to use it. */
    lido_waker waker = {0};
    uint32_t state = lido__load(&oneshot->state, LIDO__ACQUIRE);
    do {
        if (state == WAITING)
            waker = oneshot->waker;
    } while (!lido__cas(&oneshot->state, &state, SENT, LIDO__ACQ_REL, LIDO__ACQUIRE));
    if (state == WAITING) {
        lido_waker_wake(&waker);
        lido_waker_drop(&waker);
    }
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
