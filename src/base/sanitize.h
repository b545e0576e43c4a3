/*
 * Which sanitizers this build has, and what AddressSanitizer is told about memory that lido hands out
 * itself; nothing without it.
 */
#ifndef LIDO_BASE_SANITIZE_H
#define LIDO_BASE_SANITIZE_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define LIDO__ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LIDO__ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define LIDO__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LIDO__TSAN 1
#endif
#endif

#ifdef LIDO__ASAN

#include <sanitizer/asan_interface.h>

/* From now on each access to these bytes is reported. */
static inline void lido__poison(const void *memory, size_t bytes)
{
    __asan_poison_memory_region(memory, bytes);
}

static inline void lido__unpoison(const void *memory, size_t bytes)
{
    __asan_unpoison_memory_region(memory, bytes);
}

#else

static inline void lido__poison(const void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
}

static inline void lido__unpoison(const void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
}

#endif

#endif
