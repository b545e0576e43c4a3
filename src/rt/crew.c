#include "rt/crew.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "rt/blocking.h"
#include "rt/ending.h"
#include "rt/fault.h"
#include "rt/runtime.h"
#include "rt/start.h"
#include "sched/job.h"

static struct lido_runtime *runtime_of(struct lido__crew *crew)
{
    return lido__container_of(crew, struct lido_runtime, crew);
}

static struct lido__seat *seat_of(const struct lido__worker *worker)
{
    struct lido_runtime *runtime = worker->pool->runtime;
    return &runtime->seats[worker->index];
}

/* ---- Errands ----------------------------------------------------------------------------------- */

static int move_to(struct lido__member *member, int cpu)
{
    struct lido__crew *crew = member->crew;
    if (!crew->config->pin_cpus || member->cpu == cpu)
        return 0;
    int r = cpu == LIDO__CPU_ANY ? lido__thread_set_cpus(&crew->cpus) : lido__thread_pin(cpu);
    if (r == 0)
        member->cpu = cpu;
    return r;
}

/* With the lock held. Whom to rouse: the member, or NULL if it is awake. Release: it sees its errand. */
static struct lido__member *call(struct lido__member *member)
{
    uint32_t before = lido__exchange(&member->called, LIDO__CALLED, LIDO__RELEASE);
    return before == LIDO__ASLEEP_UNCALLED ? member : NULL;
}

/*
 * Without the lock, which the member takes first of all. It may have been awake, and be gone by now: this only
 * names an address. NULL: nobody was called.
 */
static void rouse(struct lido__member *member)
{
    if (member)
        lido__futex_wake(&member->called, 1);
}

static void dismiss_idle(struct lido__crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    crew->over = true;
    while (!lido__list_empty(&crew->idle)) {
        struct lido__member *member =
            lido__container_of(crew->idle.next, struct lido__member, idle);
        lido__list_remove(&member->idle);
        member->listed = false;
        rouse(call(member));
    }
    pthread_mutex_unlock(&crew->lock);
}

/* With the lock held. */
static void seat(struct lido__crew *crew, struct lido__worker *worker, struct lido__member *member)
{
    struct lido__seat *seat = seat_of(worker);
    crew->expected += seat->member && !seat->member->guest;
    seat->member = member;
}

static void stand_up(struct lido__crew *crew, struct lido__worker *worker)
{
    pthread_mutex_lock(&crew->lock);
    seat(crew, worker, NULL);
    pthread_mutex_unlock(&crew->lock);
}

struct carrying {
    struct lido__worker *worker;
    bool begun;
    bool stopped;
};

static void run_worker(void *arg)
{
    struct carrying *carrying = arg;
    if (carrying->begun)
        return;
    carrying->begun = true;
    carrying->stopped = lido__worker_loop(carrying->worker);
}

/* The worker has a thread, whatever around_worker does. */
static void carry(struct lido__member *member, struct lido__worker *worker)
{
    const lido_config *config = member->crew->config;
    struct carrying carrying = {.worker = worker};
    move_to(member, seat_of(worker)->cpu); /* a worker on another cpu is better than none */
    lido__carrier_seat(&seat_of(worker)->carrier, member->stack_low, member->stack_size);
    if (config->around_worker)
        config->around_worker(config->hook_arg, worker->index, run_worker, &carrying);
    run_worker(&carrying);
    if (carrying.stopped) {
        stand_up(member->crew, worker);
        dismiss_idle(member->crew); /* workers stop when the pool has ended, and all of them */
    }
}

/* From here on it may be cast off. */
static void cast_loose(struct lido__member *member)
{
    struct lido__crew *crew = member->crew;
    pthread_mutex_lock(&crew->lock);
    lido__store(&member->bond, LIDO__LOOSE, LIDO__RELAXED);
    lido__list_push(&crew->loose, &member->loose);
    pthread_mutex_unlock(&crew->lock);
}

/* False: it has been cast off. True: and cannot be any more; so the crew is there. */
static bool moor(struct lido__member *member)
{
    uint32_t expected = LIDO__LOOSE;
    if (!lido__cas(&member->bond, &expected, LIDO__BOUND, LIDO__ACQ_REL, LIDO__ACQUIRE))
        return false;
    pthread_mutex_lock(&member->crew->lock);
    lido__list_remove(&member->loose);
    pthread_mutex_unlock(&member->crew->lock);
    return true;
}

/* False: the crew is gone. */
static bool run_job(struct lido__member *member, struct lido__job *job)
{
    struct lido__semaphore *capacity = &runtime_of(member->crew)->capacity[job->pool];
    bool loose = job->loose;
    move_to(member, LIDO__CPU_ANY);
    if (loose)
        cast_loose(member);
    job->run(job);
    if (loose && !moor(member))
        return false;
    member->job = lido__blocking_pass(capacity);
    return true;
}

