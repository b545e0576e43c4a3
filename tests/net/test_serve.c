/* Serving: who gets a connection, where it lives, and how serving ends. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "net/net.h"
#include "sched/worker.h"
#include "support/net.h"
#include "support/runtime.h"

#define WORKERS 3u
#define CONNECTIONS_MAX 64

/* What the connections of a test have in common. Clients are served one after the other. */
static struct {
    lido_listener *listener;
    lido_serve_options options;
    lido_stream *latest; /* the served end of the latest connection */
    unsigned on[WORKERS];
} shared;

static bool registered_here(const lido_stream *stream)
{
    return lido__handle_reactor(&stream->handle) == lido__worker_current()->reactor;
}

/* Tells its client which worker it is on, and waits for the client to end. */
static int tell_worker(void *arg)
{
    lido_stream *stream = arg;
    char here = (char)lido_worker_index(), byte;
    lido__store(&shared.latest, stream, LIDO__RELEASE);
    check_int(lido_write(stream, &here, 1), 1);
    check_int(lido_read(stream, &byte, 1), 0);
    check(registered_here(stream));
    lido_close(stream);
    return 0;
}

static int serve(void *arg)
{
    (void)arg;
    return lido_serve_with(shared.listener, tell_worker, &shared.options);
}

/* A task that serves, but is not the root, on worker 0. Connections stay where they were dealt to. */
static lido_task *start_serving(lido_placement placement)
{
    shared.options = (lido_serve_options)LIDO_SERVE_OPTIONS_INIT;
    shared.options.placement = placement;
    shared.options.mobility = LIDO_PINNED;
    return start_pinned(0, serve, NULL);
}

static void stop_serving(lido_task *server)
{
    int result;
    check_int(lido_stop(server, &result), 0);
    check_int(result, -ECANCELED);
}

/* A connection that has been served, and waits for its client; which worker it is on is counted. */
static lido_stream *be_served(void)
{
    char worker;
    lido_stream *client = net_connect(shared.listener);
    check_int(lido_read(client, &worker, 1), 1);
    check((unsigned)worker < WORKERS);
    shared.on[(int)worker]++;
    net_await_reader(lido__load(&shared.latest, LIDO__ACQUIRE));
    return client;
}

static void be_served_often(lido_stream **clients, unsigned count)
{
    memset(shared.on, 0, sizeof(shared.on));
    for (unsigned i = 0; i < count; i++)
        clients[i] = be_served();
}

static void close_all(lido_stream **clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        lido_close(clients[i]);
}

/* ---- Policies ---------------------------------------------------------------------------------- */

static int deal_round_robin(void *placement)
{
    lido_stream *clients[12];
    shared.listener = net_listen();
    lido_task *server = start_serving(*(lido_placement *)placement);
    be_served_often(clients, 12);
    for (unsigned i = 0; i < WORKERS; i++)
        check_int(shared.on[i], 4);
    stop_serving(server);
    close_all(clients, 12);
    lido_listener_close(shared.listener);
    return 0;
}

static void round_robin_deals_evenly(void **state)
{
    lido_placement placement = LIDO_PLACE_ROUND_ROBIN;
    (void)state;
    run_on(WORKERS, deal_round_robin, &placement);
}

static void without_a_word_connections_are_dealt_as_the_runtime_does(void **state)
{
    lido_placement placement = LIDO_PLACE_DEFAULT;
    (void)state;
    run_on(WORKERS, deal_round_robin, &placement);
}

static int deal_local(void *arg)
{
    lido_stream *clients[5];
    (void)arg;
    shared.listener = net_listen();
    lido_task *server = start_serving(LIDO_PLACE_LOCAL);
    be_served_often(clients, 5);
    check_int(shared.on[0], 5);
    stop_serving(server);
    close_all(clients, 5);
    lido_listener_close(shared.listener);
    return 0;
}

static void local_keeps_connections_where_they_are_accepted(void **state)
{
    (void)state;
    run_on(WORKERS, deal_local, NULL);
}

#define LOAD 12u

static int be_load(void *started)
{
    lido__fetch_add((unsigned *)started, 1, LIDO__RELAXED);
    return lido_sleep(INT64_MAX);
}

static bool all_started(void *started)
{
    return lido__load((unsigned *)started, LIDO__RELAXED) == LOAD;
}

static int deal_by_load(void *arg)
{
    lido_task *load[LOAD];
    lido_stream *clients[5];
    unsigned started = 0;
    (void)arg;
    shared.listener = net_listen();
    lido_task *server = start_serving(LIDO_PLACE_LEAST_LOADED);
    for (unsigned i = 0; i < LOAD; i++)
        load[i] = start_pinned(i % 2, be_load, &started);
    await_that(all_started, &started);
    be_served_often(clients, 5);
    check_int(shared.on[2], 5); /* the others have 6 tasks each, or more */
    stop_serving(server);
    close_all(clients, 5);
    for (unsigned i = 0; i < LOAD; i++)
        lido_stop(load[i], NULL);
    lido_listener_close(shared.listener);
    return 0;
}

