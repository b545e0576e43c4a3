/* Socket options: one table says for each what it is to the system. */
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/error.h"
#include "net/addr.h"
#include "net/net.h"
#include "net/socket.h"
#include "os/os.h"

/* The most that Linux takes for TCP_KEEPIDLE. */
#define KEEPALIVE_MAX 32767
#define LINGER_MAX 65535

struct name {
    int level;
    int name;
};

struct rule {
    int min, max;
    struct name plain; /* of any socket; of an IPv4 one, if `v6` differs */
    struct name v6;    /* level 0: as `plain` */
    int (*set)(struct lido__handle *handle, int value); /* instead of the names */
    int (*get)(const struct lido__handle *handle, int *value);
};

static int set_int(const struct lido__handle *handle, struct name name, int value)
{
    return lido__os_setsockopt(handle->fd, name.level, name.name, &value, sizeof(value));
}

static int get_int(const struct lido__handle *handle, struct name name, int *value)
{
    int got = 0;
    socklen_t length = sizeof(got);
    int r = lido__os_getsockopt(handle->fd, name.level, name.name, &got, &length);
    if (r == 0)
        *value = got;
    return r;
}

/* ---- Those that are more than a number ---------------------------------------------------------- */

static const struct name keepalive = {SOL_SOCKET, SO_KEEPALIVE};
static const struct name keepidle = {IPPROTO_TCP, TCP_KEEPIDLE};

/* The time first: a socket that is not TCP refuses it, though it would take the switch. */
static int set_keepalive(struct lido__handle *handle, int value)
{
    int unused;
    int r = value ? set_int(handle, keepidle, value) : get_int(handle, keepidle, &unused);
    return r < 0 ? r : set_int(handle, keepalive, value > 0);
}

static int get_keepalive(const struct lido__handle *handle, int *value)
{
    int on, idle;
    int r = get_int(handle, keepidle, &idle);
    if (r == 0)
        r = get_int(handle, keepalive, &on);
    if (r == 0)
        *value = on ? idle : 0;
    return r;
}

