/* Scenes of streams: bytes that tell their place flow from writers to readers, through relays and through servers. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "soak/scene.h"
#include "soak/watchdog.h"

#define FLOW_MAX 300000u
#define PIECE_MAX 12000u

/* ---- Bytes that tell their place ------------------------------------------------------------------------- */

static char byte_at(size_t place)
{
    return (char)(place * 7 + (place >> 8) * 31);
}

static void put_bytes(size_t place, char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(place + i);
}

static void check_place(size_t place, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        insist(bytes[i] == byte_at(place + i));
}

/* ---- One direction ------------------------------------------------------------------------------------------ */

struct flow {
    lido_stream *in;  /* where bytes are written */
    lido_stream *out; /* where they arrive */
    size_t size;
    size_t written;            /* the writer's, until it has ended */
    size_t read;               /* the reader's */
    bool ended;                /* the reader has seen the end */
    const struct host *server; /* that reads, or NULL: it does not if it is cancelled */
    lido__shared uint32_t cut; /* nobody reads any more, and the writer may be told so */
};

static bool is_cut(const struct flow *flow)
{
    return lido__load(&flow->cut, LIDO__RELAXED) ||
           (flow->server && host_stage(flow->server) == STAGE_CANCELLING);
}

/* What a writer may get when the others have gone. */
static ssize_t judge_write(struct part *part, const struct flow *flow, ssize_t n, const char *call)
{
    bool cut = is_cut(flow);
    if (cut && n == -ECONNRESET)
        n = -EPIPE;
    return part_judge(part, n, cut ? -EPIPE : 0, call, LIDO_HERE);
}

static ssize_t write_piece(struct part *part, struct flow *flow)
{
    char bytes[PIECE_MAX];
    size_t size = 1 + draw(part, PIECE_MAX), rest = flow->size - flow->written, done = 0;
    ssize_t n;
    size = size < rest ? size : rest;
    put_bytes(flow->written, bytes, size);
    part_does(part, "lido_write");
    if (draw(part, 2)) {
        n = lido_write(flow->in, bytes, size);
        done = n > 0 ? (size_t)n : 0;
    } else {
        n = lido_write_all(flow->in, bytes, size, &done);
        insist(n < 0 || done == size);
    }
    flow->written += done;
    return judge_write(part, flow, n, "lido_write");
}

static ssize_t write_in_time(struct part *part, struct flow *flow)
{
    struct limit limit = limit_begin(part, draw(part, 3));
    ssize_t n = write_piece(part, flow);
    limit_end(part, &limit);
    return n == -ETIMEDOUT && !part_may_get(part, -ETIMEDOUT) ? 1 : n;
}

/* However it ends, the reader sees the end of what was written. */
static int write_flow(struct part *part)
{
    struct flow *flow = part->arg;
    ssize_t n = 1;
    while (flow->written < flow->size && n > 0) {
        n = draw(part, 8) == 0 ? write_in_time(part, flow) : write_piece(part, flow);
        if (draw(part, 8) == 0)
            pause_some(part);
    }
    int r = lido_shutdown_stream(flow->in, LIDO_SIDE_WRITE);
    insist(r == 0 || r == -ENOTCONN);
    return 0;
}

static ssize_t read_piece(struct part *part, struct flow *flow)
{
    char bytes[PIECE_MAX];
    size_t size = 1 + draw(part, PIECE_MAX), done = 0;
    ssize_t n;
    part_does(part, "lido_read");
    if (draw(part, 4)) {
        n = lido_read(flow->out, bytes, size);
        done = n > 0 ? (size_t)n : 0;
    } else {
        n = lido_read_all(flow->out, bytes, size, &done);
    }
    check_place(flow->read, bytes, done);
    flow->read += done;
    return part_judge(part, n, 0, "lido_read", LIDO_HERE);
}

static ssize_t read_in_time(struct part *part, struct flow *flow)
{
    struct limit limit = limit_begin(part, draw(part, 3));
    ssize_t n = read_piece(part, flow);
    limit_end(part, &limit);
    return n == -ETIMEDOUT && !part_may_get(part, -ETIMEDOUT) ? 1 : n;
}

static int read_flow(struct part *part)
{
    struct flow *flow = part->arg;
    ssize_t n = 1;
    while (n > 0) {
        n = draw(part, 8) == 0 ? read_in_time(part, flow) : read_piece(part, flow);
        if (draw(part, 8) == 0)
            pause_some(part);
    }
    flow->ended = n == 0;
    return 0;
}

/* Once the reader has ended early, its stream is closed, so that the writer does not wait for it. */
static void cut_flow(struct flow *flow)
{
    lido__store(&flow->cut, 1, LIDO__RELAXED);
    lido_close(flow->out);
}

