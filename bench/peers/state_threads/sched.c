/*
 * sched: those benchmarks of bench/sched that the library has the means for, with the same parameters under
 * the same names. A yield is a sleep of no time, which is the library's own way.
 */
#include <stdlib.h>

#include "state_threads.h"
#include "support/figure.h"

#define SPAWNS 10000
#define DEPTH 1000
#define JOINS 1000
#define YIELDERS 200
#define YIELDS 1000
#define PINGS 1000

struct job {
    const char *name;
    void (*run)(void);
    unsigned iterations;
    unsigned operations; /* of each */
};

static void check(const char *what, int r)
{
    if (r < 0)
        bench_die("%s", what);
}

/* ---- Waiting for each other ---------------------------------------------------------------------- */

struct oneshot {
    st_cond_t sent;
    bool is_sent;
};

static void oneshot_init(struct oneshot *oneshot)
{
    *oneshot = (struct oneshot){.sent = st_cond_new()};
    if (!oneshot->sent)
        bench_die("a condition");
}

static void oneshot_send(struct oneshot *oneshot)
{
    oneshot->is_sent = true;
    check("signal", st_cond_signal(oneshot->sent));
}

/* Nobody uses it any more then. */
static void oneshot_receive(struct oneshot *oneshot)
{
    while (!oneshot->is_sent)
        check("wait", st_cond_wait(oneshot->sent));
    check("destroy", st_cond_destroy(oneshot->sent));
}

struct countdown {
    struct oneshot over;
    unsigned left;
};

static void countdown_init(struct countdown *countdown, unsigned count)
{
    oneshot_init(&countdown->over);
    countdown->left = count;
}

static void countdown_one(struct countdown *countdown)
{
    if (--countdown->left == 0)
        oneshot_send(&countdown->over);
}

/* ---- Threads that come and go -------------------------------------------------------------------- */

static void *nothing(void *arg)
{
    return arg;
}

static void *count(void *arg)
{
    countdown_one(arg);
    return NULL;
}

static void spawn_many(void)
{
    struct countdown threads;
    countdown_init(&threads, SPAWNS);
    for (unsigned i = 0; i < SPAWNS; i++)
        st_spawn(count, &threads, false);
    oneshot_receive(&threads.over);
}

static void *chain_link(void *arg)
{
    struct countdown *chain = arg;
    if (chain->left > 1)
        st_spawn(chain_link, chain, false);
    countdown_one(chain);
    return NULL;
}

static void spawn_chain(void)
{
    struct countdown chain;
    countdown_init(&chain, DEPTH);
    st_spawn(chain_link, &chain, false);
    oneshot_receive(&chain.over);
}

static void spawn_and_join(void)
{
    for (unsigned i = 0; i < JOINS; i++)
        check("join", st_thread_join(st_spawn(nothing, NULL, true), NULL));
}

/* ---- Threads that go on in turn ------------------------------------------------------------------ */

static void *yield_often(void *arg)
{
    for (unsigned i = 0; i < YIELDS; i++)
        check("yield", st_usleep(0));
    countdown_one(arg);
    return NULL;
}

static void yield_many(void)
{
    struct countdown threads;
    countdown_init(&threads, YIELDERS);
    for (unsigned i = 0; i < YIELDERS; i++)
        st_spawn(yield_often, &threads, false);
    oneshot_receive(&threads.over);
}

struct table {
    struct oneshot ping;
    struct oneshot pong;
};

static void *answer(void *arg)
{
    struct table *table = arg;
    oneshot_receive(&table->ping);
    oneshot_send(&table->pong);
    return NULL;
}

static void *play(void *arg)
{
    struct table table;
    oneshot_init(&table.ping);
    oneshot_init(&table.pong);
    st_spawn(answer, &table, false);
    oneshot_send(&table.ping);
    oneshot_receive(&table.pong);
    countdown_one(arg);
    return NULL;
}

static void *spawn_players(void *games)
{
    for (unsigned i = 0; i < PINGS; i++)
        st_spawn(play, games, false);
    return NULL;
}

static void ping_pong(void)
{
    struct countdown games;
    countdown_init(&games, PINGS);
    st_spawn(spawn_players, &games, false);
    oneshot_receive(&games.over);
}

/* -------------------------------------------------------------------------------------------------- */

static double measure(const struct job *job)
{
    uint64_t began = bench_now();
    for (unsigned i = 0; i < job->iterations; i++)
        job->run();
    return (double)(bench_now() - began) / (job->iterations * job->operations);
}

void st_run_sched(const struct peer_options *options)
{
    static const struct job jobs[] = {
        {"spawn_many_local", spawn_many, 4, SPAWNS},
        {"chained_spawn", spawn_chain, 50, DEPTH},
        {"spawn_join", spawn_and_join, 20, JOINS},
        {"yield_many", yield_many, 1, YIELDERS * YIELDS},
        {"ping_pong", ping_pong, 20, PINGS},
    };
    double *values = calloc(options->repeat, sizeof(*values));
    if (!values)
        bench_die("memory");
    st_begin();
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        measure(&jobs[i]); /* warms up */
        for (unsigned n = 0; n < options->repeat; n++)
            values[n] = measure(&jobs[i]);
        bench_figure(jobs[i].name, NULL, values, options->repeat);
    }
    free(values);
}
