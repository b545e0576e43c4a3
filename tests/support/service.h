/* A server within the test, on a runtime of its own with one worker. Not from a task. */
#ifndef TESTS_SUPPORT_SERVICE_H
#define TESTS_SUPPORT_SERVICE_H

#include "support/check.h"

struct service {
    lido_runtime *runtime;
    char address[LIDO_ADDRESS_TEXT]; /* host:port, or "" */
};

/* Serves TCP on a free port of 127.0.0.1: a fiber fn(stream) for each connection, which owns the stream. */
void service_tcp(struct service *service, lido_fn fn);
/* The same on a Unix socket. */
void service_unix(struct service *service, const char *path, lido_fn fn);
/* A fiber fn(socket) with a UDP socket on a free port of 127.0.0.1, which it owns. */
void service_udp(struct service *service, lido_fn fn);

/* Cancels what is left of it. */
void service_end(struct service *service);

#endif
