/*
 * Threads of a runtime that are ended in the middle of their work: by pthread_exit in a task, or by pthread_cancel.
 * The worker that such a thread carries would be lost with all of its tasks, and the runtime would wait for them for
 * ever. So the process is aborted, with the name of the task.
 *
 * A destructor of a thread-local value is what the system calls at the end of a thread, however it comes about.
 *
 * Threads: each for itself.
 */
#ifndef LIDO_RT_ENDING_H
#define LIDO_RT_ENDING_H

/* From now on the thread must return to lido. Returns what lido__ending_allow is to be given: a thread may be in one
   runtime while it is in another (lido_run in a blocking section). */
void *lido__ending_forbid(void);

void lido__ending_allow(void *before);

#endif
