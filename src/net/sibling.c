#include "net/sibling.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "net/addr.h"
#include "net/net.h"
#include "net/socket.h"
#include "os/os.h"

/* For kernels that are newer than the headers. */
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef IP_LOCAL_PORT_RANGE
#define IP_LOCAL_PORT_RANGE 51
#endif

#define BACKLOG 4096

/* ---- Options ------------------------------------------------------------------------------------
   */

/* What a socket can be told before it is bound, in an order in which none undoes another. */
static const struct {
    int level;
    int name;
} options[] = {
    {SOL_SOCKET, SO_REUSEADDR},
    {SOL_SOCKET, SO_REUSEPORT},
    {SOL_SOCKET, SO_BINDTODEVICE},
    {SOL_SOCKET, SO_MARK},
    {SOL_SOCKET, SO_DONTROUTE},
    {SOL_SOCKET, SO_KEEPALIVE},
    {SOL_SOCKET, SO_LINGER},
    {SOL_SOCKET, SO_OOBINLINE},
    {SOL_SOCKET, SO_RCVLOWAT},
    {SOL_SOCKET, SO_RCVTIMEO},
    {SOL_SOCKET, SO_SNDTIMEO},
    {SOL_SOCKET, SO_TIMESTAMP},
    {SOL_SOCKET, SO_BUSY_POLL},
    {SOL_SOCKET, SO_PREFER_BUSY_POLL},
    {SOL_SOCKET, SO_BUSY_POLL_BUDGET},
    {SOL_SOCKET, SO_INCOMING_CPU},
    {SOL_SOCKET, SO_ZEROCOPY},
    {SOL_SOCKET, SO_MAX_PACING_RATE},
    {SOL_SOCKET, SO_TXREHASH},
    {IPPROTO_IP, IP_TOS},
    {IPPROTO_IP, IP_TTL},
    {IPPROTO_IP, IP_MINTTL},
    {IPPROTO_IP, IP_MTU_DISCOVER},
    {IPPROTO_IP, IP_OPTIONS},
    {IPPROTO_IP, IP_RECVERR},
    {IPPROTO_IP, IP_FREEBIND},
    {IPPROTO_IP, IP_TRANSPARENT},
    {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    {IPPROTO_IP, IP_LOCAL_PORT_RANGE},
    {IPPROTO_IPV6, IPV6_V6ONLY},
    {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
    {IPPROTO_IPV6, IPV6_MINHOPCOUNT},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
    {IPPROTO_IPV6, IPV6_DONTFRAG},
    {IPPROTO_IPV6, IPV6_RECVERR},
    {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL},
    {IPPROTO_IPV6, IPV6_ADDR_PREFERENCES},
    {IPPROTO_IPV6, IPV6_FREEBIND},
    {IPPROTO_IPV6, IPV6_TRANSPARENT},
    {IPPROTO_TCP, TCP_CONGESTION},
    {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_MAXSEG},
    {IPPROTO_TCP, TCP_KEEPIDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT},
    {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_SYNCNT},
    {IPPROTO_TCP, TCP_LINGER2},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
    {IPPROTO_TCP, TCP_FASTOPEN},
    {IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE},
    {IPPROTO_TCP, TCP_SAVE_SYN},
    {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS},
    {IPPROTO_TCP, TCP_TX_DELAY},
    {SOL_SOCKET, SO_PRIORITY}, /* a type of service sets it, too */
};

/* As long as the longest of them. */
#define VALUE_MAX 64

struct value {
    char bytes[VALUE_MAX];
    socklen_t length; /* 0: there is no such option here */
};

static int get_value(int fd, int level, int name, struct value *value)
{
    memset(value, 0, sizeof(*value));
    value->length = sizeof(value->bytes);
    int r = lido__os_getsockopt(fd, level, name, value->bytes, &value->length);
    if (r >= 0)
        return 0;
    value->length = 0;
    bool unknown = r == -ENOPROTOOPT || r == -EOPNOTSUPP || r == -EINVAL || r == -EPERM;
    return unknown ? 0 : r;
}

/* Only what differs: some options may not be set by everybody, and some change more by being set.
   */
static int copy_option(int to, int from, int level, int name)
{
    struct value wanted, found;
    int r = get_value(from, level, name, &wanted);
    if (r == 0)
        r = get_value(to, level, name, &found);
    if (r < 0 || wanted.length == 0 || memcmp(&wanted, &found, sizeof(wanted)) == 0)
        return r;
    return lido__os_setsockopt(to, level, name, wanted.bytes, wanted.length);
}

static int get_int(int fd, int level, int name, int *value)
{
    socklen_t length = sizeof(*value);
    return lido__os_getsockopt(fd, level, name, value, &length);
}

/*
 * A buffer whose size was set no longer grows by itself, and so must one that was not be left
 * alone. The system tells twice what it was told.
 */
static int copy_buffer(int to, int from, int name, int forced)
{
    int wanted = 0, found = 0, locks = 0;
    int r = get_int(from, SOL_SOCKET, name, &wanted);
    if (r == 0)
        r = get_int(to, SOL_SOCKET, name, &found);
    if (r < 0)
        return r;
    if (get_int(from, SOL_SOCKET, SO_BUF_LOCK, &locks) < 0)
        locks = 0;
    bool set = locks & (name == SO_SNDBUF ? 1 : 2);
    if (wanted == found && !set)
        return 0;
    wanted /= 2;
    /* The limit of the system may have been another one, or the first privileged. */
    if (lido__os_setsockopt(to, SOL_SOCKET, forced, &wanted, sizeof(wanted)) == 0)
        return 0;
    return lido__os_setsockopt(to, SOL_SOCKET, name, &wanted, sizeof(wanted));
}

/* How many instructions the filter has; 0: there is none; negative: none that can be read. */
static int filter_length(int fd)
{
    socklen_t length = 0;
    int r = lido__os_getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &length);
    return r < 0 ? r : (int)length;
}

static int set_filter(int fd, struct sock_filter *code, unsigned short length)
{
    struct sock_fprog program = {.len = length, .filter = code};
    return lido__os_setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* A filter of eBPF cannot be read, and stays the first one's. */
static int copy_filter(int to, int from)
{
    struct sock_filter code[BPF_MAXINSNS];
    int count = filter_length(from);
    if (count <= 0 || count > BPF_MAXINSNS)
        return 0;
    socklen_t length = (socklen_t)count;
    int r = lido__os_getsockopt(from, SOL_SOCKET, SO_GET_FILTER, code, &length);
    return r < 0 ? r : set_filter(to, code, (unsigned short)count);
}

static int copy_options(int to, int from)
{
    int r = 0;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]) && r == 0; i++)
        r = copy_option(to, from, options[i].level, options[i].name);
    if (r == 0)
        r = copy_buffer(to, from, SO_SNDBUF, SO_SNDBUFFORCE);
    if (r == 0)
        r = copy_buffer(to, from, SO_RCVBUF, SO_RCVBUFFORCE);
    return r < 0 ? r : copy_filter(to, from);
}

