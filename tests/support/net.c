#include "support/net.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include "net/net.h"
#include "net/socket.h"
#include "os/os.h"

bool net_has_names(void)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo("localhost", NULL, &hints, &found) != 0)
        return false;
    freeaddrinfo(found);
    return true;
}

bool net_has_ipv6(void)
{
    lido_address address;
    size_t length;
    int fd = lido__os_socket(AF_INET6, SOCK_STREAM, 0);
    lido_address_parse(&address, "[::1]:0");
    const void *raw = lido_address_sockaddr(&address, &length);
    bool has = fd >= 0 && lido__os_bind(fd, raw, (socklen_t)length) == 0;
    lido__os_close(fd);
    return has;
}

int net_dead_port(lido_address *address)
{
    size_t length;
    int fd = lido__os_socket(AF_INET, SOCK_STREAM, 0);
    check_int(lido_address_parse(address, "127.0.0.1:0"), 0);
    const struct sockaddr *any = lido_address_sockaddr(address, &length);
    check_int(lido__os_bind(fd, any, (socklen_t)length), 0);
    check_int(lido__socket_local_address(fd, address), 0);
    return fd;
}

int net_listening_fd(lido_address *address)
{
    int fd = net_dead_port(address);
    check_int(lido__os_listen(fd, 4096), 0);
    return fd;
}

lido_listener *net_listen(void)
{
    lido_listener *listener;
    check_int(lido_listen_tcp(&listener, "127.0.0.1:0"), 0);
    return listener;
}

lido_address net_address(const lido_listener *listener)
{
    lido_address address;
    check_int(lido_listener_local_address(listener, &address), 0);
    return address;
}

lido_stream *net_connect(const lido_listener *listener)
{
    lido_address address = net_address(listener);
    lido_stream *stream;
    size_t length;
    const struct sockaddr *to = lido_address_sockaddr(&address, &length);
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check_int(connect(fd, to, (socklen_t)length), 0);
    check_int(lido_stream_from_fd(&stream, fd), 0);
    return stream;
}

lido_stream *net_accept(lido_listener *listener)
{
    lido_stream *stream;
    check_int(lido_accept(listener, &stream, NULL), 0);
    return stream;
}

void net_pair(lido_stream *pair[2])
{
    lido_listener *listener = net_listen();
    pair[0] = net_connect(listener);
    pair[1] = net_accept(listener);
    lido_listener_close(listener);
}

void net_unix_pair(lido_stream *pair[2])
{
    check_int(lido_stream_pair(pair), 0);
}

void net_close_pair(lido_stream *pair[2])
{
    lido_close(pair[0]);
    lido_close(pair[1]);
}

/* Armed: not while the task still tries, for then it may not be registered yet. */
static bool waits(const struct lido__handle *handle, unsigned side)
{
    uintptr_t word = lido__load(&handle->side[side], LIDO__ACQUIRE);
    return lido__side_waits(word);
}

static bool reader_waits(void *handle)
{
    return waits(handle, 0);
}

static bool writer_waits(void *handle)
{
    return waits(handle, 1);
}

void net_await_reader(const lido_stream *stream)
{
    await_that(reader_waits, (void *)&stream->handle);
}

void net_await_writer(const lido_stream *stream)
{
    await_that(writer_waits, (void *)&stream->handle);
}

void net_await_acceptor(const lido_listener *listener)
{
    await_that(reader_waits, (void *)&listener->handle);
}

static bool is_reset(void *stream)
{
    struct pollfd poll_fd = {.fd = lido_stream_fd(stream)};
    return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLERR;
}

void net_await_reset(const lido_stream *stream)
{
    await_that(is_reset, (void *)stream);
}

size_t net_fill(lido_stream *stream)
{
    static const char zeros[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = lido__os_send(lido_stream_fd(stream), zeros, sizeof(zeros), 0)) > 0)
        total += (size_t)n;
    check_int(n, -EAGAIN);
    return total;
}

void net_drain(lido_stream *stream, size_t size)
{
    char scrap[4096];
    while (size > 0) {
        ssize_t n = lido_read(stream, scrap, size < sizeof(scrap) ? size : sizeof(scrap));
        check(n > 0);
        size -= (size_t)n;
    }
}

void net_say(lido_stream *stream, const char *text)
{
    check_int(lido_write_all(stream, text, strlen(text), NULL), strlen(text));
}

void net_expect(lido_stream *stream, const char *text)
{
    char got[256] = "";
    check(strlen(text) < sizeof(got));
    check_int(lido_read_all(stream, got, strlen(text), NULL), strlen(text));
    check_string(got, text);
}

void net_expect_end(lido_stream *stream)
{
    char byte;
    check_int(lido_read(stream, &byte, 1), 0);
}
