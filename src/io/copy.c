/*
 * Copying from stream to stream.
 *
 * The reads are lent the worker's buffer when there is something to read, so a task that waits for input
 * holds none. The writes are made at once, from the same buffer; what the destination does not take is
 * put aside, because the worker's next task will be lent the buffer too.
 *
 * Between two sockets, reads that fill the buffer again and again are a bulk transfer. Then the bytes pass
 * through a pipe (pipes.h) and are not copied, half a MiB at a time. For less than the lent
 * buffer takes that is no gain; so a small transfer never sees a pipe, and one that has become small again
 * goes back. Waiting for input is always a lent read's, and without a pipe.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/fault.h"
#include "fiber/suspend.h"
#include "io/pipes.h"
#include "net/net.h"
#include "os/os.h"

/*
 * `worth`, the case for splicing: one more with each transfer that would have filled the lent buffer, half of
 * it with each that would not. So a bulk transfer may have a small one in between.
 */
#define WORTH_SPLICING 4
#define WORTH_MOST 8
#define WORTH_REFUSED (-60) /* no pipe was to be had: do not ask with each read */

struct copy {
    lido_stream *destination;
    lido_stream *source;
    uint64_t done;               /* bytes that the destination has taken */
    bool splices;                /* if that is worth it */
    struct lido__op read, write; /* the same again and again */
};

/* As much as goes at once. -EAGAIN: nothing does. */
static inline ssize_t try_at_once(struct lido__op *op)
{
    struct lido__worker *worker = lido__worker_current();
    worker->budget -= worker->budget > 0;
    lido__op_try(worker, worker->current, op);
    return op->result;
}

/* ---- Through a pipe ---------------------------------------------------------------------------- */

/* Writes the `size` bytes that are in the pipe, waiting as long as it takes. `size`, or an error. */
static ssize_t empty(struct copy *copy, struct lido__pipe *pipe, size_t size)
{
    lido_stream *destination = copy->destination;
    size_t left = size;
    struct lido__op op;
    lido__op_init(&op, LIDO__OP_WRITE_PIPE, &destination->handle, &pipe->ends[0], left);
    ssize_t n = try_at_once(&op);
    n = n == -EAGAIN ? 0 : n;
    while (n >= 0) {
        copy->done += (size_t)n;
        left -= (size_t)n;
        if (left == 0) {
            lido__pipes_give(lido__worker_current(), pipe);
            return (ssize_t)size;
        }
        n = lido__net_await(LIDO__OP_WRITE_PIPE, &destination->handle, &pipe->ends[0], left);
    }
    lido__pipe_close(pipe);
    return n;
}

/* What an await does before it tries. */
static int pause_if_due(void)
{
    struct lido__worker *worker = lido__worker_current();
    return worker->budget == 0 ? lido_yield() : lido__task_interrupted(worker, worker->current);
}

/* As much work as so many lent reads and writes. */
static void charge(size_t size)
{
    struct lido__worker *worker = lido__worker_current();
    uint64_t ops = 2 * (size / LIDO__LENT_SIZE);
    worker->budget -= (uint32_t)lido__min_u64(worker->budget, ops);
}

/* What was moved; 0: the end; -EAGAIN: read instead, for there is no input yet, or no pipe, or no splicing
   from such a socket. */
static ssize_t splice_once(struct copy *copy, int *worth)
{
    struct lido__pipe pipe;
    struct lido__op op;
    int r = pause_if_due();
    if (r < 0)
        return r;
    if (lido__pipes_take(lido__worker_current(), &pipe) < 0) {
        *worth = WORTH_REFUSED;
        return -EAGAIN;
    }
    lido__op_init(&op, LIDO__OP_READ_PIPE, &copy->source->handle, &pipe.ends[1], LIDO__PIPE_SIZE);
    ssize_t n = try_at_once(&op);
    if (n > 0) {
        charge((size_t)n);
        return empty(copy, &pipe, (size_t)n);
    }
    lido__pipes_give(lido__worker_current(), &pipe);
    if (n != -EINVAL && !lido__is_refusal(n))
        return n;
    copy->splices = false;
    return -EAGAIN;
}

