/* Blocking, as code in a blocking section does it: the thread sleeps in the kernel. */
#ifndef TESTS_SUPPORT_GATE_H
#define TESTS_SUPPORT_GATE_H

#include <stdint.h>

/* Opened once, by any thread. All zero is closed. */
struct gate {
    uint32_t open;
};

void gate_open(struct gate *gate);
/* Blocks the thread. */
void gate_pass(struct gate *gate);

/* The threads of this process. */
unsigned threads_count(void);

/* The kernel's number of the calling thread: also for threads that have ended it stays what it was. */
int thread_id(void);

#endif
