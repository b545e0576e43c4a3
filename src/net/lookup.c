#include "net/lookup.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/fault.h"
#include "fiber/fiber.h"
#include "os/os.h"
#include "sched/job.h"

enum { RUNNING, DONE, ABANDONED };

struct lookup {
    struct lido__job job;
    lido__shared uint32_t state;
    lido_waker waker; /* owned by the thread */
    struct lido__host_port parts;
    struct addrinfo *found; /* written by the thread, valid when DONE */
    int error;              /* negative errno, likewise */
};

static void free_lookup(struct lookup *lookup)
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

/* As many as a lookup holds open at once. */
#define DESCRIPTORS 2

/*
 * 0 if there are descriptors for a lookup; -EMFILE, -ENFILE. The C library reads files and opens
 * sockets, and goes on without those that it does not get: then it has not found the name, for all
 * that it tells.
 */
static int check_descriptors(void)
{
    int fds[DESCRIPTORS];
    int count = 0, r = 0;
    while (count < DESCRIPTORS && (r = lido__os_socket(AF_UNIX, SOCK_DGRAM, 0)) >= 0)
        fds[count++] = r;
    while (count > 0)
        lido__os_close(fds[--count]);
    return r == -EMFILE || r == -ENFILE ? r : 0;
}

/* Why a lookup has failed. What was lacking may be there again: so its own error counts, too. */
static int reason_of(int eai, int system_error)
{
    int short_of = system_error == EMFILE || system_error == ENFILE ? -system_error : 0;
    if (!short_of)
        short_of = check_descriptors();
    return lido__error_of_system(short_of ? short_of : error_of(eai, system_error));
}

static void ask_system(struct lookup *lookup)
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
    lookup->error = lido__error_of_system(lido__fault("getaddrinfo"));
    if (lookup->error == 0) {
        errno = 0;
        int eai = getaddrinfo(host, lookup->parts.port, &hints, &lookup->found);
        lookup->error = eai ? reason_of(eai, errno) : 0;
    }
}

static void run(struct lido__job *job)
{
    struct lookup *lookup = lido__container_of(job, struct lookup, job);
    lido_waker waker = lookup->waker;
    /* When the runtime ends only those are left that nobody waits for: these do not begin. */
    if (lido__load(&lookup->state, LIDO__ACQUIRE) == RUNNING)
        ask_system(lookup);
    /* Release: the task, which may free the lookup from here on, sees the result. */
    if (lido__exchange(&lookup->state, DONE, LIDO__ACQ_REL) == ABANDONED) {
        free_lookup(lookup);
        lido_waker_drop(&waker);
    } else {
        lido__wake_consume(waker);
    }
}

/* ---- The task ----------------------------------------------------------------------------------- */

static int take_result(struct lookup *lookup, lido_address *addresses, size_t capacity)
{
    size_t count = 0;
    int r = lookup->error;
    for (struct addrinfo *info = lookup->found; info && count < capacity; info = info->ai_next)
        if (lido_address_from_sockaddr(&addresses[count], info->ai_addr, info->ai_addrlen) == 0)
            count++;
    free_lookup(lookup);
    return r < 0 ? r : (int)count;
}

static void abandon(struct lookup *lookup)
{
    if (lido__exchange(&lookup->state, ABANDONED, LIDO__ACQ_REL) == DONE)
        free_lookup(lookup);
}

static int await_done(struct lido__worker *worker, struct lookup *lookup)
{
    while (lido__load(&lookup->state, LIDO__ACQUIRE) != DONE) {
        int reason = lido__task_interrupted(worker, worker->current);
        if (reason)
            return reason;
        lido__fiber_suspend(worker, "resolve");
        worker = lido__worker_current();
    }
    return 0;
}

/* A lookup that is on its way to a thread. */
static int begin(struct lido__worker *worker, const struct lido__host_port *parts,
                 struct lookup **ret_lookup)
{
    struct lookup *lookup = lido__fault("malloc") < 0 ? NULL : calloc(1, sizeof(*lookup));
    if (!lookup)
        return -ENOMEM;
    lookup->job = (struct lido__job){.run = run, .pool = LIDO_POOL_DNS, .loose = true};
    lookup->parts = *parts;
    lookup->waker = lido__waker_own(worker->current);
    int r = worker->pool->employ(worker->pool, &lookup->job);
    if (r < 0) {
        lido_waker_drop(&lookup->waker);
        free_lookup(lookup);
        return r;
    }
    *ret_lookup = lookup;
    return 0;
}

int lido__look_up(const struct lido__host_port *parts, lido_address *addresses, size_t capacity)
{
    struct lookup *lookup;
    int r = 0;
    struct lido__worker *worker = lido__fiber_worker(&r);
    if (worker)
        r = lido__task_interrupted(worker, worker->current);
    if (r == 0)
        r = begin(worker, parts, &lookup);
    if (r < 0)
        return r;
    r = await_done(lido__worker_current(), lookup);
    if (r == 0)
        return take_result(lookup, addresses, capacity);
    abandon(lookup);
    return r;
}
