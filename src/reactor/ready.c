#define _GNU_SOURCE

#include "reactor/ready.h"

#include <errno.h>
#include <poll.h>
#include <sys/un.h>

#include "base/assert.h"
#include "base/bits.h"
#include "os/os.h"

/* One attempt at an op. -EAGAIN: it would have to wait. */
typedef ssize_t attempt(const struct lido__reactor *reactor, struct lido__op *op);

/* Into the worker's buffer, chosen only now that there is something to read. */
static inline ssize_t try_read_lent(const struct lido__reactor *reactor, struct lido__op *op)
{
    op->buffer = reactor->lent;
    op->length = LIDO__LENT_SIZE;
    return lido__os_read(op->handle->fd, op->buffer, LIDO__LENT_SIZE);
}

static inline ssize_t try_recv(const struct lido__reactor *reactor, struct lido__op *op)
{
    (void)reactor;
    return lido__os_recv(op->handle->fd, op->buffer, op->length, 0);
}

static inline ssize_t try_send(const struct lido__reactor *reactor, struct lido__op *op)
{
    (void)reactor;
    return lido__os_send(op->handle->fd, op->buffer, op->length, 0);
}

static bool is_socket(const struct lido__op *op)
{
    return lido__handle_is_socket(op->handle);
}

static ssize_t try_writev(const struct lido__op *op, int fd)
{
    if (is_socket(op))
        return lido__os_sendv(fd, op->buffer, (int)op->length);
    return lido__os_writev(fd, op->buffer, (int)op->length);
}

/* -EALREADY: a named Unix socket whose queue is full. The system reports room there only to
   sockets that are connected to it. */
static ssize_t try_send_datagram(const struct lido__op *op, int fd)
{
    const struct msghdr *message = op->buffer;
    const struct sockaddr *to = message->msg_name;
    ssize_t r = lido__os_send_datagram(fd, message);
    return r == -EAGAIN && to && to->sa_family == AF_UNIX ? -EALREADY : r;
}

static ssize_t try_accept(const struct lido__op *op, int fd)
{
    lido_address *peer = op->buffer;
    socklen_t length = sizeof(peer->lido_private);
    if (!peer)
        return lido__os_accept(fd, NULL, NULL);
    int r = lido__os_accept(fd, (struct sockaddr *)peer->lido_private, &length);
    /* Of a path of full length the system counts a NUL for which there is no room. */
    if (r >= 0)
        peer->length = length < sizeof(struct sockaddr_un) ? length : sizeof(struct sockaddr_un);
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
    if (r == -EINPROGRESS || r == -EINTR || (op->told && r == -EALREADY)) {
        op->told = 1;
        return -EAGAIN;
    }
    return op->told && r == -EISCONN ? 0 : r;
}

/*
 * Whether the side is ready, for an op that leaves it so. An event of this handle is believed; that the side
 * is worth a try is not enough, since there is nothing to try.
 */
static ssize_t try_ready(const struct lido__op *op, int fd, short events)
{
    if (op->told)
        return 0;
    int r = lido__os_poll(fd, events);
    return r < 0 ? r : r == 0 ? -EAGAIN : 0;
}

