#include "sched/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bits.h"
#include "base/fault.h"
#include "base/fork.h"
#include "os/os.h"
#include "sched/share.h"
#include "sched/wake.h"

/*
 * How long a worker that has enough to run may go without a look at its reactor. What it would see there
 * would stand at the end of its queue; looking often costs more than it gives. It asks the clock after
 * each slice of tasks, whose length follows from the mean time that the last ones took. So neither do
 * yields of 5 ns pay for a system call each, nor do requests of 10 us let the sockets wait for long.
 */
#define LOOK_EVERY_NS 2000000u
#define SLICE_MIN 8u
#define SLICE_MAX 256u

/* Where tasks are shared, others may be waiting for it: a slice fills no more than this, be it with one task. */
#define SHARE_EVERY_NS 100000u

/*
 * Of how many ticks timers fire at a look that finds nothing else to run: their tasks run, and it looks again.
 * Where a hundred thousand are due, all of them would bring as many tasks near as are gone from there again
 * when it is their turn; that takes longer, and the next look finds still more.
 */
#define TICKS_AT_ONCE 4u

/* How long a fiber waits for memory for its stack before it tries again, if nothing happens. */
#define STARVED_RETRY_NS 10000000u

/* How often a worker that never sleeps gives back what it keeps for tasks to come: once a second. */
#define REST_EVERY_STAMPS 60u

__thread struct lido__worker *lido__worker_of_thread __attribute__((tls_model("initial-exec")));

int lido__worker_init(struct lido__worker *worker, struct lido__pool *pool, unsigned index,
                      const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = lido__fault("malloc") < 0 ? NULL : calloc(1, ops->size);
    void *lent = lido__fault("malloc") < 0 ? NULL : malloc(LIDO__LENT_SIZE);
    int r = reactor && lent ? 0 : -ENOMEM;
    if (r == 0) {
        reactor->ops = ops;
        reactor->lent = lent;
        reactor->worker = index;
        r = ops->init(reactor);
    }
    if (r < 0) {
        free(reactor);
        free(lent);
        return r;
    }
    worker->reactor = reactor;
    worker->pool = pool;
    worker->index = index;
    worker->budget_full = pool->budget;
    worker->hurries = pool->hurries;
    worker->random = index + 1;
    worker->slice = SLICE_MIN;
    worker->cancel_at = LIDO__NEVER;
    worker->now = lido__clock_now();
    worker->stamp = lido__stamp_of(worker->now);
    lido__gate_init(&worker->gate, pool->fenced);
    lido__ring_init(&worker->ring);
    lido__idler_init(&worker->idler);
    lido__inbox_init(&worker->inbox);
    lido__fifo_init(&worker->queue);
    lido__fifo_init(&worker->starved);
    lido__list_init(&worker->tasks);
    lido__wheel_init(&worker->wheel, worker->now);
    return 0;
}

void lido__worker_fini(struct lido__worker *worker)
{
    worker->reactor->ops->fini(worker->reactor);
    free(worker->reactor->lent);
    free(worker->reactor);
}

/*
 * Gives back the tokens of the pool that the worker does not need: all but one while it has live tasks.
 * Only when there is nothing to run: while tasks keep coming, the pool's word is left to those who
 * send them, and no cache line goes to and fro.
 */
static void settle_tokens(struct lido__worker *worker)
{
    uint64_t needed = worker->live > 0;
    uint64_t spare = worker->tokens - needed;
    worker->tokens = needed;
    if (spare)
        lido__pool_leave(worker->pool, spare);
}

/* ---- Running ----------------------------------------------------------------------------------- */

/* One fiber that waits for a stack may try again. */
static __attribute__((noinline)) void feed_starved(struct lido__worker *worker)
{
    struct lido__link *link = lido__fifo_pop(&worker->starved);
    lido_task *task = lido__container_of(link, lido_task, run);
    worker->starving--;
    task->flags &= ~LIDO__TASK_QUEUED;
    lido__worker_queue(worker, task);
}

/* Whoever waits on other threads. */
static __attribute__((noinline)) void tell_others(lido_task *task, uint32_t was, bool queued)
{
    if (was & LIDO__JOINER) {
        lido__wake_consume(task->joiner);
        if (!queued)
            lido__task_unref(task);
    }
    if (was & LIDO__THREAD)
        lido__futex_wake(&task->state.word, INT_MAX);
    if (!(was & LIDO__JOINER) && !queued && was / LIDO__REF == 1)
        lido__task_free(task);
}

/* One of this worker, held here by an anchor until now. */
static void wake_joiner(struct lido__worker *worker, const lido_task *task)
{
    lido_task *joiner = lido__waker_task(task->joiner);
    joiner->anchors--;
    lido__wake_here(worker, joiner);
}

