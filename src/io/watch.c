/*
 * Watches of descriptors that lido does not own.
 *
 * What the owner does with the number, lido does not learn: it may be closed, and be another file's by the next
 * wait. So a watch never acts on it: the file is registered in an epoll instance of the watch's own, which holds
 * nothing else and whose number is lido's. That one waits in the worker's reactor like any socket. The watch ends by
 * closing it, and so cannot hit what has the number by then; a registration that the file's other descriptors keep
 * alive ends with it; and the one call that takes the number, EPOLL_CTL_MOD, fails unless it is of the file that was
 * registered. Rejected: the foreign number in the worker's instance, where removing it may remove another's; and to
 * compare device and inode, which all eventfds share. The price is a descriptor for each watch.
 */
#define _GNU_SOURCE

#include "io/watch.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/ledger.h"
#include "fiber/fiber.h"
#include "net/net.h"
#include "os/os.h"

/* Idle ones of lido_poll_fd that a worker keeps. */
#define SPARE_MAX 16u

struct lido_watch {
    struct lido__handle *handle; /* of the instance: readable when an event is there */
    int fd;                      /* the owner's */
    int events;
    bool drained; /* the user has said so since the last wait */
};

struct spares {
    unsigned count;
    lido_watch *watches[SPARE_MAX]; /* the oldest first */
};

static short poll_events(int events)
{
    return (short)((events & LIDO_READABLE ? POLLIN | POLLRDHUP : 0) |
                   (events & LIDO_WRITABLE ? POLLOUT : 0));
}

/* Errors and hang-ups are events of both sides. */
static int events_of(int found, int asked)
{
    int holding = 0;
    if (found & (POLLIN | POLLRDHUP | POLLERR | POLLHUP))
        holding |= LIDO_READABLE;
    if (found & (POLLOUT | POLLERR | POLLHUP))
        holding |= LIDO_WRITABLE;
    return holding & asked;
}

static bool are_events(int events)
{
    return events != 0 && !(events & ~(LIDO_READABLE | LIDO_WRITABLE));
}

/* ---- Making and closing ------------------------------------------------------------------------- */

/* Of files and folders no reactor can tell anything: not a matter of which one it is. */
static int check_pollable(int fd)
{
    int type = lido__fd_type(fd);
    if (type < 0)
        return type;
    return type == S_IFREG || type == S_IFDIR ? -EPERM : 0;
}

static int register_file(lido_watch *watch)
{
    int r = check_pollable(watch->fd);
    if (r == 0)
        r = lido__os_watch(watch->fd, poll_events(watch->events));
    return r < 0 ? r : lido__net_adopt(&watch->handle, r, LIDO__HANDLE_FOREIGN);
}

static int make(lido_watch **ret_watch, int fd, int events)
{
    lido_watch *watch = lido__fault("malloc") < 0 ? NULL : malloc(sizeof(*watch));
    if (!watch)
        return -ENOMEM;
    *watch = (lido_watch){.fd = fd, .events = events};
    int r = register_file(watch);
    if (r < 0)
        free(watch);
    else
        *ret_watch = watch;
    return r;
}

int lido_watch_open(lido_watch **watch, int fd, int events)
{
    int r;
    if (!lido__fiber_worker(&r))
        return r;
    return are_events(events) ? make(watch, fd, events) : -EINVAL;
}

void lido_watch_close(lido_watch *watch)
{
    if (!watch)
        return;
    lido__net_close(watch->handle, false);
    free(watch);
}

/* ---- Waiting ------------------------------------------------------------------------------------ */

/* Forgets what was known of the side. -EBUSY: another task waits. Acquire: as a task that claims it. */
static int forget(const lido_watch *watch)
{
    uintptr_t *side = &watch->handle->side[0];
    uintptr_t word = lido__load(side, LIDO__RELAXED);
    while (word != LIDO__SIDE_DRAINED && !lido__side_op(word))
        if (lido__cas(side, &word, LIDO__SIDE_DRAINED, LIDO__ACQUIRE, LIDO__RELAXED))
            return 0;
    return word == LIDO__SIDE_DRAINED ? 0 : -EBUSY;
}

/* The system is asked after that, so that an event that comes meanwhile stays there. The other way round one that a
   rescuer brings in between would be lost. */
