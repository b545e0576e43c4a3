#include "support/service.h"

#include "support/runtime.h"

struct listening {
    lido_listener *listener;
    lido_fn fn;
};

static int serve(void *arg)
{
    struct listening listening = *(struct listening *)arg;
    free(arg);
    lido_serve(listening.listener, listening.fn);
    lido_listener_close(listening.listener);
    return 0;
}

struct wish {
    struct service *service;
    const char *path; /* NULL: TCP */
    lido_fn fn;
};

static void name_address(struct service *service, const lido_address *address)
{
    check_int(lido_address_format(address, service->address, sizeof(service->address)), 0);
}

static int open_stream_service(void *arg)
{
    struct wish *wish = arg;
    struct listening *listening = malloc(sizeof(*listening));
    lido_address address;
    check(listening);
    listening->fn = wish->fn;
    if (wish->path)
        check_int(lido_listen_unix(&listening->listener, wish->path), 0);
    else
        check_int(lido_listen_tcp(&listening->listener, "127.0.0.1:0"), 0);
    check_int(lido_listener_local_address(listening->listener, &address), 0);
    name_address(wish->service, &address);
    return lido_spawn(NULL, serve, listening);
}

static int open_datagram_service(void *arg)
{
    struct wish *wish = arg;
    lido_datagram *socket;
    lido_address address;
    check_int(lido_bind_udp(&socket, "127.0.0.1:0"), 0);
    check_int(lido_datagram_local_address(socket, &address), 0);
    name_address(wish->service, &address);
    return lido_spawn(NULL, wish->fn, socket);
}

static void service_open(struct service *service, lido_fn open, const char *path, lido_fn fn)
{
    struct wish wish = {service, path, fn};
    service->runtime = runtime_of(1);
    check_int(lido_block_on(service->runtime, open, &wish), 0);
}

void service_tcp(struct service *service, lido_fn fn)
{
    service_open(service, open_stream_service, NULL, fn);
}

void service_unix(struct service *service, const char *path, lido_fn fn)
{
    service_open(service, open_stream_service, path, fn);
}

void service_udp(struct service *service, lido_fn fn)
{
    service_open(service, open_datagram_service, NULL, fn);
}

void service_end(struct service *service)
{
    check_int(lido_runtime_free(service->runtime), 0);
}