/* ---- A listener more ----------------------------------------------------------------------------
   */

/* Of a socket that listens, two fields of what TCP tells are the length and the limit of its queue.
   */
static int backlog_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);
    int r = lido__os_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    return r == 0 && info.tcpi_sacked > 0 ? (int)info.tcpi_sacked : BACKLOG;
}

static int open_like(int first, const lido_address *address)
{
    int protocol = 0;
    int r = get_int(first, SOL_SOCKET, SO_PROTOCOL, &protocol);
    int fd = r < 0 ? r : lido__os_socket(lido__address_family(address), SOCK_STREAM, protocol);
    if (fd < 0)
        return fd;
    r = copy_options(fd, first);
    if (r == 0)
        r = lido__os_bind(fd, lido__address_raw(address), address->length);
    if (r == 0)
        r = lido__os_listen(fd, backlog_of(first));
    if (r == 0)
        return fd;
    lido__os_close(fd);
    return r;
}

int lido__sibling_open(lido_listener **listener, const lido_listener *first)
{
    struct lido__handle *handle;
    lido_address address;
    int r = lido__socket_local_address(first->handle.fd, &address);
    int fd = r < 0 ? r : open_like(first->handle.fd, &address);
    if (fd < 0)
        return fd;
    r = lido__net_adopt(&handle, fd, LIDO__HANDLE_LISTENER);
    if (r < 0)
        return r;
    handle->flags = lido__net_flagged(&first->handle, LIDO__LINGERS | LIDO__ACCEPTS_TCP);
    *listener = (lido_listener *)handle;
    return 0;
}

/* ---- The door -----------------------------------------------------------------------------------
   */

int64_t lido__handshakes_ms = 100;

/* The filter sees a packet from its TCP header on: SYN without ACK is how a connection begins. */
bool lido__door_shut(lido_listener *listener)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct lido__handle *handle = &listener->handle;
    if (lido__net_flagged(handle, LIDO__FD_SHARED) || !lido__net_flagged(handle, LIDO__ACCEPTS_TCP))
        return false;
    if (filter_length(handle->fd) != 0 ||
        set_filter(handle->fd, code, sizeof(code) / sizeof(code[0])) < 0)
        return false;
    lido__net_flag(handle, LIDO__SHUT, 0);
    return true;
}

void lido__door_forget(int fd)
{
    int unused = 0;
    (void)lido__os_setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
}

void lido__door_open(lido_listener *listener)
{
    if (!lido__net_flagged(&listener->handle, LIDO__SHUT))
        return;
    lido__door_forget(listener->handle.fd);
    lido__net_flag(&listener->handle, 0, LIDO__SHUT);
}
