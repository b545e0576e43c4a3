/*
 * Sweeps: a scenario is played again and again in one task, and each time the next one of all that it
 * asks of the outside world fails, once. A call of lido that an error has ended is made again, as a
 * program would: an error means that nothing was started, so the scenario gets to its end in every round.
 *
 * (An error that ends a connection, such as -ECONNRESET, is not for this: a stream stays dead of it.)
 *
 * After each round nothing is left open, and the scenario is played once more without a failure.
 */
#ifndef TESTS_FAULT_SWEEP_H
#define TESTS_FAULT_SWEEP_H

#include <dirent.h>
#include <stdio.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "base/slab.h"
#include "support/net.h"

/* ---- How many handles there are: no leak checker sees them, for a slab keeps its memory ---------- */

static lido__shared int32_t handles_alive;

static void *counted_alloc(struct lido__slab *slab)
{
    void *object = lido__slab_alloc(slab);
    lido__fetch_add(&handles_alive, object != NULL, LIDO__RELAXED);
    return object;
}

static void counted_free(struct lido__slab *slab, void *object)
{
    lido__fetch_sub(&handles_alive, object != NULL, LIDO__RELAXED);
    lido__slab_free(slab, object);
}

#define lido__slab_alloc counted_alloc
#define lido__slab_free counted_free
#include "../../src/reactor/handle.c" /* in place of the library's */
#undef lido__slab_alloc
#undef lido__slab_free

static int32_t handle_count(void)
{
    return lido__load(&handles_alive, LIDO__RELAXED);
}

