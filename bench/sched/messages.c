/* Channels and one-shots. */
#include "sched/sched.h"

#define CAPACITY 100
#define MESSAGES 10000
#define CHANNEL_ITERATIONS 4
#define SENDERS 5
#define MESSAGES_EACH 1000
#define ONESHOTS 10000
#define ONESHOT_ITERATIONS 4

/* ---- Channels ---------------------------------------------------------------------------------- */

static void send_messages(lido_channel *channel, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        sched_check("send", lido_channel_send(channel, &i));
    lido_channel_drop(channel);
}

static int send_all(void *channel)
{
    send_messages(channel, MESSAGES);
    return 0;
}

static int send_share(void *channel)
{
    send_messages(channel, MESSAGES_EACH);
    return 0;
}

static void pass_messages(unsigned senders, lido_fn sender, unsigned messages)
{
    lido_channel *channel;
    uint64_t message;
    sched_check("channel", lido_channel_new(&channel, sizeof(message), CAPACITY));
    for (unsigned i = 0; i < senders; i++)
        sched_check("spawn", lido_spawn(NULL, sender, lido_channel_share(channel)));
    for (unsigned i = 0; i < messages; i++)
        sched_check("receive", lido_channel_recv(channel, &message));
    lido_channel_drop(channel);
}

static void pass_from_one(void)
{
    pass_messages(1, send_all, MESSAGES);
}

static void pass_from_several(void)
{
    pass_messages(SENDERS, send_share, SENDERS * MESSAGES_EACH);
}

static double channel(lido_runtime *runtime)
{
    return sched_on_task(runtime, CHANNEL_ITERATIONS, MESSAGES, pass_from_one);
}

static double channel_contended(lido_runtime *runtime)
{
    return sched_on_task(runtime, CHANNEL_ITERATIONS, SENDERS * MESSAGES_EACH, pass_from_several);
}

/* ---- One-shots --------------------------------------------------------------------------------- */

/* Made, sent and received by one task, which never waits. */
static void send_to_itself(void)
{
    for (unsigned i = 0; i < ONESHOTS; i++) {
        lido_oneshot oneshot = LIDO_ONESHOT_INIT;
        sched_send(&oneshot);
        sched_receive(&oneshot);
    }
}

static double oneshot(lido_runtime *runtime)
{
    return sched_on_task(runtime, ONESHOT_ITERATIONS, ONESHOTS, send_to_itself);
}

const struct sched_job sched_channel = {"channel", channel};
const struct sched_job sched_channel_contended = {"channel_contended", channel_contended};
const struct sched_job sched_oneshot = {"oneshot", oneshot};
