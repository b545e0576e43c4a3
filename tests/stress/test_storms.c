/*
 * Clients that come in storms and go in every way there is: well, by a reset at a moment of their own
 * choosing, half at a time, or killed. They are another process, and both count.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>

#include "os/os.h"
#include "support/net.h"
#include "support/peer.h"
#include "support/stress.h"

#define SERVER_WORKERS 2u
#define CLIENT_WORKERS 2u
#define CLIENTS 100u
#define STORM SCALED(30000u, 12000u, 6000u)
#define HALVES SCALED(6000u, 3000u, 1500u)
#define VANISHING SCALED(400u, 200u, 100u)
/* Fewer than the backlog holds: beyond that, the system drops what the client believes to be there. */
#define UNACCEPTED_MAX 2000u

/* What a message asks for. */
enum request {
    ECHO = 'e',         /* the same message */
    COUNT_REST = 'c',   /* the number of bytes from here to the end, which the client sends first */
    BE_SENT_REST = 's', /* the end at once, and then the server counts what the client sends */
    BYE = 'b',          /* nothing; the end comes next */
};

struct message {
    char request;
    char filling[63];
};

struct account {
    /* By the clients. */
    uint64_t attempted;
    uint64_t connected;
    uint64_t refused;
    uint64_t farewells; /* that said goodbye */
    uint64_t resets;
    uint64_t sent; /* bytes, of the half-closed */
    /* By the server. */
    uint64_t accepted;
    uint64_t ended;
    uint64_t served;
    uint64_t reset;
    uint64_t cut; /* ended without goodbye, and without reset */
    uint64_t echoes;
    uint64_t counted; /* bytes, of the half-closed */
};

static struct {
    uint64_t seed;
    int listening;
    lido_address address;
    lido_address dead;
    struct account *account; /* of both processes */
    struct peer clients;
} shared;

/* ---- The server -------------------------------------------------------------------------------------- */

/* How a connection has ended, after which nothing can be done with it. */
enum ending { GOES_ON, SERVED, RESET, CUT };

static enum ending ending_of(ssize_t error)
{
    check(error == -ECONNRESET || error == -EPIPE);
    return RESET;
}

static enum ending echo(lido_stream *stream, const struct message *message)
{
    ssize_t n = lido_write_all(stream, message, sizeof(*message), NULL);
    if (n < 0)
        return ending_of(n);
    post(&shared.account->echoes);
    return GOES_ON;
}

/* Reads to the end, and tallies how much that was. */
static enum ending count_rest(lido_stream *stream, uint64_t *counted)
{
    char buffer[4096];
    ssize_t n;
    *counted = 0;
    while ((n = lido_read(stream, buffer, sizeof(buffer))) > 0)
        *counted += (uint64_t)n;
    tally(&shared.account->counted, *counted);
    return n < 0 ? ending_of(n) : SERVED;
}

static enum ending count_and_tell(lido_stream *stream)
{
    uint64_t counted;
    enum ending ending = count_rest(stream, &counted);
    if (ending == SERVED)
        check_int(lido_write_all(stream, &counted, sizeof(counted), NULL), sizeof(counted));
    return ending;
}

static enum ending end_and_count(lido_stream *stream)
{
    uint64_t counted;
    check_int(lido_shutdown_stream(stream, LIDO_SIDE_WRITE), 0);
    return count_rest(stream, &counted);
}

static enum ending answer_one(lido_stream *stream)
{
    struct message message;
    uint64_t rest;
    ssize_t n = lido_read_all(stream, &message, sizeof(message), NULL);
    if (n < 0)
        return ending_of(n);
    if ((size_t)n < sizeof(message))
        return CUT;
    switch ((enum request)message.request) {
    case ECHO: return echo(stream, &message);
    case COUNT_REST: return count_and_tell(stream);
    case BE_SENT_REST: return end_and_count(stream);
    case BYE: return count_rest(stream, &rest);
    }
    check(!"a request that nobody made");
    return CUT;
}

