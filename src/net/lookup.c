#include "net/lookup.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/list.h"
#include "os/os.h"
#include "sched/wake.h"

enum lookup_state { WAITING, RUNNING, DONE, ABANDONED };

struct lido__lookup {
    struct lido__node waiting; /* in lookups.waiting, while WAITING */
    enum lookup_state state;
    lido_waker waker; /* owned; the thread takes it when it is done, the task when it leaves */
    struct lido__host_port parts;
    struct lido__thread thread; /* the one that was started for this lookup, if one was */
    struct addrinfo *found;     /* written by the thread, valid when DONE */
    int error;                  /* negative errno, likewise */
};

static struct {
    pthread_mutex_t lock; /* for all of this, and for state and waker of all lookups */
    unsigned running;     /* threads */
    struct lido__node waiting;
} lookups = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .waiting = {&lookups.waiting, &lookups.waiting},
};

static void free_lookup(struct lido__lookup *lookup)
{
    if (lookup->found)
        freeaddrinfo(lookup->found);
    free(lookup);
}

/* ---- The thread --------------------------------------------------------------------------------- */

static int error_of(int eai, int system_error)
{
    switch (eai) {
    case 0: return 0;
    case EAI_SYSTEM: return system_error ? -system_error : -EAGAIN;
    case EAI_MEMORY: return -ENOMEM;
    case EAI_AGAIN:
    case EAI_FAIL: return -EAGAIN;
    case EAI_SERVICE: return -EINVAL;
    default: return -ENOENT; /* each of the others is a way to say that there is no such name */
    }
}

static void look_up(struct lido__lookup *lookup)
{
    /* ADDRCONFIG: the addresses of a family that this machine has no address of are left out. */
    struct addrinfo hints = {
        .ai_flags = AI_ADDRCONFIG,
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    const char *host = lookup->parts.host;
    if (lido__host_port_is_any(&lookup->parts)) {
        host = NULL; /* the service alone: the caller makes the addresses */
        hints.ai_family = AF_INET;
        hints.ai_flags = AI_PASSIVE;
    }
    lookup->error = lido__fault("getaddrinfo");
    if (lookup->error == 0) {
        int eai = getaddrinfo(host, lookup->parts.port, &hints, &lookup->found);
        lookup->error = error_of(eai, errno);
    }
}

/* With the lock held: the next lookup for the thread, or NULL, and then the thread ends. */
static struct lido__lookup *next_waiting(void)
{
    if (lido__list_empty(&lookups.waiting)) {
        lookups.running--;
        return NULL;
    }
    struct lido__lookup *next =
        lido__container_of(lookups.waiting.next, struct lido__lookup, waiting);
    lido__list_remove(&next->waiting);
    next->state = RUNNING;
    return next;
}

static struct lido__lookup *complete(struct lido__lookup *lookup)
{
    pthread_mutex_lock(&lookups.lock);
    bool abandoned = lookup->state == ABANDONED;
    lido_waker waker = lookup->waker;
    lookup->state = DONE;
    struct lido__lookup *next = next_waiting();
    pthread_mutex_unlock(&lookups.lock);
    if (abandoned)
        free_lookup(lookup);
    else
        lido__wake_consume(waker); /* the task may have freed the lookup by now */
    return next;
}

static void thread_main(void *arg)
{
    struct lido__lookup *lookup = arg;
    pthread_detach(pthread_self());
    while (lookup) {
        look_up(lookup);
        lookup = complete(lookup);
    }
}

/* ---- The task ----------------------------------------------------------------------------------- */

/*
 * With the lock held, so that the thread, which takes it before it lets go of the lookup, cannot be
 * quicker than its own start.
 */
static int start_or_queue(struct lido__lookup *lookup)
{
    static const struct lido__thread_config config = {.name = "lido-lookup", .cpu = LIDO__CPU_ANY};
    int r = -EAGAIN;
    if (lookups.running < LIDO__LOOKUPS_MAX) {
        lookup->state = RUNNING;
        r = lido__thread_start(&lookup->thread, &config, thread_main, lookup);
    }
    if (r == 0) {
        lookups.running++;
    } else if (lookups.running > 0) {
        lookup->state = WAITING;
        lido__list_push(&lookups.waiting, &lookup->waiting);
        r = 0;
    }
    return r;
}

int lido__lookup_start(struct lido__lookup **ret_lookup, const struct lido__host_port *parts,
                       lido_waker waker)
{
    struct lido__lookup *lookup = lido__fault("malloc") < 0 ? NULL : calloc(1, sizeof(*lookup));
    if (!lookup)
        return -ENOMEM;
    lookup->parts = *parts;
    lookup->waker = waker;
    pthread_mutex_lock(&lookups.lock);
    int r = start_or_queue(lookup);
    pthread_mutex_unlock(&lookups.lock);
    if (r < 0) {
        free(lookup);
        return r;
    }
    *ret_lookup = lookup;
    return 0;
}

bool lido__lookup_done(struct lido__lookup *lookup)
{
    pthread_mutex_lock(&lookups.lock);
    bool done = lookup->state == DONE;
    pthread_mutex_unlock(&lookups.lock);
    return done;
}

int lido__lookup_take(struct lido__lookup *lookup, lido_address *addresses, size_t capacity)
{
    size_t count = 0;
    int r = lookup->error;
    for (struct addrinfo *info = lookup->found; info && count < capacity; info = info->ai_next)
        if (lido_address_from_sockaddr(&addresses[count], info->ai_addr, info->ai_addrlen) == 0)
            count++;
    free_lookup(lookup);
    return r < 0 ? r : (int)count;
}

void lido__lookup_abandon(struct lido__lookup *lookup)
{
    pthread_mutex_lock(&lookups.lock);
    enum lookup_state state = lookup->state;
    lido_waker waker = lookup->waker;
    if (state == WAITING)
        lido__list_remove(&lookup->waiting);
    else if (state == RUNNING)
        lookup->state = ABANDONED;
    pthread_mutex_unlock(&lookups.lock);
    if (state != DONE)
        lido_waker_drop(&waker);
    if (state != RUNNING)
        free_lookup(lookup);
}
