#include "rt/lifeguard.h"

#include <stdio.h>

#include "rt/runtime.h"
#include "sched/rescue.h"
#include "sched/section.h"
#include "sched/share.h"

/* A section that takes longer than this has blocked: twice what it costs to give the worker away. */
#define PATIENCE_NS 20000u
/*
 * Between two looks: while there are sections, and when there was none at the last look. After a second
 * such look it sleeps. A longer nap would be how long a section that begins in it stays unseen; to be
 * woken costs that section about as much as the lifeguard's looks cost without any.
 */
#define NAP_NS PATIENCE_NS
#define NAP_MAX_NS (2 * NAP_NS)
/* When there was no thread for a worker. */
#define RETRY_NS 1000000u

/* In one task for so long, a worker is stuck; and how often that is looked at. */
#define STALL_NS 1000000u
/* So many looks at which no worker was awake: the lifeguard sleeps until one is. */
#define QUIET_LOOKS 50u

/* ---- Sections ---------------------------------------------------------------------------------- */

/* The thread first: a worker that is taken from one must have another. */
static void hand_over(struct lido_runtime *runtime, struct lido__worker *worker, uint64_t now)
{
    struct lido__watched *watched = &runtime->seats[worker->index].watched;
    struct lido__member *member;
    if (lido__crew_take(&runtime->crew, LIDO__CPU_ANY, &member) < 0) {
        watched->due = now + RETRY_NS;
        return;
    }
    bool taken = lido__section_retake(worker, watched->ticket);
    lido__crew_send(member, taken ? worker : NULL);
}

/* Whether anything has happened since the last look. */
static bool look_at_section(struct lido_runtime *runtime, struct lido__worker *worker, uint64_t now)
{
    struct lido__watched *watched = &runtime->seats[worker->index].watched;
    uint32_t ticket = lido__section_seen(worker);
    if (ticket && ticket == watched->ticket && now >= watched->due)
        hand_over(runtime, worker, now);
    if (ticket && ticket != watched->ticket)
        watched->due = now + PATIENCE_NS;
    watched->ticket = ticket;
    return ticket != 0;
}

static bool look_at_sections(struct lido_runtime *runtime)
{
    uint64_t now = lido__clock_now();
    bool any = false;
    for (unsigned i = 0; i < runtime->pool.count; i++)
        any |= look_at_section(runtime, &runtime->pool.workers[i], now);
    return any;
}

/* ---- Stalls ------------------------------------------------------------------------------------ */

static void look_at_worker(struct lido_runtime *runtime, struct lido__worker *worker, uint64_t now)
{
    struct lido__watched *watched = &runtime->seats[worker->index].watched;
    uint64_t progress = lido__worker_progress(worker);
    if (progress != watched->progress) {
        watched->progress = progress;
        watched->since = now;
        return;
    }
    bool helps = lido__pool_shares(&runtime->pool) && lido__idle_hungry(&runtime->pool.idle);
    if (progress && helps && now - watched->since >= STALL_NS)
        lido__worker_rescue(worker);
}

static bool is_watched(const struct lido_runtime *runtime)
{
    return lido__pool_shares(&runtime->pool);
}

static bool anybody_awake(const struct lido_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->pool.count; i++)
        if (lido__load(&runtime->pool.workers[i].awake, LIDO__RELAXED))
            return true;
    return false;
}

/* How long the lifeguard may sleep. */
static uint64_t look_at_workers(struct lido_runtime *runtime)
{
    struct lido__lifeguard *guard = &runtime->lifeguard;
    uint64_t now = lido__clock_now();
    if (!is_watched(runtime))
        return LIDO__FOREVER;
    for (unsigned i = 0; i < runtime->pool.count; i++)
        look_at_worker(runtime, &runtime->pool.workers[i], now);
    guard->quiet = anybody_awake(runtime) ? 0 : guard->quiet + 1;
    if (guard->quiet < QUIET_LOOKS || runtime->pool.fenced)
        return STALL_NS;
    guard->quiet = 0;
    lido__store(&runtime->pool.unwatched, 1, LIDO__RELAXED);
    lido__barrier_all(); /* pairs with the light fence of a worker that wakes */
    return anybody_awake(runtime) ? STALL_NS : LIDO__FOREVER;
}

/* ---- The thread -------------------------------------------------------------------------------- */

