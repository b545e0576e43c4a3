/* udp: each datagram is sent from the buffer that it was received into, with whom it came from. */
#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>

#include "ring.h"

#define BUFFERS 64u
/* What the kernel puts before a datagram: what it is, and whom it came from. */
#define HEAD (sizeof(struct io_uring_recvmsg_out) + sizeof(struct sockaddr_storage))
/* Comes back with a completion; otherwise that is the number of a buffer. */
#define RECEIVED UINT64_MAX

struct worker {
    struct ring ring;
    int fd;
    bool receiving;
    unsigned lent;
    struct msghdr any; /* how it is received */
    struct msghdr messages[BUFFERS];
    struct iovec parts[BUFFERS];
};

static void begin_to_receive(struct worker *worker)
{
    struct io_uring_sqe *request = ring_request(&worker->ring);
    io_uring_prep_recvmsg_multishot(request, worker->fd, &worker->any, 0);
    ring_let_choose(request);
    io_uring_sqe_set_data64(request, RECEIVED);
    worker->receiving = true;
}

static void send_back(struct worker *worker, unsigned id, struct io_uring_recvmsg_out *head,
                      int size)
{
    struct io_uring_sqe *request = ring_request(&worker->ring);
    worker->parts[id] = (struct iovec){
        .iov_base = io_uring_recvmsg_payload(head, &worker->any),
        .iov_len = io_uring_recvmsg_payload_length(head, size, &worker->any),
    };
    worker->messages[id] = (struct msghdr){
        .msg_name = io_uring_recvmsg_name(head),
        .msg_namelen = head->namelen,
        .msg_iov = &worker->parts[id],
        .msg_iovlen = 1,
    };
    io_uring_prep_sendmsg(request, worker->fd, &worker->messages[id], 0);
    io_uring_sqe_set_data64(request, id);
    worker->lent++;
}

/* Without a buffer it begins again as soon as one has been given back. Other errors are those of what was
   sent. */
static void on_received(struct worker *worker, const struct io_uring_cqe *completion)
{
    int size = completion->res;
    unsigned id = ring_chosen(completion);
    worker->receiving = completion->flags & IORING_CQE_F_MORE;
    if (completion->flags & IORING_CQE_F_BUFFER) {
        char *buffer = ring_buffer(&worker->ring, id);
        struct io_uring_recvmsg_out *head = io_uring_recvmsg_validate(buffer, size, &worker->any);
        if (head)
            send_back(worker, id, head, size);
        else
            ring_give_back(&worker->ring, id);
    }
    if (!worker->receiving && (size != -ENOBUFS || worker->lent == 0))
        begin_to_receive(worker);
}

static void on_sent(struct worker *worker, unsigned id)
{
    ring_give_back(&worker->ring, id);
    worker->lent--;
    if (!worker->receiving)
        begin_to_receive(worker);
}

static void on_completion(void *arg, const struct io_uring_cqe *completion)
{
    struct worker *worker = arg;
    uint64_t data = io_uring_cqe_get_data64(completion);
    if (data == RECEIVED)
        on_received(worker, completion);
    else
        on_sent(worker, (unsigned)data);
}

static void serve(const struct peer_options *options, int fd)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    (void)options;
    if (!worker)
        bench_die("memory");
    worker->fd = fd;
    worker->any.msg_namelen = sizeof(struct sockaddr_storage);
    ring_init(&worker->ring, BUFFERS, HEAD + PEER_READ_SHARED);
    ring_let_wait(fd);
    begin_to_receive(worker);
    for (;;)
        ring_run(&worker->ring, on_completion, worker);
}

void uring_datagrams(const struct peer_options *options)
{
    peer_serve(options, SOCK_DGRAM, serve);
}
