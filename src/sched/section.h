/*
 * Blocking sections: a worker is taken from a thread that does not come back.
 *
 * While a task runs code that may block, its thread leaves the worker alone, and says so with one word,
 * `section`: odd within, and another number each time. Whoever finds that the thread has been in the
 * same section for too long (the lifeguard) takes the worker away by one compare-and-swap, and lets
 * another thread carry it: queue, wheel and reactor as they are. The thread that returns tries the
 * same change, and learns from it whether the worker is still its own. So a section that ends
 * soon costs two atomic operations.
 *
 *     thread                      lifeguard
 *     enter:  n -> n+1 (odd)
 *     leave:  n+1 -> n+2          retake: n+1 -> n+2        exactly one of the two succeeds
 *
 * The idea is that of Go's P, which sysmon retakes from an M that sits in a system call.
 * Model-checked in tests/model/test_section.c.
 */
#ifndef LIDO_SCHED_SECTION_H
#define LIDO_SCHED_SECTION_H

#include "sched/worker.h"

/* For whom the thread runs code that may block, in a section or as a job; or NULL. The task waits for it. */
extern __thread const lido_task *lido__task_blocking __attribute__((tls_model("initial-exec")));

/* The task whose code the thread runs, if any. Async-signal-safe. */
const lido_task *lido__task_of_thread(void);

/*
 * The thread that carries the worker. Until leave, it has no current worker. Returns the ticket
 * for leave. Sequentially consistent: what follows (a look whether the lifeguard sleeps) is not done
 * before the section can be seen.
 */
static inline uint64_t lido__section_enter(struct lido__worker *worker)
{
    uint64_t ticket = lido__load(&worker->section, LIDO__RELAXED) + 1;
    lido__worker_of_thread = NULL;
    lido__exchange(&worker->section, ticket, LIDO__SEQ_CST);
    return ticket;
}

/* The same thread. False: the worker has been taken away, and must not be touched any more. */
static inline bool lido__section_leave(struct lido__worker *worker, uint64_t ticket)
{
    uint64_t expected = ticket;
    if (!lido__cas(&worker->section, &expected, ticket + 1, LIDO__ACQ_REL, LIDO__RELAXED))
        return false;
    lido__worker_of_thread = worker;
    return true;
}

/* The ticket of the section that a worker's thread is in, or 0. Any thread. Sequentially consistent: so
   whoever says that he sleeps, and then does not see a section, is seen by it. */
static inline uint64_t lido__section_seen(const struct lido__worker *worker)
{
    uint64_t section = lido__load(&worker->section, LIDO__SEQ_CST);
    return section & 1 ? section : 0;
}

/*
 * Takes the worker from the thread that is in this section. True: the caller gives it to a thread that
 * calls lido__worker_loop. Any thread. Acquire: pairs with the release in enter: the new thread finds
 * the worker as the old one left it.
 */
static inline bool lido__section_retake(struct lido__worker *worker, uint64_t ticket)
{
    return lido__cas(&worker->section, &ticket, ticket + 1, LIDO__ACQ_REL, LIDO__RELAXED);
}

#endif
