#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "support/check.h"

static lido_address parsed(const char *text)
{
    lido_address address;
    if (lido_address_parse(&address, text) != 0)
        fail_msg("%s is refused", text);
    return address;
}

static const char *formatted(const lido_address *address)
{
    static char text[LIDO_ADDRESS_TEXT];
    assert_int_equal(lido_address_format(address, text, sizeof(text)), 0);
    return text;
}

static void an_address_is_formatted_as_it_was_parsed(void **state)
{
    static const char *const texts[] = {
        "127.0.0.1:80", "0.0.0.0:0",         "255.255.255.255:65535", "[::1]:80",
        "[::]:0",       "[2001:db8::1]:443", "[::ffff:1.2.3.4]:5",    "[fe80::1%lo]:80",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        lido_address address = parsed(texts[i]);
        assert_string_equal(formatted(&address), texts[i]);
    }
}

static void what_is_not_an_address_and_a_port_is_einval(void **state)
{
    static const char *const texts[] = {
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "1.2.3:4",
        "1.2.3.4:5a",
        "1.2.3.4: 5",
        "256.0.0.1:1",
        "::1:80",
        "::1",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "::1]:80",
        "[]:80",
        "[1.2.3.4]:5",
        "localhost:80",
        "1.2.3.4:http",
        "[::1%]:80",
        "*",
        ":",
        "[fe80::1%no-such-interface]:80",
        "1.2.3.4:99999999999999999999",
        "**:80",
        "[*]:80",
        "[::1]x:80",
        "[::1%1x]:80",
    };
    lido_address address;
    (void)state;
    memset(&address, 0x5a, sizeof(address));
    lido_address before = address;
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (lido_address_parse(&address, texts[i]) != -EINVAL)
            fail_msg("\"%s\" is taken", texts[i]);
        assert_memory_equal(&address, &before, sizeof(address));
    }
}

static void a_host_that_is_too_long_to_be_one_is_einval(void **state)
{
    char text[1000];
    lido_address address;
    (void)state;
    memset(text, '1', sizeof(text));
    memcpy(text + sizeof(text) - 4, ":80", 4);
    assert_int_equal(lido_address_parse(&address, text), -EINVAL);
    text[0] = '[';
    assert_int_equal(lido_address_parse(&address, text), -EINVAL);
}

static void a_star_or_nothing_is_any_address_of_both_families(void **state)
{
    lido_address star = parsed("*:80"), nothing = parsed(":80"), any = parsed("[::]:80");
    (void)state;
    assert_string_equal(formatted(&star), "[::]:80");
    assert_memory_equal(&star, &any, sizeof(any));
    assert_memory_equal(&nothing, &any, sizeof(any));
}

static void a_scope_is_a_number_or_an_interface(void **state)
{
    lido_address by_name = parsed("[fe80::1%lo]:80");
    char text[64];
    (void)state;
    snprintf(text, sizeof(text), "[fe80::1%%%u]:80", if_nametoindex("lo"));
    lido_address by_number = parsed(text);
    assert_memory_equal(&by_name, &by_number, sizeof(by_name));
    lido_address unknown = parsed("[fe80::1%987654]:80");
    assert_string_equal(formatted(&unknown), "[fe80::1%987654]:80");
}

static void the_port_is_told(void **state)
{
    lido_address v4 = parsed("1.2.3.4:8080"), v6 = parsed("[::1]:65535"), un;
    lido_address none = {0};
    (void)state;
    assert_int_equal(lido_address_port(&v4), 8080);
    assert_int_equal(lido_address_port(&v6), 65535);
    assert_int_equal(lido_address_unix(&un, "/tmp/x"), 0);
    assert_int_equal(lido_address_port(&un), 0);
    assert_int_equal(lido_address_port(&none), 0);
}

static void a_parsed_address_is_the_systems_struct(void **state)
{
    size_t length;
    (void)state;
    lido_address address = parsed("1.2.3.4:5");
    struct sockaddr_in v4;
    memcpy(&v4, lido_address_sockaddr(&address, &length), sizeof(v4));
    assert_int_equal(length, sizeof(v4));
    assert_int_equal(v4.sin_family, AF_INET);
    assert_int_equal(ntohs(v4.sin_port), 5);
    assert_int_equal(ntohl(v4.sin_addr.s_addr), 0x01020304);

    address = parsed("[::1]:6");
    struct sockaddr_in6 v6;
    memcpy(&v6, lido_address_sockaddr(&address, &length), sizeof(v6));
    assert_int_equal(length, sizeof(v6));
    assert_int_equal(v6.sin6_family, AF_INET6);
    assert_int_equal(ntohs(v6.sin6_port), 6);
    assert_memory_equal(&v6.sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
}

static void a_struct_of_the_system_becomes_an_address(void **state)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(7)};
    lido_address address;
    (void)state;
    v4.sin_addr.s_addr = htonl(0x7f000001);
    assert_int_equal(lido_address_from_sockaddr(&address, &v4, sizeof(v4)), 0);
    assert_string_equal(formatted(&address), "127.0.0.1:7");
    assert_int_equal(lido_address_from_sockaddr(&address, NULL, 0), 0);
    assert_int_equal(address.length, 0);
    assert_string_equal(formatted(&address), "");
}

static void a_struct_that_is_too_long_or_too_short_is_einval(void **state)
{
    char bytes[256] = {0};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    lido_address address;
    (void)state;
    memcpy(bytes, &v6, sizeof(v6));
    assert_int_equal(lido_address_from_sockaddr(&address, bytes, 129), -EINVAL);
    assert_int_equal(lido_address_from_sockaddr(&address, bytes, 128), 0);
    assert_int_equal(lido_address_from_sockaddr(&address, bytes, sizeof(v6) - 1), -EINVAL);
    assert_int_equal(lido_address_from_sockaddr(&address, bytes, 1), -EINVAL);
}