static void least_loaded_avoids_workers_with_many_tasks(void **state)
{
    (void)state;
    run_on(WORKERS, deal_by_load, NULL);
}

static int deal_nonsense(void *arg)
{
    static const lido_placement nonsense[] = {LIDO_PLACE_WORKER, (lido_placement)17};
    lido_serve_options options = LIDO_SERVE_OPTIONS_INIT;
    (void)arg;
    lido_listener *listener = net_listen();
    for (size_t i = 0; i < COUNT(nonsense); i++) {
        options.placement = nonsense[i];
        check_int(lido_serve_with(listener, tell_worker, &options), -EINVAL);
    }
    options.placement = LIDO_PLACE_DEFAULT;
    options.mobility = (lido_mobility)4;
    check_int(lido_serve_with(listener, tell_worker, &options), -EINVAL);
    lido_listener_close(listener);
    return 0;
}

static void a_placement_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    run(deal_nonsense);
}

/* ---- One listener per worker ------------------------------------------------------------------- */

static lido_listener *listen_shared(const char *address)
{
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    lido_listener *listener;
    options.reuse_port = true;
    check_int(lido_listen_tcp_with(&listener, address, &options), 0);
    return listener;
}

static int deal_by_kernel(void *arg)
{
    lido_stream *clients[CONNECTIONS_MAX];
    unsigned total = 0;
    (void)arg;
    shared.listener = listen_shared("127.0.0.1:0");
    lido_task *server = start_serving(LIDO_PLACE_REUSEPORT);
    be_served_often(clients, CONNECTIONS_MAX);
    for (unsigned i = 0; i < WORKERS; i++) {
        check(shared.on[i] > 0); /* by hash: that a third of 64 gets none is one case in 10^11 */
        total += shared.on[i];
    }
    check_int(total, CONNECTIONS_MAX);
    stop_serving(server);
    close_all(clients, CONNECTIONS_MAX);
    lido_listener_close(shared.listener);
    return 0;
}

static void reuseport_serves_on_all_workers(void **state)
{
    (void)state;
    run_on(WORKERS, deal_by_kernel, NULL);
}

static int end_siblings(void *arg)
{
    lido_stream *client;
    (void)arg;
    shared.listener = listen_shared("[::1]:0");
    lido_address address = net_address(shared.listener);
    lido_task *server = start_serving(LIDO_PLACE_REUSEPORT);
    lido_close(be_served());
    stop_serving(server);
    lido_listener_close(shared.listener);
    check_int(lido_connect(&client, &address), -ECONNREFUSED);
    return 0;
}

static void the_other_listeners_end_with_the_call(void **state)
{
    (void)state;
    run_on(WORKERS, end_siblings, NULL);
}

static int refuse_unshared(void *arg)
{
    lido_serve_options options = LIDO_SERVE_OPTIONS_INIT;
    lido_listener *unshared;
    (void)arg;
    options.placement = LIDO_PLACE_REUSEPORT;
    lido_listener *listener = net_listen();
    check_int(lido_serve_with(listener, tell_worker, &options), -EINVAL);
    lido_listener_close(listener);
    char name[64];
    snprintf(name, sizeof(name), "@lido-test-%d", (int)getpid()); /* others run the same test */
    check_int(lido_listen_unix(&unshared, name), 0);
    check_int(lido_serve_with(unshared, tell_worker, &options), -EINVAL);
    lido_listener_close(unshared);
    return 0;
}

static void reuseport_needs_a_listener_that_shares_its_port(void **state)
{
    (void)state;
    run(refuse_unshared);
}

static int close_under_acceptors(void *arg)
{
    (void)arg;
    shared.listener = listen_shared("127.0.0.1:0");
    lido_task *server = start_serving(LIDO_PLACE_REUSEPORT);
    lido_close(be_served());
    net_await_acceptor(shared.listener);
    lido_listener_close(shared.listener);
    check_int(finish(server),
              -ECANCELED); /* nobody has cancelled it: all its acceptors have ended */
    return 0;
}

static void when_one_acceptor_fails_serving_ends(void **state)
{
    (void)state;
    run_on(WORKERS, close_under_acceptors, NULL);
}

/* ---- Beginning and end ------------------------------------------------------------------------- */

static int end_serving(void *arg)
{
    (void)arg;
    shared.listener = net_listen();
    lido_task *server = start_serving(LIDO_PLACE_DEFAULT);
    lido_stream *client = be_served();
    stop_serving(server);
    lido_stream *late = net_connect(shared.listener);
    lido_close(net_accept(shared.listener)); /* the listener is the caller's, and as it was */
    net_expect_end(late);
    lido_close(late);
    lido_close(client); /* its connection has gone on: tell_worker sees the end, and nothing else */
    lido_listener_close(shared.listener);
    return 0;
}

static void connections_and_listener_outlive_serving(void **state)
{
    (void)state;
    run_on(2, end_serving, NULL);
}

static int serve_until_deadline(void *arg)
{
    (void)arg;
    lido_listener *listener = net_listen();
    {
        lido_within(1);
        check_int(lido_serve(listener, tell_worker), -ETIMEDOUT);
    }
    lido_listener_close(listener);
    return 0;
}

