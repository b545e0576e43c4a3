/*
 * The tests of the systems that lido comes from, by the names that they have there: tokio-io-pool's,
 * and those of the multi-threaded runtime of tokio 0.2 alpha.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/net.h"
#include "support/oneshot.h"
#include "support/runtime.h"

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* ---- tokio-io-pool -------------------------------------------------------------------------------- */

static int send_one(void *arg)
{
    oneshot_send(arg, 1);
    return 0;
}

static int receive(void *arg)
{
    return oneshot_receive(arg);
}

static void it_works(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct oneshot oneshot;
    oneshot_init(&oneshot);
    check_int(lido_runtime_spawn(runtime, NULL, send_one, &oneshot), 0);
    check_int(lido_block_on(runtime, receive, &oneshot), 1);
    runtime_end(runtime);
}

static int raise_flag(void *arg)
{
    flag_raise(arg);
    return 0;
}

static int spawn_and_return(void *arg)
{
    check_int(lido_spawn(NULL, raise_flag, arg), 0);
    return 42;
}

static void run_returns_the_roots_result(void **state)
{
    (void)state;
    struct flag flag = {0};
    check_int(lido_run(NULL, spawn_and_return, &flag), 42);
    check(flag_is_up(&flag));
}

/* ---- tokio-io-pool: an echo server and clients that know nothing of lido ----------------------------- */

static int echo(void *arg)
{
    lido_stream *peer = arg;
    ssize_t copied = lido_copy(peer, peer, NULL);
    lido_close(peer);
    return copied < 0 ? (int)copied : 0;
}

/* A blocking client in a plain thread. */
static void *greet(void *arg)
{
    const lido_address *server = arg;
    size_t length;
    char answer[6] = "";
    const void *address = lido_address_sockaddr(server, &length);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    check(fd >= 0);
    check_int(connect(fd, address, (socklen_t)length), 0);
    check_int(write(fd, "hello", 5), 5);
    check_int(recv(fd, answer, 5, MSG_WAITALL), 5);
    check_string(answer, "hello");
    check_int(shutdown(fd, SHUT_WR), 0);
    check_int(read(fd, answer, 1), 0);
    close(fd);
    return NULL;
}

static int serve(void *arg)
{
    return lido_serve((lido_listener *)arg, echo);
}

/* As a task: the threads are waited for without keeping the worker from its work. */
static int await_thread(void *arg)
{
    pthread_t *thread = arg;
    while (pthread_tryjoin_np(*thread, NULL) != 0)
        check_int(lido_sleep(1), 0);
    return 0;
}

static int serve_two_clients(void *arg)
{
    lido_listener *listener = net_listen();
    lido_address address = net_address(listener);
    pthread_t clients[2];
    lido_task *server;
    int result;
    check_int(lido_spawn(&server, serve, listener), 0);
    for (int i = 0; i < 2; i++)
        clients[i] = thread_start(greet, &address);
    for (int i = 0; i < 2; i++)
        check_int(await_thread(&clients[i]), 0);
    check_int(lido_stop(server, &result), 0);
    check_int(result, -ECANCELED);
    lido_listener_close(listener);
    return arg != NULL;
}

static void spawn_all(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    check_int(lido_block_on(runtime, serve_two_clients, NULL), 0);
    runtime_end(runtime);
}

static void run_serves_until_all_is_done(void **state)
{
    (void)state;
    run_on(2, serve_two_clients, NULL);
}

/* ---- tokio-io-pool: tasks among themselves ------------------------------------------------------------ */

struct exchange {
    struct oneshot there;
    struct oneshot back;
    int workers[2];
};

static int ask(void *arg)
{
    struct exchange *exchange = arg;
    exchange->workers[0] = lido_worker_index();
    oneshot_send(&exchange->there, 20);
    return oneshot_receive(&exchange->back);
}

static int answer(void *arg)
{
    struct exchange *exchange = arg;
    exchange->workers[1] = lido_worker_index();
    oneshot_send(&exchange->back, 22 + oneshot_receive(&exchange->there));
    return 0;
}

