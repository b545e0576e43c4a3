#include "rt/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "rt/blocking.h"
#include "rt/runtime.h"
#include "sched/section.h"
#include "sched/share.h"

/* Within this a worker whose loop turns has mostly answered; then those that have not are looked into, again and again. */
#define ANSWER_NS 20000000u
#define RETRY_NS 10000000u
/* For how long in all, whatever their number; and if there are some that must come, for the machine has no time for them. */
#define GIVE_UP_NS 100000000u
#define GIVE_UP_LATE_NS 1000000000u

struct lido__told {
    struct lido__told *next;
    lido_stuck stuck;
    char name[];
};

void lido__report_init(struct lido__report *report)
{
    pthread_mutex_init(&report->lock, NULL);
    report->last = &report->first;
}

void lido__report_fini(struct lido__report *report)
{
    pthread_mutex_destroy(&report->lock);
}

/* Acquire, and release in end: each sees the list as the one before has left it. */
bool lido__report_try_begin(struct lido__report *report)
{
    return !lido__exchange(&report->taken, 1, LIDO__ACQUIRE);
}

void lido__report_begin(struct lido__report *report)
{
    struct lido__backoff backoff = {0};
    while (!lido__report_try_begin(report))
        lido__backoff(&backoff);
}

void lido__report_end(struct lido__report *report)
{
    lido__store(&report->taken, 0, LIDO__RELEASE);
}

/* ---- A worker's answer ------------------------------------------------------------------------- */

/* The name too is copied, for it lives no longer than the task. The lock is held. */
static void list(struct lido__report *report, const lido_stuck *stuck)
{
    size_t size = stuck->name ? strlen(stuck->name) + 1 : 0;
    struct lido__told *told = lido__fault("malloc") < 0 ? NULL
                                                        : malloc(sizeof(struct lido__told) + size);
    if (!told) {
        report->lost++;
        return;
    }
    told->stuck = *stuck;
    if (stuck->name)
        told->stuck.name = memcpy(told->name, stuck->name, size);
    told->next = NULL;
    *report->last = told;
    report->last = &told->next;
}

/* Not of the current task, whose thread may be writing this. */
static const char *awaits(const lido_task *task)
{
    if (task->flags & LIDO__TASK_UNSTARTED)
        return "start";
    if (task->flags & LIDO__TASK_FIBER)
        return lido__fiber_of(task)->awaits;
    return lido__blocking_is_task(task) ? "blocking" : "future";
}

static void list_task(struct lido__report *report, const struct lido__worker *worker,
                      const lido_task *task, uint64_t now)
{
    lido_stuck stuck = {.worker = worker->index, .name = task->name, .where = task->where};
    uint32_t since = task->since;
    if (task != worker->current) {
        stuck.awaits = awaits(task);
        stuck.runnable = task->flags & LIDO__TASK_QUEUED;
    } else if (lido__section_seen(worker)) {
        stuck.awaits = "blocking";
    } else {
        stuck.awaits = "running";
        since = worker->stamp;
    }
    stuck.waited_ms = (int64_t)(lido__stamp_age(since, now) / 1000000);
    list(report, &stuck);
}

void lido__report_worker(struct lido__worker *worker)
{
    struct lido_runtime *runtime = worker->pool->runtime;
    struct lido__report *report = &runtime->report;
    struct lido__seat *seat = &runtime->seats[worker->index];
    uint64_t now = lido__clock_now();
    if (lido__pool_shares(worker->pool))
        lido__share_gather(worker);
    pthread_mutex_lock(&report->lock);
    for (struct lido__node *n = worker->tasks.next; report->open && n != &worker->tasks;
         n = n->next)
        list_task(report, worker, lido__container_of(n, lido_task, live), now);
    lido__store(&seat->reported, report->round, LIDO__RELEASE);
    pthread_mutex_unlock(&report->lock);
    lido__futex_wake(&seat->reported, 1);
}

/* ---- Asking ------------------------------------------------------------------------------------ */

static bool is_silent(const struct lido_runtime *runtime, unsigned index)
{
    const struct lido__seat *seat = &runtime->seats[index];
    uint32_t round = runtime->report.round;
    return seat->asked == round && lido__load(&seat->reported, LIDO__ACQUIRE) != round;
}

static void await_answer(struct lido_runtime *runtime, unsigned index, uint64_t until)
{
    struct lido__seat *seat = &runtime->seats[index];
    uint64_t now;
    while (is_silent(runtime, index) && (now = lido__clock_now()) < until)
        lido__futex_wait(&seat->reported, seat->before, until - now);
}

/* Whether all have answered. */
static bool await_answers(struct lido_runtime *runtime, uint64_t until)
{
    unsigned silent = 0;
    for (unsigned i = 0; i < runtime->pool.count; i++) {
        await_answer(runtime, i, until);
        silent += is_silent(runtime, i);
    }
    return silent == 0;
}

