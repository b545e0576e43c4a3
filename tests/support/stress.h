/* What the stress tests have in common: how much, by which dice, with what, and what is left over. */
#ifndef TESTS_SUPPORT_STRESS_H
#define TESTS_SUPPORT_STRESS_H

#include "base/atomic.h"
#include "base/sanitize.h"
#include "support/run.h"

/* How many of something: sanitizers take the time, and TSan does not know more than some 8000 fibers. */
#if defined(LIDO__TSAN)
#define SCALED(plain, asan, tsan) (tsan)
#elif defined(LIDO__ASAN)
#define SCALED(plain, asan, tsan) (asan)
#else
#define SCALED(plain, asan, tsan) (plain)
#endif

/* A line for whoever reads the log: scales, seeds, accounts. From any thread. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A broken promise may show as a wait without end: then the system ends the test. First thing in main. */
void stress_limit(void);

/* ---- Counts that several threads, or processes, write -------------------------------------------- */

static inline void tally(uint64_t *counter, uint64_t more)
{
    lido__fetch_add(counter, more, LIDO__RELAXED);
}

/* Acquire and release, so that who sees a count may look at what was done before it. */
static inline void post(uint64_t *counter)
{
    lido__fetch_add(counter, 1, LIDO__RELEASE);
}

static inline uint64_t posted(const uint64_t *counter)
{
    return lido__load(counter, LIDO__ACQUIRE);
}

/* Waits until the counter has come that far, as patient as await_that with each step. In a task. */
void await_count(const uint64_t *counter, uint64_t count);

/* ---- Dice ---------------------------------------------------------------------------------------- */

struct dice {
    uint64_t state;
};

/* LIDO_TEST_SEED from the environment, otherwise the clock's; says which. Once per test. */
uint64_t stress_seed(void);
/* Dice of one's own for each `index`, whatever the other ones do. */
struct dice dice_of(uint64_t seed, uint64_t index);
/* 0..sides-1. */
uint32_t roll(struct dice *dice, uint32_t sides);

/* ---- Resources ------------------------------------------------------------------------------------ */

/* Descriptors that this process has open. */
size_t count_descriptors(void);
/* Lets the process have that many, if it may; returns how many it may have now. */
size_t allow_descriptors(size_t wanted);
/* KiB that the process has in memory, with its page tables. */
size_t resident_kib(void);
/* KiB that the machine could still give. */
size_t available_kib(void);

#endif