static void interthread_communication(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    struct exchange exchange;
    oneshot_init(&exchange.there);
    oneshot_init(&exchange.back);
    lido_task *asking, *answering;
    int result;
    check_int(lido_runtime_spawn(runtime, &asking, ask, &exchange), 0);
    check_int(lido_runtime_spawn(runtime, &answering, answer, &exchange), 0);
    check_int(lido_join(asking, &result), 0);
    check_int(result, 42);
    check_int(lido_join(answering, &result), 0);
    check(runtimes_steal() || exchange.workers[0] != exchange.workers[1]);
    runtime_end(runtime);
}

/* Data that is not thread-safe is shared by tasks of one worker: TSan would see another thread. */
static int count_plainly(void *arg)
{
    int *counter = arg;
    for (int i = 0; i < 100; i++) {
        int seen = *counter;
        *counter = seen + 1;
        lido_yield();
    }
    return 0;
}

static int share_plain_data(void *arg)
{
    (void)arg;
    int counter = 0;
    lido_task *children[10];
    for (size_t i = 0; i < COUNT(children); i++)
        children[i] = start_pinned((unsigned)lido_worker_index(), count_plainly, &counter);
    for (size_t i = 0; i < COUNT(children); i++)
        check_int(finish(children[i]), 0);
    return counter;
}

static void spawn_nonsend_futures(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(4);
    lido_task *tasks[8];
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = runtime_start_pinned(runtime, i % 4, share_plain_data, NULL);
    for (size_t i = 0; i < COUNT(tasks); i++) {
        int result;
        check_int(lido_join(tasks[i], &result), 0);
        check_int(result, 1000);
    }
    runtime_end(runtime);
}

static int spawn_raiser(void *arg)
{
    return lido_spawn(NULL, raise_flag, arg);
}

static int spawn_spawner(void *arg)
{
    return lido_spawn(NULL, spawn_raiser, arg);
}

/* lido_run returns after the children of the root's children. */
static void really_lazy(void **state)
{
    (void)state;
    struct flag flag = {0};
    run_on(3, spawn_spawner, &flag);
    check(flag_is_up(&flag));
}

/* ---- runtime_threaded ----------------------------------------------------------------------------- */

static int spawn_two_levels(void *arg)
{
    for (int i = 0; i < 10; i++) {
        int r = lido_spawn(NULL, arg ? spawn_two_levels : nothing, NULL);
        check(r == 0 || r == -ESHUTDOWN);
    }
    return 0;
}

static void spawn_shutdown(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        lido_runtime *runtime = runtime_of(2);
        check_int(lido_runtime_spawn(runtime, NULL, spawn_two_levels, runtime), 0);
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
    }
}

static int sleep_100(void *arg)
{
    uint64_t before = lido_now();
    (void)arg;
    check_int(lido_sleep(100), 0);
    check(lido_now() - before >= 100000000);
    return 7;
}

static void block_on_timer(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    check_int(lido_block_on(runtime, sleep_100, NULL), 7);
    runtime_end(runtime);
}

static int talk_to_itself(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    net_say(pair[0], "hello");
    net_expect(pair[1], "hello");
    net_close_pair(pair);
    return 0;
}

static void block_on_socket(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    check_int(lido_block_on(runtime, talk_to_itself, NULL), 0);
    runtime_end(runtime);
}

static int connect_and_greet(void *arg)
{
    lido_stream *stream = net_connect(arg);
    net_say(stream, "hello");
    lido_close(stream);
    return 0;
}

static int accept_one(void *arg)
{
    (void)arg;
    lido_listener *listener = net_listen();
    lido_task *client;
    check_int(lido_spawn(&client, connect_and_greet, listener), 0);
    lido_stream *stream = net_accept(listener);
    net_expect(stream, "hello");
    net_expect_end(stream);
    lido_close(stream);
    check_int(finish(client), 0);
    lido_listener_close(listener);
    return 0;
}