static int call_for_jobs(struct lido__crew *crew, bool insist, struct lido__member **called);

/*
 * With the lock held. One who is called finds all jobs that have come until then; if there are more, he calls the
 * next before he begins, so that none waits behind one that blocks. If that fails, those at work will come.
 * What the job before it has made room for has its turn among those that wait for a thread.
 */
static struct lido__job *take_job(struct lido__member *member, struct lido__member **called)
{
    *called = NULL;
    struct lido__crew *crew = member->crew;
    crew->coming -= member->comes;
    member->comes = false;
    if (member->job)
        lido__fifo_push(&crew->jobs, &member->job->link);
    struct lido__link *link = member->guest ? NULL : lido__fifo_pop(&crew->jobs);
    if (!lido__fifo_empty(&crew->jobs) && crew->coming == 0)
        call_for_jobs(crew, true, called);
    return link ? lido__container_of(link, struct lido__job, link) : NULL;
}

/* False: the crew is gone. */
static bool run_errand(struct lido__member *member)
{
    struct lido__worker *worker = member->worker;
    struct lido__job *job = member->job;
    member->worker = NULL;
    member->job = NULL;
    if (worker) {
        carry(member, worker);
        return true;
    }
    if (!job) {
        struct lido__member *called;
        pthread_mutex_lock(&member->crew->lock);
        job = take_job(member, &called);
        pthread_mutex_unlock(&member->crew->lock);
        rouse(called);
    }
    return !job || run_job(member, job);
}

/* Not called for too long: leaves the list. False: somebody has just taken it, and is about to call. */
static bool gives_up(struct lido__member *member)
{
    pthread_mutex_lock(&member->crew->lock);
    bool listed = member->listed;
    if (listed)
        lido__list_remove(&member->idle);
    member->listed = false;
    member->crew->expected -= listed; /* the guest does not give up */
    pthread_mutex_unlock(&member->crew->lock);
    return listed;
}

/* Acquire: pairs with the release in call. */
static bool is_called(const struct lido__member *member)
{
    return lido__load(&member->called, LIDO__ACQUIRE) == LIDO__CALLED;
}

/* The next job may come any moment, and who became idle last has it (sched/linger.h). */
static void linger(const struct lido__member *member)
{
    const struct lido__crew *crew = member->crew;
    uint64_t until = lido__clock_now() + LIDO__LINGER_SHORT_NS;
    while (!is_called(member) && lido__load(&crew->latest, LIDO__RELAXED) == member &&
           lido__clock_now() < until) {}
}

/* False: it has waited in vain. */
static bool await_call(struct lido__member *member)
{
    int64_t keep_alive = member->crew->config->keep_alive_ms;
    uint64_t until = LIDO__FOREVER;
    if (!member->guest && keep_alive >= 0)
        until = lido__time_after(lido__clock_now(), keep_alive);
    uint32_t expected = LIDO__NOT_CALLED;
    lido__cas(&member->called, &expected, LIDO__ASLEEP_UNCALLED, LIDO__RELAXED, LIDO__RELAXED);
    while (!is_called(member)) {
        uint64_t now = until == LIDO__FOREVER ? 0 : lido__clock_now();
        if (now < until)
            lido__futex_wait(&member->called, LIDO__ASLEEP_UNCALLED,
                             until == LIDO__FOREVER ? until : until - now);
        else if (gives_up(member))
            return false;
        else
            until = LIDO__FOREVER;
    }
    lido__store(&member->called, LIDO__NOT_CALLED, LIDO__RELAXED);
    return true;
}

/* After an errand: false when there will be none any more. */
static bool next_errand(struct lido__member *member)
{
    struct lido__crew *crew = member->crew;
    pthread_mutex_lock(&crew->lock);
    struct lido__member *called;
    bool has_job = (member->job = take_job(member, &called));
    if (!has_job && !crew->over) {
        lido__list_push(&crew->idle, &member->idle);
        lido__crew_may_start(crew);
        lido__store(&crew->latest, member, LIDO__RELAXED);
        member->listed = true;
    }
    bool waits = member->listed;
    pthread_mutex_unlock(&crew->lock);
    rouse(called);
    if (waits && lido__load(&runtime_of(crew)->pool.lingers, LIDO__RELAXED))
        linger(member);
    return has_job || (waits && await_call(member));
}

/* ---- Members ----------------------------------------------------------------------------------- */

