/* Waiting for descriptors that are not lido's. */
#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>

#include "base/assert.h"
#include "fiber/fiber.h"
#include "os/os.h"

/* Of each event that is asked for: the kind of op that waits for it. */
static const struct {
    int event;
    short poll;
    enum lido__op_kind kind;
} sides[] = {
    {LIDO_READABLE, POLLIN | POLLRDHUP, LIDO__OP_READABLE},
    {LIDO_WRITABLE, POLLOUT, LIDO__OP_WRITABLE},
};
#define SIDES (sizeof(sides) / sizeof(sides[0]))

/* Which of `events` hold now, or -EBADF. Errors and hang-ups are events of both sides. */
static int ask(int fd, int events)
{
    short wanted = 0;
    int holding = 0;
    for (size_t i = 0; i < SIDES; i++)
        if (events & sides[i].event)
            wanted |= sides[i].poll;
    int found = lido__os_poll(fd, wanted);
    if (found < 0)
        return found;
    for (size_t i = 0; i < SIDES; i++)
        if (found & (sides[i].poll | POLLERR | POLLHUP))
            holding |= sides[i].event;
    return holding & events;
}

/* Waits until the reactor has told of something; only the latest can be told by asking. */
static int await_event(struct lido__worker *worker, struct lido__handle *handle, int events)
{
    struct lido__op ops[SIDES];
    size_t count = 0;
    for (size_t i = 0; i < SIDES; i++)
        if (events & sides[i].event)
            lido__op_init(&ops[count++], sides[i].kind, handle, NULL, 0);
    for (bool settled = false;;) {
        for (size_t i = 0; i < count; i++)
            settled |= lido__op_advance(worker, worker->current, &ops[i]);
        if (settled)
            break;
        lido__fiber_suspend(worker, "poll");
        worker = lido__worker_current();
    }
    int r = 0;
    for (size_t i = 0; i < count; i++) {
        struct lido__backoff backoff = {0};
        /* The other op may be on its way back, in the hands of the worker that this task has left. */
        while (lido__op_state(&ops[i]) != LIDO__OP_SETTLED &&
               !worker->reactor->ops->cancel(worker->reactor, &ops[i], 0))
            lido__backoff(&backoff);
        r = ops[i].result < 0 ? (int)ops[i].result : r;
    }
    return r;
}

/*
 * Waits and asks in turn, because the owner of the descriptor may be quicker than this task. Events
 * come while this task waits, and not between asking and waiting: so none is forgotten here.
 */
static int poll_handle(struct lido__worker *worker, struct lido__handle *handle, int events)
{
    int r;
    do {
        /* A new handle counts as ready, for trying is cheap. But here there is nothing to try. */
        lido__store(&handle->side[0], LIDO__SIDE_DRAINED, LIDO__RELAXED);
        lido__store(&handle->side[1], LIDO__SIDE_DRAINED, LIDO__RELAXED);
        r = await_event(worker, handle, events);
        if (r == 0)
            r = ask(handle->fd, events);
        worker = lido__worker_current();
    } while (r == 0);
    return r;
}

int lido_poll_fd(int fd, int events)
{
    int r;
    struct lido__worker *worker = lido__fiber_worker(&r);
    if (!worker)
        return r;
    if (events == 0 || events & ~(LIDO_READABLE | LIDO_WRITABLE))
        return -EINVAL;
    struct lido__handle *handle = lido__handle_new(fd, LIDO__HANDLE_FOREIGN);
    if (!handle)
        return -ENOMEM;
    r = poll_handle(worker, handle, events);
    struct lido__reactor *reactor = lido__handle_reactor(handle);
    if (reactor)
        reactor->ops->release(reactor, handle);
    lido__handle_free(handle);
    return r;
}