static int set_linger(struct lido__handle *handle, int value)
{
    struct linger linger = {.l_onoff = value >= 0, .l_linger = value < 0 ? 0 : value};
    int r = lido__os_setsockopt(handle->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    if (r < 0)
        return r;
    lido__net_flag(handle, value > 0 ? LIDO__LINGERS : 0, value > 0 ? 0 : LIDO__LINGERS);
    return 0;
}

static int get_linger(const struct lido__handle *handle, int *value)
{
    struct linger linger;
    socklen_t length = sizeof(linger);
    int r = lido__os_getsockopt(handle->fd, SOL_SOCKET, SO_LINGER, &linger, &length);
    if (r == 0)
        *value = linger.l_onoff ? linger.l_linger : -1;
    return r;
}

/*
 * close(2) of a socket that lingers waits on Linux, non-blocking or not. The same without the wait:
 * the system goes on sending by itself, and gives up once nothing was acknowledged for so long.
 */
void lido__option_unlinger(int fd)
{
    struct linger linger;
    socklen_t length = sizeof(linger);
    if (lido__os_getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &length) < 0 || !linger.l_onoff)
        return;
    unsigned ms = (unsigned)linger.l_linger * 1000;
    linger.l_onoff = 0;
    lido__os_setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    lido__os_setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static int refuse_to_set(struct lido__handle *handle, int value)
{
    (void)handle;
    (void)value;
    return -EINVAL;
}

/* The system tells it only once: so it is to be remembered as one that a read was told. */
static int get_error(const struct lido__handle *handle, int *value)
{
    int error = 0;
    int r = get_int(handle, (struct name){SOL_SOCKET, SO_ERROR}, &error);
    if (r < 0)
        return r;
    *value = lido__error_of_system(-error);
    if (error && lido__handle_is_socket(handle))
        lido__handle_note((struct lido__handle *)handle, *value);
    return 0;
}

/* ---- The table ---------------------------------------------------------------------------------- */

static const struct rule rules[] = {
    [LIDO_OPTION_NODELAY] = {0, 1, .plain = {IPPROTO_TCP, TCP_NODELAY}},
    [LIDO_OPTION_KEEPALIVE] = {0, KEEPALIVE_MAX, .set = set_keepalive, .get = get_keepalive},
    [LIDO_OPTION_LINGER] = {-1, LINGER_MAX, .set = set_linger, .get = get_linger},
    [LIDO_OPTION_TTL] = {1, 255, .plain = {IPPROTO_IP, IP_TTL},
                         .v6 = {IPPROTO_IPV6, IPV6_UNICAST_HOPS}},
    [LIDO_OPTION_SEND_BUFFER] = {1, INT_MAX, .plain = {SOL_SOCKET, SO_SNDBUF}},
    [LIDO_OPTION_RECV_BUFFER] = {1, INT_MAX, .plain = {SOL_SOCKET, SO_RCVBUF}},
    [LIDO_OPTION_BROADCAST] = {0, 1, .plain = {SOL_SOCKET, SO_BROADCAST}},
    [LIDO_OPTION_MULTICAST_LOOP_V4] = {0, 1, .plain = {IPPROTO_IP, IP_MULTICAST_LOOP}},
    [LIDO_OPTION_MULTICAST_LOOP_V6] = {0, 1, .plain = {IPPROTO_IPV6, IPV6_MULTICAST_LOOP}},
    [LIDO_OPTION_MULTICAST_TTL_V4] = {0, 255, .plain = {IPPROTO_IP, IP_MULTICAST_TTL}},
    [LIDO_OPTION_MULTICAST_HOPS_V6] = {0, 255, .plain = {IPPROTO_IPV6, IPV6_MULTICAST_HOPS}},
    [LIDO_OPTION_ERROR] = {.set = refuse_to_set, .get = get_error},
};

static const struct rule *rule_of(lido_option option)
{
    bool known = option >= LIDO_OPTION_NODELAY && option <= LIDO_OPTION_ERROR;
    return known ? &rules[option] : NULL;
}

/* 1, 0 or an error: an option of the wrong family would be set, to no effect. */
static int is_v6(const struct lido__handle *handle)
{
    lido_address address;
    int r = lido__socket_local_address(handle->fd, &address);
    return r < 0 ? r : lido__address_family(&address) == AF_INET6;
}

static int set_by_name(struct lido__handle *handle, const struct rule *rule, int value)
{
    int v6 = rule->v6.level ? is_v6(handle) : 0;
    if (v6 <= 0)
        return v6 < 0 ? v6 : set_int(handle, rule->plain, value);
    int r = set_int(handle, rule->v6, value);
    /* An IPv6 socket may carry IPv4; if it does not, it may refuse this. */
    if (r == 0)
        set_int(handle, rule->plain, value);
    return r;
}

/* What is no socket has no options either. */
static int told(int r)
{
    return r == -ENOTSOCK ? -EOPNOTSUPP : r;
}

int lido__option_set(struct lido__handle *handle, lido_option option, int value)
{
    const struct rule *rule = rule_of(option);
    if (!rule)
        return -ENOPROTOOPT;
    if (value < rule->min || value > rule->max)
        return -EINVAL;
    return told(rule->set ? rule->set(handle, value) : set_by_name(handle, rule, value));
}

int lido__option_get(const struct lido__handle *handle, lido_option option, int *value)
{
    const struct rule *rule = rule_of(option);
    if (!rule)
        return -ENOPROTOOPT;
    if (rule->get)
        return told(rule->get(handle, value));
    int v6 = rule->v6.level ? is_v6(handle) : 0;
    return told(v6 < 0 ? v6 : get_int(handle, v6 ? rule->v6 : rule->plain, value));
}

/* ---- The public face ---------------------------------------------------------------------------- */

int lido_stream_set(lido_stream *stream, lido_option option, int value)
{
    return lido__option_set(&stream->handle, option, value);
}

int lido_stream_get(const lido_stream *stream, lido_option option, int *value)
{
    return lido__option_get(&stream->handle, option, value);
}

int lido_listener_set(lido_listener *listener, lido_option option, int value)
{
    return lido__option_set(&listener->handle, option, value);
}

int lido_listener_get(const lido_listener *listener, lido_option option, int *value)
{
    return lido__option_get(&listener->handle, option, value);
}

int lido_datagram_set(lido_datagram *socket, lido_option option, int value)
{
    return lido__option_set(&socket->handle, option, value);
}

int lido_datagram_get(const lido_datagram *socket, lido_option option, int *value)
{
    return lido__option_get(&socket->handle, option, value);
}
