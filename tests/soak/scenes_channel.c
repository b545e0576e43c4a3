/*
 * A scene of a channel: several senders and receivers, fibers and futures, some of which are cancelled or late. Each
 * message is received once, or is still in the channel at the end; and each receiver sees those of one
 * sender in their order.
 */
#include <errno.h>

#include "soak/scene.h"
#include "soak/watchdog.h"

#define SENDERS_MAX 4
#define RECEIVERS_MAX 4
#define MESSAGES_MAX 200

struct message {
    uint32_t sender;
    uint32_t number;
    uint64_t check; /* of both */
};

struct traffic {
    lido_channel *channel;
    lido__shared uint32_t senders;   /* that have not left; the last one closes */
    lido__shared uint32_t receivers; /* likewise */
    lido__shared uint64_t sent;
    lido__shared uint64_t received;
    lido__shared uint64_t sent_sum; /* of `check` */
    lido__shared uint64_t received_sum;
};

/* One sender or receiver. A future keeps here what a fiber has on its stack. */
struct side {
    struct traffic *traffic;
    struct part *part;
    lido_task *task;
    uint32_t index;
    uint32_t left;                 /* a sender's: how many messages */
    uint32_t next_of[SENDERS_MAX]; /* a receiver's: no number of theirs below is still to come */
    struct message message;
    lido_wait wait;
    bool under_way; /* a future's send has begun */
};

/* ---- Messages ------------------------------------------------------------------------------------------- */

static uint64_t check_of(const struct message *message)
{
    struct dice dice = dice_of(message->sender, message->number);
    return (uint64_t)roll(&dice, UINT32_MAX) << 32 | roll(&dice, UINT32_MAX);
}

static void write_message(struct side *side)
{
    side->message = (struct message){side->index, side->left, 0};
    side->message.number = MESSAGES_MAX - side->left;
    side->message.check = check_of(&side->message);
}

static void note_sent(struct side *side)
{
    tally(&side->traffic->sent, 1);
    tally(&side->traffic->sent_sum, side->message.check);
    side->left--;
}

static void count_received(struct traffic *traffic, const struct message *message)
{
    insist(message->sender < SENDERS_MAX);
    insist(message->check == check_of(message));
    tally(&traffic->received, 1);
    tally(&traffic->received_sum, message->check);
}

static void note_received(struct side *side)
{
    const struct message *message = &side->message;
    count_received(side->traffic, message);
    if (message->number < side->next_of[message->sender])
        fail_soak("message %u of %u came after %u", message->number, message->sender,
                  side->next_of[message->sender] - 1);
    side->next_of[message->sender] = message->number + 1;
}

/* ---- Leaving --------------------------------------------------------------------------------------------- */

/* The last one of either side closes: nobody waits for those who have left. */
static void leave(struct traffic *traffic, uint32_t *side)
{
    if (lido__fetch_sub(side, 1, LIDO__RELAXED) == 1)
        lido_channel_close(traffic->channel);
}

static int leave_as_sender(struct side *side)
{
    leave(side->traffic, &side->traffic->senders);
    lido_channel_drop(side->traffic->channel);
    return 0;
}

static int leave_as_receiver(struct side *side)
{
    leave(side->traffic, &side->traffic->receivers);
    lido_channel_drop(side->traffic->channel);
    return 0;
}

/* ---- Fibers ------------------------------------------------------------------------------------------------ */

static ssize_t send_one(struct part *part, struct side *side)
{
    lido_channel *channel = side->traffic->channel;
    ssize_t r = -EAGAIN;
    if (draw(part, 4) == 0)
        r = lido_channel_try_send(channel, &side->message);
    if (r != -EAGAIN)
        return r;
    return attempt_or(part, -EPIPE, lido_channel_send(channel, &side->message));
}

static int send_all(struct part *part)
{
    struct side *side = part->arg;
    ssize_t r = 0;
    while (side->left > 0 && r == 0) {
        write_message(side);
        r = send_one(part, side);
        if (r == 0)
            note_sent(side);
        if (r == 0 && draw(part, 16) == 0)
            pause_some(part);
    }
    insist(r == 0 || r == -EPIPE || part_may_get(part, (int)r));
    return leave_as_sender(side);
}

static ssize_t receive_in_time(struct part *part, struct side *side)
{
    struct limit limit = limit_begin(part, draw(part, 2));
    ssize_t r = attempt_or(part, -EPIPE, lido_channel_recv(side->traffic->channel, &side->message));
    limit_end(part, &limit);
    return r == -ETIMEDOUT && !part_may_get(part, -ETIMEDOUT) ? -EAGAIN : r;
}