static int answer(void *stream)
{
    struct account *account = shared.account;
    uint64_t *const counters[] = {NULL, &account->served, &account->reset, &account->cut};
    enum ending ending;
    post(&account->accepted);
    while ((ending = answer_one(stream)) == GOES_ON)
        continue;
    lido_close(stream);
    tally(counters[ending], 1);
    post(&account->ended);
    return 0;
}

static int serve(void *listener)
{
    return lido_serve(listener, answer);
}

/* Until the clients have ended, and all that they have left behind. */
static int be_server(void *arg)
{
    lido_listener *listener;
    int result;
    (void)arg;
    check_int(lido_listener_from_fd(&listener, shared.listening), 0);
    lido_task *server = start(serve, listener);
    peer_await(&shared.clients);
    await_count(&shared.account->ended, posted(&shared.account->connected));
    check_int(lido_stop(server, &result), 0);
    check_int(result, -ECANCELED);
    lido_listener_close(listener);
    return 0;
}

/* ---- Clients ----------------------------------------------------------------------------------------- */

/* Does something with a connection and closes it. */
typedef void visit_fn(lido_stream *stream, struct dice *dice);

static struct message request(enum request what)
{
    struct message message = {.request = (char)what};
    memset(message.filling, 'f', sizeof(message.filling));
    return message;
}

static void send_request(lido_stream *stream, enum request what, size_t size)
{
    struct message message = request(what);
    check_int(lido_write_all(stream, &message, size, NULL), size);
}

static void be_echoed(lido_stream *stream, unsigned times)
{
    struct message message = request(ECHO), answer;
    while (times-- > 0) {
        send_request(stream, ECHO, sizeof(message));
        check_int(lido_read_all(stream, &answer, sizeof(answer), NULL), sizeof(answer));
        check_bytes(&answer, &message, sizeof(answer));
    }
}

static void leave_well(lido_stream *stream, struct dice *dice)
{
    be_echoed(stream, roll(dice, 4));
    send_request(stream, BYE, sizeof(struct message));
    lido_close(stream);
    tally(&shared.account->farewells, 1);
}

static void reset(lido_stream *stream)
{
    check_int(lido_stream_set(stream, LIDO_OPTION_LINGER, 0), 0);
    lido_close(stream);
    tally(&shared.account->resets, 1);
}

/* Most probably before it has been accepted. */
static void leave_at_once(lido_stream *stream, struct dice *dice)
{
    (void)dice;
    reset(stream);
}

static void leave_when_idle(lido_stream *stream, struct dice *dice)
{
    be_echoed(stream, 1 + roll(dice, 3));
    reset(stream);
}

static void leave_in_a_request(lido_stream *stream, struct dice *dice)
{
    be_echoed(stream, roll(dice, 2));
    send_request(stream, ECHO, 1 + roll(dice, sizeof(struct message) - 1));
    reset(stream);
}

/* While answers are under way that nobody will read. */
static void leave_in_the_answers(lido_stream *stream, struct dice *dice)
{
    char byte;
    for (unsigned i = 1 + roll(dice, 20); i > 0; i--)
        send_request(stream, ECHO, sizeof(struct message));
    if (roll(dice, 2))
        check_int(lido_read(stream, &byte, 1), 1);
    reset(stream);
}

static void send_some(lido_stream *stream, uint64_t size)
{
    static const char bytes[4096];
    for (uint64_t rest = size; rest > 0;) {
        size_t part = rest < sizeof(bytes) ? (size_t)rest : sizeof(bytes);
        check_int(lido_write_all(stream, bytes, part, NULL), part);
        rest -= part;
    }
    tally(&shared.account->sent, size);
}

