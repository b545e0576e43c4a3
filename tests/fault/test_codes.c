/* The codes that mean something of lido's are never the system's: each call says each of them once,
   wherever it is made. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "support/net.h"

static const int reserved[] = {-ECANCELED, -ETIMEDOUT, -ENXIO, -EDEADLK};

static unsigned failures; /* of this scenario */

static ssize_t told(ssize_t result)
{
    for (size_t i = 0; i < COUNT(reserved); i++)
        check(result != reserved[i]);
    failures += result < 0;
    return result;
}

/* What others wait for is done in the end. */
#define persist(call)                                                                              \
    while (told(call) < 0)                                                                         \
    continue

/* ---- Scenarios, in which anything may fail
   -------------------------------------------------------- */

static void use_stream(lido_stream *stream, lido_stream *peer)
{
    char got[16] = "x";
    lido_slice slice = {got, 1};
    lido_address address;
    lido_credentials credentials;
    int value;
    persist(lido_write(peer, got, 1));
    persist(lido_writev(peer, &slice, 1));
    told(lido_peek(stream, got, sizeof(got)));
    persist(lido_read(stream, got, 1));
    persist(lido_write(peer, got, 1));
    told(lido_readv(stream, &slice, 1));
    told(lido_stream_local_address(stream, &address));
    told(lido_stream_peer_address(stream, &address));
    lido_stream_peer_credentials(stream, &credentials);
    told(lido_stream_get(stream, LIDO_OPTION_SEND_BUFFER, &value));
    told(lido_stream_set(stream, LIDO_OPTION_SEND_BUFFER, 4096));
    persist(lido_shutdown_stream(peer, LIDO_SIDE_WRITE));
    told(lido_copy(stream, stream, NULL));
    lido_close(stream);
    lido_close(peer);
}

static void use_tcp(void)
{
    lido_listener *listener;
    lido_stream *client, *server;
    lido_address address;
    char text[LIDO_ADDRESS_TEXT];
    if (told(lido_listen_tcp(&listener, "127.0.0.1:0")) < 0)
        return;
    if (told(lido_listener_local_address(listener, &address)) == 0 &&
        told(lido_address_format(&address, text, sizeof(text))) == 0 &&
        told(lido_connect_tcp(&client, text)) == 0) {
        persist(lido_accept(listener, &server, NULL));
        use_stream(server, client);
    }
    lido_listener_close(listener);
}

static void use_unix(void)
{
    lido_listener *listener;
    lido_stream *pair[2];
    lido_datagram *datagrams[2];
    if (told(lido_stream_pair(pair)) == 0)
        use_stream(pair[0], pair[1]);
    if (told(lido_datagram_pair(datagrams)) == 0) {
        char got[4];
        persist(lido_send(datagrams[0], "d", 1));
        told(lido_recv(datagrams[1], got, sizeof(got), NULL));
        lido_datagram_close(datagrams[0]);
        lido_datagram_close(datagrams[1]);
    }
    if (told(lido_listen_unix(&listener, "@lido-test-codes")) == 0)
        lido_listener_close(listener);
}

static void use_pipe(void)
{
    lido_stream *ends[2];
    char byte;
    int fds[2];
    check_int(pipe(fds), 0);
    for (int i = 0; i < 2; i++)
        persist(lido_stream_from_fd(&ends[i], fds[i]));
    persist(lido_write(ends[1], "p", 1));
    told(lido_read(ends[0], &byte, 1));
    lido_close(ends[0]);
    lido_close(ends[1]);
}

static void use_name(void)
{
    lido_address address;
    told(lido_resolve("localhost:http", &address, 1));
}

static void (*const scenarios[])(void) = {use_tcp, use_unix, use_pipe, use_name};

/* ---- Each call, each code
   ------------------------------------------------------------------------- */

static const char *const names[] = {
    "accept",      "bind",        "connect",    "epoll_ctl",  "fstat",   "getaddrinfo",
    "getpeername", "getsockname", "getsockopt", "ioctl",      "listen",  "read",
    "readv",       "recv",        "recvfrom",   "send",       "sendmsg", "sendto",
    "setsockopt",  "shutdown",    "socket",     "socketpair", "write",
};

/* True: there was no such call. */
static bool play(void (*scenario)(void), const char *name, uint64_t nth, int code)
{
    failures = 0;
    lido__fault_plan(name, nth, code);
    scenario();
    bool over = !lido__fault_hit();
    lido__fault_clear();
    return over;
}

static int fail_each(void *arg)
{
    (void)arg;
    for (size_t name = 0; name < COUNT(names); name++) {
        uint64_t reached = 0;
        for (size_t i = 0; i < COUNT(scenarios); i++)
            for (size_t code = 0; code < COUNT(reserved); code++)
                for (uint64_t n = 1; !play(scenarios[i], names[name], n, reserved[code]); n++)
                    reached++;
        if (reached == 0 && strcmp(names[name], "getaddrinfo") != 0)
            check_string(names[name], "a call that the scenarios make");
    }
    return 0;
}

static void no_error_of_the_system_looks_like_one_of_lidos_own(void **state)
{
    (void)state;
    run(fail_each);
}

/* ---- A sandbox
   ------------------------------------------------------------------------------------ */

static int take_over_unasked(void *arg)
{
    static const int refusals[] = {-EPERM, -EACCES, -ENOSYS};
    lido_stream *stream;
    int fds[2];
    (void)arg;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        check_int(pipe(fds), 0);
        lido__fault_plan("fcntl", 1, refusals[i]);
        check_int(lido_stream_from_fd(&stream, fds[0]), 0);
        check(lido__fault_hit() != NULL);
        lido__fault_clear();
        lido_close(stream);
        close(fds[1]);
    }
    return 0;
}

static void a_descriptor_is_taken_over_where_its_flags_may_not_be_asked_for(void **state)
{
    (void)state;
    run(take_over_unasked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_error_of_the_system_looks_like_one_of_lidos_own),
        cmocka_unit_test(a_descriptor_is_taken_over_where_its_flags_may_not_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
