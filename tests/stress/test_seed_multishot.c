/* many_multishot_futures, a test of tokio-threadpool: long chains of tasks that forward what goes round in them. */
#include <errno.h>

#include "support/runtime.h"
#include "support/stress.h"

#define ROUNDS SCALED(50u, 10u, 5u)
#define TRACKS SCALED(50u, 50u, 10u)
#define LINKS SCALED(200u, 100u, 50u)
#define CYCLES 5
#define ROOM 10
#define WORKERS 4u

/* Hands on what comes, until nothing more comes. */
struct link {
    lido_channel *from;
    lido_channel *to;
};

/* A chain, whose end sends what comes to its beginning again, CYCLES times in all, and then out. */
struct track {
    lido_channel *begin;
    lido_channel *end;
    lido_channel *out;
    struct link links[LINKS];
};

static lido_channel *channel_new(void)
{
    lido_channel *channel;
    check_int(lido_channel_new(&channel, sizeof(int), ROOM), 0);
    return channel;
}

/* Owns one handle of each of its channels. */
static int forward(void *arg)
{
    struct link *link = arg;
    int message, r;
    while ((r = lido_channel_recv(link->from, &message)) == 0)
        check_int(lido_channel_send(link->to, &message), 0);
    check_int(r, -EPIPE);
    lido_channel_close(link->to);
    lido_channel_drop(link->from);
    lido_channel_drop(link->to);
    return 0;
}

static int cycle(void *arg)
{
    struct track *track = arg;
    int message;
    for (int i = 1; i <= CYCLES; i++) {
        check_int(lido_channel_recv(track->end, &message), 0);
        check_int(lido_channel_send(i < CYCLES ? track->begin : track->out, &message), 0);
    }
    lido_channel_close(track->begin); /* then the links end, one after the other */
    check_int(lido_channel_recv(track->end, &message), -EPIPE);
    lido_channel_drop(track->end);
    return 0;
}

static void lay(lido_runtime *runtime, struct track *track)
{
    track->begin = channel_new();
    track->out = channel_new();
    track->end = lido_channel_share(track->begin);
    for (unsigned i = 0; i < LINKS; i++) {
        struct link *link = &track->links[i];
        link->from = track->end;
        link->to = channel_new();
        track->end = lido_channel_share(link->to);
        check_int(lido_runtime_spawn(runtime, NULL, forward, link), 0);
    }
    check_int(lido_runtime_spawn(runtime, NULL, cycle, track), 0);
}

/* As a root, which can wait. */
static int run_tracks(void *arg)
{
    struct track *tracks = arg;
    int message;
    for (unsigned i = 0; i < TRACKS; i++) {
        message = (int)i;
        check_int(lido_channel_send(tracks[i].begin, &message), 0);
    }
    for (unsigned i = 0; i < TRACKS; i++) {
        check_int(lido_channel_recv(tracks[i].out, &message), 0);
        check_int(message, i);
    }
    return 0;
}

static void many_multishot_futures(void **state)
{
    struct track *tracks = calloc(TRACKS, sizeof(*tracks));
    (void)state;
    check(tracks);
    for (unsigned round = 0; round < ROUNDS; round++) {
        lido_runtime *runtime = runtime_of(WORKERS);
        for (unsigned i = 0; i < TRACKS; i++)
            lay(runtime, &tracks[i]);
        check_int(lido_block_on(runtime, run_tracks, tracks), 0);
        runtime_end(runtime);
        for (unsigned i = 0; i < TRACKS; i++) {
            lido_channel_drop(tracks[i].begin);
            lido_channel_drop(tracks[i].out);
        }
    }
    free(tracks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_multishot_futures),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