/* The client ends its half, and still gets its answer. */
static void end_half_first(lido_stream *stream, struct dice *dice)
{
    uint64_t size = roll(dice, 100000), counted;
    send_request(stream, COUNT_REST, sizeof(struct message));
    send_some(stream, size);
    check_int(lido_shutdown_stream(stream, LIDO_SIDE_WRITE), 0);
    check_int(lido_read_all(stream, &counted, sizeof(counted), NULL), sizeof(counted));
    check_int(counted, size);
    net_expect_end(stream);
    lido_close(stream);
    tally(&shared.account->farewells, 1);
}

/* The server ends its half, and still gets everything. */
static void end_half_last(lido_stream *stream, struct dice *dice)
{
    send_request(stream, BE_SENT_REST, sizeof(struct message));
    net_expect_end(stream);
    send_some(stream, roll(dice, 100000));
    lido_close(stream);
    tally(&shared.account->farewells, 1);
}

/* Not more than the backlog holds, so that whoever connects will be accepted. */
static void await_room(void)
{
    const struct account *account = shared.account;
    uint64_t connected = posted(&account->connected);
    if (connected > UNACCEPTED_MAX)
        await_count(&account->accepted, connected - UNACCEPTED_MAX);
}

static void be_refused(void)
{
    lido_stream *stream;
    check_int(lido_connect(&stream, &shared.dead), -ECONNREFUSED);
    tally(&shared.account->refused, 1);
}

static void come(visit_fn *visit, struct dice *dice)
{
    lido_stream *stream;
    await_room();
    check_int(lido_connect(&stream, &shared.address), 0);
    post(&shared.account->connected);
    visit(stream, dice);
}

struct client {
    lido_task *task;
    unsigned visits;
    struct dice dice;
};

static int storm(void *arg)
{
    static visit_fn *const visits[] = {leave_well,      leave_well,         leave_at_once,
                                       leave_when_idle, leave_in_a_request, leave_in_the_answers};
    struct client *client = arg;
    while (client->visits-- > 0) {
        unsigned which = roll(&client->dice, COUNT(visits) + 1);
        tally(&shared.account->attempted, 1);
        if (which == COUNT(visits))
            be_refused();
        else
            come(visits[which], &client->dice);
    }
    return 0;
}

static int close_halves(void *arg)
{
    struct client *client = arg;
    while (client->visits-- > 0) {
        tally(&shared.account->attempted, 1);
        come(roll(&client->dice, 2) ? end_half_first : end_half_last, &client->dice);
    }
    return 0;
}

/* Reads half of what comes: there is always something under way, in both directions. */
static void pile_up(lido_stream *stream)
{
    while (!lido_is_cancelled()) {
        send_request(stream, ECHO, sizeof(struct message));
        send_request(stream, ECHO, sizeof(struct message));
        net_drain(stream, sizeof(struct message));
    }
}

/* Stops in a request, for which the server waits. */
static void fall_silent(lido_stream *stream)
{
    send_request(stream, ECHO, sizeof(struct message) / 2);
    net_expect_end(stream);
}

/* Until it is killed. */
static int go_on(void *arg)
{
    struct client *client = arg;
    lido_stream *stream;
    check_int(lido_connect(&stream, &shared.address), 0);
    be_echoed(stream, 100);
    post(&shared.account->connected);
    switch (roll(&client->dice, 3)) {
    case 0: pile_up(stream); break;
    case 1: fall_silent(stream); break;
    default: be_echoed(stream, UINT_MAX); break;
    }
    return 0;
}

/* What the clients do, and how often in all. */
struct plan {
    lido_fn fn;
    unsigned clients;
    unsigned visits;
};

static int be_clients(void *arg)
{
    const struct plan *plan = arg;
    struct client *clients = calloc(plan->clients, sizeof(*clients));
    check(clients);
    for (unsigned i = 0; i < plan->clients; i++) {
        clients[i].visits = plan->visits / plan->clients;
        clients[i].dice = dice_of(shared.seed, i);
        clients[i].task = start_on(i % CLIENT_WORKERS, plan->fn, &clients[i]);
    }
    for (unsigned i = 0; i < plan->clients; i++)
        check_int(finish(clients[i].task), 0);
    free(clients);
    return 0;
}

