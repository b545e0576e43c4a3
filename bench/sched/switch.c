/* Tasks that go on in turn. */
#include "sched/sched.h"

#define YIELDERS 200
#define YIELDS 1000
#define YIELD_ITERATIONS 1
#define PINGS 1000
#define PING_ITERATIONS 20

static int yield_often(void *arg)
{
    for (unsigned i = 0; i < YIELDS; i++)
        lido_yield();
    sched_countdown_one(arg);
    return 0;
}

static void spawn_yielders(void)
{
    struct sched_countdown tasks;
    sched_countdown_init(&tasks, YIELDERS);
    for (unsigned i = 0; i < YIELDERS; i++)
        sched_check("spawn", lido_spawn(NULL, yield_often, &tasks));
    sched_countdown_await(&tasks);
}

static double yield_many(lido_runtime *runtime)
{
    return sched_on_root(runtime, YIELD_ITERATIONS, YIELDERS * YIELDS, spawn_yielders);
}

/* ---- Ping-pong --------------------------------------------------------------------------------- */

struct table {
    lido_oneshot ping;
    lido_oneshot pong;
};

static int answer(void *arg)
{
    struct table *table = arg;
    sched_receive(&table->ping);
    sched_send(&table->pong);
    return 0;
}

/* Spawns a peer, sends it something and awaits its answer. */
static int play(void *arg)
{
    struct table table = {LIDO_ONESHOT_INIT, LIDO_ONESHOT_INIT};
    sched_check("spawn", lido_spawn(NULL, answer, &table));
    sched_send(&table.ping);
    sched_receive(&table.pong);
    sched_countdown_one(arg);
    return 0;
}

static int spawn_players(void *games)
{
    for (unsigned i = 0; i < PINGS; i++)
        sched_check("spawn", lido_spawn(NULL, play, games));
    return 0;
}

static void play_many(void)
{
    struct sched_countdown games;
    sched_countdown_init(&games, PINGS);
    sched_check("spawn", lido_spawn(NULL, spawn_players, &games));
    sched_countdown_await(&games);
}

static double ping_pong(lido_runtime *runtime)
{
    return sched_on_task(runtime, PING_ITERATIONS, PINGS, play_many);
}

const struct sched_job sched_yield_many = {"yield_many", yield_many};
const struct sched_job sched_ping_pong = {"ping_pong", ping_pong};
