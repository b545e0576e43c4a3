/*
 * Pipes through which a proxy passes bytes from socket to socket without copying them. One is held only
 * while there is something in it; empty ones are kept in a list, each by the thread that has it.
 */
#ifndef LIDO_BENCH_PIPE_H
#define LIDO_BENCH_PIPE_H

#ifndef _GNU_SOURCE
#error "splice is a GNU extension: define _GNU_SOURCE"
#endif

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/tools.h"

/* The default of 64 KiB takes many more system calls to fill and to empty. The same as in lido. */
#define PEER_PIPE_SIZE ((size_t)512 * 1024)

struct peer_pipe {
    struct peer_pipe *next;
    int read;
    int write;
};

static inline struct peer_pipe *peer_pipe_make(void)
{
    int fds[2];
    struct peer_pipe *pipe = malloc(sizeof(*pipe));
    if (!pipe || pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        bench_die("pipe");
    /* One that the kernel refuses to make larger does its work, too. */
    (void)fcntl(fds[1], F_SETPIPE_SZ, (int)PEER_PIPE_SIZE);
    *pipe = (struct peer_pipe){.read = fds[0], .write = fds[1]};
    return pipe;
}

static inline struct peer_pipe *peer_pipe_take(struct peer_pipe **spare)
{
    struct peer_pipe *pipe = *spare;
    if (!pipe)
        return peer_pipe_make();
    *spare = pipe->next;
    return pipe;
}

/* It is empty again. */
static inline void peer_pipe_give_back(struct peer_pipe **spare, struct peer_pipe *pipe)
{
    pipe->next = *spare;
    *spare = pipe;
}

/* With what is in it. */
static inline void peer_pipe_close(struct peer_pipe *pipe)
{
    if (!pipe)
        return;
    close(pipe->read);
    close(pipe->write);
    free(pipe);
}

/* As read does, into an empty pipe. */
static inline ssize_t peer_splice_in(int fd, const struct peer_pipe *pipe)
{
    return splice(fd, NULL, pipe->write, NULL, PEER_PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

/* As write does, `size` bytes at most of what is in it. */
static inline ssize_t peer_splice_out(const struct peer_pipe *pipe, int fd, size_t size)
{
    return splice(pipe->read, NULL, fd, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

#endif
