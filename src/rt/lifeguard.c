#include "rt/lifeguard.h"

#include <stdio.h>

#include "rt/runtime.h"
#include "sched/section.h"

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

/* Until a section begins; or not at all, if one has just begun. */
static void sleep_fully(struct lido_runtime *runtime)
{
    struct lido__lifeguard *guard = &runtime->lifeguard;
    if (!change(guard, LIDO__WATCH_AWAKE, LIDO__WATCH_ASLEEP))
        return;
    bool any = false;
    for (unsigned i = 0; i < runtime->pool.count && !any; i++)
        any = lido__section_seen(&runtime->pool.workers[i]);
    if (any)
        change(guard, LIDO__WATCH_ASLEEP, LIDO__WATCH_AWAKE);
    while (lido__load(&guard->watch, LIDO__RELAXED) == LIDO__WATCH_ASLEEP)
        lido__futex_wait(&guard->watch, LIDO__WATCH_ASLEEP, LIDO__FOREVER);
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
            sleep_fully(runtime);
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
