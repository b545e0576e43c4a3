/* Binding, and the addresses of a socket. */
#include "net/socket.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "net/addr.h"
#include "os/os.h"

static int set_flag(int fd, int level, int name, bool on)
{
    int value = on;
    return lido__os_setsockopt(fd, level, name, &value, sizeof(value));
}

static int prepare(int fd, sa_family_t family, unsigned how)
{
    int r = 0;
    if (how & LIDO__BIND_REUSE_ADDRESS)
        r = set_flag(fd, SOL_SOCKET, SO_REUSEADDR, true);
    if (r == 0 && how & LIDO__BIND_REUSE_PORT)
        r = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, true);
    /* Said in either case: its default is the administrator's. */
    if (r == 0 && family == AF_INET6)
        r = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, how & LIDO__BIND_V6_ONLY);
    return r;
}

static int bind_to(const lido_address *address, int type, unsigned how)
{
    sa_family_t family = lido__address_family(address);
    int fd = lido__os_socket(family, type, 0);
    if (fd < 0)
        return fd;
    int r = prepare(fd, family, how);
    if (r == 0)
        r = lido__os_bind(fd, lido__address_raw(address), address->length);
    if (r == 0)
        return fd;
    lido__os_close(fd);
    return r;
}

int lido__bind_inet(const char *host_port, int type, unsigned how)
{
    lido_address addresses[LIDO__ADDRESSES_MAX];
    int count = lido_resolve(host_port, addresses, LIDO__ADDRESSES_MAX);
    int r = count;
    for (int i = 0; i < count; i++) {
        r = bind_to(&addresses[i], type, how);
        /* Anything else is about the address that was meant: the next would be a surprise. */
        if (r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL)
            break;
    }
    return r;
}

/* The path that a socket is bound to, and what tells it from another's that comes to stand there.
   */
struct lido__unix_owner {
    dev_t device;
    ino_t inode;
    char path[];
};

/* Absolute, so that it is the same after a chdir; -ENOMEM. Without a working directory it stays as
   it is. */
static int owner_new(struct lido__unix_owner **ret_owner, const char *path)
{
    char here[PATH_MAX];
    size_t room = 0;
    if (path[0] != '/' && getcwd(here, sizeof(here)))
        room = strlen(here) + 1;
    size_t size = room + strlen(path) + 1;
    struct lido__unix_owner *owner = lido__fault("malloc") < 0 ? NULL
                                                               : malloc(sizeof(*owner) + size);
    if (!owner)
        return -ENOMEM;
    snprintf(owner->path, size, "%s%s%s", room ? here : "", room ? "/" : "", path);
    *ret_owner = owner;
    return 0;
}

/* Whether what stands at the path is still the socket that was bound there. */
static bool is_own(const struct lido__unix_owner *owner)
{
    struct stat status;
    return lstat(owner->path, &status) == 0 && status.st_dev == owner->device &&
           status.st_ino == owner->inode;
}

/* After the bind: which inode it has made. One that cannot be told from others is left alone. */
static struct lido__unix_owner *owner_bound(struct lido__unix_owner *owner)
{
    struct stat status;
    if (lstat(owner->path, &status) == 0 && S_ISSOCK(status.st_mode)) {
        owner->device = status.st_dev;
        owner->inode = status.st_ino;
        return owner;
    }
    free(owner);
    return NULL;
}

int lido__bind_unix(const char *path, int type, struct lido__unix_owner **ret_owner)
{
    lido_address address;
    struct lido__unix_owner *owner = NULL;
    if (!path) {
        *ret_owner = NULL;
        return lido__os_socket(AF_UNIX, type, 0);
    }
    int r = lido_address_unix(&address, path);
    if (r == 0 && path[0] != '@')
        r = owner_new(&owner, path);
    if (r == 0)
        r = bind_to(&address, type, 0);
    if (r < 0) {
        free(owner);
        return r;
    }
    *ret_owner = owner ? owner_bound(owner) : NULL;
    return r;
}

void lido__unbind_unix(struct lido__unix_owner *owner)
{
    if (owner && is_own(owner))
        unlink(owner->path);
    free(owner);
}

void lido__keep_unix(struct lido__unix_owner *owner)
{
    free(owner);
}

int lido__socket_is_tcp(int fd)
{
    int protocol = 0;
    char layer[16] = ""; /* as long as the system's names of them */
    socklen_t length = sizeof(protocol);
    int r = lido__os_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length);
    if (r < 0 || protocol != IPPROTO_TCP)
        return r < 0 ? r : 0;
    length = sizeof(layer);
    r = lido__os_getsockopt(fd, IPPROTO_TCP, TCP_ULP, layer, &length);
    if (r == -ENOPROTOOPT) /* a kernel that knows no layers */
        return 1;
    return r < 0 ? r : length == 0 || layer[0] == '\0';
}

/* ---- Addresses ---------------------------------------------------------------------------------- */

static int ask(int fd, lido_address *address,
               int (*which)(int fd, struct sockaddr *address, socklen_t *length))
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    int r = which(fd, (struct sockaddr *)&storage, &length);
    return r < 0 ? r : lido_address_from_sockaddr(address, &storage, length);
}

int lido__socket_local_address(int fd, lido_address *address)
{
    return ask(fd, address, lido__os_getsockname);
}

int lido__socket_peer_address(int fd, lido_address *address)
{
    return ask(fd, address, lido__os_getpeername);
}
