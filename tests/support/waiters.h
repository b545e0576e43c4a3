/* Looking into objects of the sync room: whether somebody waits there. */
#ifndef TESTS_SUPPORT_WAITERS_H
#define TESTS_SUPPORT_WAITERS_H

#include "support/run.h"

/* Waits until `count` tasks wait for the object that begins with `word`, whose queue is `queue`. In a task. */
void await_waiters(void *word, const void *queue, size_t count);

#endif
