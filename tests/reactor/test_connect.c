/* Connecting and accepting. */
#include <errno.h>
#include <netinet/in.h>

#include "net/socket.h"
#include "support/reactor.h"

static struct lido__handle *handle_of(int fd, enum lido__handle_kind kind)
{
    check(fd >= 0);
    struct lido__handle *handle = lido__handle_new(fd, kind);
    check(handle);
    return handle;
}

/* A socket on a free port of 127.0.0.1. */
static int bind_loopback(lido_address *address)
{
    lido_address any;
    size_t length;
    int fd = lido__os_socket(AF_INET, SOCK_STREAM, 0);
    check_int(lido_address_parse(&any, "127.0.0.1:0"), 0);
    const void *raw = lido_address_sockaddr(&any, &length);
    check_int(lido__os_bind(fd, raw, (socklen_t)length), 0);
    check_int(lido__socket_local_address(fd, address), 0);
    return fd;
}

static struct lido__handle *listen_on(lido_address *address)
{
    int fd = bind_loopback(address);
    check_int(lido__os_listen(fd, 16), 0);
    return handle_of(fd, LIDO__HANDLE_LISTENER);
}

static ssize_t connect_to(struct lido__reactor *reactor, struct lido__handle *client,
                          lido_address *address)
{
    struct lido__op op;
    lido__op_init(&op, LIDO__OP_CONNECT, client, address, 0);
    return reactor_finish(reactor, &op);
}

static void a_connection_is_made_and_accepted(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = reactor_open(ops);
    lido_address address, from;
    struct lido__handle *listener = listen_on(&address);
    struct lido__op accept;
    lido__op_init(&accept, LIDO__OP_ACCEPT, listener, &from, 0);
    reactor_arm(reactor, &accept);
    struct lido__handle *client =
        handle_of(lido__os_socket(AF_INET, SOCK_STREAM, 0), LIDO__HANDLE_TCP);
    check_int(connect_to(reactor, client, &address), 0);
    ssize_t accepted = reactor_finish(reactor, &accept);
    check(accepted >= 0);
    check(lido_address_port(&from) != 0);

    struct lido__handle *server = handle_of((int)accepted, LIDO__HANDLE_TCP);
    struct lido__op write;
    lido__op_init(&write, LIDO__OP_WRITE, client, "hello", 5);
    check_int(reactor_finish(reactor, &write), 5);
    char got[8] = "";
    struct lido__op read;
    lido__op_init(&read, LIDO__OP_READ, server, got, sizeof(got));
    check_int(reactor_finish(reactor, &read), 5);
    check_string(got, "hello");
    reactor_close_handle(server);
    reactor_close_handle(client);
    reactor_close_handle(listener);
    reactor_close(reactor);
}

/* There is one event for all of them. */
static void connections_that_came_together_are_accepted_one_by_one(
    const struct lido__reactor_ops *ops)
{
    enum { CLIENTS = 5 };
    struct lido__reactor *reactor = reactor_open(ops);
    lido_address address;
    struct lido__handle *listener = listen_on(&address), *clients[CLIENTS];
    struct lido__op accept;
    lido__op_init(&accept, LIDO__OP_ACCEPT, listener, NULL, 0);
    reactor_arm(reactor, &accept);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = handle_of(lido__os_socket(AF_INET, SOCK_STREAM, 0), LIDO__HANDLE_TCP);
        check_int(connect_to(reactor, clients[i], &address), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        check_int(lido__os_close((int)reactor_finish(reactor, &accept)), 0);
        lido__op_init(&accept, LIDO__OP_ACCEPT, listener, NULL, 0);
    }
    reactor_arm(reactor, &accept);
    reactor_disarm(reactor, &accept);
    for (int i = 0; i < CLIENTS; i++)
        reactor_close_handle(clients[i]);
    reactor_close_handle(listener);
    reactor_close(reactor);
}

static void a_connection_that_is_refused_says_so(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = reactor_open(ops);
    lido_address address;
    int dead = bind_loopback(&address); /* and does not listen */
    struct lido__handle *client =
        handle_of(lido__os_socket(AF_INET, SOCK_STREAM, 0), LIDO__HANDLE_TCP);
    check_int(connect_to(reactor, client, &address), -ECONNREFUSED);
    reactor_close_handle(client);
    check_int(lido__os_close(dead), 0);
    reactor_close(reactor);
}

/* Nobody would tell when there is room again: so it does not wait. */
static void a_full_backlog_of_a_unix_socket_says_so(const struct lido__reactor_ops *ops)
{
    enum { MOST = 8 };
    struct lido__reactor *reactor = reactor_open(ops);
    struct lido__handle *clients[MOST];
    lido_address address;
    struct lido__unix_owner *owner;
    int listener = lido__bind_unix("@lido-test-backlog", SOCK_STREAM, &owner), count = 0;
    check(listener >= 0);
    check_int(lido__os_listen(listener, 0), 0);
    check_int(lido_address_unix(&address, "@lido-test-backlog"), 0);
    ssize_t r = 0;
    while (r == 0 && count < MOST) {
        clients[count] = handle_of(lido__os_socket(AF_UNIX, SOCK_STREAM, 0), LIDO__HANDLE_SOCKET);
        r = connect_to(reactor, clients[count++], &address);
    }
    check_int(r, -EALREADY);
    while (count > 0)
        reactor_close_handle(clients[--count]);
    check_int(lido__os_close(listener), 0);
    reactor_close(reactor);
}

int main(void)
{
    static const struct reactor_test tests[] = {
        reactor_test(a_connection_is_made_and_accepted),
        reactor_test(connections_that_came_together_are_accepted_one_by_one),
        reactor_test(a_connection_that_is_refused_says_so),
        reactor_test(a_full_backlog_of_a_unix_socket_says_so),
    };
    return reactor_run_tests(tests, COUNT(tests));
}
