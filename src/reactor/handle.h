/*
 * A handle: a descriptor, where it is registered, and for each side (read, write) one word that
 * says what is known about it. Streams, listeners and datagram sockets begin with one.
 *
 * The side word is the whole protocol between the task that uses a side and the thread of the reactor
 * that watches it (mostly the same thread; tests/model/test_side.c for when it is not):
 *
 *     DRAINED    the last attempt would have waited: do not try, arm
 *     READY      worth a try
 *     HUNG       worth a try, also after a short transfer: an end, an error or an urgent mark is pending,
 *                and no further event need come
 *     op         armed: an event hands it back
 *     op|TRUSTS  armed, and when it comes back the event is believed: nothing is tried (readable, writable)
 *     op|READY   handed back, its task has not tried again yet; likewise op|HUNG
 *     op|TRYING  its task makes the attempt; with READY or HUNG: an event has come since it began
 *
 * A task clears READY before it tries, so that an event that comes in between is not lost; it
 * arms by op|TRYING -> op, which fails if there was one. The op stays on the side from its first try or
 * arming until it is settled, so that a second task finds the side taken, and so that whoever closes the
 * handle finds the op, and waits for the end of a try: the task never uses a descriptor that is not its
 * own any more. Exceptions, which spare an atomic operation: an op that is new makes its first try
 * of a write beside the word, and arms by DRAINED -> op.
 *
 * Handles come from type-stable memory and carry a generation, because a reactor's thread
 * may hold an event of a handle that another thread has just closed: it then finds another
 * generation. It looks before it changes the word, and the handle may become another in between. Then
 * it makes a try of the newer handle superfluous, and nothing worse: of an op that would believe the
 * event it looks at the generation again, when it has the op and the handle cannot change any more.
 */
#ifndef LIDO_REACTOR_HANDLE_H
#define LIDO_REACTOR_HANDLE_H

#include <lido.h>

#include "base/atomic.h"

struct lido__op;
struct lido__reactor;

#define LIDO__SIDE_DRAINED ((uintptr_t)0)
#define LIDO__SIDE_READY ((uintptr_t)1)
#define LIDO__SIDE_HUNG ((uintptr_t)2)
#define LIDO__SIDE_TRUSTS ((uintptr_t)3) /* only with an op */
#define LIDO__SIDE_WHAT ((uintptr_t)3)
#define LIDO__SIDE_TRYING ((uintptr_t)4)

/* Of `registration`. */
#define LIDO__BOTH_SIDES ((uintptr_t)3)

/*
 * A read that is shorter than its buffer proves a stream drained only where the system says so: on plain TCP,
 * whose one boundary, the urgent mark, is told by an event. It proves nothing where reads end at a boundary that
 * the peer may set at any time: a Unix stream (descriptors, credentials, MSG_OOB), a pipe (the writer's O_DIRECT),
 * a terminal (the line), a TLS record (kTLS), what else there is.
 */
enum lido__handle_kind {
    LIDO__HANDLE_TCP, /* a plain TCP connection: send and recv apply, a short read says "drained" */
    LIDO__HANDLE_SOCKET,   /* any other byte stream of a socket: send and recv apply */
    LIDO__HANDLE_DATAGRAM, /* a socket of datagrams */
    LIDO__HANDLE_FILE,     /* a pipe: read and write only */
    LIDO__HANDLE_DEVICE,   /* a terminal: likewise */
    LIDO__HANDLE_LISTENER,
    LIDO__HANDLE_FOREIGN, /* the instance of a watch: see io/watch.c */
    LIDO__HANDLE_CLOSED,  /* free: whoever comes here has kept a pointer for too long */
};

struct lido__handle {
    lido__shared uintptr_t
        registration; /* the reactor or NULL, and in the low bits the sides it watches */
    lido__shared uintptr_t side[2];
    int fd;
    lido__shared uint8_t kind;  /* enum lido__handle_kind */
    lido__shared uint8_t flags; /* for the room that owns the handle */
    lido__shared uint16_t generation;
    union {
        void *owner; /* for the room that owns the handle; not of a byte stream */
        /* Of a byte stream: the error that has ended the connection, LIDO__STREAM_ENDED or 0. */
        lido__shared uintptr_t error;
    };
};

