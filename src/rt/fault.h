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

/* Gives the calling thread an alternate stack. -ENOMEM. */
int lido__fault_stack_enter(struct lido__fault_stack **ret_stack);
/* Gives the thread the one back that it had before; NULL is ignored. */
void lido__fault_stack_leave(struct lido__fault_stack *stack);

#endif
