#include "lane.h"

#include <string.h>

#include "schedule.h"
#include "spawn.h"

/* How many connections a lane opens at the same time: less than any backlog. */
#define CONNECT_AT_ONCE 64

/* How often a lane looks for what has not been answered in time. */
#define LOOK_MIN_NS 1000000u
#define LOOK_MAX_NS 100000000u

/* ---- Making ------------------------------------------------------------------------------------ */

static const struct client_kind *kind_of(const struct options *options)
{
    if (options->transport == TRANSPORT_UDP)
        return &datagram_clients;
    return options->churn ? &churn_clients : &stream_clients;
}

static struct client *client_new(struct lane *lane, unsigned number)
{
    const struct client_kind *kind = kind_of(lane->options);
    unsigned room = 1;
    while (room < lane->options->depth)
        room *= 2;
    struct client *client = calloc(1, kind->size);
    struct request *ring = calloc(room, sizeof(*ring));
    if (!client || !ring) {
        free(client);
        free(ring);
        return NULL;
    }
    client->kind = kind;
    client->lane = lane;
    client->number = number;
    client->ring = ring;
    client->mask = room - 1;
    return client;
}

int lane_init(struct lane *lane, const struct options *options, const struct protocol *protocol,
              struct target *target, unsigned index, unsigned lanes)
{
    unsigned count = options->connections / lanes + (index < options->connections % lanes);
    *lane = (struct lane){.options = options,
                          .protocol = protocol,
                          .target = target,
                          .index = index,
                          .lanes = lanes,
                          .due = UINT64_MAX,
                          .pacer = {.at = UINT64_MAX}};
    lane->pacer.waker = &lane->waker;
    lane->clients = calloc(count, sizeof(struct client *));
    if (!lane->clients || staging_init(&lane->staging, protocol, options->depth) < 0)
        return -ENOMEM;
    for (; lane->count < count; lane->count++) {
        lane->clients[lane->count] = client_new(lane, lane->count);
        if (!lane->clients[lane->count])
            return -ENOMEM;
    }
    return 0;
}

void lane_fini(struct lane *lane)
{
    for (unsigned i = 0; i < lane->count; i++) {
        struct client *client = lane->clients[i];
        client->kind->fini(client);
        free(client->ring);
        free(client);
    }
    staging_fini(&lane->staging);
    free(lane->clients);
}

/* ---- Connecting -------------------------------------------------------------------------------- */

/* Opens one after the other, until there are none left or one has failed. */
static int connect_some(void *arg)
{
    struct lane *lane = arg;
    int64_t ms = (int64_t)(lane->options->timeout / 1000000);
    while (lane->opened < lane->count && lane->connect_error == 0) {
        struct client *client = lane->clients[lane->opened++];
        lido_within(ms);
        int r = client->kind->connect(client);
        if (r == 0) {
            lane->figures.connections++;
        } else if (lane->connect_error == 0) {
            lane->connect_error = r;
        }
    }
    return 0;
}

int lane_connect(void *arg)
{
    struct lane *lane = arg;
    lido_task *tasks[CONNECT_AT_ONCE];
    unsigned count = 0;
    int r = 0;
    while (count < CONNECT_AT_ONCE && count < lane->count && r == 0) {
        r = spawn_here(&tasks[count], connect_some, lane);
        count += r == 0;
    }
    for (unsigned i = 0; i < count; i++)
        if (lido_join(tasks[i], NULL) < 0) {
            r = -ECANCELED;
            lido_stop(tasks[i], NULL);
        }
    return r < 0 ? r : lane->connect_error;
}

/* ---- Running ----------------------------------------------------------------------------------- */

