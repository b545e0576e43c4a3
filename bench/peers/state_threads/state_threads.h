/* What the jobs of the peer on State Threads share. */
#ifndef LIDO_BENCH_STATE_THREADS_H
#define LIDO_BENCH_STATE_THREADS_H

#include <st.h>

#include "peer.h"

/* The calling thread becomes the library's first. Not before fork: it belongs to a process. */
void st_begin(void);

/* A thread, or the program ends. */
st_thread_t st_spawn(void *(*body)(void *), void *arg, bool joinable);

void st_run_sched(const struct peer_options *options);

#endif