/* This side of the stream has ended its direction: it may not write, which is no death of the
   connection. */
#define LIDO__STREAM_ENDED ((uintptr_t)1)

/*
 * The system tells once that a connection is dead, to whoever asks first; from then on a read says
 * that the stream has ended, as if the peer had said so. So the error stays with the handle.
 */

/* The system has told `error` of this byte stream: it is remembered if the connection died of it.
   */
void lido__handle_note(struct lido__handle *handle, ssize_t error);

/* What a read of a byte stream tells where the system says that it has ended: 0, or what it died
   of. */
static inline ssize_t lido__handle_end(const struct lido__handle *handle)
{
    /* Relaxed: a number, from a task that may be another one's reader or writer. */
    uintptr_t error = lido__load(&handle->error, LIDO__RELAXED);
    return error == LIDO__STREAM_ENDED ? 0 : -(ssize_t)error;
}

/* From the slab; -ENOMEM as NULL. The descriptor must be non-blocking. From any thread. */
struct lido__handle *lido__handle_new(int fd, enum lido__handle_kind kind);
/* Gives the memory back; the descriptor must be closed or released, the handle not registered. */
void lido__handle_free(struct lido__handle *handle);

/*
 * Where the handle is registered, or NULL. Relaxed: it names a reactor, which outlives the handle. Two tasks
 * on two workers that use the two sides may move it under each other; events of either reactor are
 * delivered.
 */
static inline struct lido__reactor *lido__handle_reactor(const struct lido__handle *handle)
{
    uintptr_t registration = lido__load(&handle->registration, LIDO__RELAXED);
    return (struct lido__reactor *)(registration & ~LIDO__BOTH_SIDES);
}

/* Whether send and recv apply. */
static inline bool lido__handle_is_socket(const struct lido__handle *handle)
{
    return handle->kind <= LIDO__HANDLE_SOCKET;
}

/* Whether the reactor watches a side of the handle. */
static inline bool lido__handle_watched(const struct lido__handle *handle,
                                        const struct lido__reactor *reactor, unsigned side)
{
    uintptr_t registration = lido__load(&handle->registration, LIDO__RELAXED);
    uintptr_t other = (uintptr_t)1 << !side;
    return ((registration | other) ^ (uintptr_t)reactor) == LIDO__BOTH_SIDES;
}

static inline void lido__handle_register(struct lido__handle *handle, struct lido__reactor *reactor,
                                         uintptr_t sides)
{
    lido__store(&handle->registration, (uintptr_t)reactor | sides, LIDO__RELAXED);
}

static inline struct lido__op *lido__side_op(uintptr_t word)
{
    return (struct lido__op *)(word & ~(LIDO__SIDE_WHAT | LIDO__SIDE_TRYING));
}

/* Whether an op waits there that will be tried again, and has not been handed back. */
static inline bool lido__side_armed(uintptr_t word)
{
    return word && !(word & (LIDO__SIDE_WHAT | LIDO__SIDE_TRYING));
}

/* Whether any op waits there. */
static inline bool lido__side_waits(uintptr_t word)
{
    return lido__side_armed(word) || (word & LIDO__SIDE_WHAT) == LIDO__SIDE_TRUSTS;
}

/* Whether an event that carries the generation is of the handle as it is now. */
static inline bool lido__handle_is_current(const struct lido__handle *handle, uint16_t generation)
{
    return lido__load(&handle->generation, LIDO__RELAXED) == generation;
}

/* Whether an op is on a side. */
static inline bool lido__side_busy(const struct lido__handle *handle, unsigned side)
{
    return lido__load(&handle->side[side], LIDO__RELAXED) > LIDO__SIDE_HUNG;
}

#endif
