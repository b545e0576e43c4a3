/*
 * Fault injection: the seam through which tests make the outside world fail.
 *
 * Whatever can fail for a reason outside of lido (each syscall wrapper of os/, each allocation of
 * memory) first asks lido__fault with its own name, a string literal such as "accept" or "slab".
 * A build without LIDO_FAULTS answers 0 at compile time; the question costs nothing.
 *
 * A test plans one failure at a time and repeats what it tests until the plan is not reached any
 * more; by then everything has failed once, at every place:
 *
 *     for (uint64_t n = 1;; n++) {
 *         lido__fault_plan(NULL, n, -ENOMEM);
 *         scenario();
 *         if (!lido__fault_hit())
 *             break;
 *     }
 *
 * All functions may be called from any thread.
 */
#ifndef LIDO_BASE_FAULT_H
#define LIDO_BASE_FAULT_H

#include <stddef.h>
#include <stdint.h>

#ifdef LIDO_FAULTS

/* 0: go on; negative: fail with this error and do not make the call. */
int lido__fault(const char *name);

/*
 * From now on the nth call (1 is the next one) named `name`, or of any name if that is NULL, fails
 * once with the negative errno `error`. Replaces the plan before it and zeroes the counts.
 * `name` is borrowed until the next plan.
 */
void lido__fault_plan(const char *name, uint64_t nth, int error);

/* The same, and all that match after the nth fail too: a shortage that lasts. */
void lido__fault_plan_from(const char *name, uint64_t nth, int error);

/* No plan: nothing fails any more. */
void lido__fault_clear(void);

/* The name of the call that the plan made fail, or NULL if it has not been reached. */
const char *lido__fault_hit(void);

/* How many calls that match the plan there were since it was made. */
uint64_t lido__fault_count(void);

#else

static inline int lido__fault(const char *name)
{
    (void)name;
    return 0;
}

#endif

#endif