static void tell_parent(lido_task *task)
{
    struct lido__parent *parent = (struct lido__parent *)task->joiner.lido_private;
    parent->ended(parent, task->result);
}

/* That a task returns -ECANCELED when it has been cancelled is no failure. */
void lido__worker_note_error(struct lido__worker *worker, int result)
{
    const struct lido__pool *pool = worker->pool;
    const lido_task *task = worker->current;
    uint32_t word = lido__load(&task->state.word, LIDO__RELAXED);
    bool joined = word & LIDO__HANDLE || lido__task_flags(task) & LIDO__TASK_CHILD;
    bool expected = result == -ECANCELED && word & LIDO__CANCELLED;
    if (pool->failed && !joined && !expected)
        pool->failed(worker->pool, task->name, task->where, result);
}

void lido__worker_finish(struct lido__worker *worker, lido_task *task, int result)
{
    lido__worker_unlist(worker, task);
    task->result = result;
    if (task->flags & LIDO__TASK_JOINED)
        wake_joiner(worker, task);
    else if (task->flags & LIDO__TASK_CHILD)
        tell_parent(task);
    bool queued = task->flags & LIDO__TASK_QUEUED;
    if (queued)
        task->flags |= LIDO__TASK_ENDED;
    uint32_t was = lido__state_finish(&task->state, queued);
    /* A wake-up that is under way needs the worker: it stays alive until that has arrived. */
    if (!(was & LIDO__NOTIFIED))
        lido__worker_uncount(worker);
    if (__builtin_expect(!lido__fifo_empty(&worker->starved), 0))
        feed_starved(worker);
    if (__builtin_expect(was & (LIDO__JOINER | LIDO__THREAD), 0))
        tell_others(task, was, queued);
    else if (!queued && was / LIDO__REF == 1)
        lido__task_free(task);
}

void lido__worker_starve(struct lido__worker *worker, lido_task *task)
{
    if (worker->live > worker->starving + 1) {
        worker->starving++;
        task->flags |= LIDO__TASK_QUEUED; /* so that a wake-up leaves `run` alone */
        lido__fifo_push(&worker->starved, &task->run);
    } else {
        lido__worker_finish(worker, task, -ENOMEM);
    }
}

/* A fiber that runs for the first time. */
static bool start(struct lido__worker *worker, lido_task *task)
{
    if (worker->pool->start(worker, task) == 0)
        return true;
    lido__worker_starve(worker, task);
    return false;
}

/* The result of a future's code, which runs outside the gate. */
static int call(struct lido__worker *worker, lido_task *task)
{
    lido_waker waker = lido__waker_borrow(task);
    lido__worker_leave(worker);
    int result = task->future->poll(task->future, &waker);
    if (result != LIDO_PENDING) {
        lido__extra_end(task);
        if (__builtin_expect(result < 0, 0))
            lido__worker_note_error(worker, result);
    }
    lido__worker_enter(worker);
    return result;
}

/*
 * Fibers leave the gate by themselves, pass the worker on among each other, and have seen to all that is due to
 * them before they come back. False: the worker has been taken from this thread.
 */
static bool visit_fibers(struct lido__worker *worker, lido_task *task)
{
    task->future->poll(task->future, NULL);
    return lido__worker_current() == worker;
}

/* False: as above. */
static bool poll(struct lido__worker *worker, lido_task *task)
{
    if (task->flags & LIDO__TASK_FIBER)
        return visit_fibers(worker, task);
    int result = call(worker, task);
    if (result == LIDO_PENDING) {
        task->since = worker->stamp;
        lido__worker_suspend(worker, task);
    } else {
        lido__worker_finish(worker, task, result);
    }
    return true;
}

static bool run(struct lido__worker *worker, lido_task *task)
{
    if (task->flags & LIDO__TASK_ENDED)
        lido__task_unref(task); /* was woken in its last poll */
    else if ((!(task->flags & LIDO__TASK_UNSTARTED) || start(worker, task)) && !poll(worker, task))
        return false;
    lido__worker_set_current(worker, NULL);
    return true;
}

/* ---- Looking ----------------------------------------------------------------------------------- */

/* The task of a deadline's alarm may be given away while that is armed; others hold it. */
static void ring_alarm(struct lido__worker *worker, struct lido__alarm *alarm)
{
    alarm->task->anchors -= !lido__alarm_is_deadline(alarm);
    lido__worker_queue(worker, alarm->task);
}

