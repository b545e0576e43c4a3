#define _GNU_SOURCE

#include <execinfo.h>
#include <ucontext.h>

#include "os/os.h"

/* What the signal has put on top: this function, the handler, the return from it. */
#define OF_THE_SIGNAL 8

void lido__backtrace_prepare(void)
{
    void *frame;
    backtrace(&frame, 1); /* the first call loads a library, which a handler must not */
}

size_t lido__backtrace_interrupted(const void *context, void **frames, size_t capacity)
{
    void *all[LIDO__BACKTRACE_MAX + OF_THE_SIGNAL];
    const ucontext_t *interrupted = context;
    void *pc = (void *)interrupted->uc_mcontext.gregs[REG_RIP];
    int count = backtrace(all, (int)(sizeof(all) / sizeof(all[0])));
    int first = 0;
    while (first < count && all[first] != pc)
        first++;
    size_t used = 0;
    for (int i = first; i < count && used < capacity; i++)
        frames[used++] = all[i];
    if (used == 0 && capacity > 0)
        frames[used++] = pc;
    return used;
}

const void *lido__interrupted_stack(const void *context)
{
    const ucontext_t *interrupted = context;
    return (const void *)(uintptr_t)interrupted->uc_mcontext.gregs[REG_RSP];
}

void lido__backtrace_write(int fd, void *const *frames, size_t count)
{
    backtrace_symbols_fd(frames, (int)count, fd);
}
