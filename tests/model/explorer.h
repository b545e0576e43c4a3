/*
 * A systematic explorer of concurrency, in the manner of CHESS and loom.
 *
 * A scenario is a few threads that use lido's lock-free code. The explorer runs it again and again,
 * each time with another interleaving, until it has walked every one that has at most a given
 * number of preemptions. The threads are simulated: each has a stack of its own inside one OS
 * thread, and lido__model_point, which base/atomic.h calls before each atomic operation, is the only
 * place where one can be preempted. A run depends on nothing but the list of choices made at those
 * points, so the explorer keeps that list alone: it replays the list up to the last choice with an
 * option left, takes that option, and goes on from there (a depth-first walk without stored states).
 *
 * What it finds: broken assertions, deadlocks (nobody can run: a lost wake-up), livelocks (a run
 * that does not end), memory of model_alloc that is used after model_free, freed twice or leaked.
 *
 * Memory (memory.h): a scenario is walked three times. With sequentially consistent memory, where each load
 * returns the newest store; with the store buffers of x86; and with what C11 allows, where a load may return each
 * store that its thread does not know to be overwritten. The last two find what a missing fence, barrier or order
 * does. In all of them plain accesses of two threads must be ordered by acquires and releases (races.h). What they do not
 * have: a store that is done before a load that stands before it, and a place whose stores are in another order than
 * that in which they are made. No code here relies on those being impossible between relaxed operations.
 *
 * Plain accesses are not points: an access that comes *after* an atomic operation is done together
 * with it. Where a delay between the two would matter, put model_touch before the access.
 *
 * Sources of the idea: Musuvathi and Qadeer, "Iterative Context Bounding for Systematic Testing of
 * Multithreaded Programs" (PLDI 2007) and "Finding and Reproducing Heisenbugs in Concurrent
 * Programs" (OSDI 2008, CHESS); C. Lerche's loom for Rust.
 *
 * How to write a scenario: keep everything that the threads share in one static struct, set it up
 * in `setup` (which runs before each schedule), and say what must hold with model_assert, in the
 * threads and in `check`. Use no clock, no random numbers, no address as a number: a run must
 * be a function of the choices. A run that is not is reported.
 *
 *     static const struct model_scenario scenario = {
 *         .name = "two pushers",
 *         .setup = set_up,
 *         .check = nothing_lost,
 *         .threads = {{"owner", own, NULL},
 *                     {"pusher 1", push, &first},
 *                     {"pusher 2", push, &second}},
 *     };
 *     assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
 *
 * Environment: LIDO_MODEL_PREEMPTIONS=N raises the bound of every scenario to at least N;
 * LIDO_MODEL_VERBOSE=1 prints the interleaving of expected failures too.
 */
#ifndef LIDO_TESTS_MODEL_EXPLORER_H
#define LIDO_TESTS_MODEL_EXPLORER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "sanitizers.h"

#define MODEL_MAX_THREADS 6

/* Values of model_scenario.preemptions beside positive numbers. */
#define MODEL_DEFAULT_PREEMPTIONS 0 /* which is 3 */
#define MODEL_NO_PREEMPTION (-1)
#define MODEL_ALL_INTERLEAVINGS INT_MAX

/* And of model_scenario.delays. */
#define MODEL_DEFAULT_DELAYS 0 /* which is 1 */
#define MODEL_NO_DELAY (-1)

/* See memory.h. */
enum model_memory { MODEL_SC, MODEL_TSO, MODEL_C11 };

struct model_thread {
    const char *name;
    void (*run)(void *arg);
    void *arg;
};

struct model_scenario {
    const char *name;
    void (*setup)(void); /* before each schedule; may be NULL */
    void (*check)(void); /* after each schedule in which every thread has ended; may be NULL */
    struct model_thread threads[MODEL_MAX_THREADS]; /* those with a `run`, from the first on */
    /*
     * How often a thread may be interrupted while it could go on. A switch at the end of a thread,
     * or where it falls asleep, is free: all choices are walked there.
     */
    int preemptions;
    /*
     * On the weaker memories: how many preemptions, if it is not to be one fewer, and at most 2; and how often
     * a load may miss a store that was made already.
     */
    int weak_preemptions;
    int delays;
    size_t max_points; /* a longer run is a livelock; 0: 1000 */
    /*
     * The address of a thread-local pointer of the code under test, or NULL. Simulated threads share
     * an OS thread, so the pointer is kept for each of them; it is NULL where a thread begins.
     */
    void *per_thread;
};

/*
 * Walks all schedules of a scenario, on each memory. Returns how many there were on the first, or 0 if one failed: its
 * interleaving has then been printed. A test asserts a minimum, so that it cannot explore nothing
 * without being noticed.
 */
size_t model_holds(const struct model_scenario *scenario);

/*
 * The same for a scenario that is broken on purpose. Returns the number of the schedule that failed,
 * counting from 1; 0 if none did, or if the failure's description does not contain `how`.
 */
size_t model_catches(const struct model_scenario *scenario, const char *how);

/*
 * Whether a scenario holds while memory is sequentially consistent, and fails on `memory`. With TSan, which knows no
 * other, nothing is looked at, and the answer is true.
 */
bool model_catches_weak(const struct model_scenario *scenario, enum model_memory memory,
                        const char *how);

/* Whether there is a data race in a scenario whose memory orderings are broken on purpose. */
bool model_catches_race(const struct model_scenario *scenario);

/* --- what threads may call ----------------------------------------------------------------------*/

/* Ends the schedule as failed. In setup and check too. */
#define model_assert(condition)                                                                    \
    ((condition) ? (void)0 : model_fail("assertion failed: " #condition, __FILE__, __LINE__))

__attribute__((noreturn)) void model_fail(const char *what, const char *file, int line);

/*
 * Sleeps until predicate(arg) is true. Nothing can come between finding that it is false and being
 * asleep, nor between finding that it is true and going on: that is what a kernel does for us. The
 * predicate only reads, and no thread is preempted in it. `arg` names the thing in the printout.
 */
void model_block_until(bool (*predicate)(const void *arg), const void *arg);

/*
 * For a loop that spins: lets the others go first. The thread is not run again before another has
 * made a step, if any can. To let the next thread run is free; to choose another is a preemption,
 * for otherwise two spinning threads had infinitely many schedules.
 */
void model_yield(void);

/* The barrier that all threads pass (lido__barrier_all). */
void model_barrier_all(void);

/* Where the kernel is entered, the stores of before are out. Props do this themselves. */
void model_system_call(void);

/* A number below `options`; all of them are tried. For what the system does as it likes. */
unsigned model_choose(unsigned options);

/* A point before a plain access that matters: somebody may come between, memory may be gone. */
#define model_touch(p) lido__model_point("touch", (const void *)(p))

/* A line for the printout, not a point. `text` must live on. */
void model_note(const char *text);

/* --- what threads and setup may call ------------------------------------------------------------*/

/*
 * Memory of one schedule, zeroed; `name` is for the printout. An atomic operation or a model_touch
 * in it after its model_free fails the schedule, and so does what is not freed in the end.
 */
void *model_alloc(size_t size, const char *name);
void model_free(void *memory);

/* Names a variable in the printout; with at most 8 bytes its value is shown too. For one schedule. */
#define model_name(variable) model_name_memory(&(variable), sizeof(variable), #variable)
void model_name_memory(const void *memory, size_t size, const char *name);

#endif
