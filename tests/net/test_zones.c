/* A zone is the name of an interface, or else its number; what is formatted is parsed as the same. */
#define _GNU_SOURCE

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "support/death.h"
#include "support/net.h"

static uint32_t scope_of(const lido_address *address)
{
    struct sockaddr_in6 v6;
    memcpy(&v6, lido_address_sockaddr(address, NULL), sizeof(v6));
    return v6.sin6_scope_id;
}

static void check_inverse(const struct sockaddr_in6 *v6)
{
    lido_address address, again;
    char text[LIDO_ADDRESS_TEXT];
    check_int(lido_address_from_sockaddr(&address, v6, sizeof(*v6)), 0);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_int(lido_address_parse(&again, text), 0);
    check_bytes(&address, &again, sizeof(address));
}

static void check_random(unsigned count)
{
    uint64_t seed = 88172645463325252u;
    for (unsigned i = 0; i < count; i++) {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
        uint64_t words[3];
        for (int k = 0; k < 3; k++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            words[k] = seed;
        }
        memcpy(&v6.sin6_addr, words, sizeof(v6.sin6_addr));
        if (i % 3 == 0)
            memset(&v6.sin6_addr, 0, 12); /* those with "::" and dots */
        v6.sin6_port = (in_port_t)words[2];
        v6.sin6_scope_id = i % 2 ? (uint32_t)(words[2] >> 16) : i % 20;
        check_inverse(&v6);
    }
}

static void random_addresses_are_parsed_as_they_were_formatted(void **state)
{
    (void)state;
    check_random(20000);
}

static void a_number_is_a_zone_of_32_bits(void **state)
{
    static const struct {
        const char *text;
        uint32_t scope;
    } good[] = {{"[fe80::1%0]:1", 0},
                {"[fe80::1%00]:1", 0},
                {"[fe80::1%4294967295]:1", UINT32_MAX},
                {"[fe80::1%0000000000000012]:1", 12}};
    static const char *const bad[] = {"[fe80::1%4294967296]:1", "[fe80::1%99999999999999999999]:1",
                                      "[fe80::1%]:1", "[fe80::1%-1]:1", "[fe80::1% 1]:1"};
    lido_address address;
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        check_int(lido_address_parse(&address, good[i].text), 0);
        check_int(scope_of(&address), good[i].scope);
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        check_int(lido_address_parse(&address, bad[i]), -EINVAL);
}

/* ---- Interfaces that are called like numbers, in a network of a child's own ---------------------- */

#define NO_NETWORK 7 /* the status of a child that may not have one */

static void rename_loopback(int fd, const char *from, const char *to)
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, from, strlen(from));
    memcpy(request.ifr_newname, to, strlen(to) + 1);
    check_int(ioctl(fd, SIOCSIFNAME, &request), 0);
}

static void try_names(void *arg)
{
    static const char *const names[] = {"lo", "6tun0", "12", "0", "4294967296", "a]c", NULL};
    (void)arg;
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        _exit(NO_NETWORK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    for (int i = 1; names[i]; i++) {
        char text[64];
        lido_address address;
        rename_loopback(fd, names[i - 1], names[i]);
        snprintf(text, sizeof(text), "[fe80::1%%%s]:80", names[i]);
        check_int(lido_address_parse(&address, text), 0);
        check_int(scope_of(&address), if_nametoindex(names[i]));
        char again[LIDO_ADDRESS_TEXT];
        check_int(lido_address_format(&address, again, sizeof(again)), 0);
        check_string(again, text);
        check_random(2000); /* also zone 12 while another one is called so */
    }
}

static void an_interface_comes_before_a_number(void **state)
{
    struct death death;
    (void)state;
    death_of(try_names, NULL, &death);
    if (death.status == NO_NETWORK << 8)
        skip();
    if (death.status != 0)
        fail_msg("%s", death.told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_addresses_are_parsed_as_they_were_formatted),
        cmocka_unit_test(a_number_is_a_zone_of_32_bits),
        cmocka_unit_test(an_interface_comes_before_a_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
