/*
 * Clients with a connection each, over which all their requests go: a future, that reads and writes at
 * the same time. So a server that stops reading while its answers are not taken cannot block both sides.
 *
 * It has no buffers: answers are read into one that lido lends and are checked there, requests are written
 * from the lane's staging, and if not all of that goes through the rest is made anew later.
 */
#include "stream.h"

#include "spawn.h"

static struct tag tag_of(const struct stream_client *self, uint32_t sequence)
{
    return (struct tag){sequence, self->client.number};
}

/* ---- Answers ----------------------------------------------------------------------------------- */

static void on_answer(struct stream_client *self, uint64_t now)
{
    struct client *client = &self->client;
    const struct http_answer *http = &self->parser.http;
    self->leaving = http->closes;
    if (!client->lane->protocol->answer && (http->status < 200 || http->status > 399))
        lane_error(client->lane, ERROR_STATUS);
    lane_answered(client, client_request(client, self->answered++), now, self->parser.offset);
    self->parser = (struct parser){0};
}

static int take_answers(struct stream_client *self, const char *data, size_t size, uint64_t now)
{
    const struct protocol *protocol = self->client.lane->protocol;
    while (size > 0 && !self->leaving) {
        bool done;
        if (self->answered == self->client.sent && self->offset == 0)
            return -EBADMSG; /* to nothing that was asked */
        ssize_t took =
            parser_take(&self->parser, protocol, tag_of(self, self->answered), data, size, &done);
        if (took < 0)
            return (int)took;
        data += took;
        size -= (size_t)took;
        if (done)
            on_answer(self, now);
    }
    return 0;
}

/* Reads once. 1: there was something; 0: it waits, or is leaving; -ENODATA: the end of the stream. */
static int receive(struct stream_client *self, const lido_waker *waker)
{
    ssize_t got = lido_op_poll(&self->read, waker);
    if (got == LIDO_PENDING)
        return 0;
    if (got <= 0)
        return got < 0 ? (int)got : -ENODATA;
    uint64_t now = lido_now();
    int r = take_answers(self, lido_op_lent(&self->read), (size_t)got, now);
    lido_op_read(&self->read, self->stream, NULL, 0);
    if (r < 0)
        return r;
    if (self->leaving)
        return 0;
    if (!self->single)
        lane_refill(&self->client, now);
    return 1;
}

/* ---- Requests ---------------------------------------------------------------------------------- */

/* So many bytes more have been written, since `began`. */
static void count_sent(struct stream_client *self, size_t bytes, uint64_t began)
{
    struct client *client = &self->client;
    struct lane *lane = client->lane;
    size_t size = lane->protocol->request_size;
    for (self->offset += bytes; self->offset >= size; self->offset -= size) {
        if (lane_is_open_loop(lane))
            lane_sent(lane, client_request(client, client->sent), began);
        client->sent++;
    }
}

/* One write of as much as there is. 1: it went through; 0: it waits for room. */
static int transmit_some(struct stream_client *self, const lido_waker *waker)
{
    struct client *client = &self->client;
    struct lane *lane = client->lane;
    uint64_t began = lane_is_open_loop(lane) ? lido_now() : 0;
    const char *bytes;
    size_t size = staging_fill(&lane->staging, tag_of(self, client->sent),
                               client->granted - client->sent, self->offset, &bytes);
    lido_op_write(&self->write, self->stream, bytes, size);
    ssize_t wrote = lido_op_try(&self->write, waker);
    if (wrote < 0 && wrote != -EAGAIN)
        return (int)wrote;
    if (wrote > 0)
        count_sent(self, (size_t)wrote, began);
    if (wrote == (ssize_t)size)
        return 1;
    self->blocked = true;
    lido_op_writable(&self->write, self->stream);
    return 0;
}

static int transmit(struct stream_client *self, const lido_waker *waker)
{
    int r = 1;
    while (self->client.sent != self->client.granted && r >= 0 && !self->leaving) {
        if (self->blocked) {
            r = (int)lido_op_poll(&self->write, waker);
            if (r == LIDO_PENDING)
                return 0;
            self->blocked = false;
        } else {
            r = transmit_some(self, waker);
        }
    }
    return r < 0 ? r : 0;
}