/* A future, because a pacer wakes by a waker. */
static int look_what_is_due(lido_future *future, const lido_waker *waker)
{
    struct lane *lane = (struct lane *)((char *)future - offsetof(struct lane, pump));
    if (lido_is_cancelled())
        return 0;
    if (lane->waker.lido_private == 0) {
        lane->waker = lido_waker_clone(waker);
        pace_set(lane->index, &lane->pacer);
    }
    lane_grant_due(lane, lido_now());
    return LIDO_PENDING;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The end of the run, and what does not get answered, are seen here. */
static int keep_watch(void *arg)
{
    struct lane *lane = arg;
    uint64_t timeout = lane->options->timeout;
    uint64_t every = earliest(timeout / 10, LOOK_MAX_NS);
    uint64_t deadline = lane->end > UINT64_MAX - timeout ? UINT64_MAX : lane->end + timeout;
    uint64_t now = lane->start;
    every = every < LOOK_MIN_NS ? LOOK_MIN_NS : every;
    for (;;) {
        uint64_t next = earliest(now + every, deadline);
        if (now < lane->end)
            next = earliest(next, lane->end);
        if (lido_sleep_until(next) < 0)
            return 0;
        now = lido_now();
        if (now >= lane->end && !lane->past_end)
            lane_pass_end(lane);
        for (unsigned i = 0; i < lane->count; i++) {
            struct client *client = lane->clients[i];
            if (now >= deadline && client->task)
                lido_cancel(client->task);
            else if (!client->ended && client->kind->check)
                client->kind->check(client, now);
        }
    }
}

struct helpers {
    lido_task *watch;
    lido_task *pump;
};

static int start_all(struct lane *lane, struct helpers *helpers)
{
    int r = spawn_here(&helpers->watch, keep_watch, lane);
    for (unsigned i = 0; i < lane->count && r == 0; i++)
        r = lane->clients[i]->kind->start(lane->clients[i]);
    if (r == 0 && lane_is_open_loop(lane)) {
        lane->pump.poll = look_what_is_due;
        r = spawn_future_here(&helpers->pump, &lane->pump);
    }
    return r;
}

/* If they are all to be cut off, each wait here fails at once. */
static void await_all(struct lane *lane, bool cut)
{
    for (unsigned i = 0; i < lane->count; i++) {
        struct client *client = lane->clients[i];
        lido_task *task = client->task;
        if (task && (cut || lido_join(task, NULL) < 0))
            lido_stop(task, NULL);
        client->task = NULL;
    }
}

int lane_run(void *arg)
{
    struct lane *lane = arg;
    struct helpers helpers = {0};
    int r = start_all(lane, &helpers);
    await_all(lane, r < 0);
    lane->figures.unanswered += lane_backlog(lane, lido_now());
    pace_set(lane->index, NULL);
    lido_stop(helpers.pump, NULL);
    lido_stop(helpers.watch, NULL);
    lido_waker_drop(&lane->waker);
    return r;
}

/* ---- Counting ---------------------------------------------------------------------------------- */

void lane_sent(struct lane *lane, const struct request *request, uint64_t at)
{
    if (!request->held_back && request->begun >= lane->begin)
        histogram_add(&lane->figures.lateness, at - request->begun);
}

void lane_answered(struct client *client, const struct request *request, uint64_t now, size_t bytes)
{
    struct lane *lane = client->lane;
    struct figures *figures = &lane->figures;
    client->open--;
    client->heard = now;
    if (request->begun < lane->begin)
        return;
    figures->answered++;
    figures->bytes_sent += lane->protocol->request_size;
    figures->bytes_received += bytes;
    figures->last_answer = now;
    histogram_add(&figures->latency, now - request->begun);
}

void lane_unanswered(struct client *client, uint32_t count)
{
    client->open -= count;
    client->lane->figures.unanswered += count;
}

void lane_error(struct lane *lane, enum error_kind kind)
{
    lane->figures.errors[kind]++;
}

void lane_left(struct client *client, int error)
{
    client->ended = true;
    lane_unanswered(client, client->open);
    if (error == 0 || error == -ECANCELED)
        return;
    lane_error(client->lane, error_kind_of(error));
    client->lane->figures.connections--;
}
