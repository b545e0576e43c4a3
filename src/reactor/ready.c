#include "reactor/ready.h"

#include <errno.h>

#include "os/os.h"

/* Into the worker's buffer, chosen only now that there is something to read. */
static ssize_t try_read_lent(struct lido__op *op, int fd, void *lent)
{
    op->buffer = lent;
    op->length = LIDO__LENT_SIZE;
    return lido__os_read(fd, lent, LIDO__LENT_SIZE);
}

static ssize_t try_read(const struct lido__op *op, int fd)
{
    if (op->handle->kind == LIDO__HANDLE_SOCKET)
        return lido__os_recv(fd, op->buffer, op->length, 0);
    return lido__os_read(fd, op->buffer, op->length);
}

static ssize_t try_write(const struct lido__op *op, int fd)
{
    if (op->handle->kind == LIDO__HANDLE_SOCKET)
        return lido__os_send(fd, op->buffer, op->length, 0);
    return lido__os_write(fd, op->buffer, op->length);
}

static ssize_t try_writev(const struct lido__op *op, int fd)
{
    if (op->handle->kind == LIDO__HANDLE_SOCKET)
        return lido__os_sendv(fd, op->buffer, (int)op->length);
    return lido__os_writev(fd, op->buffer, (int)op->length);
}

static ssize_t try_accept(const struct lido__op *op, int fd)
{
    lido_address *peer = op->buffer;
    socklen_t length = sizeof(peer->lido_private);
    if (!peer)
        return lido__os_accept(fd, NULL, NULL);
    int r = lido__os_accept(fd, (struct sockaddr *)peer->lido_private, &length);
    if (r >= 0)
        peer->length = length;
    return r;
}

/*
 * The first call starts the connection, a later one tells how it went: unlike SO_ERROR it also tells
 * "not yet", should the task have been woken without reason. -EALREADY: a Unix socket whose backlog is
 * full, for which the system reports no event.
 */
static ssize_t try_connect(struct lido__op *op, int fd)
{
    const lido_address *to = op->buffer;
    int r = lido__os_connect(fd, (const struct sockaddr *)to->lido_private, to->length);
    if (r == -EAGAIN)
        return -EALREADY;
    if (r == -EINPROGRESS || r == -EINTR || (op->connecting && r == -EALREADY)) {
        op->connecting = 1;
        return -EAGAIN;
    }
    return op->connecting && r == -EISCONN ? 0 : r;
}

/* One attempt. -EAGAIN: it would have to wait. */
static ssize_t try_op(struct lido__reactor *reactor, struct lido__op *op)
{
    int fd = op->handle->fd;
    switch ((enum lido__op_kind)op->kind) {
    case LIDO__OP_READ: return try_read(op, fd);
    case LIDO__OP_READ_LENT: return try_read_lent(op, fd, reactor->lent);
    case LIDO__OP_READV: return lido__os_readv(fd, op->buffer, (int)op->length);
    case LIDO__OP_PEEK: return lido__os_recv(fd, op->buffer, op->length, MSG_PEEK);
    case LIDO__OP_RECVMSG: return lido__os_recvmsg(fd, op->buffer, 0);
    case LIDO__OP_ACCEPT: return try_accept(op, fd);
    case LIDO__OP_WRITE: return try_write(op, fd);
    case LIDO__OP_WRITEV: return try_writev(op, fd);
    case LIDO__OP_SENDMSG: return lido__os_sendmsg(fd, op->buffer, 0);
    case LIDO__OP_CONNECT: return try_connect(op, fd);
    case LIDO__OP_READABLE:
    case LIDO__OP_WRITABLE: return 0;
    }
    return -EINVAL;
}

/*
 * Whether the side is drained by a transfer that succeeded: only a short one of a byte stream says
 * so. One byte of a larger buffer is short; datagrams, connections and peeks tell nothing.
 */
