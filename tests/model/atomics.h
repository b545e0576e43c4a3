/*
 * The macros of base/atomic.h as the explorer has them: each operation is a function of it.
 *
 * Included by base/atomic.h where LIDO_MODEL is defined. Under ThreadSanitizer the operations are the real ones, after
 * a point, because it has to see them: that build knows sequentially consistent memory only.
 */
#ifndef LIDO_TESTS_MODEL_ATOMICS_H
#define LIDO_TESTS_MODEL_ATOMICS_H

#include <stdbool.h>
#include <stdint.h>

#include "sanitizers.h"

enum lido__model_change { MODEL_EXCHANGE, MODEL_ADD, MODEL_SUB, MODEL_OR, MODEL_AND };

/* May switch to another simulated thread before it returns. A scenario may say of some operations that they are
   no points, by a LIDO__POINT of its own; they are operations all the same. */
void lido__model_point(const char *what, const void *where);

uint64_t lido__model_load(const void *where, unsigned size, int order);
void lido__model_store(void *where, unsigned size, uint64_t value, int order);
bool lido__model_cas(void *where, unsigned size, void *expected, uint64_t value, int success,
                     int failure);
uint64_t lido__model_change(void *where, unsigned size, enum lido__model_change change,
                            uint64_t operand, int order);
void lido__model_fence(void);

/* What an integer or a pointer is in a word, and back. */
#define MODEL_WORD(value) ((uint64_t)(uintptr_t)(value))
#define MODEL_TYPE(p) __typeof__((void)0, *(p))
#define MODEL_VALUE(p, word)                                                                       \
    __extension__({                                                                                \
        MODEL_TYPE(p) value_ = (MODEL_TYPE(p))(word);                                              \
        value_;                                                                                    \
    })

#define LIDO__POINT(what, p) lido__model_point(what, (const void *)(p))

#if MODEL_TSAN

#define MODEL_REAL(what, p, operation) (LIDO__POINT(what, p), operation)
#define lido__load(p, order) MODEL_REAL("load", p, __atomic_load_n(p, order))
#define lido__store(p, value, order) MODEL_REAL("store", p, __atomic_store_n(p, value, order))
#define lido__exchange(p, value, order)                                                            \
    MODEL_REAL("exchange", p, __atomic_exchange_n(p, value, order))
#define lido__cas(p, expected, value, success, failure)                                            \
    MODEL_REAL("cas", p, __atomic_compare_exchange_n(p, expected, value, 0, success, failure))
#define lido__fetch_add(p, value, order) MODEL_REAL("add", p, __atomic_fetch_add(p, value, order))
#define lido__fetch_sub(p, value, order) MODEL_REAL("sub", p, __atomic_fetch_sub(p, value, order))
#define lido__fetch_or(p, value, order) MODEL_REAL("or", p, __atomic_fetch_or(p, value, order))
#define lido__fetch_and(p, value, order) MODEL_REAL("and", p, __atomic_fetch_and(p, value, order))

#else

#define MODEL_AT(what, p, operation) MODEL_VALUE(p, (LIDO__POINT(what, p), operation))
#define MODEL_CHANGE(what, p, change, value, order)                                                \
    MODEL_AT(what, p,                                                                              \
             lido__model_change((void *)(p), sizeof(*(p)), change, MODEL_WORD(value), order))
#define lido__load(p, order) MODEL_AT("load", p, lido__model_load((p), sizeof(*(p)), order))
#define lido__store(p, value, order)                                                               \
    (LIDO__POINT("store", p),                                                                      \
     lido__model_store((void *)(p), sizeof(*(p)), MODEL_WORD(value), order))
#define lido__exchange(p, value, order) MODEL_CHANGE("exchange", p, MODEL_EXCHANGE, value, order)
#define lido__cas(p, expected, value, success, failure)                                            \
    (LIDO__POINT("cas", p),                                                                        \
     lido__model_cas((void *)(p), sizeof(*(p)), expected, MODEL_WORD(value), success, failure))
#define lido__fetch_add(p, value, order) MODEL_CHANGE("add", p, MODEL_ADD, value, order)
#define lido__fetch_sub(p, value, order) MODEL_CHANGE("sub", p, MODEL_SUB, value, order)
#define lido__fetch_or(p, value, order) MODEL_CHANGE("or", p, MODEL_OR, value, order)
#define lido__fetch_and(p, value, order) MODEL_CHANGE("and", p, MODEL_AND, value, order)

#endif

#define lido__fence_seq_cst() (LIDO__POINT("fence", 0), lido__model_fence())
#define lido__fence_light() LIDO__POINT("light fence", 0)

#endif
