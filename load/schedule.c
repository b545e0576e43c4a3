/* Who is granted which request, and when. */
#include "schedule.h"

/* When request `number` of the lane's share is due. */
static uint64_t due_of(const struct lane *lane, uint64_t number)
{
    double of_all = (double)(number * lane->lanes + lane->index);
    return lane->start + (uint64_t)(of_all * 1e9 / lane->options->rate);
}

/* How many of the lane's share are due before `time`. */
static uint64_t due_before(const struct lane *lane, uint64_t time)
{
    double of_all = (double)(time - lane->start) * lane->options->rate / 1e9;
    uint64_t number = (uint64_t)of_all / lane->lanes; /* to one or two, because of rounding */
    while (number > 0 && due_of(lane, number - 1) >= time)
        number--;
    while (due_of(lane, number) < time)
        number++;
    return number;
}

/* Clients that are idle are woken, to see it. */
static void stop_granting(struct lane *lane)
{
    if (lane->over)
        return;
    lane->over = true;
    lane->pacer.at = UINT64_MAX;
    for (unsigned i = 0; i < lane->count; i++)
        if (lane->clients[i]->open == 0 && !lane->clients[i]->ended)
            lane->clients[i]->kind->wake(lane->clients[i]);
}

static void grant(struct client *client, uint64_t begun, bool held_back)
{
    struct lane *lane = client->lane;
    bool idle = client->granted == client->sent;
    *client_request(client, client->granted++) = (struct request){begun, held_back};
    client->open++;
    if (begun >= lane->begin) {
        lane->left--;
        lane->figures.held_back += held_back;
    }
    if (idle)
        client->kind->wake(client);
}

static bool has_room(const struct client *client)
{
    return client->open < client->lane->options->depth && !client->ended;
}

/* ---- Closed loop ------------------------------------------------------------------------------- */

static void grant_more(struct client *client, uint64_t now)
{
    struct lane *lane = client->lane;
    if (client->open == 0)
        client->heard = now;
    while (has_room(client) && !lane->over) {
        if (lane->left == 0 || now >= lane->end)
            stop_granting(lane);
        else
            grant(client, now, false);
    }
}

/* ---- Open loop --------------------------------------------------------------------------------- */

static void list(struct client *client)
{
    struct lane *lane = client->lane;
    client->listed = true;
    client->next = NULL;
    if (lane->first)
        lane->last->next = client;
    else
        lane->first = client;
    lane->last = client;
}

/* The client that has had room for the longest time, or NULL. */
static struct client *unlist(struct lane *lane)
{
    struct client *client = lane->first;
    if (client) {
        lane->first = client->next;
        client->listed = false;
    }
    return client;
}

static void set_due(struct lane *lane, uint64_t number)
{
    lane->next = number;
    lane->due = due_of(lane, number);
    if (lane->due >= lane->end)
        lane->due = UINT64_MAX;
    if (lane->left == 0 || (lane->due == UINT64_MAX && lane->past_end))
        stop_granting(lane);
}

static void grant_due(struct lane *lane, struct client *client, uint64_t now, bool held_back)
{
    if (client->open == 0)
        client->heard = now;
    grant(client, lane->due, held_back);
    if (has_room(client))
        list(client);
    set_due(lane, lane->next + 1);
}

/* Grants all that is due. What became due while nobody had room has been held back. */
void lane_grant_due(struct lane *lane, uint64_t now)
{
    bool held_back = lane->starved;
    while (!lane->over && lane->due <= now && lane->first) {
        struct client *client = unlist(lane);
        if (has_room(client))
            grant_due(lane, client, now, held_back);
    }
    while (lane->first && !has_room(lane->first))
        unlist(lane);
    lane->starved = !lane->first;
    lane->pacer.at = lane->over || lane->starved ? UINT64_MAX : lane->due;
}

void lane_refill(struct client *client, uint64_t now)
{
    struct lane *lane = client->lane;
    if (!lane_is_open_loop(lane)) {
        grant_more(client, now);
        return;
    }
    if (!client->listed && has_room(client))
        list(client);
    if (lane->starved || lane->due <= now)
        lane_grant_due(lane, now);
}

/* ---- Beginning and end ------------------------------------------------------------------------- */

static uint64_t later(uint64_t time, uint64_t by)
{
    return by > UINT64_MAX - time ? UINT64_MAX : time + by;
}

void lane_plan(struct lane *lane, uint64_t start)
{
    const struct options *options = lane->options;
    lane->start = start;
    lane->begin = start + options->warmup;
    lane->end = later(lane->begin, options->duration);
    /* The first lanes take what cannot be divided. */
    lane->left = options->requests == UINT64_MAX
                     ? UINT64_MAX
                     : options->requests / lane->lanes +
                           (lane->index < options->requests % lane->lanes);
    if (!lane_is_open_loop(lane))
        return;
    for (unsigned i = 0; i < lane->count; i++)
        list(lane->clients[i]);
    set_due(lane, 0);
    lane->pacer.at = lane->over ? UINT64_MAX : lane->due;
}

void lane_pass_end(struct lane *lane)
{
    lane->past_end = true;
    if (!lane_is_open_loop(lane) || lane->due == UINT64_MAX)
        stop_granting(lane);
}

uint64_t lane_backlog(const struct lane *lane, uint64_t now)
{
    if (lane->over || lane->due == UINT64_MAX || !lane_is_open_loop(lane))
        return 0;
    uint64_t due = due_before(lane, now < lane->end ? now : lane->end);
    uint64_t backlog = due > lane->next ? due - lane->next : 0;
    return backlog < lane->left ? backlog : lane->left;
}
