/*
 * Addresses, and what they are made from. Pure: nothing here waits or needs a runtime, except that
 * a scope such as "%eth0" asks the system for the interface's number. From any thread.
 */
#ifndef LIDO_NET_ADDR_H
#define LIDO_NET_ADDR_H

#include <lido.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* More addresses of one name than this are not tried. */
#define LIDO__ADDRESSES_MAX 16

/* What lido_address holds. Filled here and copied there as bytes: its words are of another type. */
union lido__sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

/* What of an address that the system has told is one: of a path that fills a sockaddr_un it counts
   the NUL, too, for which there is no room, and takes no such address back. */
static inline size_t lido__address_size(size_t length)
{
    return length < sizeof(struct sockaddr_un) ? length : sizeof(struct sockaddr_un);
}

void lido__address_set(lido_address *address, const union lido__sockaddr *from, socklen_t length);
void lido__address_get(const lido_address *address, union lido__sockaddr *to);

static inline const struct sockaddr *lido__address_raw(const lido_address *address)
{
    return (const struct sockaddr *)address->lido_private;
}

/* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC for no address. */
sa_family_t lido__address_family(const lido_address *address);

/* All interfaces, as an address of that family (AF_INET or AF_INET6). */
void lido__address_any(lido_address *address, sa_family_t family, uint16_t port);

/* The two parts of "host:port", without brackets. */
struct lido__host_port {
    char host[256]; /* "" and "*": any */
    char port[32];
    bool bracketed; /* the host is an IPv6 address */
};

/* -EINVAL: not of the form, or a part is too long to be anything. */
int lido__host_port_split(struct lido__host_port *parts, const char *text);

static inline bool lido__host_port_is_any(const struct lido__host_port *parts)
{
    return !parts->bracketed && (parts->host[0] == 0 || (parts->host[0] == '*' && !parts->host[1]));
}

enum lido__numeric {
    LIDO__NUMERIC,  /* *port is set */
    LIDO__NO_NUMBER /* begins with something other than a digit: a service may be called so */
};

/* Which of the two; -EINVAL: a number, but no port. */
int lido__port_parse(const char *text, uint16_t *port);

/* An IPv4 or IPv6 address in digits; -EINVAL: neither. */
int lido__host_parse(lido_address *address, const struct lido__host_port *parts, uint16_t port);

#endif