static bool drained(const struct lido__op *op)
{
    bool bytes = op->kind == LIDO__OP_READ || op->kind == LIDO__OP_READ_LENT ||
                 op->kind == LIDO__OP_WRITE;
    return bytes && op->result > 0 && (size_t)op->result < op->length;
}

/* True: the attempt settled the op. False: the side is DRAINED (unless an event came meanwhile). */
static bool attempt(struct lido__reactor *reactor, struct lido__op *op, uintptr_t *side,
                    uintptr_t what)
{
    /* Relaxed: an event that this overwrites was for bytes that the attempt below will see, because
       the system call comes after it. */
    lido__store(side, LIDO__SIDE_DRAINED, LIDO__RELAXED);
    op->result = try_op(reactor, op);
    if (op->result == -EAGAIN)
        return false;
    if (what == LIDO__SIDE_HUNG || !drained(op)) {
        /* Still worth a try. A plain store could overwrite a HUNG that came in between. */
        uintptr_t expected = LIDO__SIDE_DRAINED;
        lido__cas(side, &expected, what, LIDO__RELAXED, LIDO__RELAXED);
    }
    lido__store(&op->state, LIDO__OP_SETTLED, LIDO__RELAXED);
    return true;
}

/* A wait for readiness does not try, it only looks; see LIDO__OP_READABLE. */
static bool only_looks(const struct lido__op *op)
{
    return op->kind == LIDO__OP_READABLE || op->kind == LIDO__OP_WRITABLE;
}

bool lido__ready_submit(struct lido__reactor *reactor, struct lido__op *op,
                        int (*watch)(struct lido__reactor *reactor, struct lido__handle *handle))
{
    struct lido__handle *handle = op->handle;
    uintptr_t *side = &handle->side[lido__op_side(op)];

    for (;;) {
        /* Acquire: pairs with the release of the event that made it READY. */
        uintptr_t what = lido__load(side, LIDO__ACQUIRE);
        if (what > LIDO__SIDE_HUNG) {
            lido__op_settle(op, -EBUSY);
            return true;
        }
        if (what != LIDO__SIDE_DRAINED) {
            if (only_looks(op)) {
                lido__op_settle(op, 0);
                return true;
            }
            if (attempt(reactor, op, side, what))
                return true;
            continue;
        }
        if (lido__handle_reactor(handle) != reactor) {
            int r = watch(reactor, handle);
            if (r < 0) {
                lido__op_settle(op, r);
                return true;
            }
        }
        lido__store(&op->state, LIDO__OP_ARMED, LIDO__RELAXED);
        /* Release: whoever takes the op off the side sees all of it. */
        if (lido__cas(side, &what, (uintptr_t)op, LIDO__RELEASE, LIDO__RELAXED))
            return false;
    }
}

bool lido__ready_cancel(struct lido__reactor *reactor, struct lido__op *op, int reason)
{
    uintptr_t expected = (uintptr_t)op;
    (void)reactor;
    if (lido__op_state(op) == LIDO__OP_ARMED) {
        /* The handle is alive: whoever closes it takes the op off first, and only hands it over. */
        if (!lido__cas(&op->handle->side[lido__op_side(op)], &expected, LIDO__SIDE_DRAINED,
                       LIDO__RELAXED, LIDO__RELAXED))
            return false;
    }
    lido__op_settle(op, reason);
    return true;
}

size_t lido__ready_event(struct lido__handle *handle, unsigned side, uintptr_t what,
                         struct lido__fifo *handed)
{
    /* Acq_rel: the op is read here; the task that finds READY goes on from what made it so. */
    uintptr_t was = lido__exchange(&handle->side[side], what, LIDO__ACQ_REL);
    if (was <= LIDO__SIDE_HUNG)
        return 0;
    lido__fifo_push(handed, &((struct lido__op *)was)->link);
    return 1;
}

size_t lido__ready_take(struct lido__handle *handle, struct lido__fifo *taken)
{
    return lido__ready_event(handle, 0, LIDO__SIDE_HUNG, taken) +
           lido__ready_event(handle, 1, LIDO__SIDE_HUNG, taken);
}
