#define _GNU_SOURCE

#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REQUESTS 1024
#define COMPLETIONS 16384 /* those that stay complete often */
#define GROUP 0
#define UNAVAILABLE 77

/* Since Linux 6.1 completions may be left until they are asked for; before, they interrupt the thread only
   when it is in the kernel anyway (5.19). */
static int open_ring(struct io_uring *io)
{
    static const unsigned best = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE | best,
                                     .cq_entries = COMPLETIONS};
    int r = io_uring_queue_init_params(REQUESTS, io, &params);
    if (r != -EINVAL)
        return r;
    params = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE | IORING_SETUP_COOP_TASKRUN,
                                      .cq_entries = COMPLETIONS};
    return io_uring_queue_init_params(REQUESTS, io, &params);
}

/* The kernel takes the buffers in turn, so all of them are touched soon: better before there is work. */
static void *map(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        bench_die("memory");
    return memory;
}

static int register_buffers(struct ring *ring)
{
    ring->free = map(ring->count * sizeof(struct io_uring_buf));
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)ring->free, .ring_entries = ring->count, .bgid = GROUP};
    io_uring_buf_ring_init(ring->free);
    return io_uring_register_buf_ring(&ring->io, &registration, 0);
}

void ring_see_that_there_are_any(void)
{
    struct ring ring = {.count = 1};
    int r = open_ring(&ring.io);
    if (r == 0)
        r = register_buffers(&ring);
    if (r < 0) {
        fprintf(stderr, "io_uring cannot be used here: %s\n", strerror(-r));
        exit(UNAVAILABLE);
    }
    io_uring_queue_exit(&ring.io);
}

static void check(const char *what, int r)
{
    if (r >= 0)
        return;
    errno = -r;
    bench_die("%s", what);
}

void ring_init(struct ring *ring, unsigned buffers, size_t size)
{
    *ring = (struct ring){.count = buffers, .size = size};
    check("a ring", open_ring(&ring->io));
    check("a ring's descriptor", io_uring_register_ring_fd(&ring->io));
    check("a ring of buffers", register_buffers(ring));
    ring->memory = map(buffers * size);
    for (unsigned i = 0; i < buffers; i++)
        ring_give_back(ring, i);
}

void ring_reserve_files(struct ring *ring)
{
    check("registered files",
          io_uring_register_files_sparse(&ring->io, (unsigned)sysconf(_SC_OPEN_MAX)));
}

struct io_uring_sqe *ring_request(struct ring *ring)
{
    struct io_uring_sqe *request = io_uring_get_sqe(&ring->io);
    while (!request) {
        io_uring_submit(&ring->io);
        request = io_uring_get_sqe(&ring->io);
    }
    return request;
}

void ring_let_choose(struct io_uring_sqe *request)
{
    request->flags |= IOSQE_BUFFER_SELECT;
    request->buf_group = GROUP;
}

unsigned ring_chosen(const struct io_uring_cqe *completion)
{
    return completion->flags >> IORING_CQE_BUFFER_SHIFT;
}

char *ring_buffer(const struct ring *ring, unsigned id)
{
    return ring->memory + id * ring->size;
}

void ring_give_back(struct ring *ring, unsigned id)
{
    io_uring_buf_ring_add(ring->free, ring_buffer(ring, id), (unsigned)ring->size,
                          (unsigned short)id, io_uring_buf_ring_mask(ring->count),
                          (int)ring->given_back++);
}

static void submit_and_wait(struct ring *ring)
{
    io_uring_buf_ring_advance(ring->free, (int)ring->given_back);
    ring->given_back = 0;
    int r = io_uring_submit_and_wait(&ring->io, 1);
    if (r != -EINTR && r != -EBUSY && r != -EAGAIN)
        check("io_uring_enter", r);
}

void ring_run(struct ring *ring, void (*on_completion)(void *arg, const struct io_uring_cqe *),
              void *arg)
{
    struct io_uring_cqe *completion;
    unsigned head;
    unsigned count = 0;
    submit_and_wait(ring);
    io_uring_for_each_cqe(&ring->io, head, completion)
    {
        on_completion(arg, completion);
        count++;
    }
    io_uring_cq_advance(&ring->io, count);
}

void ring_let_wait(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        bench_die("fcntl");
}
