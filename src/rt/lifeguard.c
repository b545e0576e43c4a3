#include "rt/lifeguard.h"

#include <stdio.h>

#include "base/bits.h"
#include "rt/runtime.h"
#include "rt/start.h"
#include "sched/rescue.h"
#include "sched/section.h"
#include "sched/share.h"

/* A section that takes longer than this has blocked: twice what it costs to give the worker away. */
#define PATIENCE_NS 20000u
/*
 * Between two looks: while there are sections, and when there was none at the last look. After a second
 * such look it sleeps, and if it is not called it sleeps on after the next. A longer nap would be how long a section
 * that begins in it stays unseen; to be woken costs that section about as much as the lifeguard's looks cost without any.
 */
#define NAP_NS PATIENCE_NS
#define NAP_MAX_NS (2 * NAP_NS)
/* When there was no thread for a worker. */
#define RETRY_NS 1000000u

/* In one turn for so long, a worker is stuck; and how often that is looked at. */
#define STALL_NS 1000000u
/* How often a thread is asked where it is that does not answer: on a busy machine it may be long without a cpu. */
#define ASK_MAX 10u
#define ASK_AGAIN_NS 10000000u
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

/* Whether it is in one. */
static bool look_at_section(struct lido_runtime *runtime, struct lido__worker *worker, uint64_t now)
{
    struct lido__watched *watched = &runtime->seats[worker->index].watched;
    uint64_t ticket = lido__section_seen(worker);
    if (ticket && ticket == watched->ticket && now >= watched->due)
        hand_over(runtime, worker, now);
    if (ticket && ticket != watched->ticket)
        watched->due = now + PATIENCE_NS;
    watched->ticket = ticket;
    return ticket != 0;
}

static bool look_at_sections(struct lido_runtime *runtime, uint64_t now)
{
    bool any = false;
    for (unsigned i = 0; i < runtime->pool.count; i++)
        any |= look_at_section(runtime, &runtime->pool.workers[i], now);
    return any;
}

/* ---- Stalls ------------------------------------------------------------------------------------ */

/* What of a worker changes whenever it gets on, be it into a section; 0: it is in no task. */
static uint64_t progress_of(const struct lido__worker *worker)
{
    uint64_t ticket = lido__section_seen(worker);
    return ticket ? ticket << 33 : lido__worker_progress(worker);
}

/*
 * Its thread is asked where it is, and that once for each poll; unless there is no answer to that: then again, after the
 * others have had their turns.
 */
static void ask(struct lido_runtime *runtime, struct lido__worker *worker,
                const struct lido__watched *watched, uint64_t now)
{
    struct lido__asked *asked = &runtime->lifeguard.asked;
    if (asked->inquiry || now < watched->again)
        return;
    *asked = (struct lido__asked){
        .worker = worker,
        .progress = watched->progress,
        .since = watched->since,
        .blocking = lido__section_seen(worker),
    };
    lido__watch_ask(runtime, asked, now);
}

/* It has got on since it was asked, or has not. */
static void note_answer(struct lido_runtime *runtime, const struct lido__asked *asked,
                        enum lido__answer answer, uint64_t now)
{
    struct lido__watched *watched = &runtime->seats[asked->worker->index].watched;
    if (asked->progress != watched->progress)
        return;
    watched->again = now + ASK_AGAIN_NS;
    watched->reported = answer == LIDO__ANSWER_TOLD || ++watched->silent == ASK_MAX;
    if (answer == LIDO__ANSWER_SILENT && watched->reported)
        lido__watch_tell_silent(runtime, asked, now);
}

static void look_for_answer(struct lido_runtime *runtime, uint64_t now)
{
    struct lido__asked *asked = &runtime->lifeguard.asked;
    enum lido__answer answer = asked->inquiry ? lido__watch_collect(runtime, asked, now)
                                              : LIDO__ANSWER_PENDING;
    if (answer != LIDO__ANSWER_PENDING)
        note_answer(runtime, asked, answer, now);
}

/*
 * A worker that shares makes a turn every 100 us; unless it sits in one task, or its slice was measured by cheaper
 * tasks than those that it has now. True: it has made none for long.
 */
static bool look_at_turn(struct lido__watched *watched, uint64_t now)
{
    uint64_t turn = lido__worker_turn(watched->progress);
    if (!turn)
        return false; /* between two tasks, or asleep; after that it is in another turn */
    if (turn == watched->turn)
        return now - watched->turned >= STALL_NS;
    watched->turn = turn;
    watched->turned = now;
    lido__rescue_reset(&watched->rescue);
    return false;
}

