/*
 * echo, ping and http. For each message a completion that says what was received, and one that says that the
 * reply has been sent. An echo is sent from the buffer that it was received into.
 *
 * A connection has one send at a time, or they could overtake each other. What is received meanwhile is sent
 * behind it; and if the send was submitted before that came, the other side is slow, and receiving is stopped
 * until it has taken all.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"
#include "ring.h"

/* More of them would not stay in the cache: the kernel takes them in turn. */
#define BUFFERS 256u
/* Those who do not read must not have all of them: then there is something left for the others. */
#define LENT_MAX (BUFFERS / 2)
#define NONE UINT32_MAX

/* In the low bits of what comes back with a completion; above them is the connection. */
enum kind { ACCEPTED, RECEIVED, SENT, OTHER, KINDS };

struct connection {
    int file; /* registered: it has no descriptor */
    struct protocol_state state;
    bool receiving;
    bool stopping; /* to receive */
    bool ended;    /* there is nothing more to receive, or it would be of no use */
    bool sending;
    unsigned round; /* in which it began to send */
    unsigned lent;  /* the buffer that is being sent, or NONE */
    size_t size;    /* of what is being sent */
    char *memory;   /* of what is being sent, if it was allocated */
    char *waiting;  /* what is to be sent behind that, */
    size_t waits;   /* and how much it is */
};

struct worker {
    struct ring ring;
    const struct protocol *protocol;
    bool is_echo;
    int listener;
    unsigned round;
    unsigned lent;
};

static uint64_t mark(const struct connection *connection, enum kind kind)
{
    return (uintptr_t)connection | kind;
}

/* ---- Requests ------------------------------------------------------------------------------------ */

