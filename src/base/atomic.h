/*
 * Atomics: the only file that may spell a compiler builtin for them.
 *
 * Every access to memory that two threads share goes through these macros, so that the lock-free
 * code also compiles under the model checker (tests/model): there each access is a function of the
 * explorer, which may first run another thread, and answers as a weak memory might. The orderings are those of C11; each use says in
 * a comment what it pairs with.
 *
 * The fields are plain integers or pointers of at most 8 bytes, marked with `shared` below.
 */
#ifndef LIDO_BASE_ATOMIC_H
#define LIDO_BASE_ATOMIC_H

/* Marks a struct field that is accessed by more than one thread, and only through this file. */
#define lido__shared

/* Whether two fields of a struct lie in different cache lines, so that writers of the one do not take
   the other from its readers. The struct is aligned to a line. */
#define LIDO__APART(type, a, b)                                                                    \
    (__builtin_offsetof(type, a) / 64 != __builtin_offsetof(type, b) / 64)

#define LIDO__RELAXED __ATOMIC_RELAXED
#define LIDO__ACQUIRE __ATOMIC_ACQUIRE
#define LIDO__RELEASE __ATOMIC_RELEASE
#define LIDO__ACQ_REL __ATOMIC_ACQ_REL
#define LIDO__SEQ_CST __ATOMIC_SEQ_CST

#ifdef LIDO_MODEL
#include "atomics.h" /* of the explorer: tests/model */
#else

#define lido__load(p, order) __atomic_load_n(p, order)
#define lido__store(p, value, order) __atomic_store_n(p, value, order)
#define lido__exchange(p, value, order) __atomic_exchange_n(p, value, order)

/* Strong compare-and-swap; on failure *expected holds what was there. */
#define lido__cas(p, expected, value, success, failure)                                            \
    __atomic_compare_exchange_n(p, expected, value, 0, success, failure)

/* Each returns the value from before. */
#define lido__fetch_add(p, value, order) __atomic_fetch_add(p, value, order)
#define lido__fetch_sub(p, value, order) __atomic_fetch_sub(p, value, order)
#define lido__fetch_or(p, value, order) __atomic_fetch_or(p, value, order)
#define lido__fetch_and(p, value, order) __atomic_fetch_and(p, value, order)

/*
 * Orders what this thread has written before it and what it reads after it, against another thread that
 * does the same the other way round: the one thing that acquire and release do not do. ThreadSanitizer
 * knows nothing of fences (gcc warns of that): what passes data needs acquire and release of its own.
 */
#ifndef __clang__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void lido__fence_seq_cst(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#ifndef __clang__
#pragma GCC diagnostic pop
#endif

/* The cheap side of the same: a barrier to the compiler. The other side calls lido__barrier_all (os.h). */
#define lido__fence_light() __atomic_signal_fence(__ATOMIC_SEQ_CST)

#endif

#endif