static ssize_t try_op(const struct lido__reactor *reactor, struct lido__op *op)
{
    int fd = op->handle->fd;
    switch ((enum lido__op_kind)op->kind) {
    case LIDO__OP_READ:
        return is_socket(op) ? try_recv(reactor, op) : lido__os_read(fd, op->buffer, op->length);
    case LIDO__OP_READ_LENT: return try_read_lent(reactor, op);
    case LIDO__OP_READV: return lido__os_readv(fd, op->buffer, (int)op->length);
    case LIDO__OP_PEEK: return lido__os_recv(fd, op->buffer, op->length, MSG_PEEK);
    case LIDO__OP_RECV_DATAGRAM: return lido__os_recv_datagram(fd, op->buffer);
    case LIDO__OP_ACCEPT: return try_accept(op, fd);
    case LIDO__OP_WRITE:
        return is_socket(op) ? try_send(reactor, op) : lido__os_write(fd, op->buffer, op->length);
    case LIDO__OP_WRITEV: return try_writev(op, fd);
    case LIDO__OP_SEND_DATAGRAM: return try_send_datagram(op, fd);
    case LIDO__OP_CONNECT: return try_connect(op, fd);
    case LIDO__OP_READ_PIPE: return lido__os_splice_in(fd, *(const int *)op->buffer, op->length);
    case LIDO__OP_READABLE: return try_ready(op, fd, POLLIN | POLLRDHUP);
    case LIDO__OP_WRITABLE: return try_ready(op, fd, POLLOUT);
    case LIDO__OP_WRITE_PIPE: return lido__os_splice_out(*(const int *)op->buffer, fd, op->length);
    }
    return -EINVAL;
}

/* Of a read into one buffer: whether it was short, and that proves the stream drained (see handle.h). */
static inline bool is_short(const struct lido__op *op)
{
    return op->result > 0 && (size_t)op->result < op->length &&
           op->handle->kind == LIDO__HANDLE_TCP;
}

/*
 * Whether a transfer that succeeded has drained the side. Datagrams, connections and peeks tell nothing, and of a
 * splice the pipe may have had no place for more.
 */
static inline bool drained(const struct lido__op *op)
{
    bool bytes = op->kind == LIDO__OP_READ || op->kind == LIDO__OP_READ_LENT;
    return bytes && is_short(op);
}

static bool settled(struct lido__op *op, ssize_t result)
{
    op->result = result;
    lido__store(&op->state, LIDO__OP_SETTLED, LIDO__RELAXED); /* the op never left its owner */
    return true;
}

/*
 * What the task is told where a byte stream says that it has ended, or fails: a connection that has
 * died does not come to a clean end later. Before the side is let go, since the handle may be
 * another one's then.
 */
static __attribute__((noinline)) ssize_t told(const struct lido__op *op, ssize_t result)
{
    bool socket = is_socket(op);
    LIDO__REQUIRE(result != -EBADF || op->handle->kind != LIDO__HANDLE_CLOSED,
                  "a stream was used after its close");
    switch ((enum lido__op_kind)op->kind) {
    case LIDO__OP_READ:
    case LIDO__OP_READ_LENT:
    case LIDO__OP_READV:
    case LIDO__OP_PEEK:
    case LIDO__OP_READ_PIPE:
        if (socket && result == 0)
            return lido__handle_end(op->handle);
        break;
    case LIDO__OP_WRITE:
    case LIDO__OP_WRITEV:
    case LIDO__OP_WRITE_PIPE: break;
    default: return result;
    }
    if (socket && result < 0)
        lido__handle_note(op->handle, result);
    return result;
}

/* Out of line, and the last thing that its callers do: so these have no register to save for it. */
static __attribute__((noinline)) bool failed(struct lido__op *op, ssize_t result)
{
    return settled(op, told(op, result));
}

/*
 * A write, while the word says that it need not wait: if it goes through, the side is as it was and
 * no atomic is touched. If it does not, READY has to be cleared before the try that counts, which
 * is what `rest` does; so this is not for a connect, which mostly does not.
 */
static inline __attribute__((always_inline)) bool write_through(
    struct lido__reactor *reactor, struct lido__op *op, attempt *try, uintptr_t word,
    bool (*rest)(struct lido__reactor *reactor, struct lido__op *op))
{
    if (word == LIDO__SIDE_READY || word == LIDO__SIDE_HUNG) {
        ssize_t result = try(reactor, op);
        if (__builtin_expect(result >= 0, 1))
            return settled(op, result);
        if (result != -EAGAIN)
            return failed(op, result);
    }
    return rest(reactor, op);
}

static uintptr_t *side_of(const struct lido__op *op)
{
    return &op->handle->side[lido__op_side(op)];
}

