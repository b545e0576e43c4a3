/*
 * Clients with a UDP socket each: one fiber that sends what is granted, and one that receives. Answers
 * may come in any order, or never; so a message that is under way has a slot, whose number it carries.
 */
#include <string.h>

#include "lane.h"
#include "spawn.h"

struct slot {
    struct request request;
    uint64_t sent_at; /* 0: free */
    uint32_t sequence;
};

struct datagram_client {
    struct client client;
    lido_datagram *socket;
    lido_event granted;
    struct slot *slots; /* as many as requests may be open */
    uint32_t *free;     /* the numbers of free slots */
    uint32_t free_count;
    char *message; /* that is being sent */
    char *answer;  /* a byte longer than it should be */
};

static struct datagram_client *of(struct client *client)
{
    return (struct datagram_client *)client; /* it is the first field */
}

/* ---- Sending ----------------------------------------------------------------------------------- */

/* Stands in a slot before it is sent: the answer may come before the send has returned. */
static int send_next(struct datagram_client *self)
{
    struct client *client = &self->client;
    struct lane *lane = client->lane;
    uint32_t number = self->free[--self->free_count];
    struct slot *slot = &self->slots[number];
    const char *bytes;
    *slot = (struct slot){*client_request(client, client->sent), lido_now(), client->sent};
    struct tag tag = {client->sent, number};
    size_t size = staging_fill(&lane->staging, tag, 1, 0, &bytes);
    memcpy(self->message, bytes, size); /* the send may wait, and others use the staging */
    if (lane_is_open_loop(lane))
        lane_sent(lane, &slot->request, slot->sent_at);
    client->sent++;
    ssize_t r = lido_send(self->socket, self->message, size);
    return r < 0 ? (int)r : 0;
}

/* An error of one datagram: the next may go through. That nobody is there, the system tells later. */
static bool goes_on(struct datagram_client *self, ssize_t error)
{
    if (error == -ECANCELED)
        return false;
    if (error < 0)
        lane_error(self->client.lane, error_kind_of((int)error));
    return true;
}

static bool send_granted(struct datagram_client *self)
{
    bool on = true;
    while (on && self->client.sent != self->client.granted)
        on = goes_on(self, send_next(self));
    return on;
}

/* ---- Receiving --------------------------------------------------------------------------------- */

static void free_slot(struct datagram_client *self, struct slot *slot)
{
    slot->sent_at = 0;
    self->free[self->free_count++] = (uint32_t)(slot - self->slots);
}

/* The slot of an answer; NULL: of none, or one that has been given up. */
static struct slot *slot_of(struct datagram_client *self, struct tag tag)
{
    if (tag.owner >= self->client.lane->options->depth)
        return NULL;
    struct slot *slot = &self->slots[tag.owner];
    return slot->sent_at && slot->sequence == tag.sequence ? slot : NULL;
}

static void take_answer(struct datagram_client *self, const char *data, size_t size, uint64_t now)
{
    struct lane *lane = self->client.lane;
    struct parser parser = {0};
    struct tag tag;
    bool done = false;
    if (size == lane->protocol->answer_size) {
        memcpy(&tag, data, sizeof(tag));
        parser_take(&parser, lane->protocol, tag, data, size, &done);
    }
    struct slot *slot = done ? slot_of(self, tag) : NULL;
    if (!done) {
        lane_error(lane, ERROR_ANSWER);
    } else if (!slot) {
        lane->figures.late_answers++;
    } else {
        lane_answered(&self->client, &slot->request, now, size);
        free_slot(self, slot);
        lane_refill(&self->client, now);
    }
}

static int receive(void *arg)
{
    struct datagram_client *self = arg;
    size_t room = self->client.lane->protocol->answer_size + 1;
    for (;;) {
        ssize_t got = lido_recv(self->socket, self->answer, room, NULL);
        if (!goes_on(self, got))
            return 0;
        if (got >= 0)
            take_answer(self, self->answer, (size_t)got, lido_now());
        if (lane_is_done(&self->client))
            lido_event_notify_one(&self->granted);
    }
}

/* ---- The kind of client ------------------------------------------------------------------------ */

static int run(void *arg)
{
    struct datagram_client *self = arg;
    lido_task *receiver;
    int r = spawn_here(&receiver, receive, self);
    if (r < 0) {
        lane_left(&self->client, r);
        return 0;
    }
    lane_refill(&self->client, lido_now());
    while (r == 0 && !lane_is_done(&self->client))
        r = send_granted(self) ? lido_event_wait(&self->granted) : -ECANCELED;
    lido_stop(receiver, NULL);
    lane_left(&self->client, -ECANCELED);
    return 0;
}

static int open_socket(struct client *client)
{
    struct datagram_client *self = of(client);
    unsigned depth = client->lane->options->depth;
    self->slots = calloc(depth, sizeof(*self->slots));
    self->free = calloc(depth, sizeof(*self->free));
    self->message = malloc(client->lane->protocol->request_size);
    self->answer = malloc(client->lane->protocol->answer_size + 1);
    if (!self->slots || !self->free || !self->message || !self->answer)
        return -ENOMEM;
    for (unsigned i = 0; i < depth; i++)
        self->free[self->free_count++] = depth - 1 - i;
    return target_bind(client->lane->target, &self->socket);
}

static int start(struct client *client)
{
    return spawn_here(&client->task, run, client);
}

static void wake(struct client *client)
{
    lido_event_notify_one(&of(client)->granted);
}

static void check(struct client *client, uint64_t now)
{
    struct datagram_client *self = of(client);
    const struct options *options = client->lane->options;
    bool lost = false;
    for (unsigned i = 0; i < options->depth && client->open > 0; i++) {
        struct slot *slot = &self->slots[i];
        if (slot->sent_at == 0 || now < slot->sent_at + options->timeout)
            continue;
        free_slot(self, slot);
        lane_unanswered(client, 1);
        lane_error(client->lane, ERROR_LOST);
        lost = true;
    }
    if (lost)
        lane_refill(client, now);
    if (lane_is_done(client))
        wake(client);
}

static void fini(struct client *client)
{
    struct datagram_client *self = of(client);
    if (self->socket)
        lido_datagram_close(self->socket);
    free(self->slots);
    free(self->free);
    free(self->message);
    free(self->answer);
}

const struct client_kind datagram_clients = {
    .size = sizeof(struct datagram_client),
    .connect = open_socket,
    .start = start,
    .wake = wake,
    .check = check,
    .fini = fini,
};
