/* Tests of tokio-threadpool that pass messages, by the names that they have there. */
#include <errno.h>

#include "support/runtime.h"
#include "support/stress.h"

/* ---- many_oneshot_futures ---------------------------------------------------------------------------- */

#define FUTURES SCALED(10000, 10000, 2000)
#define ROUNDS 50

/* A future that is polled once. */
static uint64_t polled;

static int poll_once(lido_future *self, const lido_waker *waker)
{
    (void)self;
    (void)waker;
    post(&polled);
    return 0;
}

static void many_oneshot_futures(void **state)
{
    static lido_future future = {poll_once};
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        lido_runtime *runtime = runtime_of(2);
        polled = 0;
        for (int i = 0; i < FUTURES; i++)
            check_int(lido_runtime_spawn_future(runtime, NULL, &future), 0);
        runtime_end(runtime);
        check_int(posted(&polled), FUTURES);
    }
}

/* ---- hammer ------------------------------------------------------------------------------------------- */

#define PAIRS SCALED(1000, 1000, 300)
#define HAMMERS 20

/* A request: the client sends the question after it has announced it, and waits for the answer. */
struct request {
    lido_oneshot question;
    lido_oneshot answer;
};

static struct {
    lido_channel *channel;
    uint64_t ended; /* clients, servers and the listener */
} hammer_scene;

static int serve(void *arg)
{
    struct request *request = arg;
    void *value;
    check_int(lido_oneshot_recv(&request->question, &value), 0);
    check_int(lido_oneshot_send(&request->answer, value), 0);
    post(&hammer_scene.ended);
    return 0;
}

static int listen_for_requests(void *arg)
{
    struct request *request;
    int r;
    (void)arg;
    while ((r = lido_channel_recv(hammer_scene.channel, &request)) == 0)
        check_int(lido_spawn(NULL, serve, request), 0);
    check_int(r, -EPIPE);
    post(&hammer_scene.ended);
    return 0;
}

static int request_something(void *arg)
{
    struct request request = {LIDO_ONESHOT_INIT, LIDO_ONESHOT_INIT};
    struct request *address = &request;
    void *value;
    (void)arg;
    check_int(lido_channel_send(hammer_scene.channel, &address), 0);
    check_int(lido_oneshot_send(&request.question, &request), 0);
    check_int(lido_oneshot_recv(&request.answer, &value), 0);
    check(value == &request);
    post(&hammer_scene.ended);
    return 0;
}

static int request_all(void *arg)
{
    lido_scope clients = LIDO_SCOPE_INIT;
    (void)arg;
    for (int i = 0; i < PAIRS; i++) {
        lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
        options.placement = LIDO_PLACE_ROUND_ROBIN;
        check_int(lido_scope_spawn_with(&clients, NULL, request_something, NULL, &options), 0);
    }
    check_int(lido_scope_wait(&clients), 0);
    lido_channel_close(hammer_scene.channel);
    return 0;
}

static void hammer(void **state)
{
    (void)state;
    for (int round = 0; round < HAMMERS; round++) {
        lido_runtime *runtime = runtime_of(2);
        hammer_scene.ended = 0;
        check_int(lido_channel_new(&hammer_scene.channel, sizeof(struct request *), 100), 0);
        check_int(lido_runtime_spawn(runtime, NULL, listen_for_requests, NULL), 0);
        check_int(lido_block_on(runtime, request_all, NULL), 0);
        runtime_end(runtime);
        check_int(posted(&hammer_scene.ended), 2 * PAIRS + 1);
        lido_channel_drop(hammer_scene.channel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_oneshot_futures),
        cmocka_unit_test(hammer),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
