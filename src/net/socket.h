/*
 * Sockets before they are handles: bound, asked for their addresses, set up. For streams, listeners and
 * datagram sockets alike. From any thread, except lido__bind_inet, which may wait for a name.
 */
#ifndef LIDO_NET_SOCKET_H
#define LIDO_NET_SOCKET_H

#include <lido.h>

struct lido__handle;

/* How to bind: of both families only what applies is used. */
#define LIDO__BIND_REUSE_ADDRESS 1u
#define LIDO__BIND_REUSE_PORT 2u
#define LIDO__BIND_V6_ONLY 4u

/*
 * A socket of `type` that is bound to "host:port"; the descriptor or a negative errno. Of several
 * addresses it is the first whose family the system has; "*" is all interfaces of both families.
 * Errors of lido_resolve, socket and bind.
 */
int lido__bind_inet(const char *host_port, int type, unsigned how);

/* What a socket has bound in the file system. */
struct lido__unix_owner;

/* The same for a path; NULL leaves it unnamed. *ret_owner is what to remove at the end, or NULL.
   Errors of lido_address_unix, socket and bind; -ENOMEM. */
int lido__bind_unix(const char *path, int type, struct lido__unix_owner **ret_owner);

/* Removes what bind_unix has made, if it still stands there, and forgets it. Before the socket is
   closed. NULL is ignored. */
void lido__unbind_unix(struct lido__unix_owner *owner);

/* Forgets it, and leaves the path where it is. */
void lido__keep_unix(struct lido__unix_owner *owner);

/* 1: a stream socket is plain TCP, with nothing between it and the user that makes records of the bytes (an upper
   layer protocol, such as kTLS). 0: it is not, or an error. */
int lido__socket_is_tcp(int fd);

int lido__socket_local_address(int fd, lido_address *address);
int lido__socket_peer_address(int fd, lido_address *address);

int lido__option_set(struct lido__handle *handle, lido_option option, int value);
int lido__option_get(const struct lido__handle *handle, lido_option option, int *value);

/* handle->flags: LIDO_OPTION_LINGER is above 0, so close would wait. */
#define LIDO__LINGERS 1u
/* handle->flags of a listener: what it accepts is plain TCP. */
#define LIDO__ACCEPTS_TCP 2u
/* handle->flags of a listener: somebody else may have its descriptor, too. */
#define LIDO__FD_SHARED 4u
/* handle->flags of a listener: its door is shut (sibling.h). */
#define LIDO__SHUT 8u

/* Before the descriptor of a handle that lingers is closed. */
void lido__option_unlinger(int fd);

/* Two connected Unix sockets of that type; -ENXIO outside of a task. */
int lido__socket_pair(struct lido__handle *ret_pair[2], int type);

#endif
