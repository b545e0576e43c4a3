/* Groups of multicast receivers, of IPv4 and IPv6 alike (RFC 3678). */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "net/addr.h"
#include "net/net.h"
#include "os/os.h"

static bool is_multicast(const union lido__sockaddr *address)
{
    switch (address->any.sa_family) {
    case AF_INET: return IN_MULTICAST(ntohl(address->v4.sin_addr.s_addr));
    case AF_INET6: return IN6_IS_ADDR_MULTICAST(&address->v6.sin6_addr);
    default: return false;
    }
}

static int change(const lido_datagram *socket, const lido_address *group, unsigned interface_index,
                  int what)
{
    union lido__sockaddr address;
    lido__address_get(group, &address);
    if (!is_multicast(&address))
        return -EINVAL;
    struct group_req request = {.gr_interface = interface_index};
    memcpy(&request.gr_group, &address, group->length);
    int level = address.any.sa_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
    return lido__os_setsockopt(socket->handle.fd, level, what, &request, sizeof(request));
}

int lido_multicast_join(lido_datagram *socket, const lido_address *group, unsigned interface_index)
{
    return change(socket, group, interface_index, MCAST_JOIN_GROUP);
}

int lido_multicast_leave(lido_datagram *socket, const lido_address *group, unsigned interface_index)
{
    return change(socket, group, interface_index, MCAST_LEAVE_GROUP);
}
