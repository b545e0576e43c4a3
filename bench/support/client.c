#define _GNU_SOURCE

#include "support/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define EVENTS 512
#define SILENCE_MS 10000
/* How many connections are opened before they are waited for: less than any backlog. */
#define OPEN_AT_ONCE 128

struct bench_connection {
    int fd; /* -1: given up */
    uint32_t number;
    bool busy;   /* a message is under way */
    bool active; /* sends again when it is answered */
    size_t sent;
    size_t received;
    uint32_t sequence;
};

/* Writes to the first bytes of the common message what makes that of this connection its own. */
static void address_message(struct bench_client *client, const struct bench_connection *connection)
{
    uint32_t tag[2] = {connection->sequence, connection->number};
    memcpy(client->message, tag, client->size < sizeof(tag) ? client->size : sizeof(tag));
}

static void fail(struct bench_client *client, struct bench_connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    client->in_flight -= connection->busy;
    connection->busy = false;
    client->errors++;
}

static void send_more(struct bench_client *client, struct bench_connection *connection)
{
    while (connection->sent < client->size) {
        address_message(client, connection);
        ssize_t n = send(connection->fd, client->message + connection->sent,
                         client->size - connection->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN)
                fail(client, connection);
            return;
        }
        connection->sent += (size_t)n;
    }
}

static void send_next(struct bench_client *client, struct bench_connection *connection)
{
    client->may_send--;
    client->in_flight++;
    connection->busy = true;
    connection->sent = 0;
    connection->received = 0;
    connection->sequence++;
    send_more(client, connection);
}

static void on_answer(struct bench_client *client, struct bench_connection *connection)
{
    connection->busy = false;
    client->in_flight--;
    client->answered++;
    if (connection->active && client->may_send > 0)
        send_next(client, connection);
}

/* Asks for a byte more than is due: so one read tells both a surplus and that the socket is drained. */
static void receive(struct bench_client *client, struct bench_connection *connection)
{
    size_t due = connection->busy ? client->size - connection->received : 0;
    ssize_t n = recv(connection->fd, client->reply, due + 1, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    address_message(client, connection);
    if (n <= 0 || (size_t)n > due ||
        memcmp(client->reply, client->message + connection->received, (size_t)n) != 0) {
        fail(client, connection);
        return;
    }
    connection->received += (size_t)n;
    if (connection->received == client->size)
        on_answer(client, connection);
}

static void on_event(struct bench_client *client, const struct epoll_event *event)
{
    struct bench_connection *connection = &client->connections[event->data.u32];
    if (event->events & EPOLLOUT && connection->busy && connection->sent < client->size)
        send_more(client, connection);
    if (event->events & ~(uint32_t)EPOLLOUT && connection->fd >= 0)
        receive(client, connection);
    /* The end comes in one event with the last answer, and there is no second. */
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) && connection->fd >= 0)
        receive(client, connection);
}

void bench_client_turn(struct bench_client *client)
{
    static struct epoll_event events[EVENTS];
    int count = epoll_wait(client->epoll, events, EVENTS, SILENCE_MS);
    if (count < 0 && errno != EINTR)
        bench_die("epoll_wait");
    if (count == 0) {
        errno = 0;
        bench_die("the server has not answered for %d s", SILENCE_MS / 1000);
    }
    for (int i = 0; i < count; i++)
        on_event(client, &events[i]);
}

void bench_client_init(struct bench_client *client, const struct bench_address *server, size_t size)
{
    *client = (struct bench_client){.server = *server, .size = size};
    client->epoll = epoll_create1(EPOLL_CLOEXEC);
    client->message = malloc(size);
    client->reply = malloc(size + 1);
    if (client->epoll < 0 || !client->message || !client->reply)
        bench_die("start");
    for (size_t i = 0; i < size; i++)
        client->message[i] = (char)(i * 31 + i / 256);
}

/* Connected while it blocks, because a connection that is refused is the end anyway. */
static void open_connection(struct bench_client *client, struct bench_connection *connection,
                            uint32_t number)
{
    int on = 1;
    int fd = socket(client->server.sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&client->server.sockaddr, client->server.length))
        bench_die("connection %u", (unsigned)number);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u32 = number};
    if (ioctl(fd, FIONBIO, &on) < 0 || epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        bench_die("connection %u", (unsigned)number);
    *connection = (struct bench_connection){.fd = fd, .number = number};
}

void bench_client_connect(struct bench_client *client, unsigned count)
{
    client->connections = calloc(count, sizeof(*client->connections));
    if (!client->connections)
        bench_die("memory for %u connections", count);
    client->may_send = count;
    while (client->count < count) {
        struct bench_connection *connection = &client->connections[client->count];
        open_connection(client, connection, client->count++);
        send_next(client, connection);
        if (client->count % OPEN_AT_ONCE == 0 || client->count == count)
            while (client->in_flight > 0)
                bench_client_turn(client);
    }
    client->answered = 0;
}

void bench_client_start(struct bench_client *client, unsigned active, uint64_t messages)
{
    client->may_send = messages;
    for (unsigned i = 0; i < active; i++)
        client->connections[i].active = true;
    for (unsigned i = 0; i < active && client->may_send > 0; i++)
        if (client->connections[i].fd >= 0)
            send_next(client, &client->connections[i]);
}

void bench_client_finish(struct bench_client *client)
{
    for (unsigned i = 0; i < client->count; i++) {
        struct bench_connection *connection = &client->connections[i];
        int off = 0;
        char byte;
        if (connection->fd < 0)
            continue;
        shutdown(connection->fd, SHUT_WR);
        if (ioctl(connection->fd, FIONBIO, &off) < 0 || recv(connection->fd, &byte, 1, 0) != 0)
            client->errors++;
    }
}

void bench_client_fini(struct bench_client *client)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    for (unsigned i = 0; i < client->count; i++) {
        int fd = client->connections[i].fd;
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
    }
    close(client->epoll);
    free(client->connections);
    free(client->message);
    free(client->reply);
}