static bool is_over(struct lido__lifeguard *guard)
{
    return lido__load(&guard->watch, LIDO__ACQUIRE) == LIDO__WATCH_OVER;
}

static bool change(struct lido__lifeguard *guard, enum lido__watch from, enum lido__watch to)
{
    uint32_t expected = from;
    return lido__cas(&guard->watch, &expected, to, LIDO__SEQ_CST, LIDO__SEQ_CST);
}

/* Until a section begins, or for so long; or not at all, if one has just begun. */
static void sleep_fully(struct lido_runtime *runtime, uint64_t timeout)
{
    struct lido__lifeguard *guard = &runtime->lifeguard;
    if (!change(guard, LIDO__WATCH_AWAKE, LIDO__WATCH_ASLEEP))
        return;
    /* Pairs with the exchange in watch: somebody may have woken since the lifeguard said that it sleeps. */
    bool any = timeout == LIDO__FOREVER && is_watched(runtime) &&
               !lido__load(&runtime->pool.unwatched, LIDO__SEQ_CST);
    for (unsigned i = 0; i < runtime->pool.count && !any; i++)
        any = lido__section_seen(&runtime->pool.workers[i]);
    if (any)
        change(guard, LIDO__WATCH_ASLEEP, LIDO__WATCH_AWAKE);
    lido__futex_wait(&guard->watch, LIDO__WATCH_ASLEEP, timeout);
    change(guard, LIDO__WATCH_ASLEEP, LIDO__WATCH_AWAKE);
}

static void stand_watch(void *arg)
{
    struct lido_runtime *runtime = arg;
    struct lido__lifeguard *guard = &runtime->lifeguard;
    uint64_t nap = NAP_NS;
    lido__thread_sleep_precisely();
    while (!is_over(guard)) {
        nap = look_at_sections(runtime) ? NAP_NS : 2 * nap;
        if (nap <= NAP_MAX_NS) {
            lido__futex_wait(&guard->watch, LIDO__WATCH_AWAKE, nap);
        } else {
            sleep_fully(runtime, look_at_workers(runtime));
            nap = NAP_NS;
        }
    }
}

static void start(struct lido_runtime *runtime)
{
    struct lido__lifeguard *guard = &runtime->lifeguard;
    char name[LIDO__THREAD_NAME_MAX];
    struct lido__thread_config config = {.name = name, .cpu = LIDO__CPU_ANY};
    if (!change(guard, LIDO__WATCH_ABSENT, LIDO__WATCH_AWAKE))
        return;
    snprintf(name, sizeof(name), "%sguard", runtime->name_prefix);
    guard->started = lido__thread_start(&guard->thread, &config, stand_watch, runtime) == 0;
    if (!guard->started)
        change(guard, LIDO__WATCH_AWAKE, LIDO__WATCH_ABSENT);
}

void lido__lifeguard_watch(struct lido__pool *pool)
{
    struct lido_runtime *runtime = pool->runtime;
    struct lido__lifeguard *guard = &runtime->lifeguard;
    lido__exchange(&pool->unwatched, 0, LIDO__SEQ_CST);
    if (lido__load(&guard->watch, LIDO__SEQ_CST) == LIDO__WATCH_ABSENT)
        start(runtime);
    else if (change(guard, LIDO__WATCH_ASLEEP, LIDO__WATCH_AWAKE))
        lido__futex_wake(&guard->watch, 1);
}

void lido__lifeguard_call(struct lido__worker *worker)
{
    struct lido_runtime *runtime = worker->pool->runtime;
    struct lido__lifeguard *guard = &runtime->lifeguard;
    /* Sequentially consistent, as the exchange with which the section has begun. */
    uint32_t watch = lido__load(&guard->watch, LIDO__SEQ_CST);
    if (__builtin_expect(watch == LIDO__WATCH_AWAKE, 1))
        return;
    if (watch == LIDO__WATCH_ABSENT)
        start(runtime);
    else if (change(guard, LIDO__WATCH_ASLEEP, LIDO__WATCH_AWAKE))
        lido__futex_wake(&guard->watch, 1);
}

void lido__lifeguard_fini(struct lido__lifeguard *guard)
{
    if (!guard->started)
        return;
    lido__exchange(&guard->watch, LIDO__WATCH_OVER, LIDO__RELEASE);
    lido__futex_wake(&guard->watch, 1);
    lido__thread_join(&guard->thread);
}