/* On its thread. */
static void open_member(struct lido__member *member)
{
    const lido_config *config = member->crew->config;
    /* Only tools want to know: without /proc the stack of the first thread is not known. */
    if (lido__thread_stack(&member->stack_low, &member->stack_size) < 0)
        member->stack_size = 0;
    lido__fault_stack_enter(member->signal_stack);
    member->ending = lido__ending_forbid();
    if (config->after_start)
        config->after_start(config->hook_arg, member->index);
}

static void close_member(struct lido__member *member)
{
    const lido_config *config = member->crew->config;
    if (config->before_stop)
        config->before_stop(config->hook_arg, member->index);
    lido__ending_allow(member->ending);
    lido__fault_stack_leave(member->signal_stack);
}

static void join(struct lido__member *member)
{
    lido__thread_join(&member->thread);
    free(member);
}

static void leave(struct lido__member *member)
{
    struct lido__crew *crew = member->crew;
    pthread_mutex_lock(&crew->lock);
    struct lido__member *before = crew->ended;
    crew->ended = member;
    lido__store(&crew->alive, crew->alive - 1, LIDO__RELEASE);
    lido__crew_may_start(crew);
    pthread_mutex_unlock(&crew->lock);
    lido__futex_wake(&crew->alive, 1);
    if (before)
        join(before);
}

/* There is nobody left to tell. */
static void drift_off(struct lido__member *member)
{
    lido__ending_allow(member->ending);
    lido__fault_stack_leave(member->signal_stack);
    free(member);
}

void lido__member_main(void *arg)
{
    struct lido__member *member = arg;
    struct lido__crew *crew = member->crew;
    open_member(member);
    /* Release: what after_start did is seen by whoever started the runtime. */
    lido__fetch_add(&crew->opened, 1, LIDO__RELEASE);
    lido__futex_wake(&crew->opened, INT_MAX);
    bool goes_on = await_call(member);
    while (goes_on) {
        if (!run_errand(member)) {
            drift_off(member);
            return;
        }
        goes_on = next_errand(member);
    }
    close_member(member);
    leave(member);
}

/* ---- Calling them ------------------------------------------------------------------------------ */

/* With the lock held, as the next. The one that became idle last; a guest carries workers only. */
static struct lido__member *take_idle(struct lido__crew *crew, bool for_job)
{
    struct lido__node *node = crew->idle.prev;
    if (node != &crew->idle && for_job &&
        lido__container_of(node, struct lido__member, idle)->guest)
        node = node->prev;
    if (node == &crew->idle)
        return NULL;
    struct lido__member *member = lido__container_of(node, struct lido__member, idle);
    lido__list_remove(node);
    member->listed = false;
    crew->expected -= !member->guest;
    return member;
}

static int take(struct lido__crew *crew, int cpu, bool insist, struct lido__member **ret_member)
{
    *ret_member = take_idle(crew, false);
    return *ret_member ? 0 : lido__crew_start(crew, cpu, insist, ret_member);
}

static void give(struct lido__member *member, struct lido__worker *worker)
{
    seat(member->crew, worker, member);
    /* Release: pairs with the acquire in lido__worker_seat. */
    lido__store(&worker->seated, 1, LIDO__RELEASE);
}

/* Whom to rouse. */
static struct lido__member *send_to(struct lido__member *member, struct lido__worker *worker)
{
    member->worker = worker;
    if (worker)
        give(member, worker);
    else
        member->crew->expected += !member->guest;
    return call(member);
}

int lido__crew_take(struct lido__crew *crew, int cpu, struct lido__member **ret_member)
{
    pthread_mutex_lock(&crew->lock);
    int r = take(crew, cpu, false, ret_member);
    pthread_mutex_unlock(&crew->lock);
    return r;
}

void lido__crew_send(struct lido__member *member, struct lido__worker *worker)
{
    struct lido__crew *crew = member->crew;
    pthread_mutex_lock(&crew->lock);
    struct lido__member *asleep = send_to(member, worker);
    pthread_mutex_unlock(&crew->lock);
    rouse(asleep);
}

bool lido__crew_with_thread_of(struct lido__crew *crew, const struct lido__worker *worker,
                               void (*fn)(pthread_t thread, void *arg), void *arg)
{
    pthread_mutex_lock(&crew->lock);
    const struct lido__member *member = seat_of(worker)->member;
    if (member)
        fn(member->thread.id, arg);
    pthread_mutex_unlock(&crew->lock);
    return member;
}

int lido__crew_carry(struct lido__crew *crew, struct lido__worker *worker, bool insist)
{
    struct lido__member *member, *asleep = NULL;
    int r = 0;
    pthread_mutex_lock(&crew->lock);
    if (!worker->seated) {
        r = take(crew, seat_of(worker)->cpu, insist, &member);
        if (r == 0)
            asleep = send_to(member, worker);
    }
    pthread_mutex_unlock(&crew->lock);
    rouse(asleep);
    return r;
}

