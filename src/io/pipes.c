#include "io/pipes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "net/pause.h"
#include "os/os.h"

/* Kept by a worker: as many copies can alternate on it without making pipes. */
#define SPARE_MAX 4u

struct spares {
    unsigned count;
    struct lido__pipe pipes[SPARE_MAX];
};

/* How many there are in the process. */
static lido__shared uint32_t pipes_alive;

static int open_pipe(struct lido__pipe *ret_pipe)
{
    int r = lido__os_pipe(ret_pipe->ends);
    if (r < 0)
        return r;
    r = lido__os_pipe_resize(ret_pipe->ends[1], LIDO__PIPE_SIZE);
    if (r < 0) {
        lido__os_close(ret_pipe->ends[0]);
        lido__os_close(ret_pipe->ends[1]);
    }
    return r;
}

static int make(struct lido__pipe *ret_pipe)
{
    struct lido__pipe pipe;
    int r = -EMFILE;
    if (lido__fetch_add(&pipes_alive, 1, LIDO__RELAXED) < LIDO__PIPES_MAX)
        r = open_pipe(&pipe);
    if (r < 0)
        lido__fetch_sub(&pipes_alive, 1, LIDO__RELAXED);
    else
        *ret_pipe = pipe;
    return r;
}

int lido__pipes_take(struct lido__worker *worker, struct lido__pipe *ret_pipe)
{
    struct spares *spares = worker->pipes;
    if (!spares || spares->count == 0)
        return make(ret_pipe);
    *ret_pipe = spares->pipes[--spares->count];
    return 0;
}

void lido__pipes_give(struct lido__worker *worker, const struct lido__pipe *pipe)
{
    struct spares *spares = worker->pipes;
    if (!spares) {
        spares = lido__fault("malloc") < 0 ? NULL : calloc(1, sizeof(*spares));
        worker->pipes = spares;
    }
    if (spares && spares->count < SPARE_MAX)
        spares->pipes[spares->count++] = *pipe;
    else
        lido__pipe_close(pipe);
}

void lido__pipe_close(const struct lido__pipe *pipe)
{
    lido__os_close(pipe->ends[0]);
    lido__os_close(pipe->ends[1]);
    lido__fetch_sub(&pipes_alive, 1, LIDO__RELAXED);
    lido__pause_descriptor_freed();
}

void lido__pipes_fini(struct lido__worker *worker)
{
    struct spares *spares = worker->pipes;
    for (unsigned i = 0; spares && i < spares->count; i++)
        lido__pipe_close(&spares->pipes[i]);
    free(spares);
    worker->pipes = NULL;
}
