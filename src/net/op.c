/* Ops for futures: the same ops as those of fibers, embedded in the future. */
#include <errno.h>

#include "net/net.h"
#include "os/os.h"
#include "sched/wake.h"

static struct lido__op *op_of(lido_op *op)
{
    return (struct lido__op *)op;
}

static void start(lido_op *op, enum lido__op_kind kind, struct lido__handle *handle, void *buffer,
                  size_t length)
{
    lido__op_init(op_of(op), kind, handle, buffer, length);
    op_of(op)->user = LIDO__USER_NONE;
}

void lido_op_read(lido_op *op, lido_stream *stream, void *buffer, size_t size)
{
    enum lido__op_kind kind = buffer ? LIDO__OP_READ : LIDO__OP_READ_LENT;
    start(op, kind, &stream->handle, buffer, size);
}

const void *lido_op_lent(const lido_op *op)
{
    return ((const struct lido__op *)op)->buffer;
}

void lido_op_write(lido_op *op, lido_stream *stream, const void *buffer, size_t size)
{
    start(op, LIDO__OP_WRITE, &stream->handle, (void *)buffer, size);
}

void lido_op_readable(lido_op *op, lido_stream *stream)
{
    start(op, LIDO__OP_READABLE, &stream->handle, NULL, 0);
}

void lido_op_writable(lido_op *op, lido_stream *stream)
{
    start(op, LIDO__OP_WRITABLE, &stream->handle, NULL, 0);
}

void lido_op_accept(lido_op *op, lido_listener *listener, lido_stream **stream)
{
    start(op, LIDO__OP_ACCEPT, &listener->handle, NULL, (size_t)(uintptr_t)stream);
    op_of(op)->user = LIDO__USER_ACCEPT;
}

/* The descriptor becomes the stream that the caller asked for (kept in `length`, which an accept does not use). */
static ssize_t finish_accept(struct lido__op *op)
{
    lido_stream **stream = (lido_stream **)(uintptr_t)op->length;
    struct lido__handle *handle;
    int r = lido__net_adopt(&handle, (int)op->result, LIDO__HANDLE_SOCKET);
    if (r == 0)
        *stream = (lido_stream *)handle;
    op->user = LIDO__USER_NONE;
    op->result = r;
    return r;
}

/* The current worker, if it is the task of this waker that it runs; otherwise NULL. */
static struct lido__worker *worker_polling(const lido_waker *waker)
{
    struct lido__worker *worker = lido__worker_current();
    return worker && worker->current == lido__waker_task(*waker) ? worker : NULL;
}

static ssize_t result_of(struct lido__op *op)
{
    return op->user == LIDO__USER_ACCEPT && op->result >= 0 ? finish_accept(op) : op->result;
}

ssize_t lido_op_poll(lido_op *public, const lido_waker *waker)
{
    struct lido__op *op = op_of(public);
    struct lido__worker *worker = worker_polling(waker);
    if (!worker)
        return -ENXIO;
    if (op->state == LIDO__OP_IDLE && worker->budget == 0) {
        lido__worker_queue(worker, worker->current);
        return LIDO_PENDING;
    }
    worker->budget -= op->state == LIDO__OP_IDLE;
    return lido__op_advance(worker, worker->current, op) ? result_of(op) : LIDO_PENDING;
}

ssize_t lido_op_try(lido_op *public, const lido_waker *waker)
{
    struct lido__op *op = op_of(public);
    struct lido__worker *worker = worker_polling(waker);
    if (!worker)
        return -ENXIO;
    worker->budget -= worker->budget > 0;
    lido__op_try(worker, worker->current, op);
    return result_of(op);
}
