/*
 * Reports of faults: when a task overflows its stack or follows a bad pointer, the process says
 * which task it was before it dies. Only for runtimes that ask for it (law 10).
 *
 * The handlers of SIGSEGV and SIGBUS are installed for the first runtime that asks, and the ones
 * before them come back with the last. They run on an alternate stack, for the fiber's own is what may
 * have ended.
 */
#ifndef LIDO_RT_FAULT_H
#define LIDO_RT_FAULT_H

#include <lido.h>

/* Any thread; counted. The latest on_fault that is not NULL is called. */
void lido__fault_handlers_install(void (*on_fault)(const lido_fault *fault));
void lido__fault_handlers_release(void);

struct lido__fault_stack;

/* An alternate stack, for a thread that may not have started yet; NULL: no memory. */
struct lido__fault_stack *lido__fault_stack_new(void);
/* One that was not entered. NULL is ignored, as in the next two. */
void lido__fault_stack_free(struct lido__fault_stack *stack);

/* It becomes the calling thread's. */
void lido__fault_stack_enter(struct lido__fault_stack *stack);
/* Gives the thread the one back that it had before, and frees this one. */
void lido__fault_stack_leave(struct lido__fault_stack *stack);

#endif
