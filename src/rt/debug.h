/*
 * What a runtime says of the program that uses it, if it is asked to: by a hook of its
 * configuration, or by LIDO_DEBUG=1 in the environment, which writes it to stderr. Otherwise
 * nothing of this is there.
 *
 *   - A task that fails and that nobody joins.
 *   - What keeps a runtime from ending: some time after the tasks have been cancelled at the end of
 *     lido_run; and, with LIDO_DEBUG=1, when nothing happens any more and all tasks wait for each other.
 *   - What has not been given back at the end of the last runtime (base/ledger.h).
 *
 * The second needs a thread of its own, which looks twice a second. It is no worker's, so it may
 * wait for their answers.
 */
#ifndef LIDO_RT_DEBUG_H
#define LIDO_RT_DEBUG_H

#include <lido.h>

#include "base/atomic.h"
#include "os/os.h"

struct lido__pool;
struct lido__settings;

struct lido__debug {
    lido__shared uint32_t state;     /* a futex: the thread is to end; 0 before */
    lido__shared uint32_t cancelled; /* stuck tasks are to be reported from then on; see below */
    lido__shared uint64_t due;       /* ns: when; written before `cancelled` is set */
    uint64_t progress; /* its own, as the next: the sum of all turns at the last look */
    unsigned quiet;    /* looks in a row at which that was the same */
    uint32_t told;     /* tasks that were told of as waiting for each other */
    bool started;
    struct lido__thread thread;
};

/* Called when the configuration has been read, for what LIDO_DEBUG=1 switches on. */
void lido__debug_settle(struct lido__settings *settings);

/* The runtime is about to have threads. Nothing fails: without a thread there are fewer reports. */
void lido__debug_init(lido_runtime *runtime);

/* The pool has ended; nothing of it has been freed yet. */
void lido__debug_fini(lido_runtime *runtime);

/* The root of lido_run has returned, and the tasks that it leaves are cancelled in grace_ms. */
void lido__debug_root_ended(lido_runtime *runtime, int64_t grace_ms);

/* pool->failed: the current task, which nobody joins, has returned an error. Outside the gate. */
void lido__debug_failed(struct lido__pool *pool, const char *name, const char *where, int result);

#endif
