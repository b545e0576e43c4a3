/* Connecting byte streams. */
#include <errno.h>

#include "fiber/fiber.h"
#include "net/addr.h"
#include "net/net.h"
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
        if (r != -EALREADY)
            return r;
        if (lido__address_family(to) != AF_UNIX)
            return -EAGAIN;
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

/* From `source`, or from wherever the system likes if that is NULL. */
static int connect_to(lido_stream **stream, const lido_address *to, const lido_address *source)
{
    struct lido__handle *handle;
    int fd = lido__os_socket(lido__address_family(to), SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    int r = lido__net_adopt(&handle, fd, LIDO__HANDLE_SOCKET);
    if (r < 0)
        return r;
    if (source)
        r = bind_source(fd, source);
    if (r == 0)
        r = await_connect(handle, to);
    if (r < 0) {
        lido__net_close(handle, false);
        return r;
    }
    *stream = (lido_stream *)handle;
    return 0;
}

/* Whether the next address may fare better: not if the failure is about this process or this task. */
static bool is_worth_another(int error)
{
    struct lido__worker *worker = lido__worker_current();
    switch (error) {
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -EDEADLK: return false;
    default: return lido__task_interrupted(worker, worker->current) == 0;
    }
}

static int connect_to_any_of(lido_stream **stream, const lido_address *addresses, int count)
{
    int r = -ENOENT;
    for (int i = 0; i < count; i++) {
        r = connect_to(stream, &addresses[i], NULL);
        if (r == 0 || !is_worth_another(r))
            break;
    }
    return r;
}

int lido_connect_tcp(lido_stream **stream, const char *host_port)
{
    lido_address addresses[LIDO__ADDRESSES_MAX];
    int count = lido_resolve(host_port, addresses, LIDO__ADDRESSES_MAX);
    return count < 0 ? count : connect_to_any_of(stream, addresses, count);
}

static const lido_address *of_family(const lido_address *addresses, int count, sa_family_t family)
{
    for (int i = 0; i < count; i++)
        if (lido__address_family(&addresses[i]) == family)
            return &addresses[i];
    return NULL;
}

int lido_connect_tcp_from(lido_stream **stream, const char *host_port, const char *source)
{
    lido_address sources[LIDO__ADDRESSES_MAX], addresses[LIDO__ADDRESSES_MAX];
    int source_count = lido_resolve(source, sources, LIDO__ADDRESSES_MAX);
    if (source_count < 0)
        return source_count;
    int count = lido_resolve(host_port, addresses, LIDO__ADDRESSES_MAX);
    int r = count < 0 ? count : -EADDRNOTAVAIL; /* if no pair is of one family */
    for (int i = 0; i < count; i++) {
        const lido_address *from =
            of_family(sources, source_count, lido__address_family(&addresses[i]));
        if (!from)
            continue;
        r = connect_to(stream, &addresses[i], from);
        if (r == 0 || !is_worth_another(r))
            break;
    }
    return r;
}

int lido_connect(lido_stream **stream, const lido_address *address)
{
    int r = lido__net_check();
    return r < 0 ? r : connect_to(stream, address, NULL);
}

int lido_connect_unix(lido_stream **stream, const char *path)
{
    lido_address address;
    int r = lido__net_check();
    if (r == 0)
        r = lido_address_unix(&address, path);
    return r < 0 ? r : connect_to(stream, &address, NULL);
}
