/*
 * Invariants of the library itself, checked in all builds.
 *
 * LIDO__ASSERT is for what can only be false if lido is wrong, never for what a caller or the
 * system may do. It costs one predicted branch. A broken invariant is written to stderr with one
 * write(2) (no buffers, no locks: it works from any thread and any stack) and the process aborts.
 *
 * LIDO__REQUIRE is for what a caller must not do, where going on would use memory that is another's by then, or
 * wait for ever: its text says what was done.
 */
#ifndef LIDO_BASE_ASSERT_H
#define LIDO_BASE_ASSERT_H

__attribute__((cold, noinline, noreturn)) void lido__assert_failed(const char *file, int line,
                                                                   const char *condition);

#define LIDO__ASSERT(condition)                                                                    \
    (__builtin_expect(!(condition), 0) ? lido__assert_failed(__FILE__, __LINE__, #condition)       \
                                       : (void)0)

__attribute__((cold, noinline, noreturn)) void lido__misused(const char *how);

#define LIDO__REQUIRE(condition, text)                                                             \
    (__builtin_expect(!(condition), 0) ? lido__misused(text) : (void)0)

#endif
