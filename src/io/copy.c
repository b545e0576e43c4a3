/*
 * Copying from stream to stream.
 *
 * The reads are lent the worker's buffer when there is something to read, so a task that waits for input
 * holds none. The writes are made at once, from the same buffer; what the destination does not take is
 * put aside, because the worker's next task will be lent the buffer too.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "fiber/fiber.h"
#include "net/net.h"

/* Writes from the lent buffer, as much as goes at once. 0: nothing does. */
static ssize_t write_at_once(lido_stream *destination, void *data, size_t size)
{
    struct lido__worker *worker = lido__worker_current();
    struct lido__op op;
    lido__op_init(&op, LIDO__OP_WRITE, &destination->handle, data, size);
    worker->budget -= worker->budget > 0;
    lido__op_try(worker, worker->current, &op);
    return op.result == -EAGAIN ? 0 : op.result;
}

/* Writes from a copy, waiting as long as it takes. */
static ssize_t write_later(lido_stream *destination, const void *data, size_t size, size_t *done)
{
    void *rest = lido__fault("malloc") < 0 ? NULL : malloc(size);
    if (!rest)
        return -ENOMEM;
    memcpy(rest, data, size);
    ssize_t r = lido_write_all(destination, rest, size, done);
    free(rest);
    return r;
}

/* All of `size` bytes, or an error; *done counts on. */
static ssize_t write_lent(lido_stream *destination, char *data, size_t size, uint64_t *done)
{
    ssize_t written = write_at_once(destination, data, size);
    if (written < 0)
        return written;
    *done += (uint64_t)written;
    if ((size_t)written == size)
        return 0;
    size_t later = 0;
    ssize_t r = write_later(destination, data + written, size - (size_t)written, &later);
    *done += later;
    return r < 0 ? r : 0;
}

ssize_t lido_copy(lido_stream *destination, lido_stream *source, uint64_t *done)
{
    uint64_t total = 0;
    ssize_t r;
    do {
        struct lido__op op;
        lido__op_init(&op, LIDO__OP_READ_LENT, &source->handle, NULL, 0);
        r = lido__await(&op);
        if (r <= 0)
            break;
        r = write_lent(destination, op.buffer, (size_t)r, &total);
    } while (r == 0);
    if (done)
        *done = total;
    return r < 0 ? r : (ssize_t)total;
}