static uintptr_t trying(const struct lido__op *op)
{
    return (uintptr_t)op | LIDO__SIDE_TRYING;
}

/* What claim found besides DRAINED, READY and HUNG. */
#define CLAIM_BUSY ((uintptr_t)3) /* another op is on this side */
#define CLAIM_GONE ((uintptr_t)4) /* the op is in the hands of whoever closes the handle */

/*
 * Takes the side for an attempt: leaves the op there, TRYING, and returns what was known. If that is
 * DRAINED there is nothing to try, and the side is left as it was.
 * An op that is not IDLE may be another thread's again: it goes on only if it is still on the side.
 */
static uintptr_t claim(struct lido__op *op, uintptr_t *side)
{
    bool fresh = lido__op_state(op) == LIDO__OP_IDLE;
    /* Acquire: pairs with the release of the event that made it READY. */
    uintptr_t word = lido__load(side, LIDO__ACQUIRE);
    do {
        struct lido__op *there = lido__side_op(word);
        if (there != op && (there || !fresh))
            return fresh ? CLAIM_BUSY : CLAIM_GONE;
        if (word == LIDO__SIDE_DRAINED)
            return word;
    } while (!lido__cas(side, &word, trying(op), LIDO__ACQUIRE, LIDO__ACQUIRE));
    return word & LIDO__SIDE_WHAT;
}

/* Takes the op off a side that it has claimed; `known` is what the attempt told, an event may know more.
   Release: whoever closes the handle does so after the attempt. */
static void let_go(const struct lido__op *op, uintptr_t *side, uintptr_t known)
{
    uintptr_t word = trying(op), next = known;
    while (!lido__cas(side, &word, next, LIDO__RELEASE, LIDO__RELAXED))
        next = lido__max_u64(word & LIDO__SIDE_WHAT, known);
}

/* On a side that is claimed, so that an event that comes meanwhile is not lost. False: it would wait. */
static bool try_claimed(const struct lido__reactor *reactor, struct lido__op *op, uintptr_t *side,
                        uintptr_t was)
{
    op->result = try_op(reactor, op);
    if (op->result == -EAGAIN)
        return false;
    if (op->result <= 0)
        op->result = told(op, op->result);
    let_go(op, side, was == LIDO__SIDE_READY && drained(op) ? LIDO__SIDE_DRAINED : was);
    return settled(op, op->result);
}

/* `word`: the op, as it waits. */
static inline bool arm(struct lido__op *op, uintptr_t *side, bool claimed, uintptr_t word)
{
    uintptr_t expected = claimed ? trying(op) : LIDO__SIDE_DRAINED;
    lido__store(&op->state, LIDO__OP_ARMED, LIDO__RELAXED);
    /* Release: whoever takes the op off the side sees all of it. */
    if (lido__cas(side, &expected, word, LIDO__RELEASE, LIDO__RELAXED))
        return true;
    lido__store(&op->state, LIDO__OP_IDLE, LIDO__RELAXED);
    return false;
}

static uintptr_t waiting(const struct lido__op *op)
{
    bool trusts = op->kind == LIDO__OP_READABLE || op->kind == LIDO__OP_WRITABLE;
    return (uintptr_t)op | (trusts ? LIDO__SIDE_TRUSTS : 0);
}

/* Until it is settled or armed. `claimed`: it has the side, and has just been tried in vain. */
static __attribute__((noinline)) bool try_until_armed(struct lido__reactor *reactor,
                                                      struct lido__op *op, bool claimed)
{
    uintptr_t *side = side_of(op);
    for (bool tried = claimed;; tried = false) {
        uintptr_t was = tried ? LIDO__SIDE_READY : claim(op, side);
        claimed = was != LIDO__SIDE_DRAINED;
        if (was == CLAIM_BUSY)
            return settled(op, -EBUSY);
        if (was == CLAIM_GONE)
            return false;
        if (claimed && !tried && try_claimed(reactor, op, side, was))
            return true;
        bool watched = lido__handle_watched(op->handle, reactor, lido__op_side(op));
        int r = watched ? 0 : reactor->ops->watch(reactor, op);
        if (r < 0) {
            if (claimed)
                let_go(op, side, LIDO__SIDE_DRAINED);
            return settled(op, r);
        }
        if (arm(op, side, claimed, waiting(op)))
            return false;
    }
}

