/* Ten thousand connections at once: the clients are another process, for the sake of descriptors. */
#include <errno.h>

#include "support/net.h"
#include "support/peer.h"
#include "support/stress.h"

#define CONNECTIONS SCALED(10000u, 10000u, 2000u)
#define SERVER_WORKERS 3u
#define CLIENT_WORKERS 2u
#define EXCHANGES 5u
/* Connections on their way at a time: fewer than the backlog holds. */
#define ABREAST 1000u
/* Descriptors for everything else. */
#define SPARE 100u

struct account {
    uint64_t accepted;
    uint64_t ended;
    uint64_t requests; /* answered by the server */
    uint64_t answers;  /* that have come to the clients */
    uint64_t on[SERVER_WORKERS];
};

static struct {
    unsigned connections;
    lido_placement placement;
    lido_mobility mobility;
    int listening;
    lido_address address;
    struct account *account; /* of both processes */
    struct peer clients;
} shared;

/* A request is a number, and its answer another. */
struct message {
    uint64_t number;
    char padding[56];
};

static uint64_t answer_to(uint64_t number)
{
    return number * 0x9e3779b97f4a7c15u + 1;
}

/* ---- Clients ----------------------------------------------------------------------------------------- */

struct client {
    lido_stream *stream;
    lido_task *task;
    uint64_t number;
};

static int ask(void *arg)
{
    struct client *client = arg;
    struct message message = {.number = client->number++};
    uint64_t expected = answer_to(message.number);
    check_int(lido_write_all(client->stream, &message, sizeof(message), NULL), sizeof(message));
    check_int(lido_read_all(client->stream, &message, sizeof(message), NULL), sizeof(message));
    check(message.number == expected);
    tally(&shared.account->answers, 1);
    return 0;
}

static int connect_and_ask(void *arg)
{
    struct client *client = arg;
    check_int(lido_connect(&client->stream, &shared.address), 0);
    return ask(client);
}

static void connect_all(struct client *clients)
{
    unsigned joined = 0;
    for (unsigned i = 0; i < shared.connections; i++) {
        if (i >= ABREAST)
            check_int(finish(clients[joined++].task), 0);
        clients[i].number = (uint64_t)i << 32;
        clients[i].task = start_on(i % CLIENT_WORKERS, connect_and_ask, &clients[i]);
    }
    while (joined < shared.connections)
        check_int(finish(clients[joined++].task), 0);
}

/* All at the same time, each time on another worker. */
static void ask_all(struct client *clients, unsigned round)
{
    for (unsigned i = 0; i < shared.connections; i++)
        clients[i].task = start_on((i + round) % CLIENT_WORKERS, ask, &clients[i]);
    for (unsigned i = 0; i < shared.connections; i++)
        check_int(finish(clients[i].task), 0);
}

static int be_clients(void *arg)
{
    struct client *clients = calloc(shared.connections, sizeof(*clients));
    (void)arg;
    check(clients);
    connect_all(clients);
    check_int(posted(&shared.account->accepted), shared.connections);
    for (unsigned round = 1; round < EXCHANGES; round++)
        ask_all(clients, round);
    check_int(posted(&shared.account->ended), 0); /* so they were all open at once */
    for (unsigned i = 0; i < shared.connections; i++)
        lido_close(clients[i].stream);
    free(clients);
    return 0;
}

static void run_clients(void *arg)
{
    run_on(CLIENT_WORKERS, be_clients, arg);
}

/* ---- The server -------------------------------------------------------------------------------------- */

static int answer(void *stream)
{
    struct account *account = shared.account;
    struct message message;
    ssize_t n;
    tally(&account->on[lido_worker_index()], 1);
    post(&account->accepted);
    while ((n = lido_read_all(stream, &message, sizeof(message), NULL)) == sizeof(message)) {
        message.number = answer_to(message.number);
        tally(&account->requests, 1);
        check_int(lido_write_all(stream, &message, sizeof(message), NULL), sizeof(message));
    }
    check_int(n, 0);
    lido_close(stream);
    post(&account->ended);
    return 0;
}

static int serve(void *listener)
{
    lido_serve_options options = LIDO_SERVE_OPTIONS_INIT;
    options.placement = shared.placement;
    options.mobility = shared.mobility;
    return lido_serve_with(listener, answer, &options);
}

static int be_server(void *arg)
{
    lido_listener *listener;
    int result;
    (void)arg;
    check_int(lido_listener_from_fd(&listener, shared.listening), 0);
    lido_task *server = start_pinned(0, serve, listener);
    peer_await(&shared.clients);
    await_count(&shared.account->ended, shared.connections);
    check_int(lido_stop(server, &result), 0);
    check_int(result, -ECANCELED);
    lido_listener_close(listener);
    return 0;
}

static unsigned scale(void)
{
    size_t allowed = allow_descriptors(CONNECTIONS + SPARE);
    if (allowed >= CONNECTIONS + SPARE)
        return CONNECTIONS;
    say("only %zu descriptors are allowed here", allowed);
    return (unsigned)(allowed - SPARE);
}

static void check_account(const struct account *account)
{
    uint64_t exchanges = (uint64_t)shared.connections * EXCHANGES;
    say("%u connections, %llu requests answered, %llu answers received, %lld lost",
        shared.connections, (unsigned long long)account->requests,
        (unsigned long long)account->answers, (long long)(exchanges - account->answers));
    check_int(account->accepted, shared.connections);
    check_int(account->ended, shared.connections);
    check_int(account->requests, exchanges);
    check_int(account->answers, exchanges);
}

static void serve_all(lido_placement placement, lido_mobility mobility)
{
    size_t descriptors = count_descriptors();
    shared.connections = scale();
    shared.placement = placement;
    shared.mobility = mobility;
    shared.account = peer_memory(sizeof(*shared.account));
    shared.listening = net_listening_fd(&shared.address);
    peer_start(&shared.clients, run_clients, NULL);
    run_on(SERVER_WORKERS, be_server, NULL);
    peer_ended_well(&shared.clients);
    check_account(shared.account);
    check_int(count_descriptors(), descriptors);
}

/* ---- Tests ------------------------------------------------------------------------------------------- */

static void ten_thousand_connections_are_served_and_dealt_evenly(void **state)
{
    (void)state;
    serve_all(LIDO_PLACE_ROUND_ROBIN, LIDO_PINNED);
    unsigned fair = shared.connections / SERVER_WORKERS;
    for (unsigned i = 0; i < SERVER_WORKERS; i++) {
        uint64_t dealt = shared.account->on[i];
        say("worker %u: %llu", i, (unsigned long long)dealt);
        check(dealt == fair || dealt == fair + 1);
    }
}

static void ten_thousand_connections_are_served_by_one_worker(void **state)
{
    (void)state;
    serve_all(LIDO_PLACE_LOCAL, LIDO_PINNED);
    check_int(shared.account->on[0], shared.connections);
}

/* All are accepted on one worker, and go to the others as these have time: before they start, and later. */
static void ten_thousand_connections_are_served_by_whoever_has_time(void **state)
{
    (void)state;
    serve_all(LIDO_PLACE_LOCAL, LIDO_STEALABLE);
    for (unsigned i = 0; i < SERVER_WORKERS; i++)
        say("began on worker %u: %llu", i, (unsigned long long)shared.account->on[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_connections_are_served_and_dealt_evenly),
        cmocka_unit_test(ten_thousand_connections_are_served_by_one_worker),
        cmocka_unit_test(ten_thousand_connections_are_served_by_whoever_has_time),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
