#include "rt/fork.h"

#include <errno.h>
#include <pthread.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "base/fork.h"
#include "base/slab.h"
#include "io/signal.h"
#include "sched/worker.h"

static lido__shared uint32_t alive; /* runtimes */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int registered;                                      /* 0, or why not; written once */
static pthread_mutex_t forking = PTHREAD_MUTEX_INITIALIZER; /* held over each fork */

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
    if (lido__load(&alive, LIDO__RELAXED)) {
        lido__forked = true;
        forget_worker();
        lido__signals_forget();
    }
    lido__signals_let_go();
    lido__slab_let_go_all();
    pthread_mutex_unlock(&forking);
}

static void register_handlers(void)
{
    registered = lido__fault("pthread_atfork");
    if (registered == 0)
        registered = -pthread_atfork(before_fork, in_parent, in_child);
}

int lido__fork_runtime_comes(void)
{
    if (lido__forked)
        return -ENOTRECOVERABLE;
    pthread_once(&once, register_handlers);
    if (registered == 0)
        lido__fetch_add(&alive, 1, LIDO__RELAXED);
    return registered;
}

void lido__fork_runtime_gone(void)
{
    /* Release: all that it did lies before a fork that finds it gone. */
    lido__fetch_sub(&alive, 1, LIDO__RELEASE);
}
