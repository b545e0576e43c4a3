/* Addresses as text and as the system's structs. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(union lido__sockaddr) <= sizeof(((lido_address *)0)->lido_private),
               "an address has room for each family");
_Static_assert(sizeof(struct sockaddr_storage) <= sizeof(((lido_address *)0)->lido_private),
               "an address has room for what the system returns");

#define UNIX_PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
#define UNIX_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

void lido__address_set(lido_address *address, const union lido__sockaddr *from, socklen_t length)
{
    size_t size = lido__address_size(length);
    memset(address, 0, sizeof(*address));
    memcpy(address->lido_private, from, size);
    address->length = (uint32_t)size;
}

void lido__address_get(const lido_address *address, union lido__sockaddr *to)
{
    memset(to, 0, sizeof(*to));
    memcpy(to, address->lido_private,
           address->length < sizeof(*to) ? address->length : sizeof(*to));
}

sa_family_t lido__address_family(const lido_address *address)
{
    union lido__sockaddr raw;
    lido__address_get(address, &raw);
    return raw.any.sa_family;
}

/* ---- The parts of "host:port" ------------------------------------------------------------------- */

static int copy_part(char *to, size_t room, const char *from, size_t length)
{
    if (length >= room)
        return -EINVAL;
    memcpy(to, from, length);
    to[length] = 0;
    return 0;
}