/* ---- The task ---------------------------------------------------------------------------------- */

/* What it waits for is given up before its memory is. */
static int finish(struct stream_client *self, const lido_waker *waker, int error)
{
    lido_op_try(&self->read, waker);
    if (self->blocked)
        lido_op_try(&self->write, waker);
    target_close(self->client.lane->target, self->stream);
    self->stream = NULL;
    error = self->late ? -ETIMEDOUT : error;
    if (!self->single && !self->leaving)
        lane_left(&self->client, error);
    return error;
}

static int begin(struct stream_client *self, const lido_waker *waker)
{
    self->begun = true;
    lido_op_read(&self->read, self->stream, NULL, 0);
    if (!self->single) {
        self->waker = lido_waker_clone(waker);
        lane_refill(&self->client, lido_now());
    }
    return transmit(self, waker);
}

static bool is_done(const struct stream_client *self)
{
    if (self->leaving)
        return true;
    if (self->single)
        return self->answered == self->client.granted;
    return lane_is_done(&self->client);
}

static int poll(lido_future *future, const lido_waker *waker)
{
    struct stream_client *self =
        (struct stream_client *)((char *)future - offsetof(struct stream_client, future));
    self->polling = true;
    int r = self->begun ? 0 : begin(self, waker);
    for (bool more = r == 0; more;) {
        r = receive(self, waker);
        more = r > 0;
        if (r >= 0)
            r = transmit(self, waker);
        more = more && r >= 0;
    }
    self->polling = false;
    if (r < 0 || is_done(self))
        return finish(self, waker, r);
    return LIDO_PENDING;
}

int stream_start(struct stream_client *self, lido_task **task)
{
    self->future.poll = poll;
    self->parser = (struct parser){0};
    self->offset = 0;
    self->begun = self->blocked = self->leaving = false;
    lido_waker_drop(&self->waker);
    return spawn_future_here(task, &self->future);
}

/* ---- The kind of client ------------------------------------------------------------------------ */

static int open_stream(struct client *client)
{
    struct lane *lane = client->lane;
    bool first = lane->index == 0 && client->number == 0;
    return target_connect(lane->target, first, &stream_client_of(client)->stream);
}

/* A new connection in place of one that the server has ended, as it had announced. What it left unanswered
   is sent again. */
static int reconnect(struct stream_client *self)
{
    struct lane *lane = self->client.lane;
    lido_within((int64_t)(lane->options->timeout / 1000000));
    self->client.sent = self->answered;
    lane->figures.reconnects++;
    return target_connect(lane->target, false, &self->stream);
}

/* HTTP: one connection after the other. A fiber, for connecting waits. */
static int follow(void *arg)
{
    struct stream_client *self = arg;
    lido_task *task;
    int r = 0;
    while (r == 0) {
        r = stream_start(self, &task);
        if (r < 0)
            break;
        if (lido_join(task, NULL) < 0)
            lido_stop(task, NULL);
        if (!self->leaving)
            return 0; /* it has said so to its lane */
        if (lane_is_done(&self->client))
            break;
        r = reconnect(self);
    }
    lane_left(&self->client, self->late ? -ETIMEDOUT : r);
    return 0;
}

static int start(struct client *client)
{
    struct stream_client *self = stream_client_of(client);
    if (client->lane->protocol->kind == PROTOCOL_HTTP)
        return spawn_here(&client->task, follow, self);
    return stream_start(self, &client->task);
}

static void wake(struct client *client)
{
    struct stream_client *self = stream_client_of(client);
    if (!self->polling && self->waker.lido_private)
        lido_waker_wake(&self->waker);
}

static void check(struct client *client, uint64_t now)
{
    if (client->open == 0 || now < client->heard + client->lane->options->timeout)
        return;
    stream_client_of(client)->late = true;
    lido_cancel(client->task);
}

static void fini(struct client *client)
{
    target_close(client->lane->target, stream_client_of(client)->stream);
    lido_waker_drop(&stream_client_of(client)->waker);
}

const struct client_kind stream_clients = {
    .size = sizeof(struct stream_client),
    .connect = open_stream,
    .start = start,
    .wake = wake,
    .check = check,
    .fini = fini,
};
