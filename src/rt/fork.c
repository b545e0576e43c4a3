#include "rt/fork.h"

#include <errno.h>
#include <pthread.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "base/fork.h"
#include "base/slab.h"
#include "io/signal.h"
#include "net/borrow.h"
#include "sched/worker.h"

/* Held over each fork, and for what follows. */
static pthread_mutex_t forking = PTHREAD_MUTEX_INITIALIZER;
static unsigned alive; /* runtimes */
static bool registered;

/* Signals last: a handler may wait for their lock in a thread that holds another. */
static void before_fork(void)
{
    pthread_mutex_lock(&forking);
    lido__slab_hold_all();
    lido__signals_hold();
}

static void in_parent(void)
{
    lido__signals_let_go();
    lido__slab_let_go_all();
    pthread_mutex_unlock(&forking);
}

/* The gate stops a future that comes back from its poll. */
static void forget_worker(void)
{
    struct lido__worker *worker = lido__worker_of_thread;
    lido__worker_of_thread = NULL;
    if (worker)
        lido__store(&worker->gate.wanted, LIDO__GATE_WANTED, LIDO__RELAXED);
}

static void in_child(void)
{
    if (alive) {
        lido__forked = true;
        forget_worker();
        lido__signals_forget();
    }
    lido__signals_let_go();
    lido__slab_let_go_all();
    pthread_mutex_unlock(&forking);
}

static int register_handlers(void)
{
    int r = lido__fault("pthread_atfork");
    if (r == 0)
        r = -pthread_atfork(before_fork, in_parent, in_child);
    registered = r == 0;
    return r;
}

int lido__fork_runtime_comes(void)
{
    if (lido__forked)
        return -ENOTRECOVERABLE;
    pthread_mutex_lock(&forking);
    int r = registered ? 0 : register_handlers();
    alive += r == 0;
    pthread_mutex_unlock(&forking);
    return r;
}

void lido__fork_runtime_gone(void)
{
    pthread_mutex_lock(&forking);
    /* Streams do not outlive the runtime that they are of. */
    if (--alive == 0)
        lido__give_back_all();
    pthread_mutex_unlock(&forking);
}
