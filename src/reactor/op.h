/*
 * An op: one I/O request, from submission to completion. It is embedded by whoever waits (on a
 * fiber's stack, in a future), and must stay where it is until it is settled.
 *
 *     IDLE --submit--> SETTLED                        it could be done at once
 *     IDLE --submit--> ARMED --cancel--> SETTLED      nothing was consumed
 *                      ARMED --handed back--> READY   try again: retry
 *                      ARMED --handed back--> SETTLED a completion, or the handle was closed
 *
 * The task that owns the op reads and writes all of it, except between ARMED and its being handed
 * back: then it belongs to the reactor, and `state` is the one field that the task may look at.
 */
#ifndef LIDO_REACTOR_OP_H
#define LIDO_REACTOR_OP_H

#include <lido.h>

#include "base/atomic.h"
#include "base/list.h"

struct lido__handle;

enum lido__op_kind {
    LIDO__OP_READ,          /* buffer, length; result: bytes */
    LIDO__OP_READ_LENT,     /* as READ, into the reactor's own buffer: see reactor.h */
    LIDO__OP_READV,         /* buffer: lido_slice[length] */
    LIDO__OP_PEEK,          /* as READ */
    LIDO__OP_RECV_DATAGRAM, /* buffer: struct msghdr of one part, no control; result: bytes */
    LIDO__OP_ACCEPT,        /* buffer: lido_address or NULL; result: a new descriptor */
    LIDO__OP_READ_PIPE,     /* as READ, into a pipe; buffer: const int *, its end to write to */
    LIDO__OP_READABLE,      /* result: 0 */
    /* From here on the write side. */
    LIDO__OP_WRITE,         /* buffer, length */
    LIDO__OP_WRITEV,        /* as READV */
    LIDO__OP_SEND_DATAGRAM, /* as RECV_DATAGRAM */
    LIDO__OP_CONNECT,       /* buffer: const lido_address; result: 0 */
    LIDO__OP_WRITABLE,      /* result: 0 */
    LIDO__OP_WRITE_PIPE,    /* as WRITE, from a pipe; buffer: const int *, its end to read from */
};

enum lido__op_state {
    LIDO__OP_IDLE,
    LIDO__OP_ARMED,
    LIDO__OP_READY,
    LIDO__OP_SETTLED,
};

struct lido__op {
    struct lido__link link; /* in the reactor's list of what it hands back */
    lido_waker waker;       /* borrowed: the task that owns the op */
    struct lido__handle *handle;
    uint8_t kind;               /* enum lido__op_kind */
    lido__shared uint8_t state; /* enum lido__op_state */
    uint8_t
        told; /* CONNECT: the system has been, to connect; READABLE, WRITABLE: the op has, by an event */
    uint8_t user; /* for the room that built the op */
    void *buffer;
    size_t length;
    ssize_t result; /* valid when SETTLED: >= 0, or a negative errno */
};

_Static_assert(sizeof(struct lido__op) == sizeof(lido_op), "lido_op is the public face of an op");

static inline void lido__op_init(struct lido__op *op, enum lido__op_kind kind,
                                 struct lido__handle *handle, void *buffer, size_t length)
{
    op->handle = handle;
    op->kind = (uint8_t)kind;
    op->state = LIDO__OP_IDLE;
    op->told = 0;
    op->buffer = buffer;
    op->length = length;
}

/* Of an op that is settled: the same once more. */
static inline void lido__op_rewind(struct lido__op *op)
{
    op->state = LIDO__OP_IDLE;
}

/* The same, with another buffer. */
static inline void lido__op_again(struct lido__op *op, void *buffer, size_t length)
{
    lido__op_rewind(op);
    op->buffer = buffer;
    op->length = length;
}

static inline struct lido__op *lido__op_from_link(struct lido__link *link)
{
    return lido__container_of(link, struct lido__op, link);
}

/* 0: the read side, 1: the write side. */
static inline unsigned lido__op_side(const struct lido__op *op)
{
    return op->kind >= LIDO__OP_WRITE;
}

/* "read", "accept", ...: for reports. */
extern const char *const lido__op_names[]; /* by kind */

/* The owner only. Acquire: pairs with the release of whoever handed the op back. */
static inline enum lido__op_state lido__op_state(const struct lido__op *op)
{
    return (enum lido__op_state)lido__load(&op->state, LIDO__ACQUIRE);
}

static inline void lido__op_settle(struct lido__op *op, ssize_t result)
{
    op->result = result;
    lido__store(&op->state, LIDO__OP_SETTLED, LIDO__RELEASE);
}

#endif
