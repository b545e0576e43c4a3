/*
 * Small integer arithmetic: positions of bits, minimum and maximum. Pure functions.
 */
#ifndef LIDO_BASE_BITS_H
#define LIDO_BASE_BITS_H

#include <stddef.h>
#include <stdint.h>

/* The position of the lowest set bit; `bits` is not 0. */
static inline unsigned lido__bits_lowest(uint64_t bits)
{
    return (unsigned)__builtin_ctzll(bits);
}

/* The position of the highest set bit; `bits` is not 0. */
static inline unsigned lido__bits_highest(uint64_t bits)
{
    return 63u - (unsigned)__builtin_clzll(bits);
}

static inline uint64_t lido__min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t lido__max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline size_t lido__min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* `size` rounded up to a multiple of `unit`, which is a power of two. */
static inline size_t lido__round_up(size_t size, size_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

#endif
