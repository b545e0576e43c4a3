#include "rt/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "rt/blocking.h"
#include "rt/runtime.h"
#include "sched/section.h"
#include "sched/share.h"

/* Within this a worker whose loop turns has answered. */
#define ANSWER_NS 100000000u
/* Then it is looked into, again after so long if that was not possible, and no longer than this. */
#define RETRY_NS 10000000u
#define GIVE_UP_NS 1000000000u

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

static bool answered(struct lido__seat *seat, uint32_t round, uint64_t until)
{
    for (;;) {
        uint32_t reported = lido__load(&seat->reported, LIDO__ACQUIRE);
        uint64_t now = lido__clock_now();
        if (reported == round)
            return true;
        if (now >= until)
            return false;
        lido__futex_wait(&seat->reported, reported, until - now);
    }
}

/* Takes the mail of a worker that is outside of its loop: in it is the order to answer. */
static void answer_for(struct lido__worker *worker)
{
    if (!lido__gate_try_seize(&worker->gate))
        return;
    lido__worker_take_mail(worker);
    lido__gate_release(&worker->gate);
}

/* The worker is in its loop, and yet does not get on: perhaps the machine has no time for its thread. */
static void list_silent(struct lido__report *report, const struct lido__worker *worker)
{
    lido_stuck stuck = {.worker = worker->index, .where = "unknown", .awaits = "unknown"};
    pthread_mutex_lock(&report->lock);
    list(report, &stuck);
    pthread_mutex_unlock(&report->lock);
}

static void await_answer(struct lido_runtime *runtime, struct lido__worker *worker, uint64_t began)
{
    struct lido__seat *seat = &runtime->seats[worker->index];
    uint32_t round = runtime->report.round;
    bool told = answered(seat, round, began + ANSWER_NS);
    uint64_t now = lido__clock_now();
    for (uint64_t end = now + GIVE_UP_NS; !told && now < end; now = lido__clock_now()) {
        answer_for(worker);
        told = answered(seat, round, now + RETRY_NS);
    }
    if (!told)
        list_silent(&runtime->report, worker);
}

/* A worker without a thread has no tasks, and nobody who would answer. */
static void ask(struct lido_runtime *runtime, struct lido__worker *worker)
{
    if (!lido__load(&worker->seated, LIDO__ACQUIRE))
        return;
    runtime->seats[worker->index].asked = runtime->report.round;
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
    for (unsigned i = 0; i < runtime->pool.count; i++)
        if (runtime->seats[i].asked == runtime->report.round)
            await_answer(runtime, &workers[i], began);
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