static void client_server(void **state)
{
    (void)state;
    run_on(2, accept_one, NULL);
}

static int sleep_and_send(void *arg)
{
    check_int(lido_sleep(50), 0);
    oneshot_send(arg, 3);
    return 0;
}

static int spawn_and_receive(void *arg)
{
    check_int(lido_spawn(NULL, sleep_and_send, arg), 0);
    return oneshot_receive(arg);
}

static void block_waits(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct oneshot oneshot;
    oneshot_init(&oneshot);
    check_int(lido_block_on(runtime, spawn_and_receive, &oneshot), 3);
    runtime_end(runtime);
}

struct countdown {
    uint32_t left;
    struct oneshot done;
};

static int count_down(void *arg)
{
    struct countdown *countdown = arg;
    if (lido__fetch_sub(&countdown->left, 1, LIDO__ACQ_REL) == 1)
        oneshot_send(&countdown->done, 0);
    return 0;
}

enum { MANY = 200 };

static int spawn_200(void *arg)
{
    struct countdown *countdown = arg;
    for (int i = 0; i < MANY; i++)
        check_int(lido_spawn(NULL, count_down, countdown), 0);
    return oneshot_receive(&countdown->done);
}

static void spawn_many(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(4);
    for (int i = 0; i < 10; i++) {
        struct countdown countdown = {.left = MANY};
        oneshot_init(&countdown.done);
        check_int(lido_block_on(runtime, spawn_200, &countdown), 0);
        check_int(countdown.left, 0);
    }
    runtime_end(runtime);
}

static int enter_again(void *arg)
{
    check_int(lido_block_on(arg, nothing, NULL), -EDEADLK);
    check_int(lido_run(NULL, nothing, NULL), -EDEADLK);
    return 5;
}

static void nested_enter(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    lido_runtime *other = runtime_of(1);
    check_int(lido_block_on(runtime, enter_again, runtime), 5);
    check_int(lido_block_on(runtime, enter_again, other), 5);
    runtime_end(other);
    runtime_end(runtime);
}

struct hooks {
    uint32_t started;
    uint32_t stopped;
};

static void count_start(void *arg, unsigned worker)
{
    (void)worker;
    lido__fetch_add(&((struct hooks *)arg)->started, 1, LIDO__RELAXED);
}

static void count_stop(void *arg, unsigned worker)
{
    (void)worker;
    lido__fetch_add(&((struct hooks *)arg)->stopped, 1, LIDO__RELAXED);
}

static void after_start_and_before_stop_is_called(void **state)
{
    (void)state;
    struct hooks hooks = {0, 0};
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    config.workers = 4;
    config.after_start = count_start;
    config.before_stop = count_stop;
    config.hook_arg = &hooks;
    check_int(lido_runtime_new(&runtime, &config), 0);
    for (unsigned i = 0; i < 4; i++) /* some start when they have something to do */
        check_int(lido_join(runtime_start_on(runtime, i, nothing, NULL), NULL), 0);
    check_int(hooks.started, 4);
    check_int(lido__load(&hooks.stopped, LIDO__RELAXED), 0);
    runtime_end(runtime);
    check_int(hooks.started, 4);
    check_int(hooks.stopped, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_works),
        cmocka_unit_test(spawn_all),
        cmocka_unit_test(run_returns_the_roots_result),
        cmocka_unit_test(run_serves_until_all_is_done),
        cmocka_unit_test(interthread_communication),
        cmocka_unit_test(spawn_nonsend_futures),
        cmocka_unit_test(really_lazy),
        cmocka_unit_test(spawn_shutdown),
        cmocka_unit_test(client_server),
        cmocka_unit_test(block_on_timer),
        cmocka_unit_test(block_on_socket),
        cmocka_unit_test(block_waits),
        cmocka_unit_test(spawn_many),
        cmocka_unit_test(nested_enter),
        cmocka_unit_test(after_start_and_before_stop_is_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