static void fire_timers(struct lido__worker *worker, uint64_t now, unsigned ticks)
{
    struct lido__node fired;
    struct lido__timer *timer;
    lido__list_init(&fired);
    lido__wheel_advance(&worker->wheel, now, ticks, &fired);
    while ((timer = lido__timer_next_fired(&fired)))
        ring_alarm(worker, lido__container_of(timer, struct lido__alarm, timer));
}

void lido__worker_peek(struct lido__worker *worker, uint64_t now)
{
    struct lido__fifo handed;
    lido__fifo_init(&handed);
    worker->reactor->ops->wait(worker->reactor, 0, &handed);
    lido__deliver(&handed, LIDO__OP_READY, 0);
    fire_timers(worker, now, TICKS_AT_ONCE);
}

/* The clock has been read. */
static void pass_time(struct lido__worker *worker, unsigned ticks)
{
    fire_timers(worker, worker->now, ticks);
    if (__builtin_expect(worker->cancel_at <= worker->now, 0)) {
        worker->cancel_at = LIDO__NEVER;
        lido__pool_cancel_all(worker->pool);
    }
}

static void begin_slice(struct lido__worker *worker)
{
    lido__store(&worker->slice_left, worker->slice, LIDO__RELAXED);
    lido__store(&worker->turns, worker->turns + 1, LIDO__RELAXED);
}

/* What the tasks of a slice take together, if they take as long as those before them. */
static uint64_t slice_ns(const struct lido__worker *worker)
{
    return lido__pool_shares(worker->pool) ? SHARE_EVERY_NS : LOOK_EVERY_NS / 2;
}

/* A new slice: as many tasks as would have filled that time. */
static void cut(struct lido__worker *worker, uint64_t now)
{
    uint64_t ran = worker->slice - worker->slice_left;
    if (ran && worker->cut_at) {
        uint64_t fit = ran * slice_ns(worker) / (now - worker->cut_at + 1);
        uint64_t least = lido__pool_shares(worker->pool) ? 1 : SLICE_MIN;
        worker->slice = (uint32_t)lido__min_u64(lido__max_u64(fit, least), SLICE_MAX);
    }
    begin_slice(worker);
    worker->cut_at = now;
    worker->stamp = lido__stamp_of(now);
}

/* There is more to run: whether it may, before the reactor is looked at. */
static bool goes_on(struct lido__worker *worker)
{
    if (!lido__worker_has_work(worker) || worker->stop)
        return false;
    worker->waited = true;
    worker->now = lido__clock_now(); /* deadlines are held against it */
    cut(worker, worker->now);
    if (!worker->looked_at)
        worker->looked_at = worker->now - slice_ns(worker); /* about then */
    return worker->now - worker->looked_at < LOOK_EVERY_NS;
}

/* The slice ends early. How long its tasks took is known by a reading of the clock, which a worker that shares makes. */
static void cut_short(struct lido__worker *worker)
{
    if (worker->cut_at && worker->slice_left < worker->slice)
        cut(worker, lido__clock_now());
}

static void note_lingering(struct lido__pool *pool, uint32_t lingers)
{
    if (lido__load(&pool->lingers, LIDO__RELAXED) != lingers)
        lido__store(&pool->lingers, lingers, LIDO__RELAXED);
}

/* The mail that says that a job has run may come any moment. */
static void linger(struct lido__worker *worker)
{
    uint64_t time = lido__linger_time(&worker->linger);
    worker->awaits_job = false;
    if (time == 0)
        return;
    note_lingering(worker->pool, 1); /* at once: the thread that has the job is to see it */
    uint64_t until = lido__clock_now() + time;
    while (lido__inbox_empty(&worker->inbox) && lido__clock_now() < until) {}
    bool came = !lido__inbox_empty(&worker->inbox);
    lido__linger_note(&worker->linger, came);
    if (!came)
        note_lingering(worker->pool, 0);
}

/* One that never sleeps gives back what it keeps once in a while, too. */
static void rest_anyhow(struct lido__worker *worker)
{
    if ((uint32_t)(worker->stamp - worker->rested) < REST_EVERY_STAMPS || !worker->pool->rest)
        return;
    if (worker->pool->rest(worker) > 0)
        worker->rested = worker->stamp;
}

