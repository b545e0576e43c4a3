/*
 * The stack of a simulated thread, and the switch between two of them.
 *
 * ucontext, because it is in the C library, is right on every architecture, and its system call per
 * switch (some 150 ns) does not count here: the explorer switches a handful of times per schedule.
 */
#ifndef LIDO_TESTS_MODEL_COROUTINE_H
#define LIDO_TESTS_MODEL_COROUTINE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "sanitizers.h"

/* Ample, because the sanitizers write their reports on the stack that they interrupt. */
#define COROUTINE_STACK (256u * 1024)

struct coroutine {
    ucontext_t context;
    struct sanitized sanitized;
    char *mapping; /* a guard page, then the stack */
    size_t page;
};

/* The coroutine that was left last: only the one that was switched to can finish the switch. */
static struct coroutine *coroutine_left;

static inline void coroutine_adopt(struct coroutine *self)
{
    sanitized_adopt(&self->sanitized);
    self->mapping = NULL;
}

/* To be called first in a coroutine's function. */
MODEL_UNSEEN static void coroutine_begin(struct coroutine *self)
{
    sanitized_arrive(&self->sanitized, &coroutine_left->sanitized);
}

MODEL_UNSEEN static void coroutine_switch(struct coroutine *from, struct coroutine *to)
{
    coroutine_left = from;
    sanitized_leave(&from->sanitized, &to->sanitized);
    swapcontext(&from->context, &to->context);
    sanitized_arrive(&from->sanitized, &coroutine_left->sanitized);
}

/* `fn` starts with the first switch, must begin with coroutine_begin and must not return. */
static inline void coroutine_init(struct coroutine *self, void (*fn)(int), int arg)
{
    self->page = (size_t)sysconf(_SC_PAGESIZE);
    self->mapping = mmap(NULL, self->page + COROUTINE_STACK, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (self->mapping == MAP_FAILED || mprotect(self->mapping, self->page, PROT_NONE) < 0) {
        perror("model: no stack for a simulated thread");
        abort();
    }

    getcontext(&self->context);
    self->context.uc_stack.ss_sp = self->mapping + self->page;
    self->context.uc_stack.ss_size = COROUTINE_STACK;
    self->context.uc_link = NULL;
    makecontext(&self->context, (void (*)(void))(void *)fn, 1, arg);
    sanitized_init(&self->sanitized, self->context.uc_stack.ss_sp, COROUTINE_STACK);
}

/* It may be in the middle of its function: what is on the stack is dropped. */
static inline void coroutine_fini(struct coroutine *self)
{
    sanitized_fini(&self->sanitized);
    munmap(self->mapping, self->page + COROUTINE_STACK);
}

#endif
