/* A ring of requests with a ring of buffers to receive into, and the jobs that use it. */
#ifndef LIDO_BENCH_BARE_URING_RING_H
#define LIDO_BENCH_BARE_URING_RING_H

#include <liburing.h>

#include "peer.h"

struct ring {
    struct io_uring io;
    struct io_uring_buf_ring *free; /* what the kernel may receive into */
    char *memory;
    unsigned count; /* of buffers, a power of two */
    size_t size;    /* of each */
    unsigned given_back;
};

/* Ends the program with status 77 if the kernel has none, or none as they are needed here. */
void ring_see_that_there_are_any(void);

/* For the calling thread alone. */
void ring_init(struct ring *ring, unsigned buffers, size_t size);

/* Room for as many registered files as there may be descriptors. */
void ring_reserve_files(struct ring *ring);

/* A request to be filled; it is submitted by the next ring_run at the latest. */
struct io_uring_sqe *ring_request(struct ring *ring);

/* A request that receives may take any of the buffers. */
void ring_let_choose(struct io_uring_sqe *request);

/* Which buffer a completion is about, and where it is. Once given back the kernel may have it again from the
   next ring_run on. */
unsigned ring_chosen(const struct io_uring_cqe *completion);
char *ring_buffer(const struct ring *ring, unsigned id);
void ring_give_back(struct ring *ring, unsigned id);

/* One round: submits, waits until something is complete, and calls for each completion. */
void ring_run(struct ring *ring, void (*on_completion)(void *arg, const struct io_uring_cqe *),
              void *arg);

/* Has requests for this socket wait, which they do not if it is said to be non-blocking. */
void ring_let_wait(int fd);

void uring_streams(const struct peer_options *options);
void uring_datagrams(const struct peer_options *options);

#endif
