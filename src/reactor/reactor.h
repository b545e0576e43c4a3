/*
 * The contract of a reactor: what a worker sleeps on.
 *
 * A reactor takes ops and hands back lists of ops; it knows neither tasks nor the scheduler. It is
 * shaped for completions (io_uring, IOCP); systems that report readiness (epoll, kqueue) go through
 * ready.h, which makes the attempt in the thread of the task.
 *
 * Threads: submit and cancel are called by the task that owns the op, on the worker that owns the
 * reactor; wait by that worker; release by whoever closes the handle; wake by anyone.
 */
#ifndef LIDO_REACTOR_REACTOR_H
#define LIDO_REACTOR_REACTOR_H

#include "base/list.h"
#include "reactor/handle.h"
#include "reactor/op.h"

struct lido__reactor;

struct lido__reactor_ops {
    const char *name;
    size_t size; /* of the reactor's struct, which begins with a struct lido__reactor */

    /* -EMFILE, -ENFILE, -ENOMEM; -ENOSYS: the system does not let us. */
    int (*init)(struct lido__reactor *reactor);
    void (*fini)(struct lido__reactor *reactor);

    /*
     * Starts an op that is IDLE. True: it is SETTLED. False: it is ARMED, and will come back
     * from wait. Filling an op cannot fail; what goes wrong here is its result (-EBUSY: the side has
     * an op already; -ENOMEM, -ENOSPC: it cannot be registered).
     */
    bool (*submit)(struct lido__reactor *reactor, struct lido__op *op);

    /* The same for an op that is READY, if this reactor has those: goes on with it. */
    bool (*retry)(struct lido__reactor *reactor, struct lido__op *op);

    /*
     * Takes back an op that is ARMED. True: it is SETTLED with `reason`, nothing was consumed.
     * False: too late, it is being handed back: wait for that.
     */
    bool (*cancel)(struct lido__reactor *reactor, struct lido__op *op, int reason);

    /* Of those that go through ready.h, for its use: sees to it that the reactor watches the op's side of its
       handle; 0 or a negative errno. */
    int (*watch)(struct lido__reactor *reactor, const struct lido__op *op);

    /*
     * Forgets a handle that is registered here, so that its descriptor can be closed or watched
     * elsewhere. Its armed ops are taken off first (lido__ready_take). From any thread.
     */
    void (*release)(struct lido__reactor *reactor, struct lido__handle *handle);

    /*
     * Waits until something happens, `timeout` ns at most (0: only looks, UINT64_MAX: for ever), and
     * appends the ops that are handed back. They are not READY or SETTLED yet in the eyes of
     * their tasks: lido__deliver says so. It may return without any.
     */
    void (*wait)(struct lido__reactor *reactor, uint64_t timeout, struct lido__fifo *handed);

    /* A descriptor that is readable when wait would not sleep; -1: there is none. */
    int (*descriptor)(const struct lido__reactor *reactor);

    /* Makes a wait that sleeps, or the next one, return. From any thread. */
    void (*wake)(struct lido__reactor *reactor);
};

/* What LIDO__OP_READ_LENT reads at most. */
#define LIDO__LENT_SIZE ((size_t)65536)

struct lido__reactor {
    const struct lido__reactor_ops *ops;
    unsigned worker;    /* whose it is, for texts */
    const char *failed; /* the system call in which init has failed */
    /*
     * A buffer that an op may read into without having one of its own, so that a task that waits
     * holds none. Valid from the settling of the op until its task waits again. io_uring has the
     * same as provided buffers.
     */
    void *lent;
};

/* The reactors of this build, best first; NULL ends. */
extern const struct lido__reactor_ops *const lido__reactors[];

/* By name; NULL: the first. NULL if there is none of that name. */
const struct lido__reactor_ops *lido__reactor_find(const char *name);

#endif
