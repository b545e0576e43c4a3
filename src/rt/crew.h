/*
 * The crew: the OS threads of one runtime.
 *
 * A member runs errands: it carries a worker until that stops, or is taken from it in a blocking
 * section; or it runs a job, which may block. Between errands it is idle. The member that became
 * idle last is called first, and one that was not called for keep_alive ends: so as many stay as have
 * been of use lately. A thread is started only when nobody is idle.
 *
 * The caller of lido_run is a guest: a member that carries workers but runs no jobs. If it loses its worker
 * it stays, as idle as the others, until the pool has ended.
 *
 * A job may be loose: then the runtime does not wait for it when it ends, and its thread is cast off, as for a
 * lookup that hangs, and that nobody waits for any more.
 *
 * A thread that ends joins the one that ended before it, and the last one is joined by lido__crew_fini:
 * no thread is left behind, and at most one has ended without being joined.
 *
 * Threads: everything may be called from any thread, unless said otherwise. One mutex guards it all:
 * whoever comes here is about to start, wake or stop a thread.
 */
#ifndef LIDO_RT_CREW_H
#define LIDO_RT_CREW_H

#include <lido.h>

#include "base/atomic.h"
#include "base/list.h"
#include "os/os.h"

struct lido__worker;
struct lido__fault_stack;
struct lido__job;

struct lido__crew {
    const lido_config *config;
    struct lido__cpus cpus;       /* for members that carry no worker; with pin_cpus */
    unsigned limit;               /* of threads */
    unsigned first;               /* the index of the first thread that is started: 0 or 1 */
    lido__shared uint32_t opened; /* a futex: threads whose after_start has returned */

    pthread_mutex_t lock;        /* for all that follows */
    unsigned started;            /* threads so far */
    lido__shared uint32_t alive; /* threads; a futex for lido__crew_fini */
    unsigned expected; /* of these will look for jobs; not those that carry a worker, or end */
    bool over;         /* the pool has ended: nobody waits for an errand any more */
    uint64_t patience; /* ns: until a thread is tried again, once one was refused; 0: none was */
    struct lido__node idle;                   /* of lido__member.idle, the latest last */
    lido__shared struct lido__member *latest; /* who that was; not to be looked into */
    struct lido__fifo jobs;                   /* that wait for a thread */
    unsigned coming;         /* members that have been called for jobs, and have not looked yet */
    struct lido__node loose; /* of lido__member.loose */
    struct lido__member *ended; /* to be joined */
};

/* Whether a thread runs a loose job, and has been cast off. */
/* lido__member.called; ASLEEP: and must be woken when it is. */
enum { LIDO__NOT_CALLED, LIDO__CALLED, LIDO__ASLEEP_UNCALLED };

enum lido__bond { LIDO__BOUND, LIDO__LOOSE, LIDO__ADRIFT };

struct lido__member {
    struct lido__crew *crew;
    struct lido__thread thread;
    struct lido__fault_stack *signal_stack; /* or NULL */
    void *ending;                           /* see ending.h */
    void *stack_low;
    size_t stack_size;
    unsigned index;
    int cpu;    /* what it is pinned to, with pin_cpus */
    bool guest; /* the caller of lido_run */

    /* Written before `called`: the errand. Neither: to see whether there is one, or the crew is over. */
    struct lido__worker *worker;
    struct lido__job
        *job;   /* its own choice; after a job the one to which that has passed its capacity */
    bool comes; /* counted as `coming`; under the lock */
    lido__shared uint32_t called; /* a futex: the values below */

    lido__shared uint32_t bond; /* ADRIFT: the crew may be gone */

    struct lido__node idle; /* under the lock, as the next */
    bool listed;            /* in crew->idle */
    struct lido__node loose;
};

/* `config` lives as long as the crew. -errno: the cpus of this thread are not known. */
int lido__crew_init(struct lido__crew *crew, const lido_config *config, bool guest);

/* The workers have been told to stop. Waits until all threads have ended but those that run loose jobs; the
   guest has left. */
void lido__crew_fini(struct lido__crew *crew);

/*
 * A member that is idle, or a new thread, which starts on `cpu` (LIDO__CPU_ANY); it waits for
 * lido__crew_send. -EAGAIN, -ENOMEM, -EINVAL (no such cpu): there is none.
 */
int lido__crew_take(struct lido__crew *crew, int cpu, struct lido__member **ret_member);

/* Calls `fn` with the thread that carries a worker, which does not end before it returns. False: none does. */
bool lido__crew_with_thread_of(struct lido__crew *crew, const struct lido__worker *worker,
                               void (*fn)(pthread_t thread, void *arg), void *arg);

/* Sends it to carry this worker, which nobody carries, or, with NULL, back to be idle. */
void lido__crew_send(struct lido__member *member, struct lido__worker *worker);

/* A thread for a worker that has never had one; nothing happens if it has. -EAGAIN, -ENOMEM; one that does not
   `insist` is refused at once for a while after no thread could be started. */
int lido__crew_carry(struct lido__crew *crew, struct lido__worker *worker, bool insist);

/*
 * A thread for a job, for which there is capacity: at once, or, when none can be started, as soon as one is idle. -EAGAIN, -ENOMEM:
 * and there is none that could become idle.
 */
int lido__crew_run(struct lido__crew *crew, struct lido__job *job);

/* Waits until the after_start of each thread that was started has returned. */
void lido__crew_await_opened(struct lido__crew *crew);

/* The calling thread joins in, as its guest, and is about to carry `worker`. -ENOMEM, -EINVAL. */
int lido__crew_enter(struct lido__crew *crew, struct lido__member *guest,
                     struct lido__worker *worker);
/* Goes on errands, of which that is the first, until the pool has ended; and leaves. */
void lido__crew_serve(struct lido__member *guest, struct lido__worker *worker);

#endif
