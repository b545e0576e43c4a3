/*
 * What the files of the net room share: streams, listeners and datagram sockets are handles
 * (reactor/handle.h) and nothing more, so that an open connection costs 40 bytes.
 *
 * A socket needs a runtime: creating one outside of a task is -ENXIO. It is registered with a reactor
 * when a task first has to wait on it, on the worker of that task; so a connection that was accepted
 * here and dealt to another worker never meets the acceptor's reactor.
 *
 * Threads: a socket is used by one task at a time, a stream or datagram socket by one for each side.
 */
#ifndef LIDO_NET_NET_H
#define LIDO_NET_NET_H

#include <lido.h>

#include "base/assert.h"
#include "reactor/handle.h"
#include "reactor/op.h"

struct lido_stream {
    struct lido__handle handle;
};

struct lido_listener {
    struct lido__handle handle; /* owner: a struct lido__unix_owner or NULL */
};

struct lido_datagram {
    struct lido__handle handle; /* owner: likewise */
};

/*
 * handle->flags: a listener may be in use by a task that accepts while another one asks for its descriptor or sets an
 * option. Relaxed: each flag says something by itself.
 */
static inline uint8_t lido__net_flagged(const struct lido__handle *handle, unsigned flags)
{
    return (uint8_t)(lido__load(&handle->flags, LIDO__RELAXED) & flags);
}

static inline void lido__net_flag(struct lido__handle *handle, unsigned set, unsigned clear)
{
    if (set)
        lido__fetch_or(&handle->flags, (uint8_t)set, LIDO__RELAXED);
    if (clear)
        lido__fetch_and(&handle->flags, (uint8_t)~clear, LIDO__RELAXED);
}

/* -ENXIO outside of a task (of either kind), otherwise 0: for constructors. */
int lido__net_check(void);

/*
 * A handle of lido's for a new, non-blocking descriptor. On an error (-ENOMEM) the descriptor is
 * closed: the caller just made it.
 */
int lido__net_adopt(struct lido__handle **ret_handle, int fd, enum lido__handle_kind kind);

/*
 * The same for a descriptor of the caller's, which is made non-blocking. On an error it is the
 * caller's still, as it was.
 */
int lido__net_take_over(struct lido__handle **ret_handle, int fd, enum lido__handle_kind kind);

/*
 * Closes: waits on both sides end with -ECANCELED; removes `owner` if it is a path. `keep_fd`: the
 * descriptor goes on, non-blocking, unregistered.
 */
void lido__net_close(struct lido__handle *handle, bool keep_fd);

/* Aborts if the handle is not of that kind, since what it was has been closed. */
static inline void lido__net_require(const struct lido__handle *handle, enum lido__handle_kind kind)
{
    LIDO__REQUIRE(handle->kind == kind, "a socket was used after its close");
}

/* Waits for an op in a fiber: as lido__await, for one line. */
ssize_t lido__net_await(enum lido__op_kind kind, struct lido__handle *handle, void *buffer,
                        size_t length);

/* More in a row than this are not one dead connection after the other, but the answer to each
   attempt. */
#define LIDO__PASSED_OVER_MAX 16u

/* Whether an accept that failed so is about a connection that died in the backlog: try the next.
   `count`: of those that have been passed over in a row, 0 at first. */
bool lido__accept_passes_over(ssize_t result, unsigned *count);

/* The descriptor that `listener` has accepted becomes that of a new stream. */
void lido__accept_into(struct lido__handle *stream, const struct lido__handle *listener, int fd);

/* op->user: what lido_op_poll still has to do. */
enum lido__op_user {
    LIDO__USER_NONE,
    LIDO__USER_EMPTY,     /* a transfer of no bytes: settle it, with 0 */
    LIDO__USER_ACCEPT,    /* make the stream; `length`: where it is to be told */
    LIDO__USER_ACCEPTING, /* give it the descriptor; `length`: the stream */
};

#endif
