/* Pipes that bytes pass through without being copied. */
#define _GNU_SOURCE

#include <fcntl.h>

#include "os/call.h"
#include "os/os.h"
#include "os/sigpipe.h"

int lido__os_pipe_resize(int pipe, size_t bytes)
{
    int r = LIDO__CALL("fcntl", fcntl(pipe, F_SETPIPE_SZ, (int)bytes));
    return r < 0 ? r : 0;
}

ssize_t lido__os_splice_in(int fd, int pipe, size_t bytes)
{
    return LIDO__CALL_AGAIN("splice", splice(fd, NULL, pipe, NULL, bytes, SPLICE_F_NONBLOCK));
}

/* A socket whose peer has closed raises SIGPIPE here, and no flag of splice says otherwise. */
ssize_t lido__os_splice_out(int pipe, int fd, size_t bytes)
{
    struct lido__sigpipe sigpipe;
    ssize_t r = lido__sigpipe_hold(&sigpipe);
    if (r < 0)
        return r;
    r = LIDO__CALL_AGAIN("splice", splice(pipe, NULL, fd, NULL, bytes, SPLICE_F_NONBLOCK));
    lido__sigpipe_let_go(&sigpipe, r);
    return r;
}
