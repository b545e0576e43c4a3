/* Runtimes that a test holds from outside, and what threads and tasks do to each other there. */
#ifndef TESTS_SUPPORT_RUNTIME_H
#define TESTS_SUPPORT_RUNTIME_H

#include <pthread.h>

#include "base/atomic.h"
#include "support/check.h"
#include "support/run.h"

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* With all defaults but the number of workers. */
lido_runtime *runtime_of(unsigned workers);

/* The same by one of `schedulers`, of which the operator (LIDO_SCHEDULER) must not have his say. */
lido_runtime *runtime_by(const char *scheduler, unsigned workers);
extern const char *const schedulers[2];

/* Whether the operator has said that runtimes steal (LIDO_SCHEDULER), and what follows from it is to be seen. */
bool runtimes_steal(void);

/* Waits until it is idle, and ends it. */
void runtime_end(lido_runtime *runtime);

/* A fiber on that worker of `runtime`, from outside or from another runtime. */
lido_task *runtime_start_on(lido_runtime *runtime, unsigned worker, lido_fn fn, void *arg);
lido_task *runtime_start(lido_runtime *runtime, lido_fn fn, void *arg);
/* The same, and it stays there, whatever the scheduler. */
lido_task *runtime_start_pinned(lido_runtime *runtime, unsigned worker, lido_fn fn, void *arg);

/* A flag that one thread raises, and for which another one, or a task that computes, spins. */
struct flag {
    uint32_t up;
};
void flag_raise(struct flag *flag);
bool flag_is_up(const struct flag *flag);
/* Without letting the worker go: to lido, this is computing. */
void flag_await(const struct flag *flag);

pthread_t thread_start(void *(*fn)(void *), void *arg);
void thread_join(pthread_t thread);

#endif
