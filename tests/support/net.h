/* Connections within the test. All of it is called from a task, and fails the test on any error. */
#ifndef TESTS_SUPPORT_NET_H
#define TESTS_SUPPORT_NET_H

#include "support/run.h"

/* Whether the machine has an IPv6 loopback. Also outside of tasks. */
bool net_has_ipv6(void);

/* Whether the machine can look names up: it knows "localhost". A bare root may not. Also outside of tasks. */
bool net_has_names(void);

/* A port of 127.0.0.1 on which nobody listens, and nobody will: a socket that is bound to it. Also outside of tasks. */
int net_dead_port(lido_address *address);

/* A socket that listens on a free port of 127.0.0.1, for any process to take over. Also outside of tasks. */
int net_listening_fd(lido_address *address);

/* A TCP listener on a free port of 127.0.0.1, and its address. */
lido_listener *net_listen(void);
lido_address net_address(const lido_listener *listener);

/* A connection to the listener, made but not accepted (without letting another task run, and registered
   nowhere yet); and the accepted end. */
lido_stream *net_connect(const lido_listener *listener);
lido_stream *net_accept(lido_listener *listener);

/* Two connected ends: TCP over loopback. */
void net_pair(lido_stream *pair[2]);
/* Two connected ends of a Unix pair. */
void net_unix_pair(lido_stream *pair[2]);
void net_close_pair(lido_stream *pair[2]);

/* Waits until a task (of any worker) is waiting on that side of the stream or listener. */
void net_await_reader(const lido_stream *stream);
void net_await_writer(const lido_stream *stream);
void net_await_acceptor(const lido_listener *listener);

/* Waits until the peer's answer to a write, a reset, has come. */
void net_await_reset(const lido_stream *stream);

/*
 * Writes until the socket takes no more, without waiting; returns how many bytes that was. For Unix
 * pairs: a TCP socket may have room again a moment later, when the system has moved bytes on.
 */
size_t net_fill(lido_stream *stream);
/* Reads exactly `size` bytes and throws them away. */
void net_drain(lido_stream *stream, size_t size);

/* Writes or reads exactly this text. */
void net_say(lido_stream *stream, const char *text);
void net_expect(lido_stream *stream, const char *text);
/* The peer has ended its direction, and nothing came before that. */
void net_expect_end(lido_stream *stream);

#endif
