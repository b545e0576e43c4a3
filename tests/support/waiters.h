/* Looking into objects of the sync room: how many tasks wait there. */
#ifndef TESTS_SUPPORT_WAITERS_H
#define TESTS_SUPPORT_WAITERS_H

#include "support/run.h"

/* Waits until `count` tasks wait for the object with that word, in that queue. In a task. */
void await_waiters(uint32_t *word, const void *queue, size_t count);

/* The same for these. */
void await_receiver(lido_oneshot *oneshot);
void await_event(lido_event *event, size_t count);
void await_mutex(lido_mutex *mutex, size_t count);

#endif