static void settle_flow(const struct flow *flow)
{
    insist(flow->read <= flow->written && flow->written <= flow->size);
    if (flow->ended && flow->read != flow->written)
        fail_soak("%zu bytes were written and %zu read", flow->written, flow->read);
}

/* ---- Pairs of streams ------------------------------------------------------------------------------------------ */

static ssize_t connect_to(struct part *part, lido_listener *listener, lido_stream **stream)
{
    lido_address address;
    insist(lido_listener_local_address(listener, &address) == 0);
    return attempt(part, lido_connect(stream, &address));
}

static ssize_t tcp_pair(struct part *part, lido_stream *pair[2])
{
    lido_listener *listener;
    insist(lido_listen_tcp(&listener, "127.0.0.1:0") == 0);
    ssize_t r = connect_to(part, listener, &pair[0]);
    if (r == 0 && (r = attempt(part, lido_accept(listener, &pair[1], NULL))) < 0)
        lido_close(pair[0]);
    lido_listener_close(listener);
    return r;
}

static ssize_t make_pair(struct part *part, lido_stream *pair[2])
{
    if (draw(part, 6) == 0)
        return tcp_pair(part, pair);
    insist(lido_stream_pair(pair) == 0);
    return 0;
}

/* ---- A flow, from fiber to fiber ---------------------------------------------------------------------------------- */

struct actor {
    struct part *part;
    lido_task *task;
    bool runs;
};

static void set_off(struct part *part, struct actor *actor, struct part *child)
{
    actor->part = child;
    actor->runs = part_spawn(part, child, &actor->task) == 0;
}

static void wait_for(struct part *part, const struct actor *actor)
{
    if (actor->runs)
        part_finish(part, actor->part, actor->task);
}

/* A writer that was refused has written nothing, and nobody would tell the reader. */
static void end_unwritten(const struct actor *writer, const struct flow *flow)
{
    if (!writer->runs)
        lido_shutdown_stream(flow->in, LIDO_SIDE_WRITE);
}

void play_flow(struct part *part)
{
    struct flow flow = {.size = draw(part, FLOW_MAX)};
    struct actor reader, writer;
    lido_stream *pair[2];
    if (make_pair(part, pair) < 0)
        return;
    flow.in = pair[0];
    flow.out = pair[1];
    set_off(part, &reader, part_new(part, "reader", read_flow, &flow));
    set_off(part, &writer, part_new(part, "writer", write_flow, &flow));
    end_unwritten(&writer, &flow);
    wait_for(part, &reader);
    cut_flow(&flow);
    wait_for(part, &writer);
    lido_close(flow.in);
    settle_flow(&flow);
}

/* ---- A relay: a future between two pairs ---------------------------------------------------------------------------- */

enum leg { LEG_IDLE, LEG_READING, LEG_WRITING };

struct relay {
    lido_stream *from;
    lido_stream *to;
    const struct flow *flow;
    lido_op op;
    enum leg leg;
    size_t size; /* of what is to be written */
    size_t done;
    char bytes[2000];
};

/* One step; pending, an error, or that there is more to do. */
static ssize_t relay_read(struct relay *relay, const lido_waker *waker)
{
    if (relay->leg == LEG_IDLE)
        lido_op_read(&relay->op, relay->from, relay->bytes, sizeof(relay->bytes));
    relay->leg = LEG_READING;
    ssize_t n = lido_op_poll(&relay->op, waker);
    if (n == LIDO_PENDING)
        return n;
    relay->leg = LEG_IDLE;
    relay->size = n > 0 ? (size_t)n : 0;
    relay->done = 0;
    return n;
}

static ssize_t relay_write(struct relay *relay, const lido_waker *waker)
{
    if (relay->leg == LEG_IDLE)
        lido_op_write(&relay->op, relay->to, relay->bytes + relay->done, relay->size - relay->done);
    relay->leg = LEG_WRITING;
    ssize_t n = lido_op_poll(&relay->op, waker);
    if (n == LIDO_PENDING)
        return n;
    relay->leg = LEG_IDLE;
    relay->done += n > 0 ? (size_t)n : 0;
    return n;
}

static int poll_relay(struct part *part, const lido_waker *waker)
{
    struct relay *relay = part->arg;
    ssize_t n;
    do {
        bool writes = relay->done < relay->size;
        n = writes ? relay_write(relay, waker) : relay_read(relay, waker);
        if (n != LIDO_PENDING)
            judge_write(part, relay->flow, n, writes ? "lido_op_write" : "lido_op_read");
    } while (n > 0);
    if (n == LIDO_PENDING)
        return LIDO_PENDING;
    lido_shutdown_stream(relay->to, LIDO_SIDE_WRITE);
    return (int)n;
}

