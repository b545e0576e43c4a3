/*
 * What the threads of a runtime stand on in tests/model/test_crew.c: a mutex, a futex and threads of the explorer's, and
 * rt/crew.c and rt/start.c over them, right or in one of several ways wrong.
 */
#ifndef TESTS_MODEL_CREW_WORLD_H
#define TESTS_MODEL_CREW_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "explorer.h"
#include "no_gate.h"
#include "rt/blocking.h"
#include "rt/ending.h"
#include "rt/fault.h"
#include "rt/runtime.h"
#include "sched/job.h"
#include "sched/section.h"

enum { THREADS = 3, JOBS = 2 };

enum wrong {
    NOTHING,
    CALL_IN_SILENCE,   /* one that sleeps is not woken */
    SLEEP_REGARDLESS,  /* of having been called meanwhile */
    MOOR_REGARDLESS,   /* of having been cast off */
    RETAKE_FIRST,      /* and look for a thread then */
    SEND_REGARDLESS,   /* of whether the worker was retaken */
    FORGET_THE_WAITING /* of jobs, when one ends */
};

__thread struct lido__worker *lido__worker_of_thread;
bool lido__forked;

static struct {
    enum wrong wrong;
    struct lido_runtime *runtime;
    struct lido__worker *worker;
    uint32_t loops, stop, over, monitor_done, callers;
    unsigned refusals; /* that may yet come */
    bool expires;      /* a sleep with a limit may reach it */
    bool meet;         /* a job does not end before the other has begun */
    uint64_t now;
    unsigned carriers; /* threads that carry the worker at this moment */
    unsigned stopped;  /* loops that were told to stop */
    struct thread_slot {
        void (*run)(void *arg);
        void *arg;
        uint32_t started, ended;
        bool detached;
    } slots[THREADS];
    unsigned used;
    struct sleeper {
        const uint32_t *word;
        bool woken;
    } sleepers[MODEL_MAX_THREADS];
    struct model_job {
        struct lido__job job;
        unsigned runs;
        uint32_t begun, done;
        int result;
    } jobs[JOBS];
} scene;

static lido_config settings;

/* ---- What lies below ------------------------------------------------------------------------------- */

MODEL_UNSEEN static bool is_zero(const void *word)
{
    return *(const uint32_t *)word == 0;
}

MODEL_UNSEEN static bool is_set(const void *word)
{
    return *(const uint32_t *)word != 0;
}

/* A mutex is a word: 1 while it is held. In the place of the system's. */
static int mutex_lock(pthread_mutex_t *mutex)
{
    uint32_t *word = (uint32_t *)(void *)mutex;
    while (lido__exchange(word, 1, LIDO__ACQUIRE))
        model_block_until(is_zero, word);
    return 0;
}

static int mutex_unlock(pthread_mutex_t *mutex)
{
    lido__store((uint32_t *)(void *)mutex, 0, LIDO__RELEASE);
    return 0;
}

static int mutex_init(pthread_mutex_t *mutex)
{
    *(uint32_t *)(void *)mutex = 0;
    return 0;
}

MODEL_UNSEEN static bool is_woken(const void *sleeper)
{
    return ((const struct sleeper *)sleeper)->woken;
}

MODEL_UNSEEN static struct sleeper *lie_down(const uint32_t *word, uint32_t expected)
{
    if (*word != expected)
        return NULL;
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        if (!scene.sleepers[i].word) {
            scene.sleepers[i] = (struct sleeper){word, false};
            return &scene.sleepers[i];
        }
    return NULL;
}

MODEL_UNSEEN static void get_up(struct sleeper *sleeper)
{
    sleeper->word = NULL;
}

/* The kernel's, and the clock's. */
MODEL_UNSEEN static bool time_passes(uint64_t timeout)
{
    if (timeout == LIDO__FOREVER || !scene.expires || model_choose(2) == 0)
        return false;
    scene.now += timeout;
    return true;
}

int lido__futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout)
{
    lido__model_point("futex-wait", word);
    if (time_passes(timeout))
        return -ETIMEDOUT;
    struct sleeper *sleeper = lie_down(word, expected);
    if (!sleeper)
        return 0;
    model_block_until(is_woken, sleeper);
    get_up(sleeper);
    return 0;
}

MODEL_UNSEEN static void wake_sleepers(const uint32_t *word)
{
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        if (scene.sleepers[i].word == word)
            scene.sleepers[i].woken = true;
}

int lido__futex_wake(uint32_t *word, int count)
{
    lido__model_point("futex-wake", NULL); /* the address only: what lies there may be gone */
    if (scene.wrong != CALL_IN_SILENCE || count != 1 || word == &scene.runtime->crew.alive)
        wake_sleepers(word);
    return count;
}

MODEL_UNSEEN uint64_t lido__clock_now(void)
{
    return scene.now;
}