static ssize_t receive_one(struct part *part, struct side *side)
{
    lido_channel *channel = side->traffic->channel;
    switch (draw(part, 8)) {
    case 0: return lido_channel_try_recv(channel, &side->message);
    case 1: return receive_in_time(part, side);
    default: return attempt_or(part, -EPIPE, lido_channel_recv(channel, &side->message));
    }
}

static int receive_all(struct part *part)
{
    struct side *side = part->arg;
    ssize_t r = 0;
    while (r == 0 || r == -EAGAIN) {
        r = receive_one(part, side);
        if (r == 0)
            note_received(side);
        if (draw(part, 16) == 0)
            pause_some(part);
    }
    insist(r == -EPIPE || part_may_get(part, (int)r));
    return leave_as_receiver(side);
}

/* ---- Futures ------------------------------------------------------------------------------------------------- */

static int poll_send(struct part *part, const lido_waker *waker)
{
    struct side *side = part->arg;
    while (side->left > 0) {
        if (!side->under_way)
            write_message(side);
        int r = lido_channel_send_poll(side->traffic->channel, &side->message, &side->wait, waker);
        side->under_way = r == LIDO_PENDING;
        if (r == LIDO_PENDING)
            return r;
        part_judge(part, r, -EPIPE, "lido_channel_send_poll", LIDO_HERE);
        if (r < 0)
            break;
        note_sent(side);
    }
    return leave_as_sender(side);
}

/* Now and then it gives a wait up, with what it may have been given. */
static int poll_receive(struct part *part, const lido_waker *waker)
{
    struct side *side = part->arg;
    for (;;) {
        if (draw(part, 8) == 0)
            lido_wait_forgo(&side->wait);
        int r = lido_channel_recv_poll(side->traffic->channel, &side->message, &side->wait, waker);
        if (r == LIDO_PENDING)
            return r;
        part_judge(part, r, -EPIPE, "lido_channel_recv_poll", LIDO_HERE);
        if (r < 0)
            return leave_as_receiver(side);
        note_received(side);
    }
}

/* ---- The scene -------------------------------------------------------------------------------------------------- */

static void start_sender(struct part *part, struct side *side)
{
    side->part = part_new(part, "sender", send_all, side);
    side->part->poll = draw(part, 3) == 0 ? poll_send : NULL;
    side->left = 1 + draw(part, MESSAGES_MAX);
    lido_channel_share(side->traffic->channel);
    if (part_spawn(part, side->part, &side->task) < 0) {
        side->part = NULL;
        leave_as_sender(side);
    }
}

static void start_receiver(struct part *part, struct side *side)
{
    side->part = part_new(part, "receiver", receive_all, side);
    side->part->poll = draw(part, 3) == 0 ? poll_receive : NULL;
    lido_channel_share(side->traffic->channel);
    if (part_spawn(part, side->part, &side->task) < 0) {
        side->part = NULL;
        leave_as_receiver(side);
    }
}

static void finish_sides(struct part *part, struct side *sides, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (sides[i].part)
            part_finish(part, sides[i].part, sides[i].task);
    }
}

static void settle_traffic(struct traffic *traffic)
{
    struct message message;
    int r;
    while ((r = lido_channel_try_recv(traffic->channel, &message)) == 0)
        count_received(traffic, &message);
    insist(r == -EPIPE);
    if (traffic->sent != traffic->received || traffic->sent_sum != traffic->received_sum)
        fail_soak("%llu messages were sent and %llu received; their sums %s",
                  (unsigned long long)traffic->sent, (unsigned long long)traffic->received,
                  traffic->sent_sum == traffic->received_sum ? "agree" : "differ");
}

void play_channel(struct part *part)
{
    struct side senders[SENDERS_MAX] = {0}, receivers[RECEIVERS_MAX] = {0};
    struct traffic traffic = {.senders = 1 + draw(part, SENDERS_MAX),
                              .receivers = 1 + draw(part, RECEIVERS_MAX)};
    unsigned sending = traffic.senders, receiving = traffic.receivers;
    insist(lido_channel_new(&traffic.channel, sizeof(struct message), 1 + draw(part, 20)) == 0);
    for (unsigned i = 0; i < sending; i++) {
        senders[i].traffic = &traffic;
        senders[i].index = i;
        start_sender(part, &senders[i]);
    }
    for (unsigned i = 0; i < receiving; i++) {
        receivers[i].traffic = &traffic;
        start_receiver(part, &receivers[i]);
    }
    finish_sides(part, receivers, receiving);
    finish_sides(part, senders, sending);
    settle_traffic(&traffic);
    lido_channel_drop(traffic.channel);
}