/* Waits for the ends from the reader's on, and closes behind each, so that nobody waits for those who have gone. */
static void flow_through(struct part *part, struct flow *flow, struct relay *relay)
{
    struct actor reader, middle, writer;
    struct part *future = part_new(part, "relay", NULL, relay);
    future->poll = poll_relay;
    set_off(part, &reader, part_new(part, "reader", read_flow, flow));
    set_off(part, &middle, future);
    set_off(part, &writer, part_new(part, "writer", write_flow, flow));
    end_unwritten(&writer, flow);
    if (!middle.runs)
        lido_shutdown_stream(relay->to, LIDO_SIDE_WRITE);
    wait_for(part, &reader);
    cut_flow(flow);
    wait_for(part, &middle);
    lido_close(relay->from);
    lido_close(relay->to);
    wait_for(part, &writer);
    lido_close(flow->in);
    /* A relay that was cancelled has dropped what it had. */
    if (middle.runs && future->result == 0)
        settle_flow(flow);
}

void play_relay(struct part *part)
{
    struct flow flow = {.size = draw(part, FLOW_MAX)};
    struct relay relay = {.flow = &flow};
    lido_stream *first[2], *second[2];
    if (make_pair(part, first) < 0)
        return;
    if (make_pair(part, second) < 0) {
        lido_close(first[0]);
        lido_close(first[1]);
        return;
    }
    flow.in = first[0];
    relay.from = first[1];
    relay.to = second[0];
    flow.out = second[1];
    flow_through(part, &flow, &relay);
}

/* ---- A server of echo, and its clients -------------------------------------------------------------------------------- */

#define CLIENTS_MAX 4

/* Errors are the client's to judge. */
static int echo(void *arg)
{
    lido_stream *stream = arg;
    lido_copy(stream, stream, NULL);
    lido_close(stream);
    return 0;
}

/* As the runtime is cancelled, it may be refused a task before it sees that it is cancelled itself. */
static int serve(struct part *part)
{
    part_does(part, "lido_serve");
    int r = lido_serve((lido_listener *)part->arg, echo);
    bool refused = r == -ESHUTDOWN && host_stage(part->host) == STAGE_CANCELLING;
    part_judge(part, r, refused ? r : 0, "lido_serve", LIDO_HERE);
    insist(r < 0);
    return r;
}

/* Once the runtime is cancelled, connections end too early, and in every way. */
static int be_served(struct part *part)
{
    struct flow flow = {.size = draw(part, 4000), .server = part->host};
    lido_stream *stream;
    char bytes[4000];
    size_t done = 0;
    ssize_t n = 1;
    if (connect_to(part, part->arg, &stream) < 0)
        return 0;
    flow.in = flow.out = stream;
    while (flow.written < flow.size && n > 0)
        n = write_piece(part, &flow);
    lido_shutdown_stream(stream, LIDO_SIDE_WRITE);
    part_does(part, "lido_read_all");
    n = lido_read_all(stream, bytes, sizeof(bytes), &done);
    part_judge(part, n, is_cut(&flow) ? -ECONNRESET : 0, "lido_read_all", LIDO_HERE);
    check_place(0, bytes, done);
    insist(done == flow.written || n < 0 || is_cut(&flow));
    lido_close(stream);
    return 0;
}

static lido_listener *listen_somewhere(struct part *part)
{
    static lido__shared uint32_t counter;
    lido_listener *listener;
    char name[64];
    if (draw(part, 2)) {
        insist(lido_listen_tcp(&listener, "127.0.0.1:0") == 0);
        return listener;
    }
    snprintf(name, sizeof(name), "@lido-soak-%d-%u", (int)getpid(),
             lido__fetch_add(&counter, 1, LIDO__RELAXED));
    insist(lido_listen_unix(&listener, name) == 0);
    return listener;
}

void play_serve(struct part *part)
{
    lido_listener *listener = listen_somewhere(part);
    struct actor server, clients[CLIENTS_MAX];
    unsigned count = 1 + draw(part, CLIENTS_MAX);
    set_off(part, &server, part_new_on(part->host, part, "server", serve, listener));
    for (unsigned i = 0; i < count && server.runs; i++)
        set_off(part, &clients[i], part_new_on(part->host, part, "client", be_served, listener));
    for (unsigned i = 0; i < count && server.runs; i++)
        wait_for(part, &clients[i]);
    if (server.runs)
        part_stop(part, server.part, server.task);
    lido_listener_close(listener);
}
