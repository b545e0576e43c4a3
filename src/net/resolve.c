/* lido_resolve: what is in digits at once, names through net/lookup.h. */
#include <errno.h>

#include "net/addr.h"
#include "net/lookup.h"
#include "net/net.h"

static int any_addresses(lido_address *addresses, size_t capacity, uint16_t port)
{
    if (capacity > 0)
        lido__address_any(&addresses[0], AF_INET6, port);
    if (capacity > 1)
        lido__address_any(&addresses[1], AF_INET, port);
    return capacity > 1 ? 2 : (int)capacity;
}

/* A service for all interfaces: looked up for its port only. */
static int look_up_any(const struct lido__host_port *parts, lido_address *addresses,
                       size_t capacity)
{
    lido_address found;
    int r = lido__look_up(parts, &found, 1);
    return r > 0 ? any_addresses(addresses, capacity, (uint16_t)lido_address_port(&found)) : r;
}

int lido_resolve(const char *host_port, lido_address *addresses, size_t capacity)
{
    struct lido__host_port parts;
    uint16_t port;
    int r = lido__net_check();
    if (r == 0)
        r = lido__host_port_split(&parts, host_port);
    if (r < 0)
        return r;
    int numeric = lido__port_parse(parts.port, &port);
    if (numeric < 0)
        return numeric;
    if (lido__host_port_is_any(&parts))
        return numeric == LIDO__NUMERIC ? any_addresses(addresses, capacity, port)
                                        : look_up_any(&parts, addresses, capacity);
    lido_address address;
    r = lido__host_parse(&address, &parts, numeric == LIDO__NUMERIC ? port : 0);
    if (r < 0 && parts.bracketed)
        return r;
    if (r < 0 || numeric != LIDO__NUMERIC)
        return lido__look_up(&parts, addresses, capacity);
    if (capacity > 0)
        addresses[0] = address;
    return capacity > 0;
}