static void look_at_poll(struct lido_runtime *runtime, struct lido__worker *worker,
                         struct lido__watched *watched, uint64_t now)
{
    uint64_t limit = runtime->settings.config.watch_ms * (uint64_t)1000000;
    uint64_t progress = progress_of(worker);
    if (progress != watched->progress) {
        watched->progress = progress;
        watched->since = now;
        watched->reported = false;
        watched->silent = 0;
        watched->again = 0;
        return;
    }
    if (progress && limit && !watched->reported && now - watched->since >= limit)
        ask(runtime, worker, watched, now);
}

/* Puts it on the list of those to be rescued, if it is to be. */
static void look_at_worker(struct lido_runtime *runtime, struct lido__worker *worker, uint64_t now,
                           struct lido__rescue **stuck)
{
    struct lido__watched *watched = &runtime->seats[worker->index].watched;
    struct lido__rescue *rescue = &watched->rescue;
    look_at_poll(runtime, worker, watched, now);
    if (!look_at_turn(watched, now) || !lido__idle_hungry(&runtime->pool.idle))
        return;
    rescue->worker = worker;
    if (!lido__rescue_promises(rescue, now))
        return;
    rescue->next = *stuck;
    *stuck = rescue;
}

/* How often the workers are to be looked at; never, if nothing can be done for them. */
static uint64_t pace_of(const struct lido_runtime *runtime)
{
    if (lido__pool_shares(&runtime->pool))
        return STALL_NS;
    uint64_t limit = runtime->settings.config.watch_ms * (uint64_t)1000000;
    if (runtime->lifeguard.asked.inquiry)
        return STALL_NS;
    return limit ? lido__max_u64(limit / 4, STALL_NS) : LIDO__FOREVER;
}

static bool anybody_awake(const struct lido_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->pool.count; i++)
        if (lido__load(&runtime->pool.workers[i].awake, LIDO__RELAXED))
            return true;
    return false;
}

/* Nobody has been awake for a while: whoever wakes from now on says so. False: somebody just has. */
static bool leave_unwatched(struct lido_runtime *runtime)
{
    lido__store(&runtime->pool.unwatched, 1, LIDO__RELAXED);
    lido__barrier_all(); /* pairs with the light fence of a worker that wakes */
    return !anybody_awake(runtime);
}