static bool try_fresh(struct lido__reactor *reactor, struct lido__op *op)
{
    return try_until_armed(reactor, op, false);
}

static __attribute__((noinline)) bool submit_any(struct lido__reactor *reactor, struct lido__op *op)
{
    uintptr_t word = lido__load(side_of(op), LIDO__RELAXED);
    if (lido__op_side(op) == 1 && op->kind != LIDO__OP_CONNECT)
        return write_through(reactor, op, try_op, word, try_fresh);
    return try_fresh(reactor, op);
}

/*
 * The ways of a request are a write that goes through, a wait for the next input, and the read of it. Each has a
 * function that calls nothing but the system, and so has hardly a register to save.
 */
static __attribute__((noinline)) bool submit_send(struct lido__reactor *reactor,
                                                  struct lido__op *op)
{
    uintptr_t word = lido__load(&op->handle->side[1], LIDO__RELAXED);
    return write_through(reactor, op, try_send, word, submit_any);
}

/* A wait for input, where the last read has drained the socket. */
static inline bool arm_at_once(struct lido__reactor *reactor, struct lido__op *op)
{
    uintptr_t *side = &op->handle->side[0];
    return lido__load(side, LIDO__RELAXED) == LIDO__SIDE_DRAINED &&
           lido__handle_watched(op->handle, reactor, 0) && arm(op, side, false, (uintptr_t)op);
}

bool lido__ready_submit(struct lido__reactor *reactor, struct lido__op *op)
{
    if (op->kind < LIDO__OP_READABLE)
        return !arm_at_once(reactor, op) && submit_any(reactor, op);
    if (op->kind == LIDO__OP_WRITE && is_socket(op))
        return submit_send(reactor, op);
    return submit_any(reactor, op);
}

/* Claims the side if nothing has happened there since the op was handed back. */
static inline bool reclaim(struct lido__op *op, uintptr_t *side)
{
    uintptr_t word = (uintptr_t)op | LIDO__SIDE_READY;
    /* Acquire: as in claim. */
    return lido__cas(side, &word, trying(op), LIDO__ACQUIRE, LIDO__RELAXED);
}

/* A read that was not short: it may have failed, or met the end. */
static __attribute__((noinline)) bool settle_full(struct lido__op *op, uintptr_t *side)
{
    if (op->result <= 0)
        op->result = told(op, op->result);
    let_go(op, side, LIDO__SIDE_READY);
    return settled(op, op->result);
}

static inline bool retry_read(struct lido__reactor *reactor, struct lido__op *op, attempt *try)
{
    uintptr_t *side = &op->handle->side[0];
    if (!reclaim(op, side))
        return try_until_armed(reactor, op, false);
    op->result = try(reactor, op);
    if (__builtin_expect(!is_short(op), 0))
        return op->result == -EAGAIN ? try_until_armed(reactor, op, true) : settle_full(op, side);
    let_go(op, side, LIDO__SIDE_DRAINED);
    return settled(op, op->result);
}

static __attribute__((noinline)) bool retry_any(struct lido__reactor *reactor, struct lido__op *op)
{
    /* The handle may have been closed meanwhile, and be another one's; then the side tells so. */
    uint8_t kind = lido__load(&op->handle->kind, LIDO__RELAXED);
    if (op->kind == LIDO__OP_READ && kind <= LIDO__HANDLE_SOCKET)
        return retry_read(reactor, op, try_recv);
    return try_until_armed(reactor, op, false);
}

