/*
 * A second process, at the other end of a test's connections: it has descriptors of its own, and
 * can be killed. To be started while this process has one thread.
 */
#ifndef TESTS_SUPPORT_PEER_H
#define TESTS_SUPPORT_PEER_H

#include <sys/types.h>

#include "support/check.h"

struct peer {
    pid_t pid;
    int ends; /* a pipe that the process holds open as long as it lives */
};

/* Memory that the processes share, filled with zeros; as long as this process lives. */
void *peer_memory(size_t size);

/* Runs fn(arg) in another process, whose exit status is 0 if that returns. It does not outlive this one. */
void peer_start(struct peer *peer, void (*fn)(void *arg), void *arg);

/* In a task: waits until the process has ended, however it did. */
void peer_await(struct peer *peer);

/* After peer_await: that it ended well; or that it was killed by us. */
void peer_ended_well(struct peer *peer);
void peer_ended_by(struct peer *peer, int signal);

#endif