int lido__host_port_split(struct lido__host_port *parts, const char *text)
{
    const char *colon = strrchr(text, ':');
    const char *host = text;
    if (!colon || !colon[1])
        return -EINVAL;
    size_t length = (size_t)(colon - text);
    parts->bracketed = text[0] == '[';
    if (parts->bracketed) {
        if (length < 3 || colon[-1] != ']')
            return -EINVAL;
        host++;
        length -= 2;
    } else if (memchr(text, ':', length)) {
        return -EINVAL; /* IPv6 without brackets: which colon ends it? */
    }
    int r = copy_part(parts->host, sizeof(parts->host), host, length);
    return r < 0 ? r : copy_part(parts->port, sizeof(parts->port), colon + 1, strlen(colon + 1));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int lido__port_parse(const char *text, uint16_t *port)
{
    unsigned value = 0;
    if (!is_digit(text[0]))
        return text[0] == '-' || text[0] == '+' ? -EINVAL : LIDO__NO_NUMBER;
    for (; *text; text++) {
        if (!is_digit(*text))
            return -EINVAL;
        value = value * 10 + (unsigned)(*text - '0');
        if (value > UINT16_MAX)
            return -EINVAL;
    }
    *port = (uint16_t)value;
    return LIDO__NUMERIC;
}

/* "2": a number of 32 bits. */
static int number_parse(const char *text, uint32_t *ret_number)
{
    uint64_t value = 0;
    if (!*text)
        return -EINVAL;
    for (; is_digit(*text) && value <= UINT32_MAX; text++)
        value = value * 10 + (unsigned)(*text - '0');
    if (*text || value > UINT32_MAX)
        return -EINVAL;
    *ret_number = (uint32_t)value;
    return 0;
}

/* "eth0" or "2". The name first: an interface may be called by a number, or so that it begins with
   one. */
static int scope_parse(const char *text, uint32_t *ret_scope)
{
    unsigned index = if_nametoindex(text);
    if (!index)
        return number_parse(text, ret_scope);
    *ret_scope = index;
    return 0;
}

static int v6_parse(struct sockaddr_in6 *v6, const char *text)
{
    char digits[INET6_ADDRSTRLEN];
    size_t length = strcspn(text, "%");
    if (copy_part(digits, sizeof(digits), text, length) < 0 ||
        inet_pton(AF_INET6, digits, &v6->sin6_addr) != 1)
        return -EINVAL;
    return text[length] ? scope_parse(text + length + 1, &v6->sin6_scope_id) : 0;
}

int lido__host_parse(lido_address *address, const struct lido__host_port *parts, uint16_t port)
{
    union lido__sockaddr raw;
    memset(&raw, 0, sizeof(raw));
    if (parts->bracketed) {
        raw.v6.sin6_family = AF_INET6;
        raw.v6.sin6_port = htons(port);
        if (v6_parse(&raw.v6, parts->host) < 0)
            return -EINVAL;
        lido__address_set(address, &raw, sizeof(raw.v6));
        return 0;
    }
    raw.v4.sin_family = AF_INET;
    raw.v4.sin_port = htons(port);
    if (inet_pton(AF_INET, parts->host, &raw.v4.sin_addr) != 1)
        return -EINVAL;
    lido__address_set(address, &raw, sizeof(raw.v4));
    return 0;
}

void lido__address_any(lido_address *address, sa_family_t family, uint16_t port)
{
    union lido__sockaddr raw;
    memset(&raw, 0, sizeof(raw)); /* zeros are "any" in both families */
    raw.any.sa_family = family;
    if (family == AF_INET6)
        raw.v6.sin6_port = htons(port);
    else
        raw.v4.sin_port = htons(port);
    lido__address_set(address, &raw, family == AF_INET6 ? sizeof(raw.v6) : sizeof(raw.v4));
}

int lido_address_parse(lido_address *address, const char *text)
{
    struct lido__host_port parts;
    uint16_t port;
    int r = lido__host_port_split(&parts, text);
    if (r < 0)
        return r;
    if (lido__port_parse(parts.port, &port) != LIDO__NUMERIC)
        return -EINVAL;
    if (!lido__host_port_is_any(&parts))
        return lido__host_parse(address, &parts, port);
    lido__address_any(address, AF_INET6, port);
    return 0;
}

int lido_address_unix(lido_address *address, const char *path)
{
    union lido__sockaddr raw;
    bool abstract = path[0] == '@';
    size_t length = strlen(path);
    if (length <= abstract)
        return -EINVAL;
    if (length > UNIX_PATH_MAX)
        return -ENAMETOOLONG;
    memset(&raw, 0, sizeof(raw));
    raw.un.sun_family = AF_UNIX;
    memcpy(raw.un.sun_path, path, length);
    if (abstract)
        raw.un.sun_path[0] = 0;
    /* An abstract name ends with the address, a path with a NUL, if there is room for one. */
    length += !abstract && length < UNIX_PATH_MAX;
    lido__address_set(address, &raw, (socklen_t)(UNIX_PATH_OFFSET + length));
    return 0;
}

/* ---- As text ------------------------------------------------------------------------------------ */

/* What does not fit is not an address cut short. */
static int put(char *text, size_t size, const char *from, size_t length)
{
    if (length >= size)
        return -ENOSPC;
    memcpy(text, from, length);
    text[length] = 0;
    return 0;
}

/* "%" and digits that no interface is called by, for a name has at most 15 characters. */
#define SCOPE_TEXT (1 + 16 + 1)
_Static_assert(IF_NAMESIZE <= 16, "16 digits are no name");

/* What scope_parse makes the same scope of. */
static void scope_format(uint32_t scope, char text[SCOPE_TEXT])
{
    text[0] = 0;
    if (!scope)
        return;
    text[0] = '%';
    if (if_indextoname(scope, text + 1))
        return;
    snprintf(text + 1, SCOPE_TEXT - 1, "%u", scope);
    if (if_nametoindex(text + 1))
        snprintf(text + 1, SCOPE_TEXT - 1, "%016u", scope);
}

static int v6_format(const struct sockaddr_in6 *v6, char *text, size_t size)
{
    char digits[INET6_ADDRSTRLEN];
    char scope[SCOPE_TEXT];
    char whole[LIDO_ADDRESS_TEXT];
    inet_ntop(AF_INET6, &v6->sin6_addr, digits, sizeof(digits));
    scope_format(v6->sin6_scope_id, scope);
    int length = snprintf(whole, sizeof(whole), "[%s%s]:%u", digits, scope, ntohs(v6->sin6_port));
    return put(text, size, whole, (size_t)length);
}

static int v4_format(const struct sockaddr_in *v4, char *text, size_t size)
{
    char digits[INET_ADDRSTRLEN];
    char whole[INET_ADDRSTRLEN + 6];
    inet_ntop(AF_INET, &v4->sin_addr, digits, sizeof(digits));
    int length = snprintf(whole, sizeof(whole), "%s:%u", digits, ntohs(v4->sin_port));
    return put(text, size, whole, (size_t)length);
}

/* Abstract names may hold NULs: each is shown as '@', like the first. */
static int unix_format(const struct sockaddr_un *un, size_t length, char *text, size_t size)
{
    char name[UNIX_PATH_MAX];
    length -= UNIX_PATH_OFFSET;
    if (length > sizeof(name))
        length = sizeof(name); /* the system counts a NUL for which there is no room */
    if (length && un->sun_path[0])
        return put(text, size, un->sun_path, strnlen(un->sun_path, length));
    for (size_t i = 0; i < length; i++)
        name[i] = un->sun_path[i] ? un->sun_path[i] : '@';
    return put(text, size, name, length);
}

int lido_address_format(const lido_address *address, char *text, size_t size)
{
    union lido__sockaddr raw;
    lido__address_get(address, &raw);
    switch (raw.any.sa_family) {
    case AF_INET: return v4_format(&raw.v4, text, size);
    case AF_INET6: return v6_format(&raw.v6, text, size);
    case AF_UNIX: return unix_format(&raw.un, address->length, text, size);
    default: return put(text, size, "", 0);
    }
}

/* ---- The system's structs ----------------------------------------------------------------------- */

unsigned lido_address_port(const lido_address *address)
{
    union lido__sockaddr raw;
    lido__address_get(address, &raw);
    switch (raw.any.sa_family) {
    case AF_INET: return ntohs(raw.v4.sin_port);
    case AF_INET6: return ntohs(raw.v6.sin6_port);
    default: return 0;
    }
}

/* So that nothing here reads behind the end of an address. */
static size_t least_length(sa_family_t family)
{
    switch (family) {
    case AF_INET: return sizeof(struct sockaddr_in);
    case AF_INET6: return sizeof(struct sockaddr_in6);
    default: return sizeof(sa_family_t);
    }
}

int lido_address_from_sockaddr(lido_address *address, const void *sockaddr, size_t length)
{
    union lido__sockaddr raw;
    if (length > sizeof(address->lido_private))
        return -EINVAL;
    memset(&raw, 0, sizeof(raw));
    if (length)
        memcpy(&raw, sockaddr, length < sizeof(raw) ? length : sizeof(raw));
    if (length && length < least_length(raw.any.sa_family))
        return -EINVAL;
    if (raw.any.sa_family == AF_UNIX)
        length = lido__address_size(length);
    memset(address, 0, sizeof(*address));
    if (length)
        memcpy(address->lido_private, sockaddr, length);
    address->length = (uint32_t)length;
    return 0;
}

const void *lido_address_sockaddr(const lido_address *address, size_t *length)
{
    if (length)
        *length = address->length;
    return address->lido_private;
}