static int ask(const lido_watch *watch)
{
    int r = forget(watch);
    if (r == 0)
        r = lido__os_watch_ask(watch->handle->fd);
    return r < 0 ? r : events_of(r, watch->events);
}

/* What an op does before it tries; a wait that never sleeps makes room for others, too. */
static int begin(void)
{
    struct lido__worker *worker = lido__worker_current();
    if (worker->budget == 0)
        return lido_yield();
    worker->budget--;
    return lido__task_interrupted(worker, worker->current);
}

/* Until an event comes. What holds need not be asked if just one was asked for: the event is true. */
static int sleep_until_told(lido_watch *watch)
{
    int r = (int)lido__net_await(LIDO__OP_READABLE, watch->handle, NULL, 0);
    if (r < 0)
        return r; /* the watch may be gone */
    if (watch->events == (LIDO_READABLE | LIDO_WRITABLE))
        return ask(watch);
    r = forget(watch);
    return r < 0 ? r : watch->events;
}

int lido_watch_wait(lido_watch *watch)
{
    int r = begin();
    if (r < 0)
        return r;
    bool known = watch->drained;
    watch->drained = false;
    r = known ? 0 : ask(watch);
    while (r == 0)
        r = sleep_until_told(watch);
    return r;
}

void lido_watch_drained(lido_watch *watch)
{
    watch->drained = true;
}

/* ---- One wait, of a descriptor that may be another file's each time ------------------------------- */

static lido_watch *remove_spare(struct spares *spares, unsigned i)
{
    lido_watch *watch = spares->watches[i];
    for (spares->count--; i < spares->count; i++)
        spares->watches[i] = spares->watches[i + 1];
    return watch;
}

static lido_watch *find_spare(struct spares *spares, int fd)
{
    for (unsigned i = 0; spares && i < spares->count; i++)
        if (spares->watches[i]->fd == fd)
            return remove_spare(spares, i);
    return NULL;
}

/* One for that number, if it still is of the same file; otherwise a new one. */
static int take(struct lido__worker *worker, lido_watch **ret_watch, int fd, int events)
{
    lido_watch *watch = find_spare(worker->watches, fd);
    if (!watch)
        return make(ret_watch, fd, events);
    watch->events = events;
    int r = lido__os_watch_again(watch->handle->fd, fd, poll_events(events));
    if (r < 0)
        lido_watch_close(watch);
    else
        *ret_watch = watch;
    return r == -ENOENT ? make(ret_watch, fd, events) : r;
}

/* Only those that wait here: another worker may end before this one. */
static void give_spare(struct lido__worker *worker, lido_watch *watch)
{
    struct spares *spares = worker->watches;
    struct lido__reactor *where = lido__handle_reactor(watch->handle);
    if (!spares)
        spares = worker->watches = lido__fault("malloc") < 0 ? NULL : calloc(1, sizeof(*spares));
    if (!spares || (where && where != worker->reactor)) {
        lido_watch_close(watch);
        return;
    }
    if (spares->count == SPARE_MAX)
        lido_watch_close(remove_spare(spares, 0));
    lido__ledger_strike(watch->handle); /* it is not the user's to close */
    spares->watches[spares->count++] = watch;
}

void lido__watches_fini(struct lido__worker *worker)
{
    struct spares *spares = worker->watches;
    while (spares && spares->count)
        lido_watch_close(remove_spare(spares, 0));
    free(spares);
    worker->watches = NULL;
}

/* Whoever else uses the file may have been quicker: what is told holds when it is told. */
static int wait_and_ask(lido_watch *watch)
{
    int r = begin();
    if (r == 0)
        r = ask(watch);
    while (r == 0) {
        r = (int)lido__net_await(LIDO__OP_READABLE, watch->handle, NULL, 0);
        if (r == 0)
            r = ask(watch);
    }
    return r;
}

int lido_poll_fd(int fd, int events)
{
    int r;
    struct lido__worker *worker = lido__fiber_worker(&r);
    if (!worker)
        return r;
    if (!are_events(events))
        return -EINVAL;
    lido_watch *watch;
    r = take(worker, &watch, fd, events);
    if (r < 0)
        return r;
    r = wait_and_ask(watch);
    give_spare(lido__worker_current(), watch);
    return r;
}
