/*
 * Clients that open a new connection for each request: connect, one request, close. A fiber each, which
 * connects, and a task for what happens on the connection. Latency begins before the connect. A request
 * that fails is one error, and the next is tried a little later, so that a server that refuses is not
 * flooded.
 */
#include "spawn.h"
#include "stream.h"

#define PAUSE_MS 10

struct churn_client {
    struct stream_client stream;
    lido_event granted;
};

static struct churn_client *of(struct client *client)
{
    return (struct churn_client *)client; /* it is the first field */
}

static int exchange(struct stream_client *stream)
{
    struct lane *lane = stream->client.lane;
    lido_task *task;
    int result = 0;
    lido_within((int64_t)(lane->options->timeout / 1000000));
    int r = target_connect(lane->target, false, &stream->stream);
    if (r < 0) {
        if (r != -ECANCELED)
            lane_error(lane, ERROR_CONNECT);
        return r;
    }
    r = stream_start(stream, &task);
    if (r == 0 && (r = lido_join(task, &result)) < 0)
        lido_stop(task, NULL);
    r = r < 0 ? r : result;
    if (r < 0 && r != -ECANCELED)
        lane_error(lane, error_kind_of(r));
    return r;
}

/* The request has failed, wherever it was. */
static void give_up(struct stream_client *stream)
{
    stream->client.sent = stream->answered = stream->client.granted;
    lane_unanswered(&stream->client, stream->client.open);
}

static int churn(void *arg)
{
    struct stream_client *stream = arg;
    struct client *client = &stream->client;
    int r = 0;
    lane_refill(client, lido_now());
    while (r != -ECANCELED && !lane_is_done(client)) {
        if (client->granted == client->sent) {
            r = lido_event_wait(&of(client)->granted);
            continue;
        }
        r = exchange(stream);
        if (r < 0)
            give_up(stream);
        if (r < 0 && r != -ECANCELED)
            r = lido_sleep(PAUSE_MS);
        lane_refill(client, lido_now());
    }
    lane_left(client, -ECANCELED);
    return 0;
}

/* ---- The kind of client ------------------------------------------------------------------------ */

static int connect_later(struct client *client)
{
    of(client)->stream.single = true;
    return 0;
}

static int start(struct client *client)
{
    return spawn_here(&client->task, churn, client);
}

static void wake(struct client *client)
{
    lido_event_notify_one(&of(client)->granted);
}

static void fini(struct client *client)
{
    (void)client;
}

const struct client_kind churn_clients = {
    .size = sizeof(struct churn_client),
    .connect = connect_later,
    .start = start,
    .wake = wake,
    .fini = fini,
};