static void run_clients(void *arg)
{
    run_on(CLIENT_WORKERS, be_clients, arg);
}

/* ---- Tests ------------------------------------------------------------------------------------------- */

static void prepare(void)
{
    allow_descriptors(4096);
    shared.account = peer_memory(sizeof(*shared.account));
    shared.listening = net_listening_fd(&shared.address);
}

static void check_account(uint64_t attempted)
{
    const struct account *account = shared.account;
    uint64_t accounted = account->served + account->reset + account->refused;
    say("attempted %llu = served %llu + reset %llu + refused %llu; lost %lld",
        (unsigned long long)account->attempted, (unsigned long long)account->served,
        (unsigned long long)account->reset, (unsigned long long)account->refused,
        (long long)(account->attempted - accounted));
    check_int(account->attempted, attempted);
    check_int(accounted, attempted);
    check_int(account->served, account->farewells);
    check_int(account->reset, account->resets);
    check_int(account->cut, 0);
    check_int(account->accepted, account->connected);
    check_int(account->ended, account->connected);
    check_int(account->counted, account->sent);
}

/* All of it, from here to the point where nothing is left of it. */
static void weather(struct plan *plan)
{
    size_t descriptors = count_descriptors();
    prepare();
    peer_start(&shared.clients, run_clients, plan);
    run_on(SERVER_WORKERS, be_server, NULL);
    peer_ended_well(&shared.clients);
    check_account(plan->visits);
    check_int(count_descriptors(), descriptors);
}

static void all_of_a_storm_is_served_reset_or_refused(void **state)
{
    struct plan plan = {storm, CLIENTS, STORM};
    (void)state;
    int dead = net_dead_port(&shared.dead);
    shared.seed = stress_seed();
    weather(&plan);
    check(shared.account->reset > 0 && shared.account->refused > 0);
    check_int(lido__os_close(dead), 0);
}

static void half_closed_connections_lose_nothing(void **state)
{
    struct plan plan = {close_halves, CLIENTS, HALVES};
    (void)state;
    shared.seed = stress_seed();
    weather(&plan);
    check_int(shared.account->served, plan.visits);
    say("%llu bytes through half-closed connections, lost 0",
        (unsigned long long)shared.account->counted);
}

static int kill_clients(void *arg)
{
    (void)arg;
    await_count(&shared.account->connected, VANISHING);
    await_count(&shared.account->echoes, VANISHING * 200);
    check_int(kill(shared.clients.pid, SIGKILL), 0);
    return 0;
}

static int serve_and_kill(void *arg)
{
    lido_task *killer = start(kill_clients, NULL);
    be_server(arg);
    return finish(killer);
}

/* Their system ends the connections for them, well or by a reset; but nobody has said goodbye. */
static void the_server_gets_rid_of_clients_that_vanish(void **state)
{
    size_t descriptors = count_descriptors();
    struct plan plan = {go_on, VANISHING, VANISHING};
    (void)state;
    shared.seed = stress_seed();
    prepare();
    peer_start(&shared.clients, run_clients, &plan);
    run_on(SERVER_WORKERS, serve_and_kill, NULL);
    peer_ended_by(&shared.clients, SIGKILL);
    const struct account *account = shared.account;
    say("%llu connections of the killed, after %llu echoes: %llu cut, %llu reset",
        (unsigned long long)account->accepted, (unsigned long long)account->echoes,
        (unsigned long long)account->cut, (unsigned long long)account->reset);
    check_int(account->accepted, VANISHING);
    check_int(account->ended, VANISHING);
    check_int(account->cut + account->reset, VANISHING);
    check(account->cut > 0 && account->reset > 0);
    check_int(account->served, 0);
    check_int(count_descriptors(), descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_a_storm_is_served_reset_or_refused),
        cmocka_unit_test(half_closed_connections_lose_nothing),
        cmocka_unit_test(the_server_gets_rid_of_clients_that_vanish),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
