#include "sched/rescue.h"

#include "os/os.h"
#include "sched/section.h"
#include "sched/share.h"

/* Changes whenever a task is taken from the queue. */
static uint64_t position_of(const struct lido__worker *worker)
{
    uint64_t turns = lido__load(&worker->turns, LIDO__RELAXED);
    return turns << 32 | lido__load(&worker->slice_left, LIDO__RELAXED);
}

/* Relaxed: it is a guess, which the seizure confirms. */
uint64_t lido__worker_progress(const struct lido__worker *worker)
{
    if (!lido__load(&worker->current, LIDO__RELAXED) || lido__section_seen(worker))
        return 0;
    return position_of(worker) + 1;
}

/* ---- Whether it pays --------------------------------------------------------------------------- */

static bool has_events(const struct lido__worker *worker)
{
    const struct lido__reactor *reactor = worker->reactor;
    int fd = reactor->ops->descriptor ? reactor->ops->descriptor(reactor) : -1;
    return fd < 0 || lido__os_readable(fd);
}

/* Since it was looked into; the cheap questions first. */
static bool has_news(const struct lido__rescue *rescue, uint64_t now)
{
    const struct lido__worker *worker = rescue->worker;
    return !lido__gate_is_marked(&worker->gate) || rescue->expiry <= now || has_events(worker);
}

/*
 * Relaxed throughout: each of these is written before or with what it announces, so it is seen sooner or later, and
 * the next question is a millisecond away.
 */
bool lido__rescue_promises(const struct lido__rescue *rescue, uint64_t now)
{
    const struct lido__worker *worker = rescue->worker;
    if (lido__load(&worker->gate.inside, LIDO__RELAXED))
        return false; /* it could not be seized */
    if (!lido__load(&worker->movable, LIDO__RELAXED) &&
        !lido__load(&worker->incoming, LIDO__RELAXED))
        return false;
    if (!lido__inbox_empty(&worker->inbox))
        return true;
    if (lido__load(&worker->live, LIDO__RELAXED) <= 1)
        return false; /* there is only the task that it sits in */
    return !rescue->vain || has_news(rescue, now);
}

/* ---- Rescuing ---------------------------------------------------------------------------------- */

/* Among how many tasks of all queues is looked at once, while owners may wait; but of each queue among some. */
#define AMONG 1024u
#define AMONG_LEAST 64u

/* The gate is seized. */
static unsigned look_into(struct lido__rescue *rescue, unsigned among, uint64_t now)
{
    struct lido__worker *worker = rescue->worker;
    uint64_t position = position_of(worker);
    if (position != rescue->position)
        rescue->from = NULL;
    rescue->position = position;
    lido__worker_peek(worker, now);
    lido__worker_take_mail(worker);
    unsigned moved = lido__share_evacuate(worker, among, &rescue->from);
    rescue->expiry = lido__wheel_next_expiry(&worker->wheel);
    rescue->vain = !rescue->from && rescue->expiry > now;
    return moved;
}

/* Whether the caller goes on with this one; otherwise it is removed from the list that it is in. */
static bool keep_if(bool condition, struct lido__rescue ***at)
{
    if (condition)
        *at = &(**at)->next;
    else
        **at = (**at)->next;
    return condition;
}

/* Without those that somebody else has seized. Whether one of the others needs the barrier. */
static bool claim_all(struct lido__rescue **list)
{
    bool barrier = false;
    for (struct lido__rescue **at = list; *at;) {
        struct lido__gate *gate = &(*at)->worker->gate;
        if (keep_if(lido__gate_claim(gate), &at))
            barrier |= !lido__gate_fenced(gate);
    }
    return barrier;
}

/* Without those whose owners are inside, who are let go before anything else is done. How many are left. */
static unsigned confirm_all(struct lido__rescue **list)
{
    unsigned count = 0;
    for (struct lido__rescue **at = list; *at;)
        count += keep_if(lido__gate_confirm(&(*at)->worker->gate), &at);
    return count;
}

bool lido__rescue_all(struct lido__rescue *list, unsigned *moved)
{
    unsigned found = 0;
    bool more = false;
    if (claim_all(&list))
        lido__gate_barrier();
    unsigned count = confirm_all(&list);
    unsigned among = count * AMONG_LEAST < AMONG && count ? AMONG / count : AMONG_LEAST;
    uint64_t now = count ? lido__clock_now() : 0;
    for (struct lido__rescue *rescue = list; rescue; rescue = rescue->next) {
        found += look_into(rescue, among, now);
        more |= !rescue->vain;
        lido__gate_release_marked(&rescue->worker->gate);
    }
    if (moved)
        *moved += found;
    return more;
}
