/* Ops for futures: the same ops as those of fibers, embedded in the future. */
#include <errno.h>

#include "net/net.h"
#include "net/sibling.h"
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

/* A transfer of no bytes. Out of line, as is the next: the usual ways are to be a few stores. */
static __attribute__((noinline)) void start_empty(lido_op *op, enum lido__op_kind kind,
                                                  lido_stream *stream)
{
    start(op, kind, &stream->handle, NULL, 0);
    op_of(op)->user = LIDO__USER_EMPTY;
}

static __attribute__((noinline)) void start_read(lido_op *op, lido_stream *stream, void *buffer,
                                                 size_t size)
{
    if (size == 0)
        start_empty(op, LIDO__OP_READ, stream);
    else
        start(op, LIDO__OP_READ, &stream->handle, buffer, size);
}

void lido_op_read(lido_op *op, lido_stream *stream, void *buffer, size_t size)
{
    if (__builtin_expect(buffer == NULL, 1))
        start(op, LIDO__OP_READ_LENT, &stream->handle, NULL, size);
    else
        start_read(op, stream, buffer, size);
}

const void *lido_op_lent(const lido_op *op)
{
    return ((const struct lido__op *)op)->buffer;
}

void lido_op_write(lido_op *op, lido_stream *stream, const void *buffer, size_t size)
{
    if (__builtin_expect(size == 0, 0))
        start_empty(op, LIDO__OP_WRITE, stream);
    else
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

/* ---- Accepting ---------------------------------------------------------------------------------- */

/*
 * The stream comes first: a connection that has been accepted is not to be lost for want of memory.
 * An accept does not use `length`: until the first poll it says where the stream is to be told, from
 * then on it is the stream's handle, whose `owner` says so.
 */
static void begin_accept(struct lido__op *op)
{
    lido__net_require(op->handle, LIDO__HANDLE_LISTENER);
    struct lido__handle *accepted = lido__handle_new(-1, LIDO__HANDLE_SOCKET);
    if (!accepted) {
        op->user = LIDO__USER_NONE;
        lido__op_settle(op, -ENOMEM);
        return;
    }
    lido__door_open((lido_listener *)op->handle);
    accepted->owner = (void *)(uintptr_t)op->length;
    op->length = (size_t)(uintptr_t)accepted;
    op->user = LIDO__USER_ACCEPTING;
}

static void finish_accept(struct lido__op *op)
{
    struct lido__handle *accepted = (struct lido__handle *)(uintptr_t)op->length;
    lido_stream **stream = accepted->owner;
    op->user = LIDO__USER_NONE;
    accepted->owner = NULL;
    if (op->result < 0) {
        lido__handle_free(accepted);
        return;
    }
    lido__accept_into(accepted, op->handle, (int)op->result);
    *stream = (lido_stream *)accepted;
    op->result = 0;
}

/* The op is settled. True: it is to be tried again, for it met a connection that had died. */
static bool passes_over(struct lido__op *op, unsigned *count)
{
    if (op->user != LIDO__USER_ACCEPTING || !lido__accept_passes_over(op->result, count))
        return false;
    op->state = LIDO__OP_IDLE;
    return true;
}

static ssize_t settle_empty(struct lido__op *op)
{
    op->user = LIDO__USER_NONE;
    lido__op_settle(op, 0);
    return 0;
}

/* An accept that may not have begun yet, or a transfer of no bytes; `advance`: one of those below.
   */
static __attribute__((noinline)) ssize_t advance_special(
    struct lido__worker *worker, struct lido__op *op,
    ssize_t (*advance)(struct lido__worker *worker, struct lido__op *op))
{
    unsigned passed_over = 0;
    ssize_t r;
    if (op->user == LIDO__USER_EMPTY)
        return settle_empty(op);
    if (op->user == LIDO__USER_ACCEPT)
        begin_accept(op);
    do
        r = advance(worker, op);
    while (r != LIDO_PENDING && passes_over(op, &passed_over));
    if (r == LIDO_PENDING || op->user != LIDO__USER_ACCEPTING)
        return r;
    finish_accept(op);
    return op->result;
}

/* ---- Polling ------------------------------------------------------------------------------------ */

/* The current worker, if it is the task of this waker that it runs; otherwise NULL. */
static struct lido__worker *worker_polling(const lido_waker *waker)
{
    struct lido__worker *worker = lido__worker_current();
    return worker && worker->current == lido__waker_task(*waker) ? worker : NULL;
}

static inline __attribute__((always_inline)) ssize_t advance(struct lido__worker *worker,
                                                             struct lido__op *op)
{
    bool settled;
    if (lido__op_state(op) != LIDO__OP_IDLE) {
        settled = lido__op_resume(worker, worker->current, op);
    } else if (worker->budget > 0) {
        worker->budget--;
        settled = lido__op_start(worker, worker->current, op);
    } else {
        lido__worker_requeue(worker);
        settled = false;
    }
    return settled ? op->result : LIDO_PENDING;
}

ssize_t lido_op_poll(lido_op *public, const lido_waker *waker)
{
    struct lido__op *op = op_of(public);
    struct lido__worker *worker = worker_polling(waker);
    if (!worker)
        return -ENXIO;
    return op->user == LIDO__USER_NONE ? advance(worker, op) : advance_special(worker, op, advance);
}

static inline __attribute__((always_inline)) ssize_t advance_at_once(struct lido__worker *worker,
                                                                     struct lido__op *op)
{
    worker->budget -= worker->budget > 0;
    if (lido__op_state(op) == LIDO__OP_IDLE)
        lido__op_try(worker, worker->current, op);
    else
        lido__op_give_up(worker, op); /* it has been polled before */
    return op->result;
}

ssize_t lido_op_try(lido_op *public, const lido_waker *waker)
{
    struct lido__op *op = op_of(public);
    struct lido__worker *worker = worker_polling(waker);
    if (!worker)
        return -ENXIO;
    return op->user == LIDO__USER_NONE ? advance_at_once(worker, op)
                                       : advance_special(worker, op, advance_at_once);
}
