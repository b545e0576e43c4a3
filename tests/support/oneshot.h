/*
 * One value from any thread or task to one task: the smallest thing with which tests wait for each
 * other. Built of nothing but a future, a waker and a join.
 */
#ifndef TESTS_SUPPORT_ONESHOT_H
#define TESTS_SUPPORT_ONESHOT_H

#include <lido.h>

struct oneshot {
    lido_future future; /* result: the value, or -ECANCELED */
    uint32_t state;
    int value;
    lido_waker waker;
};

void oneshot_init(struct oneshot *oneshot);

/* Once, from any thread. `value` is not negative. */
void oneshot_send(struct oneshot *oneshot, int value);

/* Waits for the value, in a fiber. -ECANCELED, -ETIMEDOUT as of lido_join. */
int oneshot_receive(struct oneshot *oneshot);

#endif
