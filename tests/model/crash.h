/*
 * When the code under test crashes: last words, then what would have happened anyway.
 *
 * A part of explorer.c. A sanitizer has its own handlers, and calls us when it has reported.
 */
#ifndef LIDO_TESTS_MODEL_CRASH_H
#define LIDO_TESTS_MODEL_CRASH_H

#include <signal.h>
#include <stddef.h>

#include "sanitizers.h"

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
enum { CRASH_SIGNALS = sizeof(crash_signals) / sizeof(crash_signals[0]) };

static struct {
    void (*last_words)(void);
    struct sigaction before[CRASH_SIGNALS];
} crash;

static inline void crash_unwatch(void)
{
    if (MODEL_ASAN || MODEL_TSAN)
        return;
    for (int i = 0; i < CRASH_SIGNALS; i++)
        sigaction(crash_signals[i], &crash.before[i], NULL);
}

/* The one who was there before, often the test framework, then gets the signal. */
static void crash_handle(int signal)
{
    crash.last_words();
    crash_unwatch();
    raise(signal);
}

static inline void crash_watch(void (*last_words)(void))
{
    struct sigaction action = {.sa_handler = crash_handle};
    crash.last_words = last_words;
    sanitized_at_death(last_words);
    if (MODEL_ASAN || MODEL_TSAN)
        return;
    for (int i = 0; i < CRASH_SIGNALS; i++)
        sigaction(crash_signals[i], &action, &crash.before[i]);
}

#endif
