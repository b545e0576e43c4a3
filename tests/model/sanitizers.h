/*
 * What the sanitizers have to know about simulated threads; nothing, in a build without them.
 *
 * ThreadSanitizer is told of every switch with the flag "no sync": it then takes each simulated
 * thread for a thread of its own, ordered with the others only by what the code under test does. So
 * a TSan build checks, in every interleaving that the explorer walks, that all plain accesses are
 * ordered by the acquires and releases that are really there. That is why the simulated threads are
 * fibers in these builds too, and not pthreads that hand a baton to each other: the baton would
 * order everything and hide every missing release. The price is that the explorer's own
 * book-keeping must not be seen by TSan: MODEL_UNSEEN.
 */
#ifndef LIDO_TESTS_MODEL_SANITIZERS_H
#define LIDO_TESTS_MODEL_SANITIZERS_H

#include <stdbool.h>
#include <stddef.h>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

/* Where the explorer itself is told of plain accesses (races.h), the runtime of TSan is not there. */
#if !defined(LIDO_MODEL_RACES) && (defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer))
#define MODEL_TSAN 1
#else
#define MODEL_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define MODEL_ASAN 1
#else
#define MODEL_ASAN 0
#endif

/* Not inlined, because some compilers forget attributes then; and its loads are not moved to its callers. */
#ifdef __clang__
#define MODEL_APART noinline
#else
#define MODEL_APART noipa
#endif

/*
 * A function that belongs to the experiment and not to the code under test: nobody is told what it reads and
 * writes. unused, for those in headers.
 */
#if defined(MODEL_EXPLORER) && !MODEL_TSAN
#define MODEL_UNSEEN __attribute__((unused)) /* of the explorer itself nobody is told anything */
#else
#define MODEL_UNSEEN __attribute__((no_sanitize("thread"), MODEL_APART, unused))
#endif

/* The same, and it may read where no variable is. */
#define MODEL_UNCHECKED                                                                            \
    __attribute__((no_sanitize("thread", "address", "undefined"), MODEL_APART, unused))

/*
 * A function that may change in whose name TSan is spoken to: with a call of its own, TSan would
 * see it entered by one thread and left by another.
 */
#define MODEL_INLINE __attribute__((always_inline)) static inline

/* The sanitizers' side of one simulated thread. */
struct sanitized {
    void *tsan_fiber;
    void *asan_fake_stack;
    const void *stack;
    size_t size;
};

#if MODEL_TSAN
#include <sanitizer/tsan_interface.h>
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
void AnnotateBenignRaceSized(const char *file, int line, const volatile void *address, size_t size,
                             const char *why);
#define SANITIZED_TSAN(...) __VA_ARGS__
#else
#define SANITIZED_TSAN(...) ((void)0)
#endif

#if MODEL_ASAN
#include <sanitizer/asan_interface.h>
#define SANITIZED_ASAN(...) __VA_ARGS__
#else
#define SANITIZED_ASAN(...) ((void)0)
#endif

#if MODEL_ASAN || MODEL_TSAN
#include <sanitizer/common_interface_defs.h>
#define SANITIZED_ANY(...) __VA_ARGS__
#else
#define SANITIZED_ANY(...) ((void)0)
#endif

/* The stack that runs at the moment; its bounds become known with the first switch away from it. */
MODEL_INLINE void sanitized_adopt(struct sanitized *self)
{
    *self = (struct sanitized){0};
    SANITIZED_TSAN(self->tsan_fiber = __tsan_get_current_fiber());
}

MODEL_INLINE void sanitized_init(struct sanitized *self, const void *stack, size_t size)
{
    *self = (struct sanitized){.stack = stack, .size = size};
    SANITIZED_TSAN(self->tsan_fiber = __tsan_create_fiber(0));
}

MODEL_INLINE void sanitized_fini(struct sanitized *self)
{
    SANITIZED_ASAN(__asan_unpoison_memory_region(self->stack, self->size));
    SANITIZED_TSAN(__tsan_destroy_fiber(self->tsan_fiber));
    (void)self;
}

/* Directly before the switch, with nothing in between. */
MODEL_INLINE void sanitized_leave(struct sanitized *from, const struct sanitized *to)
{
    SANITIZED_ASAN(__sanitizer_start_switch_fiber(&from->asan_fake_stack, to->stack, to->size));
    SANITIZED_TSAN(__tsan_switch_to_fiber(to->tsan_fiber, __tsan_switch_to_fiber_no_sync));
    (void)from;
    (void)to;
}

/* First thing on the other stack. `from` is what was left: ASan is the one that knows its bounds. */
MODEL_INLINE void sanitized_arrive(struct sanitized *self, struct sanitized *from)
{
    SANITIZED_ASAN(
        __sanitizer_finish_switch_fiber(self->asan_fake_stack, &from->stack, &from->size));
    (void)self;
    (void)from;
}

/* What happened before a release of `token` happens before what follows an acquire of it. */
MODEL_INLINE void sanitized_release(void *token)
{
    SANITIZED_TSAN(__tsan_release(token));
    (void)token;
}

MODEL_INLINE void sanitized_acquire(void *token)
{
    SANITIZED_TSAN(__tsan_acquire(token));
    (void)token;
}

/* Speaks to TSan in the name of another simulated thread, without running it. */
MODEL_INLINE void *sanitized_impersonate(const struct sanitized *who)
{
    void *self = NULL;
    SANITIZED_TSAN(self = __tsan_get_current_fiber());
    SANITIZED_TSAN(__tsan_switch_to_fiber(who->tsan_fiber, __tsan_switch_to_fiber_no_sync));
    (void)who;
    return self;
}

MODEL_INLINE void sanitized_be_oneself(void *self)
{
    SANITIZED_TSAN(__tsan_switch_to_fiber(self, __tsan_switch_to_fiber_no_sync));
    (void)self;
}

/* The running thread's plain accesses are not looked at. Nests; begin and end must balance. */
MODEL_INLINE void sanitized_ignore_accesses(bool begin)
{
    (void)begin;
#if MODEL_TSAN
    if (begin) {
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    } else {
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    }
#endif
}

/* The running thread's acquires and releases order nothing. */
MODEL_INLINE void sanitized_ignore_sync(bool begin)
{
    (void)begin;
#if MODEL_TSAN
    if (begin)
        AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
    else
        AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
#endif
}

MODEL_INLINE void sanitized_poison(void *memory, size_t size)
{
    SANITIZED_ASAN(__asan_poison_memory_region(memory, size));
    (void)memory;
    (void)size;
}

MODEL_INLINE void sanitized_unpoison(void *memory, size_t size)
{
    SANITIZED_ASAN(__asan_unpoison_memory_region(memory, size));
    (void)memory;
    (void)size;
}

/* One variable stands for one in each thread. */
MODEL_INLINE void sanitized_per_thread(const void *variable)
{
    SANITIZED_TSAN(AnnotateBenignRaceSized(__FILE__, __LINE__, variable, sizeof(void *), "own"));
    (void)variable;
}

/* Called when a sanitizer is about to end the process. */
MODEL_INLINE void sanitized_at_death(void (*last_words)(void))
{
    SANITIZED_ANY(__sanitizer_set_death_callback(last_words));
    (void)last_words;
}

#endif
