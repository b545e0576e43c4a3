/*
 * What the tools must be told about stacks: AddressSanitizer, ThreadSanitizer and Valgrind. In a
 * build without them all of this is empty. The only file of the room that knows of them.
 */
#ifndef LIDO_FIBER_ANNOTATE_H
#define LIDO_FIBER_ANNOTATE_H

#include <stddef.h>

#include "base/sanitize.h"

#ifdef LIDO__ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef LIDO__TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0u
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

/* What a stack is to the tools. Of the thread's own stack, or of a fiber's. */
struct lido__annotation {
    const void *low;
    size_t size;
#ifdef LIDO__ASAN
    void *fake_stack;
#endif
#ifdef LIDO__TSAN
    void *fiber;
#endif
};

/* A stack slot comes into being; the id is for stack_ended. */
static inline unsigned lido__annotate_stack_made(void *low, size_t size)
{
    (void)low;
    (void)size;
    return VALGRIND_STACK_REGISTER(low, (char *)low + size);
}

static inline void lido__annotate_stack_ended(unsigned id)
{
    VALGRIND_STACK_DEREGISTER(id);
}

/* A fiber begins on a stack. */
static inline void lido__annotate_begin(struct lido__annotation *a)
{
    (void)a;
#ifdef LIDO__ASAN
    a->fake_stack = NULL;
#endif
#ifdef LIDO__TSAN
    a->fiber = __tsan_create_fiber(0);
#endif
}

/*
 * The fiber has ended; its stack will be used by another. Not on that stack. What it has returned from
 * is accessible again; the frames that it left for ever, from `sp` on, are not. No more than these: the
 * shadow of a whole stack is eight pages, of which a fiber that slept has touched one.
 */
static inline void lido__annotate_end(struct lido__annotation *a, const void *sp)
{
#ifdef LIDO__TSAN
    __tsan_destroy_fiber(a->fiber);
#endif
    lido__unpoison(sp, (size_t)((const char *)a->low + a->size - (const char *)sp));
}

/*
 * The bytes of a free stack that are not accessible: not all of them, for the shadow of a whole stack is eight pages,
 * of which a fiber that slept has touched one. What most pointers into a stack that is gone point to is in the
 * uppermost 16 KiB.
 */
#define LIDO__ANNOTATE_BYTES ((size_t)16 << 10)

static inline size_t lido__annotate_bytes(const struct lido__annotation *a)
{
    return a->size < LIDO__ANNOTATE_BYTES ? a->size : LIDO__ANNOTATE_BYTES;
}

/* The stack is given back: what still points into it is reported. */
static inline void lido__annotate_free(const struct lido__annotation *a)
{
    size_t bytes = lido__annotate_bytes(a);
    lido__poison((const char *)a->low + a->size - bytes, bytes);
}

/* It is used again, or goes back to the system. */
static inline void lido__annotate_reused(const struct lido__annotation *a)
{
    size_t bytes = lido__annotate_bytes(a);
    lido__unpoison((const char *)a->low + a->size - bytes, bytes);
}

/* Just before a switch from one stack to another; `last`: for the last time. */
static inline __attribute__((always_inline)) void lido__annotate_leave(
    struct lido__annotation *from, const struct lido__annotation *to, int last)
{
    (void)from;
    (void)to;
    (void)last;
#ifdef LIDO__ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake_stack, to->low, to->size);
#endif
#ifdef LIDO__TSAN
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
}

/* Just after a switch, on the stack that goes on. */
static inline __attribute__((always_inline)) void lido__annotate_arrive(struct lido__annotation *a)
{
    (void)a;
#ifdef LIDO__ASAN
    __sanitizer_finish_switch_fiber(a->fake_stack, NULL, NULL);
#endif
}

/* The thread's own stack, before the first switch. */
static inline void lido__annotate_thread(struct lido__annotation *a, const void *low, size_t size)
{
    a->low = low;
    a->size = size;
#ifdef LIDO__ASAN
    a->fake_stack = NULL;
#endif
#ifdef LIDO__TSAN
    a->fiber = __tsan_get_current_fiber();
#endif
}

#endif
