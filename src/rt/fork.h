/*
 * fork. The child has one thread, the one that forked, and a copy of all memory.
 *
 * If a runtime lives at that moment, the child can do nothing with lido but exec and _exit, and what it calls
 * fails: nobody would ever wake it, and what it does to the reactor's descriptors it would do to the
 * parent's. See base/fork.h. If none lives, the child may use lido like any process: so the locks that
 * outlast runtimes are held across the fork, by the thread that forks, and so are free and what they guard
 * whole in the child.
 */
#ifndef LIDO_RT_FORK_H
#define LIDO_RT_FORK_H

/* A runtime is about to be made: -ENOTRECOVERABLE (see above), -ENOMEM. Any thread. */
int lido__fork_runtime_comes(void);

/* That one is no more, or was never made. */
void lido__fork_runtime_gone(void);

#endif