/* ---- Through the lent buffer ------------------------------------------------------------------- */

/* Without memory for a copy, the system may have some for a pipe. */
static ssize_t write_later_by_pipe(struct copy *copy, const void *data, size_t size)
{
    struct lido__pipe pipe;
    if (!lido__handle_is_socket(&copy->destination->handle) ||
        lido__pipes_take(lido__worker_current(), &pipe) < 0)
        return -ENOMEM;
    if (lido__os_write(pipe.ends[1], data, size) == (ssize_t)size)
        return empty(copy, &pipe, size);
    lido__pipe_close(&pipe);
    return -ENOMEM;
}

/* Writes from a copy, waiting as long as it takes. */
static __attribute__((noinline)) ssize_t write_later(struct copy *copy, const void *data,
                                                     size_t size)
{
    size_t done = 0;
    void *rest = lido__fault("malloc") < 0 ? NULL : malloc(size);
    if (!rest)
        return write_later_by_pipe(copy, data, size);
    memcpy(rest, data, size);
    ssize_t r = lido_write_all(copy->destination, rest, size, &done);
    free(rest);
    copy->done += done;
    return r;
}

/* All of `size` bytes, and returns that; or an error. Inline, like its caller: small messages pay for no
   call. */
static inline __attribute__((always_inline)) ssize_t write_lent(struct copy *copy, char *data,
                                                                size_t size)
{
    lido__op_again(&copy->write, data, size);
    ssize_t written = try_at_once(&copy->write);
    written = written == -EAGAIN ? 0 : written;
    if (written < 0)
        return written;
    copy->done += (size_t)written;
    if ((size_t)written == size)
        return (ssize_t)size;
    written = write_later(copy, data + written, size - (size_t)written);
    return written < 0 ? written : (ssize_t)size;
}

/* What was moved; 0: the end. */
static inline __attribute__((always_inline)) ssize_t copy_once(struct copy *copy)
{
    lido__op_rewind(&copy->read);
    ssize_t r = lido__fiber_await(lido__worker_current(), &copy->read, "read");
    return r <= 0 ? r : write_lent(copy, copy->read.buffer, (size_t)r);
}

/* ---- The one or the other ---------------------------------------------------------------------- */

static int judge(int worth, ssize_t size)
{
    if (size < (ssize_t)LIDO__LENT_SIZE)
        return worth / 2;
    return worth + (worth < WORTH_MOST);
}

/*
 * A read has filled the lent buffer: goes on until they are small again. Out of line, so that the small ones
 * pay nothing for it.
 */
static __attribute__((noinline)) ssize_t copy_bulk(struct copy *copy)
{
    int worth = 1;
    ssize_t r;
    do {
        r = worth < WORTH_SPLICING ? -EAGAIN : splice_once(copy, &worth);
        if (r == -EAGAIN)
            r = copy_once(copy);
        worth = judge(worth, r);
    } while (r > 0 && worth != 0 && copy->splices);
    return r;
}

/* Not back to where it came from: an echo waits for its peer, and is to do nothing else. */
static bool can_splice(const lido_stream *destination, const lido_stream *source)
{
    return destination != source && lido__handle_is_socket(&destination->handle) &&
           lido__handle_is_socket(&source->handle);
}

ssize_t lido_copy(lido_stream *destination, lido_stream *source, uint64_t *done)
{
    struct copy copy = {
        .destination = destination,
        .source = source,
        .splices = can_splice(destination, source),
    };
    int error;
    ssize_t r = lido__fiber_worker(&error) ? 1 : error;
    lido__op_init(&copy.read, LIDO__OP_READ_LENT, &source->handle, NULL, 0);
    lido__op_init(&copy.write, LIDO__OP_WRITE, &destination->handle, NULL, 0);
    while (r > 0) {
        r = copy_once(&copy);
        if (__builtin_expect(r == (ssize_t)LIDO__LENT_SIZE, 0) && copy.splices)
            r = copy_bulk(&copy);
    }
    if (done)
        *done = copy.done;
    return r < 0 ? r : (ssize_t)copy.done;
}