bool lido__ready_retry(struct lido__reactor *reactor, struct lido__op *op)
{
    if (op->kind == LIDO__OP_READ_LENT)
        return retry_read(reactor, op, try_read_lent);
    return retry_any(reactor, op);
}

/* What events have said of a side, for an op that is on it. */
static uintptr_t known(uintptr_t word)
{
    return lido__side_waits(word) ? LIDO__SIDE_DRAINED : word & LIDO__SIDE_WHAT;
}

bool lido__ready_cancel(struct lido__reactor *reactor, struct lido__op *op, int reason)
{
    (void)reactor;
    if (lido__op_state(op) != LIDO__OP_IDLE) {
        /* Off the side, with what an event has said since. If it is not there, somebody else has it. */
        uintptr_t *side = side_of(op);
        uintptr_t word = lido__load(side, LIDO__RELAXED);
        bool armed = lido__op_state(op) == LIDO__OP_ARMED;
        do {
            if (lido__side_op(word) != op || (armed && !lido__side_waits(word)))
                return false;
        } while (!lido__cas(side, &word, known(word), LIDO__RELAXED, LIDO__RELAXED));
    }
    return settled(op, reason);
}

/*
 * The op has been taken off the side: it and its handle stay until it has been delivered. Whoever armed it
 * did so after the handle had become what it is, and the op was read with acquire: so another generation is seen.
 */
static void hand_back(struct lido__op *op, uint16_t generation, struct lido__fifo *handed)
{
    bool trusts = waiting(op) & LIDO__SIDE_TRUSTS;
    if (trusts)
        op->told = lido__handle_is_current(op->handle, generation);
    lido__fifo_push(handed, &op->link);
}

void lido__ready_event(struct lido__handle *handle, unsigned side, uintptr_t what,
                       uint16_t generation, struct lido__fifo *handed)
{
    uintptr_t *where = &handle->side[side];
    uintptr_t word = lido__load(where, LIDO__RELAXED);
    uintptr_t next;
    do {
        /* Nothing new: each write that is ready tells so with each read. Whoever claims this READY
           later makes a system call after it, and so sees what this event was for. */
        if (!lido__side_waits(word) && (word & LIDO__SIDE_WHAT) >= what)
            return;
        next = (word & ~LIDO__SIDE_WHAT) | what;
        /* Acq_rel: the op is read here; the task that claims the side goes on from what made it
           ready. */
    } while (!lido__cas(where, &word, next, LIDO__ACQ_REL, LIDO__RELAXED));
    /* Otherwise nobody waits, or it has been handed back already, or its task will see. */
    if (lido__side_waits(word))
        hand_back(lido__side_op(word), generation, handed);
}

/*
 * Waits for other threads to end what they do with the op just now: an attempt of its task, which is a
 * system call that does not wait, and a handing back, in which it is on a list of that thread.
 */
static void take(struct lido__handle *handle, unsigned side, struct lido__fifo *taken)
{
    uintptr_t *where = &handle->side[side];
    /* Acquire: pairs with the release in let_go. */
    uintptr_t word = lido__load(where, LIDO__ACQUIRE);
    struct lido__backoff backoff = {0};
    while (word & LIDO__SIDE_TRYING ||
           !lido__cas(where, &word, LIDO__SIDE_HUNG, LIDO__ACQ_REL, LIDO__ACQUIRE)) {
        if (word & LIDO__SIDE_TRYING) {
            lido__backoff(&backoff);
            word = lido__load(where, LIDO__ACQUIRE);
        }
    }
    struct lido__op *op = lido__side_op(word);
    if (!op)
        return;
    backoff = (struct lido__backoff){0};
    while (!lido__side_waits(word) && lido__op_state(op) != LIDO__OP_READY)
        lido__backoff(&backoff);
    lido__fifo_push(taken, &op->link);
}

void lido__ready_take(struct lido__handle *handle, struct lido__fifo *taken)
{
    take(handle, 0, taken);
    take(handle, 1, taken);
}