static void a_deadline_ends_serving(void **state)
{
    (void)state;
    run(serve_until_deadline);
}

struct misplaced {
    lido_future future;
    lido_listener *listener;
};

static int poll_misplaced(lido_future *future, const lido_waker *waker)
{
    struct misplaced *misplaced = (struct misplaced *)future;
    (void)waker;
    return lido_serve(misplaced->listener, tell_worker);
}

static int serve_in_future(void *arg)
{
    struct misplaced misplaced = {{poll_misplaced}, net_listen()};
    lido_task *task;
    *(lido_listener **)arg = misplaced.listener;
    check_int(lido_spawn_future(&task, &misplaced.future), 0);
    check_int(finish(task), -EDEADLK);
    lido_listener_close(misplaced.listener);
    return 0;
}

static void only_a_fiber_can_serve(void **state)
{
    lido_listener *listener = NULL;
    (void)state;
    run_on(1, serve_in_future, &listener);
    assert_int_equal(lido_serve(listener, tell_worker), -ENXIO);
}

/* ---- Futures ----------------------------------------------------------------------------------- */

struct answer {
    lido_future future;
    lido_op op;
    lido_stream *stream;
    char made_on;
    bool answered;
};

static int end_answer(struct answer *answer)
{
    lido_close(answer->stream);
    free(answer);
    return 0;
}

/* Tells its client where it was made, then waits for the end. */
static int poll_answer(lido_future *future, const lido_waker *waker)
{
    struct answer *answer = (struct answer *)future;
    check_int(answer->made_on, lido_worker_index());
    if (!answer->answered) {
        lido__store(&shared.latest, answer->stream,
                    LIDO__RELEASE); /* before the client can go on */
        check_int(lido_op_poll(&answer->op, waker), 1);
        answer->answered = true;
        lido_op_read(&answer->op, answer->stream, NULL, 0);
    }
    ssize_t r = lido_op_poll(&answer->op, waker);
    if (r == LIDO_PENDING)
        return LIDO_PENDING;
    check_int(r, 0);
    check(registered_here(answer->stream));
    return end_answer(answer);
}

/* Refuses each connection whose turn it is to be refused. */
static lido_future *make_answer(void *arg, lido_stream *stream)
{
    unsigned *refusals = arg;
    if (*refusals) {
        --*refusals;
        return NULL;
    }
    struct answer *answer = malloc(sizeof(*answer));
    check(answer != NULL);
    *answer = (struct answer){.future = {poll_answer}, .stream = stream};
    answer->made_on = (char)lido_worker_index();
    lido_op_write(&answer->op, stream, &answer->made_on, 1);
    return &answer->future;
}

static int serve_futures(void *arg)
{
    return lido_serve_futures(shared.listener, make_answer, arg, &shared.options);
}

static int deal_futures(void *arg)
{
    lido_stream *clients[12];
    unsigned refusals = 0;
    (void)arg;
    shared.listener = net_listen();
    shared.options = (lido_serve_options)LIDO_SERVE_OPTIONS_INIT;
    shared.options.mobility = LIDO_PINNED;
    lido_task *server = start(serve_futures, &refusals);
    be_served_often(clients, 12);
    for (unsigned i = 0; i < WORKERS; i++)
        check_int(shared.on[i], 4);
    stop_serving(server);
    close_all(clients, 12);
    lido_listener_close(shared.listener);
    return 0;
}

static void futures_are_dealt_alike_and_made_where_they_live(void **state)
{
    (void)state;
    run_on(WORKERS, deal_futures, NULL);
}

static int refuse_one(void *arg)
{
    unsigned refusals = 1;
    (void)arg;
    shared.listener = net_listen();
    lido_task *server = start(serve_futures, &refusals);
    lido_stream *refused = net_connect(shared.listener);
    net_expect_end(refused);
    lido_close(refused);
    lido_close(be_served());
    stop_serving(server);
    lido_listener_close(shared.listener);
    return 0;
}

static void a_connection_without_a_future_is_closed_and_serving_goes_on(void **state)
{
    (void)state;
    run(refuse_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_robin_deals_evenly),
        cmocka_unit_test(without_a_word_connections_are_dealt_as_the_runtime_does),
        cmocka_unit_test(local_keeps_connections_where_they_are_accepted),
        cmocka_unit_test(least_loaded_avoids_workers_with_many_tasks),
        cmocka_unit_test(a_placement_that_makes_no_sense_is_refused),
        cmocka_unit_test(reuseport_serves_on_all_workers),
        cmocka_unit_test(the_other_listeners_end_with_the_call),
        cmocka_unit_test(reuseport_needs_a_listener_that_shares_its_port),
        cmocka_unit_test(when_one_acceptor_fails_serving_ends),
        cmocka_unit_test(connections_and_listener_outlive_serving),
        cmocka_unit_test(a_deadline_ends_serving),
        cmocka_unit_test(only_a_fiber_can_serve),
        cmocka_unit_test(futures_are_dealt_alike_and_made_where_they_live),
        cmocka_unit_test(a_connection_without_a_future_is_closed_and_serving_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