/* With the lock held. */
static int call_for_jobs(struct lido__crew *crew, bool insist, struct lido__member **called)
{
    struct lido__member *member = take_idle(crew, true);
    int r = member ? 0 : lido__crew_start(crew, LIDO__CPU_ANY, insist, &member);
    if (r < 0)
        return r;
    member->comes = true;
    crew->coming++;
    crew->expected++;
    *called = call(member);
    return 0;
}

int lido__crew_run(struct lido__crew *crew, struct lido__job *job)
{
    struct lido__member *called = NULL;
    pthread_mutex_lock(&crew->lock);
    lido__fifo_push(&crew->jobs, &job->link);
    int r = crew->coming ? 0 : call_for_jobs(crew, !crew->expected, &called);
    if (crew->expected)
        r = 0;
    else
        lido__fifo_init(&crew->jobs); /* it was the only one: there was nobody to leave one to */
    pthread_mutex_unlock(&crew->lock);
    rouse(called);
    return r;
}

void lido__crew_await_opened(struct lido__crew *crew)
{
    uint32_t opened;
    while ((opened = lido__load(&crew->opened, LIDO__ACQUIRE)) < crew->started)
        lido__futex_wait(&crew->opened, opened, LIDO__FOREVER);
}

/* ---- The guest --------------------------------------------------------------------------------- */

int lido__crew_enter(struct lido__crew *crew, struct lido__member *guest,
                     struct lido__worker *worker)
{
    *guest = (struct lido__member){.guest = true, .thread.id = pthread_self()};
    int r = lido__member_init(guest, crew, 0);
    if (r == 0)
        r = move_to(guest, seat_of(worker)->cpu);
    if (r < 0) {
        lido__fault_stack_free(guest->signal_stack);
        return r;
    }
    open_member(guest);
    pthread_mutex_lock(&crew->lock);
    give(guest, worker);
    pthread_mutex_unlock(&crew->lock);
    return 0;
}

void lido__crew_serve(struct lido__member *guest, struct lido__worker *worker)
{
    guest->worker = worker;
    do
        run_errand(guest);
    while (next_errand(guest));
    close_member(guest);
    move_to(guest, LIDO__CPU_ANY);
}

/* ---- The crew ---------------------------------------------------------------------------------- */

int lido__crew_init(struct lido__crew *crew, const lido_config *config, bool guest)
{
    int r = config->pin_cpus ? lido__thread_get_cpus(&crew->cpus) : 0;
    if (r < 0)
        return r;
    crew->config = config;
    crew->limit = config->workers + config->max_blocking + config->max_fs + config->max_dns - guest;
    crew->first = guest;
    pthread_mutex_init(&crew->lock, NULL);
    lido__list_init(&crew->idle);
    lido__list_init(&crew->loose);
    lido__fifo_init(&crew->jobs);
    return 0;
}

/* The member may free itself at once: nothing of it is touched after the change, but in case that it has just
   moored, and then it finds itself in no list. */
static bool cast_off(struct lido__member *member)
{
    uint32_t expected = LIDO__LOOSE;
    struct lido__thread thread = member->thread;
    lido__list_remove(&member->loose);
    lido__list_init(&member->loose);
    if (!lido__cas(&member->bond, &expected, LIDO__ADRIFT, LIDO__ACQ_REL, LIDO__RELAXED))
        return false;
    lido__thread_detach(&thread);
    return true;
}

static void cast_off_loose(struct lido__crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    while (!lido__list_empty(&crew->loose))
        if (cast_off(lido__container_of(crew->loose.next, struct lido__member, loose)))
            lido__store(&crew->alive, crew->alive - 1, LIDO__RELAXED);
    pthread_mutex_unlock(&crew->lock);
}

/* For which there was no thread. All tasks have ended: so nobody waits for them, and they do not begin. */
static void drop_jobs(struct lido__crew *crew)
{
    struct lido__link *link;
    while ((link = lido__fifo_pop(&crew->jobs))) {
        struct lido__job *job = lido__container_of(link, struct lido__job, link);
        LIDO__ASSERT(job->loose);
        job->run(job);
    }
}

void lido__crew_fini(struct lido__crew *crew)
{
    uint32_t alive;
    dismiss_idle(crew);
    cast_off_loose(crew);
    while ((alive = lido__load(&crew->alive, LIDO__ACQUIRE)))
        lido__futex_wait(&crew->alive, alive, LIDO__FOREVER);
    if (crew->ended)
        join(crew->ended);
    drop_jobs(crew);
    pthread_mutex_destroy(&crew->lock);
}
