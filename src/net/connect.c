/* Connecting byte streams. */
#include <errno.h>

#include "fiber/fiber.h"
#include "net/addr.h"
#include "net/connect.h"
#include "net/net.h"
#include "net/race.h"
#include "net/socket.h"
#include "os/os.h"

/* How long to leave the full backlog of a Unix socket alone: at first, and at most. */
#define BACKLOG_FIRST_MS 1
#define BACKLOG_MOST_MS 64

/*
 * The connection of a handle that has a socket. A Unix socket whose backlog is full says so, and
 * there is no event for when it has room again.
 */
static int await_connect(struct lido__handle *handle, const lido_address *to)
{
    int64_t pause = BACKLOG_FIRST_MS;
    for (;;) {
        int r = (int)lido__net_await(LIDO__OP_CONNECT, handle, (void *)to, 0);
        if (r != -EALREADY || lido__address_family(to) != AF_UNIX)
            return lido__connect_verdict(handle, r);
        r = lido_sleep(pause);
        if (r < 0)
            return r;
        pause = pause < BACKLOG_MOST_MS ? 2 * pause : pause;
    }
}

/* A local port of one's own may be in use by a connection that has ended: that does not matter. */
static int bind_source(int fd, const lido_address *source)
{
    int on = 1;
    int r = lido__os_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    return r < 0 ? r : lido__os_bind(fd, lido__address_raw(source), source->length);
}

int lido__connect_open(struct lido__handle **ret_handle, const lido_address *to,
                       const lido_address *from)
{
    struct lido__handle *handle;
    sa_family_t family = lido__address_family(to);
    bool tcp = family == AF_INET || family == AF_INET6;
    int fd = lido__os_socket(family, SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    int r = lido__net_adopt(&handle, fd, tcp ? LIDO__HANDLE_TCP : LIDO__HANDLE_SOCKET);
    if (r < 0)
        return r;
    if (from)
        r = bind_source(fd, from);
    if (r < 0)
        lido__net_close(handle, false);
    else
        *ret_handle = handle;
    return r;
}

/*
 * A socket that connects to a port of its own machine on which nobody listens may be given this
 * very port to come from: then TCP connects it to itself. Go, too, takes that for what it is:
 * nobody listens.
 */
static bool is_connected_to_itself(int fd)
{
    union lido__sockaddr local, peer;
    lido_address address;
    if (lido__socket_local_address(fd, &address) < 0)
        return false;
    lido__address_get(&address, &local);
    if (local.any.sa_family != AF_INET && local.any.sa_family != AF_INET6)
        return false;
    if (lido__socket_peer_address(fd, &address) < 0)
        return false;
    lido__address_get(&address, &peer);
    if (local.any.sa_family == AF_INET)
        return local.v4.sin_port == peer.v4.sin_port &&
               local.v4.sin_addr.s_addr == peer.v4.sin_addr.s_addr;
    return local.v6.sin6_port == peer.v6.sin6_port &&
           IN6_ARE_ADDR_EQUAL(&local.v6.sin6_addr, &peer.v6.sin6_addr);
}

/* -EALREADY here: the system has no room for another connection just now. */
int lido__connect_verdict(const struct lido__handle *handle, int result)
{
    if (result == -EALREADY)
        return -EAGAIN;
    if (result != 0 || !is_connected_to_itself(handle->fd))
        return result;
    /* Reset, so that the port is free at once for whoever wants to listen there. */
    struct linger linger = {.l_onoff = 1};
    (void)lido__os_setsockopt(handle->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    return -ECONNREFUSED;
}

static int connect_to(lido_stream **stream, const lido_address *to)
{
    struct lido__handle *handle;
    int r = lido__connect_open(&handle, to, NULL);
    if (r < 0)
        return r;
    r = await_connect(handle, to);
    if (r < 0)
        lido__net_close(handle, false);
    else
        *stream = (lido_stream *)handle;
    return r;
}

int lido_connect_tcp(lido_stream **stream, const char *host_port)
{
    lido_address addresses[LIDO__ADDRESSES_MAX];
    struct lido__route routes[LIDO__ADDRESSES_MAX];
    int count = lido_resolve(host_port, addresses, LIDO__ADDRESSES_MAX);
    for (int i = 0; i < count; i++)
        routes[i] = (struct lido__route){.to = &addresses[i]};
    if (count < 0)
        return count;
    lido__routes_alternate(routes, count);
    return lido__race_connect(stream, routes, count);
}

static const lido_address *of_family(const lido_address *addresses, int count, sa_family_t family)
{
    for (int i = 0; i < count; i++)
        if (lido__address_family(&addresses[i]) == family)
            return &addresses[i];
    return NULL;
}

/* The pairs of one family. How many. */
static int pair_up(struct lido__route *routes, const lido_address *addresses, int count,
                   const lido_address *sources, int source_count)
{
    int pairs = 0;
    for (int i = 0; i < count; i++) {
        const lido_address *from =
            of_family(sources, source_count, lido__address_family(&addresses[i]));
        if (from)
            routes[pairs++] = (struct lido__route){.to = &addresses[i], .from = from};
    }
    return pairs;
}

int lido_connect_tcp_from(lido_stream **stream, const char *host_port, const char *source)
{
    lido_address sources[LIDO__ADDRESSES_MAX], addresses[LIDO__ADDRESSES_MAX];
    struct lido__route routes[LIDO__ADDRESSES_MAX];
    int source_count = lido_resolve(source, sources, LIDO__ADDRESSES_MAX);
    if (source_count < 0)
        return source_count;
    int count = lido_resolve(host_port, addresses, LIDO__ADDRESSES_MAX);
    if (count < 0)
        return count;
    count = pair_up(routes, addresses, count, sources, source_count);
    if (count == 0)
        return -EADDRNOTAVAIL;
    lido__routes_alternate(routes, count);
    return lido__race_connect(stream, routes, count);
}

int lido_connect(lido_stream **stream, const lido_address *address)
{
    int r = lido__net_check();
    return r < 0 ? r : connect_to(stream, address);
}

int lido_connect_unix(lido_stream **stream, const char *path)
{
    lido_address address;
    int r = lido__net_check();
    if (r == 0)
        r = lido_address_unix(&address, path);
    return r < 0 ? r : connect_to(stream, &address);
}
