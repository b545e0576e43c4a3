/* Multicast on the loopback interface, IPv4 and IPv6. */
#define _GNU_SOURCE

#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "support/net.h"

struct family {
    const char *receiver; /* to bind to */
    const char *sender;   /* an address of the loopback interface: what it sends leaves there */
    const char *group;    /* with room for a port */
    const char *unicast;  /* likewise */
    lido_option loop;
    lido_option ttl;
};

static const struct family v4 = {"0.0.0.0:0",
                                 "127.0.0.1:0",
                                 "239.255.77.77:%u",
                                 "127.0.0.1:%u",
                                 LIDO_OPTION_MULTICAST_LOOP_V4,
                                 LIDO_OPTION_MULTICAST_TTL_V4};
static const struct family v6 = {"[::]:0",
                                 "[::1]:0",
                                 "[ff12::7777%%lo]:%u",
                                 "[::1]:%u",
                                 LIDO_OPTION_MULTICAST_LOOP_V6,
                                 LIDO_OPTION_MULTICAST_HOPS_V6};

static lido_address address_at(const char *format, unsigned port)
{
    char text[LIDO_ADDRESS_TEXT];
    lido_address address;
    snprintf(text, sizeof(text), format, port);
    check_int(lido_address_parse(&address, text), 0);
    return address;
}

struct members {
    lido_datagram *receiver;
    lido_datagram *sender;
    lido_address group;
    lido_address unicast;
    unsigned loopback;
};

static void open_members(struct members *members, const struct family *family)
{
    lido_address bound;
    check_int(lido_bind_udp(&members->receiver, family->receiver), 0);
    check_int(lido_bind_udp(&members->sender, family->sender), 0);
    check_int(lido_datagram_local_address(members->receiver, &bound), 0);
    members->group = address_at(family->group, lido_address_port(&bound));
    members->unicast = address_at(family->unicast, lido_address_port(&bound));
    members->loopback = if_nametoindex("lo");
    check(members->loopback != 0);
}

static void close_members(struct members *members)
{
    lido_datagram_close(members->receiver);
    lido_datagram_close(members->sender);
}

static void expect_text(lido_datagram *socket, const char *text)
{
    char got[64] = "";
    check_int(lido_recv(socket, got, sizeof(got) - 1, NULL), strlen(text));
    check_string(got, text);
}

static ssize_t send_text(struct members *members, const lido_address *to, const char *text)
{
    return lido_send_to(members->sender, text, strlen(text), to);
}

/* ---- Groups ------------------------------------------------------------------------------------ */

static int join_and_leave(void *family)
{
    struct members m;
    open_members(&m, family);
    check_int(send_text(&m, &m.group, "before"), 6);
    check_int(lido_multicast_join(m.receiver, &m.group, m.loopback), 0);
    check_int(lido_multicast_join(m.receiver, &m.group, m.loopback), -EADDRINUSE);
    check_int(send_text(&m, &m.group, "during"), 6);
    expect_text(m.receiver, "during");
    check_int(lido_multicast_leave(m.receiver, &m.group, m.loopback), 0);
    check_int(lido_multicast_leave(m.receiver, &m.group, m.loopback), -EADDRNOTAVAIL);
    check_int(send_text(&m, &m.group, "after"), 5);
    check_int(send_text(&m, &m.unicast, "direct"), 6);
    expect_text(m.receiver, "direct"); /* loopback keeps the order: "after" did not come */
    close_members(&m);
    return 0;
}

static void members_of_a_group_hear_what_is_sent_to_it(void **state)
{
    (void)state;
    run_on(1, join_and_leave, (void *)&v4);
    run_on(1, join_and_leave, (void *)&v6);
}

static int join_nonsense(void *family)
{
    struct members m;
    lido_address unix_address, none = {0};
    open_members(&m, family);
    check_int(lido_address_unix(&unix_address, "@x"), 0);
    check_int(lido_multicast_join(m.receiver, &m.unicast, m.loopback), -EINVAL);
    check_int(lido_multicast_join(m.receiver, &unix_address, m.loopback), -EINVAL);
    check_int(lido_multicast_leave(m.receiver, &none, m.loopback), -EINVAL);
    check_int(lido_multicast_join(m.receiver, &m.group, 0x7fffffff), -ENODEV);
    close_members(&m);
    return 0;
}

static void what_is_no_group_cannot_be_joined(void **state)
{
    (void)state;
    run_on(1, join_nonsense, (void *)&v4);
    run_on(1, join_nonsense, (void *)&v6);
}

/* ---- Options ----------------------------------------------------------------------------------- */

static void check_option(lido_datagram *socket, lido_option option, int value)
{
    int got = -1;
    check_int(lido_datagram_set(socket, option, value), 0);
    check_int(lido_datagram_get(socket, option, &got), 0);
    check_int(got, value);
}

static int set_options(void *arg)
{
    const struct family *family = arg;
    struct members m;
    open_members(&m, family);
    check_option(m.sender, family->loop, 0);
    check_option(m.sender, family->loop, 1);
    check_option(m.sender, family->ttl, 0);
    check_option(m.sender, family->ttl, 255);
    check_int(lido_datagram_set(m.sender, family->ttl, 256), -EINVAL);
    check_int(lido_datagram_set(m.sender, family->loop, 2), -EINVAL);
    close_members(&m);
    return 0;
}

static void loop_and_reach_are_as_they_were_set(void **state)
{
    (void)state;
    run_on(1, set_options, (void *)&v4);
    run_on(1, set_options, (void *)&v6);
}

/* ---- Whether any of this is possible here ------------------------------------------------------ */

static int probe(void *family)
{
    struct members m;
    open_members(&m, family);
    ssize_t r = send_text(&m, &m.group, "probe");
    close_members(&m);
    return r < 0 ? (int)r : 0;
}

static int probe_both(void)
{
    int r = lido_run(NULL, probe, (void *)&v4);
    return r < 0 ? r : lido_run(NULL, probe, (void *)&v6);
}

/* <linux/ipv6.h> has this, but cannot be included beside <netinet/in.h>. */
struct route6 {
    struct in6_addr to, from, via;
    uint32_t type;
    uint16_t to_length, from_length;
    uint32_t metric;
    unsigned long info;
    uint32_t flags;
    int interface;
};

/*
 * A network of this process alone, with nothing but a loopback interface, to which all multicast goes.
 * The system's own has no such route for IPv6. (A local one, for another through the loopback interface
 * would be taken as a refusal.)
 */
static bool enter_private_network(void)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_MULTICAST};
    struct route6 route = {.to_length = 8, .metric = 1, .flags = RTF_UP | RTF_LOCAL};
    route.to.s6_addr[0] = 0xff;
    route.interface = (int)if_nametoindex("lo");
    bool done = ioctl(fd, SIOCSIFFLAGS, &up) == 0 && ioctl(fd, SIOCADDRT, &route) == 0;
    close(fd);
    return done;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_a_group_hear_what_is_sent_to_it),
        cmocka_unit_test(what_is_no_group_cannot_be_joined),
        cmocka_unit_test(loop_and_reach_are_as_they_were_set),
    };
    int r = probe_both();
    if (r < 0 && enter_private_network())
        r = probe_both();
    if (r < 0) {
        printf("SKIP: no multicast on the loopback interface: %s\n", lido_strerror(r));
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