/* How long the lifeguard may sleep. */
static uint64_t look_at_workers(struct lido_runtime *runtime, uint64_t now)
{
    struct lido__lifeguard *guard = &runtime->lifeguard;
    struct lido__rescue *stuck = NULL;
    if (pace_of(runtime) == LIDO__FOREVER)
        return LIDO__FOREVER;
    look_for_answer(runtime, now);
    for (unsigned i = 0; i < runtime->pool.count; i++)
        look_at_worker(runtime, &runtime->pool.workers[i], now, &stuck);
    if (stuck && lido__rescue_all(stuck, NULL))
        return NAP_NS;                /* there is more, which nobody wakes the lifeguard for */
    uint64_t pace = pace_of(runtime); /* something may have been asked */
    guard->quiet = anybody_awake(runtime) ? 0 : guard->quiet + 1;
    if (guard->quiet < QUIET_LOOKS || guard->asked.inquiry || runtime->pool.fenced ||
        lido__barrier_refused())
        return pace;
    guard->quiet = 0;
    return leave_unwatched(runtime) ? LIDO__FOREVER : pace;
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

static uint64_t after(uint64_t now, uint64_t timeout)
{
    return timeout == LIDO__FOREVER ? LIDO__FOREVER : now + timeout;
}

/* Nobody was to be looked at, and now somebody is. SEQ_CST: pairs with the exchange in lido__lifeguard_watch. */
static bool somebody_has_woken(const struct lido_runtime *runtime)
{
    return pace_of(runtime) != LIDO__FOREVER &&
           !lido__load(&runtime->pool.unwatched, LIDO__SEQ_CST);
}

/*
 * Whether the workers are to be looked at now; `due`: when, or FOREVER. Sections may keep the lifeguard awake all the
 * time, so what it is told while it is awake must count as well as what wakes it.
 */
static bool is_due(const struct lido_runtime *runtime, uint64_t due, uint64_t now)
{
    return due == LIDO__FOREVER ? somebody_has_woken(runtime) : now >= due;
}

/* Whether something has begun that the lifeguard was not told of, as it seemed to be awake. */
static bool has_missed(struct lido_runtime *runtime, uint64_t timeout)
{
    if (timeout == LIDO__FOREVER && somebody_has_woken(runtime))
        return true;
    for (unsigned i = 0; i < runtime->pool.count; i++)
        if (lido__section_seen(&runtime->pool.workers[i]))
            return true;
    return false;
}

/* Until a section begins, or a worker wakes that nobody watches, or for so long. True: only the time has passed. */
static bool sleep_fully(struct lido_runtime *runtime, uint64_t timeout)
{
    struct lido__lifeguard *guard = &runtime->lifeguard;
    if (!change(guard, LIDO__WATCH_AWAKE, LIDO__WATCH_ASLEEP))
        return false;
    bool missed = has_missed(runtime, timeout);
    if (!missed)
        lido__futex_wait(&guard->watch, LIDO__WATCH_ASLEEP, timeout);
    return change(guard, LIDO__WATCH_ASLEEP, LIDO__WATCH_AWAKE) && !missed;
}

static void stand_watch(void *arg)
{
    struct lido_runtime *runtime = arg;
    struct lido__lifeguard *guard = &runtime->lifeguard;
    uint64_t nap = NAP_NS, due = 0; /* when the workers are looked at again */
    lido__thread_sleep_precisely();
    while (lido__load(&guard->watch, LIDO__ACQUIRE) == LIDO__WATCH_STARTING)
        lido__futex_wait(&guard->watch, LIDO__WATCH_STARTING, NAP_NS);
    while (!is_over(guard)) {
        uint64_t now = lido__clock_now();
        nap = look_at_sections(runtime, now) ? NAP_NS : 2 * nap;
        if (is_due(runtime, due, now))
            due = after(now, look_at_workers(runtime, now));
        if (nap <= NAP_MAX_NS) {
            lido__futex_wait(&guard->watch, LIDO__WATCH_AWAKE, nap);
        } else {
            bool undisturbed = sleep_fully(runtime, due == LIDO__FOREVER ? due : due - now);
            /* Nothing has begun: it may sleep on at once. */
            nap = undisturbed ? NAP_MAX_NS : NAP_NS;
        }
    }
    lido__watch_abandon(&guard->asked);
}

/* False: there is no thread for it; somebody else may try again, but not at each wake-up of a worker: that would cost
   all of them 30 us. */
static bool start(struct lido_runtime *runtime)
{
    struct lido__lifeguard *guard = &runtime->lifeguard;
    char name[LIDO__THREAD_NAME_MAX];
    struct lido__thread_config config = {.name = name, .cpu = LIDO__CPU_ANY};
    if (!lido__pool_may_start(&runtime->pool))
        return false;
    if (!change(guard, LIDO__WATCH_ABSENT, LIDO__WATCH_STARTING))
        return true;
    snprintf(name, sizeof(name), "%sguard", runtime->name_prefix);
    bool started = lido__thread_start(&guard->thread, &config, stand_watch, runtime) == 0;
    change(guard, LIDO__WATCH_STARTING, started ? LIDO__WATCH_AWAKE : LIDO__WATCH_ABSENT);
    if (!started)
        lido__crew_refused(&runtime->crew);
    return started;
}

static bool rouse(struct lido_runtime *runtime, uint32_t watch)
{
    struct lido__lifeguard *guard = &runtime->lifeguard;
    if (watch == LIDO__WATCH_ABSENT)
        return start(runtime);
    if (change(guard, LIDO__WATCH_ASLEEP, LIDO__WATCH_AWAKE))
        lido__futex_wake(&guard->watch, 1);
    return true;
}

void lido__lifeguard_watch(struct lido__pool *pool)
{
    struct lido_runtime *runtime = pool->runtime;
    lido__exchange(&pool->unwatched, 0, LIDO__SEQ_CST);
    if (!rouse(runtime, lido__load(&runtime->lifeguard.watch, LIDO__SEQ_CST)))
        lido__store(&pool->unwatched, 1, LIDO__RELAXED);
}

void lido__lifeguard_call(struct lido__worker *worker)
{
    struct lido_runtime *runtime = worker->pool->runtime;
    /* Sequentially consistent, as the exchange with which the section has begun. */
    uint32_t watch = lido__load(&runtime->lifeguard.watch, LIDO__SEQ_CST);
    if (__builtin_expect(watch != LIDO__WATCH_AWAKE, 0))
        rouse(runtime, watch);
}

/* Acquire: who has started it has written `thread`. From here on nobody starts it any more. */
void lido__lifeguard_fini(struct lido__lifeguard *guard)
{
    uint32_t watch = LIDO__WATCH_ABSENT;
    struct lido__backoff backoff = {0};
    while (!lido__cas(&guard->watch, &watch, LIDO__WATCH_OVER, LIDO__ACQ_REL, LIDO__ACQUIRE)) {
        if (watch != LIDO__WATCH_STARTING)
            continue;
        lido__backoff(&backoff);
        watch = LIDO__WATCH_ABSENT;
    }
    if (watch == LIDO__WATCH_ABSENT)
        return;
    lido__futex_wake(&guard->watch, 1);
    lido__thread_join(&guard->thread);
}