/* Of which only a failure is told, and that is of no importance. */
static void set_aside(struct io_uring_sqe *request)
{
    io_uring_sqe_set_data64(request, mark(NULL, OTHER));
    request->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void begin_to_accept(struct worker *worker)
{
    struct io_uring_sqe *request = ring_request(&worker->ring);
    io_uring_prep_multishot_accept_direct(request, worker->listener, NULL, NULL, 0);
    io_uring_sqe_set_data64(request, mark(NULL, ACCEPTED));
}

static void begin_to_receive(struct worker *worker, struct connection *connection)
{
    struct io_uring_sqe *request = ring_request(&worker->ring);
    io_uring_prep_recv_multishot(request, connection->file, NULL, 0, 0);
    request->flags |= IOSQE_FIXED_FILE;
    ring_let_choose(request);
    io_uring_sqe_set_data64(request, mark(connection, RECEIVED));
    connection->receiving = true;
    connection->stopping = false;
}

/* The receiving request completes for the last time then, if it has not yet. */
static void stop_receiving(struct worker *worker, struct connection *connection)
{
    if (!connection->receiving || connection->stopping)
        return;
    struct io_uring_sqe *request = ring_request(&worker->ring);
    io_uring_prep_cancel64(request, mark(connection, RECEIVED), 0);
    set_aside(request);
    connection->stopping = true;
}

static void begin_to_send(struct worker *worker, struct connection *connection, const void *bytes,
                          size_t size)
{
    struct io_uring_sqe *request = ring_request(&worker->ring);
    io_uring_prep_send(request, connection->file, bytes, size, MSG_WAITALL);
    request->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(request, mark(connection, SENT));
    connection->sending = true;
    connection->size = size;
    connection->round = worker->round;
}

static void hang_up(struct worker *worker, struct connection *connection)
{
    struct io_uring_sqe *request = ring_request(&worker->ring);
    io_uring_prep_close_direct(request, (unsigned)connection->file);
    set_aside(request);
    free(connection);
}

/* ---- Sending ------------------------------------------------------------------------------------- */

static void *allocate(void *memory, size_t size)
{
    memory = realloc(memory, size);
    if (!memory)
        bench_die("memory");
    return memory;
}

static void send_later(struct connection *connection, const void *bytes, size_t size)
{
    connection->waiting = allocate(connection->waiting, connection->waits + size);
    memcpy(connection->waiting + connection->waits, bytes, size);
    connection->waits += size;
}

static void send_what_waits(struct worker *worker, struct connection *connection)
{
    connection->memory = connection->waiting;
    begin_to_send(worker, connection, connection->memory, connection->waits);
    connection->waiting = NULL;
    connection->waits = 0;
}

/* Bytes that are in the buffer, which is given back if they are not sent from there. */
static void send_back(struct worker *worker, struct connection *connection, unsigned id,
                      size_t size)
{
    const char *bytes = ring_buffer(&worker->ring, id);
    if (!connection->sending && worker->lent < LENT_MAX) {
        worker->lent++;
        connection->lent = id;
        begin_to_send(worker, connection, bytes, size);
        return;
    }
    send_later(connection, bytes, size);
    if (!connection->sending)
        send_what_waits(worker, connection);
    ring_give_back(&worker->ring, id);
}

static void answer(struct worker *worker, struct connection *connection, unsigned id, size_t size)
{
    struct protocol_bytes bytes =
        protocol_reply(worker->protocol, &connection->state, ring_buffer(&worker->ring, id), size);
    ring_give_back(&worker->ring, id);
    if (bytes.size > 0 && connection->sending)
        send_later(connection, bytes.data, bytes.size);
    else if (bytes.size > 0)
        begin_to_send(worker, connection, bytes.data, bytes.size);
}

/* ---- Completions --------------------------------------------------------------------------------- */

/* When something has come to an end: receives again or hangs up, as soon as all has been sent. */
static void go_on(struct worker *worker, struct connection *connection)
{
    if (connection->sending || connection->receiving)
        return;
    if (connection->ended)
        hang_up(worker, connection);
    else
        begin_to_receive(worker, connection);
}

static void on_bytes(struct worker *worker, struct connection *connection, unsigned id, size_t size)
{
    if (connection->sending && connection->round != worker->round)
        stop_receiving(worker, connection);
    if (connection->ended)
        ring_give_back(&worker->ring, id);
    else if (worker->is_echo)
        send_back(worker, connection, id, size);
    else
        answer(worker, connection, id, size);
}

/* Without a buffer it is asked again: by then those that have been given back meanwhile are free. */
static void on_received(struct worker *worker, struct connection *connection,
                        const struct io_uring_cqe *completion)
{
    int size = completion->res;
    connection->receiving = completion->flags & IORING_CQE_F_MORE;
    if (size > 0)
        on_bytes(worker, connection, ring_chosen(completion), (size_t)size);
    else if (completion->flags & IORING_CQE_F_BUFFER)
        ring_give_back(&worker->ring, ring_chosen(completion));
    if (size <= 0 && size != -ENOBUFS && size != -ECANCELED)
        connection->ended = true;
    go_on(worker, connection);
}

static void on_broken(struct worker *worker, struct connection *connection)
{
    free(connection->waiting);
    connection->waiting = NULL;
    connection->waits = 0;
    connection->ended = true;
    stop_receiving(worker, connection);
}

static void on_sent(struct worker *worker, struct connection *connection, int sent)
{
    connection->sending = false;
    if (connection->lent != NONE) {
        ring_give_back(&worker->ring, connection->lent);
        connection->lent = NONE;
        worker->lent--;
    }
    free(connection->memory);
    connection->memory = NULL;
    if (sent < 0 || (size_t)sent < connection->size)
        on_broken(worker, connection);
    else if (connection->waits > 0)
        send_what_waits(worker, connection);
    go_on(worker, connection);
}

static void on_accepted(struct worker *worker, const struct io_uring_cqe *completion)
{
    int file = completion->res;
    if (!(completion->flags & IORING_CQE_F_MORE))
        begin_to_accept(worker);
    if (file < 0) {
        errno = -file;
        if (file != -ECONNABORTED && file != -EINTR && file != -EAGAIN)
            bench_die("accept");
        return;
    }
    struct connection *connection = allocate(NULL, sizeof(*connection));
    *connection = (struct connection){.file = file, .lent = NONE};
    begin_to_receive(worker, connection);
}

static void on_completion(void *arg, const struct io_uring_cqe *completion)
{
    struct worker *worker = arg;
    uint64_t data = io_uring_cqe_get_data64(completion);
    struct connection *connection = (struct connection *)(uintptr_t)(data & ~(uint64_t)(KINDS - 1));
    switch ((enum kind)(data & (KINDS - 1))) {
    case ACCEPTED: on_accepted(worker, completion); break;
    case RECEIVED: on_received(worker, connection, completion); break;
    case SENT: on_sent(worker, connection, completion->res); break;
    default: break; /* what was to be stopped had come to its end */
    }
}

static void serve(const struct peer_options *options, int listener)
{
    struct worker worker = {.listener = listener, .is_echo = strcmp(options->job, "echo") == 0};
    worker.protocol = protocol_of(options->job);
    ring_init(&worker.ring, BUFFERS, PEER_READ_OWN);
    ring_reserve_files(&worker.ring);
    ring_let_wait(listener);
    begin_to_accept(&worker);
    for (;;) {
        worker.round++;
        ring_run(&worker.ring, on_completion, &worker);
    }
}

void uring_streams(const struct peer_options *options)
{
    protocol_of(options->job); /* threads must not be the first to ask */
    peer_serve(options, SOCK_STREAM, serve);
}