static unsigned descriptor_count(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    check(directory != NULL);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* ---- Calls that may fail ------------------------------------------------------------------------- */

static struct {
    int error;             /* what the failing call is told */
    lido__shared int told; /* how many calls of lido have returned an error */
} sweep;

static bool is_allocation(const char *name)
{
    return !strcmp(name, "malloc") || !strcmp(name, "handle") || !strcmp(name, "task") ||
           !strcmp(name, "slab");
}

/* An interruption, or a connection that died before it was accepted: nobody is told of these. */
static bool is_nobodys(int error)
{
    return error == -EINTR || error == -ECONNABORTED;
}

/* Whether a call of lido has failed; if so, then for the reason of this round. */
static bool failed_at(int64_t result, const char *what, const char *file, int line)
{
    if (result >= 0)
        return false;
    const char *hit = lido__fault_hit();
    if (!hit || is_nobodys(sweep.error)) /* without a cause, or without need */
        check_int_at(result, 0, what, file, line);
    check_int_at(result, is_allocation(hit) ? -ENOMEM : sweep.error, what, file, line);
    lido__fetch_add(&sweep.told, 1, LIDO__RELAXED);
    return true;
}

#define failed(result) failed_at((result), #result, __FILE__, __LINE__)

/* The result of a call, made again if it has failed. */
#define retried(call)                                                                              \
    ({                                                                                             \
        int64_t first_ = (call);                                                                   \
        failed_at(first_, #call, __FILE__, __LINE__) ? (int64_t)(call) : first_;                   \
    })

/* The same for a call that makes what `pointer` points to, and leaves that alone if it fails. */
#define made(pointer, call)                                                                        \
    do {                                                                                           \
        void *untouched_ = &sweep;                                                                 \
        (pointer) = untouched_;                                                                    \
        int result_ = (call);                                                                      \
        if (failed_at(result_, #call, __FILE__, __LINE__)) {                                       \
            check((void *)(pointer) == untouched_);                                                \
            result_ = (call);                                                                      \
        }                                                                                          \
        check_int(result_, 0);                                                                     \
    } while (0)

__attribute__((unused)) static lido_task *begin(lido_fn fn, void *arg)
{
    lido_task *task;
    made(task, lido_spawn(&task, fn, arg));
    return task;
}

__attribute__((unused)) static void say(lido_stream *stream, const char *text)
{
    for (size_t done = 0; done < strlen(text);)
        done += (size_t)retried(lido_write(stream, text + done, strlen(text) - done));
}

/* That text comes, and nothing is lost of it or told twice. */
__attribute__((unused)) static void expect(lido_stream *stream, const char *text)
{
    char got[64] = "";
    size_t size = strlen(text);
    check(size < sizeof(got));
    for (size_t done = 0; done < size;) {
        int64_t n = retried(lido_read(stream, got + done, size - done));
        check(n > 0);
        done += (size_t)n;
    }
    check_string(got, text);
}

__attribute__((unused)) static void expect_end(lido_stream *stream)
{
    char byte;
    check_int(retried(lido_read(stream, &byte, 1)), 0);
}

/* ---- The sweep ----------------------------------------------------------------------------------- */

struct sweep_plan {
    void (*scenario)(void);
    const char *name; /* of the calls that fail; NULL: all */
    int error;
    uint64_t
        least; /* so many places there are at least, or the sweep has not seen what it should */
    /* Whether a failure need not end a call of lido. NULL: only what changes nothing for anybody. */
    bool (*may_be_silent)(const char *name);
};

/* After close the descriptor is gone whatever it returns; a wait or a wake-up that failed is made in another way. */
static bool concerns_nobody(const char *name)
{
    return !strcmp(name, "close") || !strncmp(name, "epoll_wait", 10) ||
           !strncmp(name, "epoll_pwait", 11) || !strcmp(name, "eventfd_write") ||
           !strcmp(name, "futex");
}

static void play(void (*scenario)(void))
{
    unsigned descriptors = descriptor_count();
    int32_t handles_before = handle_count();
    lido__store(&sweep.told, 0, LIDO__RELAXED);
    scenario();
    check_int(descriptor_count(), descriptors);
    check_int(handle_count(), handles_before);
}

static void run_sweep(const struct sweep_plan *plan)
{
    bool (*is_silent)(const char *) = plan->may_be_silent ? plan->may_be_silent : concerns_nobody;
    sweep.error = plan->error;
    plan->scenario(); /* what is made once and kept */
    for (uint64_t n = 1;; n++) {
        lido__fault_plan(plan->name, n, plan->error);
        play(plan->scenario);
        const char *hit = lido__fault_hit();
        lido__fault_clear();
        int told = lido__load(&sweep.told, LIDO__RELAXED);
        if (!hit) {
            check(n > plan->least);
            check_int(told, 0);
            return;
        }
        if (told != 1 && !(told == 0 && is_silent(hit)))
            fprintf(stderr, "call %d, %s: ", (int)n, hit);
        check(told == 1 || (told == 0 && is_silent(hit)));
        play(plan->scenario);
        check_int(lido__load(&sweep.told, LIDO__RELAXED), 0);
    }
}

static int sweep_in_task(void *plan)
{
    run_sweep(plan);
    return 0;
}

__attribute__((unused)) static void sweep_on(unsigned workers, struct sweep_plan plan)
{
    run_on(workers, sweep_in_task, &plan);
}

/* Whether a connection was made to itself is asked, but need not be known. */
static bool asks_who(const char *name)
{
    return !strcmp(name, "getsockname") || !strcmp(name, "getpeername") || concerns_nobody(name);
}

/* With the errors of a machine that has run out of something, and one that comes from a peer. */
__attribute__((unused)) static void sweep_all(void (*scenario)(void), uint64_t least)
{
    static const int errors[] = {-ENOMEM, -EMFILE, -EPROTOTYPE};
    for (size_t i = 0; i < COUNT(errors); i++)
        sweep_on(1, (struct sweep_plan){scenario, NULL, errors[i], least, asks_who});
}

static bool all_are_silent(const char *name)
{
    (void)name;
    return true;
}

/* A signal interrupts each of these calls once, and nobody notices. (A connect is not among them: on a
   socket that does not block it is over before a signal could interrupt it.) */
__attribute__((unused)) static void sweep_interrupted(void (*scenario)(void))
{
    static const char *const names[] = {"read",   "readv",  "recv",  "recvfrom",
                                        "write",  "send",   "poll",  "sendmsg",
                                        "sendto", "accept", "close", "epoll_wait"};
    for (size_t i = 0; i < COUNT(names); i++)
        sweep_on(1, (struct sweep_plan){scenario, names[i], -EINTR, 0, all_are_silent});
}

#endif
