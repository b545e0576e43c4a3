/*
 * C++ exceptions belong to the fiber that throws and catches them, also while it waits.
 *
 * A C++ runtime keeps two words for each thread: the stack of exceptions that are being handled, and
 * the number of those that have been thrown and not caught yet (Itanium C++ ABI, section 2.2.2). A fiber
 * that waits in a catch block, or in a destructor during unwinding, would leave its words to the next
 * one. So they are exchanged after each switch of stacks.
 *
 * The exchange is made on arrival, by what runs next: the carrier knows whose words the thread has. It is
 * part of what bury does for a fiber that has ended, behind the one branch that is there anyway. So
 * a program without a C++ runtime executes no instruction for it.
 *
 * Nothing is linked: the runtime is found by a weak symbol, or, if it was loaded after lido, by name when
 * a lido runtime is made. One that is loaded later than that is not known to the lido runtimes that
 * exist already.
 *
 * Threads: all but lido__exceptions_find is for the thread that carries the worker, inside the gate.
 */
#ifndef LIDO_FIBER_EXCEPTIONS_H
#define LIDO_FIBER_EXCEPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* struct __cxa_eh_globals of the ABI. */
struct lido__exceptions {
    void *caught;
    unsigned uncaught;
};

/* Of a carrier: whose exceptions its thread has. */
struct lido__exchange {
    struct lido__exceptions *thread; /* where the C++ runtime looks for them; NULL: there is none */
    struct lido__exceptions *holder; /* to whom they belong; the words there are out of date */
    struct lido__exceptions loop;    /* what the thread had of its own, while a fiber runs */
};

/* Looks for a C++ runtime, unless one is known. Any thread. */
void lido__exceptions_find(void);

/* The calling thread is going to carry fibers. False: there is no C++ runtime. */
bool lido__exchange_seat(struct lido__exchange *exchange);

/* `to` goes on, on the same thread. */
static inline void lido__exchange_to(struct lido__exchange *exchange, struct lido__exceptions *to)
{
    if (exchange->holder == to)
        return;
    *exchange->holder = *exchange->thread;
    *exchange->thread = *to;
    exchange->holder = to;
}

#endif
