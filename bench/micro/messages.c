/* What tasks of one worker pay for passing each other something. */
#include "micro/micro.h"

/* ---- One-shots ------------------------------------------------------------------------------------- */

#define PAIRS 100
#define EXCHANGES 500

/* As many tasks at once as there are stacks kept. Each of PAIRS tasks spawns a peer, and they exchange a one-shot each way. */
struct pair {
    lido_oneshot ping;
    lido_oneshot pong;
};

static int answer(void *arg)
{
    struct pair *pair = arg;
    void *value;
    micro_check("receive", lido_oneshot_recv(&pair->ping, &value));
    micro_check("send", lido_oneshot_send(&pair->pong, value));
    return micro_nothing(arg);
}

static int ask(void *arg)
{
    struct pair pair = {LIDO_ONESHOT_INIT, LIDO_ONESHOT_INIT};
    void *value;
    micro_check("spawn", lido_spawn(NULL, answer, &pair));
    micro_check("send", lido_oneshot_send(&pair.ping, arg));
    micro_check("receive", lido_oneshot_recv(&pair.pong, &value));
    return micro_nothing(value);
}

/* The same tasks, without the exchange. */
static int spawn_peer(void *arg)
{
    micro_check("spawn", lido_spawn(NULL, micro_nothing, arg));
    return micro_nothing(arg);
}

static double spawn_all(lido_fn fn)
{
    static lido_task *tasks[PAIRS];
    uint64_t began = bench_thread_cpu();
    for (unsigned n = 0; n < EXCHANGES; n++) {
        for (unsigned i = 0; i < PAIRS; i++)
            micro_check("spawn", lido_spawn(&tasks[i], fn, NULL));
        for (unsigned i = 0; i < PAIRS; i++)
            micro_check("join", lido_join(tasks[i], NULL));
    }
    return (double)(bench_thread_cpu() - began) / (PAIRS * EXCHANGES);
}

static void measure_oneshot(double *values)
{
    values[0] = spawn_all(ask);
    values[1] = values[0] - spawn_all(spawn_peer);
}

/* Per pair: all of it; and what it is more than the two spawns. */
const struct micro micro_oneshot_pair = {.figures = {{.name = "oneshot_pair"},
                                                     {.name = "oneshot_pair_exchange"}},
                                         .measure = measure_oneshot,
                                         .on_fiber = true};

/* ---- Channels -------------------------------------------------------------------------------------- */

#define MESSAGES 1000000

static int send_all(void *arg)
{
    for (uint64_t i = 0; i < MESSAGES; i++)
        micro_check("send", lido_channel_send(arg, &i));
    lido_channel_close(arg);
    return micro_nothing(arg);
}

static void measure_channel_of(size_t capacity, double *values)
{
    lido_channel *channel;
    uint64_t message;
    micro_check("channel", lido_channel_new(&channel, sizeof(message), capacity));
    micro_check("spawn", lido_spawn(NULL, send_all, channel));
    uint64_t began = bench_thread_cpu();
    while (lido_channel_recv(channel, &message) == 0)
        ;
    values[0] = (double)(bench_thread_cpu() - began) / MESSAGES;
    lido_channel_drop(channel);
}

static void measure_channel(double *values)
{
    measure_channel_of(100, values);
}

static void measure_channel_one(double *values)
{
    measure_channel_of(1, values);
}

/* Per message of 8 bytes: sent by one fiber and received by another. */
const struct micro micro_channel_100 = {
    .figures = {{.name = "channel_100"}}, .measure = measure_channel, .on_fiber = true};
const struct micro micro_channel_1 = {
    .figures = {{.name = "channel_1"}}, .measure = measure_channel_one, .on_fiber = true};

/* ---- Mutexes and events ---------------------------------------------------------------------------- */

#define ROUNDS 1000000

static void measure_mutex(double *values)
{
    lido_mutex mutex = LIDO_MUTEX_INIT;
    uint64_t began = bench_thread_cpu();
    for (unsigned i = 0; i < ROUNDS; i++) {
        micro_check("lock", lido_mutex_lock(&mutex));
        micro_check("unlock", lido_mutex_unlock(&mutex));
    }
    values[0] = (double)(bench_thread_cpu() - began) / ROUNDS;
}

/* Per lock and unlock of a mutex that nobody else wants. */
const struct micro micro_mutex = {
    .figures = {{.name = "mutex"}}, .measure = measure_mutex, .on_fiber = true};

static void measure_event(double *values)
{
    lido_event event = LIDO_EVENT_INIT;
    uint64_t began = bench_thread_cpu();
    for (unsigned i = 0; i < ROUNDS; i++) {
        lido_event_notify_one(&event);
        micro_check("wait", lido_event_wait(&event));
    }
    values[0] = (double)(bench_thread_cpu() - began) / ROUNDS;
}

/* Per notification, and wait that takes it. */
const struct micro micro_event = {
    .figures = {{.name = "event"}}, .measure = measure_event, .on_fiber = true};