uint64_t lido__time_after(uint64_t now, int64_t ms)
{
    return now + (uint64_t)ms * 1000000;
}

bool lido__pool_may_start(const struct lido__pool *pool)
{
    uint64_t until = lido__load(&pool->no_thread_until, LIDO__RELAXED);
    return until == 0 || lido__clock_now() >= until;
}

MODEL_UNSEEN static bool is_refused(void)
{
    if (scene.used == THREADS)
        return true;
    if (scene.refusals == 0 || model_choose(2) == 0)
        return false;
    scene.refusals--;
    return true;
}

int lido__thread_start(struct lido__thread *thread, const struct lido__thread_config *unused,
                       void (*run)(void *arg), void *arg)
{
    (void)unused;
    if (is_refused())
        return -EAGAIN;
    struct thread_slot *slot = &scene.slots[scene.used];
    thread->id = (pthread_t)scene.used++;
    slot->run = run;
    slot->arg = arg;
    lido__store(&slot->started, 1, LIDO__RELEASE);
    return 0;
}

int lido__thread_join(struct lido__thread *thread)
{
    struct thread_slot *slot = &scene.slots[thread->id];
    model_block_until(is_set, &slot->ended);
    lido__load(&slot->ended, LIDO__ACQUIRE);
    return 0;
}

void lido__thread_detach(const struct lido__thread *thread)
{
    scene.slots[thread->id].detached = true;
}

int lido__thread_stack(void **ret_low, size_t *ret_size)
{
    (void)ret_low;
    (void)ret_size;
    return -ENOSYS;
}

int lido__thread_pin(int cpu)
{
    (void)cpu;
    return 0;
}

int lido__thread_get_cpus(struct lido__cpus *ret_cpus)
{
    (void)ret_cpus;
    return 0;
}

int lido__thread_set_cpus(const struct lido__cpus *cpus)
{
    (void)cpus;
    return 0;
}

void *lido__ending_forbid(void)
{
    return NULL;
}

void lido__ending_allow(void *before)
{
    (void)before;
}

struct lido__fault_stack *lido__fault_stack_new(void)
{
    return NULL;
}

void lido__fault_stack_free(struct lido__fault_stack *stack)
{
    (void)stack;
}

void lido__fault_stack_enter(struct lido__fault_stack *stack)
{
    (void)stack;
}

void lido__fault_stack_leave(struct lido__fault_stack *stack)
{
    (void)stack;
}

void lido__carrier_seat(struct lido__carrier *carrier, const void *stack_low, size_t stack_size)
{
    (void)carrier;
    (void)stack_low;
    (void)stack_size;
}

struct lido__job *lido__blocking_pass(struct lido__semaphore *capacity)
{
    (void)capacity;
    return NULL;
}

/* ---- The code under test ---------------------------------------------------------------------------- */

static bool cas_relaxed(uint32_t *word, uint32_t *expected, uint32_t value)
{
    return lido__cas(word, expected, value, LIDO__RELAXED, LIDO__RELAXED);
}

static bool cas_acq_rel(uint32_t *word, uint32_t *expected, uint32_t value)
{
    return lido__cas(word, expected, value, LIDO__ACQ_REL, LIDO__ACQUIRE);
}

static bool is_blind(const char *where, uint32_t value)
{
    if (scene.wrong == SLEEP_REGARDLESS)
        return strstr(where, "->called") != NULL;
    return scene.wrong == MOOR_REGARDLESS && strstr(where, "->bond") && value == LIDO__BOUND;
}

static bool set_blindly(uint32_t *word, uint32_t value)
{
    lido__exchange(word, value, LIDO__ACQ_REL);
    return true;
}

static bool moves_on(struct lido__fifo *jobs)
{
    return scene.wrong == FORGET_THE_WAITING || lido__fifo_empty(jobs);
}

/* lido__section_leave and its like have been compiled with the real one. */
#undef lido__cas
#define lido__cas(p, expected, value, success, failure)                                            \
    (is_blind(#p, value)          ? set_blindly(p, value)                                          \
     : (success) == LIDO__RELAXED ? cas_relaxed(p, expected, value)                                \
                                  : cas_acq_rel(p, expected, value))
#define pthread_mutex_lock(mutex) mutex_lock(mutex)
#define pthread_mutex_unlock(mutex) mutex_unlock(mutex)
#define pthread_mutex_init(mutex, attributes) mutex_init(mutex)
#define pthread_mutex_destroy(mutex) ((void)(mutex))
#define calloc(count, size) model_alloc((count) * (size), "member")
#define free(memory) model_free(memory)
#define join crew_join
#define lido__fifo_empty moves_on
#include "../../src/rt/crew.c"
#undef lido__fifo_empty
#include "../../src/rt/start.c"
#undef free
#undef join

#endif