/* Whether its gate needs the barrier. */
static bool claim(struct lido_runtime *runtime, unsigned index)
{
    struct lido__gate *gate = &runtime->pool.workers[index].gate;
    struct lido__seat *seat = &runtime->seats[index];
    seat->claimed = is_silent(runtime, index) && lido__gate_claim(gate);
    return seat->claimed && !lido__gate_fenced(gate);
}

/* Takes the mail of a worker that is outside of its loop: in it is the order to answer. */
static void answer_for(struct lido_runtime *runtime, unsigned index)
{
    struct lido__worker *worker = &runtime->pool.workers[index];
    if (!runtime->seats[index].claimed || !lido__gate_confirm(&worker->gate))
        return;
    lido__worker_take_mail(worker);
    lido__gate_release(&worker->gate);
}

/* One barrier for all. */
static void answer_for_silent(struct lido_runtime *runtime)
{
    bool barrier = false;
    for (unsigned i = 0; i < runtime->pool.count; i++)
        barrier |= claim(runtime, i);
    if (barrier)
        lido__gate_barrier();
    for (unsigned i = 0; i < runtime->pool.count; i++)
        answer_for(runtime, i);
}

/*
 * Whether one of those that are silent is in its loop, or asleep in lido's own reactor, from which it has been woken: then the
 * machine has no time for its thread yet. When an embedder's sleep ends only the embedder knows.
 */
static bool some_must_come(const struct lido_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->pool.count; i++)
        if (is_silent(runtime, i) &&
            (!runtime->pool.park || lido__load(&runtime->pool.workers[i].awake, LIDO__RELAXED)))
            return true;
    return false;
}

static void await_all(struct lido_runtime *runtime, uint64_t began)
{
    bool told = await_answers(runtime, began + ANSWER_NS);
    for (uint64_t now = lido__clock_now(); !told; now = lido__clock_now()) {
        answer_for_silent(runtime);
        told = await_answers(runtime, now + RETRY_NS);
        if (now - began >= GIVE_UP_LATE_NS ||
            (now - began >= GIVE_UP_NS && !some_must_come(runtime)))
            return;
    }
}

static void list_silent(struct lido__report *report, const struct lido__worker *worker)
{
    lido_stuck stuck = {.worker = worker->index, .where = "unknown", .awaits = "unknown"};
    pthread_mutex_lock(&report->lock);
    list(report, &stuck);
    pthread_mutex_unlock(&report->lock);
}

/* A worker without a thread has no tasks, and nobody who would answer. */
static void ask(struct lido_runtime *runtime, struct lido__worker *worker)
{
    if (!lido__load(&worker->seated, LIDO__ACQUIRE))
        return;
    struct lido__seat *seat = &runtime->seats[worker->index];
    seat->before = lido__load(&seat->reported, LIDO__RELAXED);
    seat->asked = runtime->report.round;
    lido__worker_order(worker, LIDO__ORDER_REPORT);
}

static void open_list(struct lido__report *report, bool open)
{
    pthread_mutex_lock(&report->lock);
    report->round += open;
    report->open = open;
    pthread_mutex_unlock(&report->lock);
}

int lido__report_make(void *arg)
{
    struct lido_runtime *runtime = arg;
    struct lido__worker *workers = runtime->pool.workers;
    uint64_t began = lido__clock_now();
    open_list(&runtime->report, true);
    for (unsigned i = 0; i < runtime->pool.count; i++)
        ask(runtime, &workers[i]);
    await_all(runtime, began);
    for (unsigned i = 0; i < runtime->pool.count; i++)
        if (is_silent(runtime, i))
            list_silent(&runtime->report, &workers[i]);
    open_list(&runtime->report, false);
    return 0;
}

void lido__report_tell(struct lido__report *report, void (*fn)(void *arg, const lido_stuck *stuck),
                       void *arg)
{
    static const lido_stuck unknown = {.where = "unknown", .awaits = "unknown"};
    struct lido__told *told;
    while ((told = report->first)) {
        report->first = told->next;
        fn(arg, &told->stuck);
        free(told);
    }
    report->last = &report->first;
    for (; report->lost; report->lost--)
        fn(arg, &unknown);
}

void lido__report_each(struct lido__report *report, void (*fn)(void *arg, const lido_stuck *stuck),
                       void *arg)
{
    for (struct lido__told *told = report->first; told; told = told->next)
        fn(arg, &told->stuck);
}

static void ignore(void *arg, const lido_stuck *stuck)
{
    (void)arg;
    (void)stuck;
}

void lido__report_drop(struct lido__report *report)
{
    lido__report_tell(report, ignore, NULL);
}