static void a_text_without_room_is_enospc_and_untouched(void **state)
{
    static const char *const texts[] = {"127.0.0.1:80", "[fe80::1%lo]:80"};
    char text[32];
    lido_address un;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        lido_address address = parsed(texts[i]);
        size_t length = strlen(texts[i]);
        strcpy(text, "before");
        assert_int_equal(lido_address_format(&address, text, length), -ENOSPC);
        assert_string_equal(text, "before");
        assert_int_equal(lido_address_format(&address, text, length + 1), 0);
        assert_string_equal(text, texts[i]);
    }
    assert_int_equal(lido_address_unix(&un, "/path"), 0);
    assert_int_equal(lido_address_format(&un, text, 5), -ENOSPC);
    assert_int_equal(lido_address_format(&un, text, 6), 0);
    assert_int_equal(lido_address_format(&un, NULL, 0), -ENOSPC);
}

static void unix_paths_and_abstract_names_are_formatted_as_given(void **state)
{
    static const char *const texts[] = {"/tmp/socket", "relative", "@abstract", "@@"};
    lido_address address;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(lido_address_unix(&address, texts[i]), 0);
        assert_string_equal(formatted(&address), texts[i]);
    }
}

static void an_abstract_name_begins_with_nul_and_ends_with_the_address(void **state)
{
    struct sockaddr_un un;
    size_t length;
    lido_address address;
    (void)state;
    assert_int_equal(lido_address_unix(&address, "@name"), 0);
    const void *raw = lido_address_sockaddr(&address, &length);
    assert_int_equal(length, offsetof(struct sockaddr_un, sun_path) + 5);
    memcpy(&un, raw, length);
    assert_memory_equal(un.sun_path, "\0name", 5);
}

static void a_nul_within_an_abstract_name_is_shown(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    lido_address address;
    (void)state;
    memcpy(un.sun_path, "\0a\0b", 4);
    size_t length = offsetof(struct sockaddr_un, sun_path) + 4;
    assert_int_equal(lido_address_from_sockaddr(&address, &un, length), 0);
    assert_string_equal(formatted(&address), "@a@b");
}

static void an_unnamed_socket_has_no_text(void **state)
{
    sa_family_t family = AF_UNIX;
    lido_address address;
    (void)state;
    assert_int_equal(lido_address_from_sockaddr(&address, &family, sizeof(family)), 0);
    assert_string_equal(formatted(&address), "");
}

static void a_path_is_as_long_as_the_system_allows_and_no_longer(void **state)
{
    char path[200];
    char text[LIDO_ADDRESS_TEXT];
    lido_address address;
    const size_t most = sizeof(((struct sockaddr_un *)0)->sun_path);
    (void)state;
    for (int abstract = 0; abstract < 2; abstract++) {
        memset(path, 'x', sizeof(path));
        path[0] = abstract ? '@' : '/';
        path[most] = 0;
        assert_int_equal(lido_address_unix(&address, path), 0);
        assert_int_equal(lido_address_format(&address, text, sizeof(text)), 0);
        assert_string_equal(text, path);
        path[most] = 'x';
        path[most + 1] = 0;
        assert_int_equal(lido_address_unix(&address, path), -ENAMETOOLONG);
    }
    assert_int_equal(lido_address_unix(&address, ""), -EINVAL);
    assert_int_equal(lido_address_unix(&address, "@"), -EINVAL);
}

static void a_path_that_fills_the_struct_is_formatted_whole(void **state)
{
    struct {
        struct sockaddr_un un;
        char nul; /* the system counts it, and has no room for it in the struct */
    } raw = {.un = {.sun_family = AF_UNIX}};
    char expected[sizeof(raw.un.sun_path) + 1] = "";
    lido_address address;
    (void)state;
    memset(raw.un.sun_path, 'p', sizeof(raw.un.sun_path));
    memset(expected, 'p', sizeof(raw.un.sun_path));
    size_t length = sizeof(raw.un) + 1;
    assert_int_equal(lido_address_from_sockaddr(&address, &raw, length), 0);
    assert_string_equal(formatted(&address), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_formatted_as_it_was_parsed),
        cmocka_unit_test(what_is_not_an_address_and_a_port_is_einval),
        cmocka_unit_test(a_host_that_is_too_long_to_be_one_is_einval),
        cmocka_unit_test(a_star_or_nothing_is_any_address_of_both_families),
        cmocka_unit_test(a_scope_is_a_number_or_an_interface),
        cmocka_unit_test(the_port_is_told),
        cmocka_unit_test(a_parsed_address_is_the_systems_struct),
        cmocka_unit_test(a_struct_of_the_system_becomes_an_address),
        cmocka_unit_test(a_struct_that_is_too_long_or_too_short_is_einval),
        cmocka_unit_test(a_text_without_room_is_enospc_and_untouched),
        cmocka_unit_test(unix_paths_and_abstract_names_are_formatted_as_given),
        cmocka_unit_test(an_abstract_name_begins_with_nul_and_ends_with_the_address),
        cmocka_unit_test(a_nul_within_an_abstract_name_is_shown),
        cmocka_unit_test(an_unnamed_socket_has_no_text),
        cmocka_unit_test(a_path_is_as_long_as_the_system_allows_and_no_longer),
        cmocka_unit_test(a_path_that_fills_the_struct_is_formatted_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