/* How long the reactor may wait: not at all while there is something to run. */
static uint64_t patience(struct lido__worker *worker)
{
    if (lido__worker_has_work(worker) || worker->stop) {
        rest_anyhow(worker);
        return 0;
    }
    if (worker->tokens > (worker->live > 0))
        settle_tokens(worker); /* may end the pool: then there is mail */
    if (lido__pool_shares(worker->pool)) {
        cut_short(worker);
        if (lido__share_forage(worker))
            return 0;
    }
    if (worker->awaits_job)
        linger(worker);
    worker->parked = lido__inbox_park(&worker->inbox);
    if (!worker->parked)
        return 0;
    uint64_t most = worker->pool->rest ? worker->pool->rest(worker) : UINT64_MAX;
    if (!lido__fifo_empty(&worker->starved))
        most = lido__min_u64(most, STARVED_RETRY_NS);
    uint64_t expiry = lido__min_u64(lido__wheel_next_expiry(&worker->wheel), worker->cancel_at);
    if (expiry == LIDO__NEVER)
        return most;
    uint64_t now = lido__clock_now();
    return expiry > now ? lido__min_u64(expiry - now, most) : 0;
}

/*
 * Wakes the lifeguard if it sleeps. Before that it says so (`unwatched`), makes all threads pass a barrier, and
 * looks whether somebody is awake. So either it sees `awake`, or this sees `unwatched`.
 */
static void wake_up(struct lido__worker *worker)
{
    struct lido__pool *pool = worker->pool;
    lido__store(&worker->awake, 1, LIDO__RELAXED);
    lido__fence_light();
    if (__builtin_expect(lido__load(&pool->unwatched, LIDO__RELAXED), 0))
        pool->watch(pool);
}

/* Sleeps, in the reactor or as the embedder wants; and sees what there is. */
static void wait(struct lido__worker *worker, uint64_t timeout, struct lido__fifo *handed)
{
    struct lido__reactor *reactor = worker->reactor;
    const lido_park *park = worker->pool->park;
    if (timeout)
        lido__store(&worker->awake, 0, LIDO__RELAXED);
    if (timeout && park) {
        park->park(park->park_arg, worker->index, reactor->ops->descriptor(reactor), timeout);
        timeout = 0;
    }
    reactor->ops->wait(reactor, timeout, handed);
    wake_up(worker);
}

static void look(struct lido__worker *worker)
{
    struct lido__fifo handed;
    lido__fifo_init(&handed);
    unsigned ticks = lido__worker_has_work(worker) ? LIDO__TICKS_ALL : TICKS_AT_ONCE;
    uint64_t timeout = patience(worker);
    wait(worker, timeout, &handed);
    if (worker->idles)
        lido__share_awake(worker);
    lido__deliver(&handed, LIDO__OP_READY, 0);
    worker->looked_at = 0;
    if (timeout == 0 || !lido__wheel_empty(&worker->wheel) || worker->cancel_at != LIDO__NEVER ||
        lido__pool_shares(worker->pool)) {
        worker->looked_at = worker->now = lido__clock_now();
        pass_time(worker, ticks);
    }
    if (__builtin_expect(!lido__fifo_empty(&worker->starved), 0))
        feed_starved(worker);
    begin_slice(worker);
    worker->cut_at = worker->looked_at;
    worker->stamp = lido__stamp_of(worker->looked_at ? worker->looked_at : lido__clock_coarse());
}

/* What is left in the queue at the end: tasks that were woken in their last poll. */
static void drop_ended(struct lido__worker *worker)
{
    struct lido__link *link;
    if (worker->hot)
        lido__fifo_push(&worker->queue, &worker->hot->run);
    while ((link = lido__fifo_pop(&worker->queue)))
        lido__task_unref(lido__container_of(link, lido_task, run));
}

/* What is new: from outside, from other workers and for them. */
static void take_in(struct lido__worker *worker)
{
    lido__worker_take_mail(worker);
    if (lido__pool_shares(worker->pool))
        lido__share_turn(worker);
    if (__builtin_expect(worker->outdated, 0)) {
        worker->outdated = false;
        worker->now = lido__clock_now();
    }
}

/* The thread takes its seat: the worker may be new, or have been taken from another thread. */
static void sit_down(struct lido__worker *worker)
{
    LIDO__ASSERT(!lido__forked); /* a hook must not come back in the child of a fork */
    lido__worker_of_thread = worker;
    lido__worker_enter(worker);
    lido__worker_set_current(worker, NULL);
    worker->errno_address = &errno;
    worker->stamp = lido__stamp_of(lido__clock_coarse());
    begin_slice(worker);
    wake_up(worker);
    if (worker->idles)
        lido__share_awake(worker);
}

bool lido__worker_loop(struct lido__worker *worker)
{
    sit_down(worker);
    while (!worker->stop) {
        lido_task *task;
        take_in(worker);
        while ((task = lido__worker_next(worker, 0, 0)))
            if (!run(worker, task))
                return false;
        if (!goes_on(worker))
            look(worker);
    }
    lido__worker_take_mail(worker);
    drop_ended(worker);
    lido__worker_settle_wakes(worker);
    lido__worker_leave(worker);
    lido__worker_of_thread = NULL;
    return true;
}
