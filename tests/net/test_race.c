/* Connecting to a host of several addresses: one that does not answer keeps nobody from the next
   (RFC 8305). */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/race.h"
#include "os/os.h"
#include "support/net.h"
#include "support/runtime.h"

/*
 * An address that drops SYNs, as a firewall does: a listener whose queue of connections is full.
 * Linux takes one more than the backlog says.
 */
struct silent {
    int listener;
    int fillers[2];
    lido_address address;
};

static void silent_init(struct silent *silent)
{
    struct sockaddr_storage name;
    socklen_t length = sizeof(name);
    check_int(lido_address_parse(&silent->address, "127.0.0.1:0"), 0);
    silent->listener = lido__os_socket(AF_INET, SOCK_STREAM, 0);
    check(silent->listener >= 0);
    check_int(lido__os_bind(silent->listener, lido_address_sockaddr(&silent->address, NULL), 16),
              0);
    check_int(listen(silent->listener, 0), 0);
    check_int(getsockname(silent->listener, (struct sockaddr *)&name, &length), 0);
    check_int(lido_address_from_sockaddr(&silent->address, &name, length), 0);
    for (size_t i = 0; i < COUNT(silent->fillers); i++) {
        silent->fillers[i] = lido__os_socket(AF_INET, SOCK_STREAM, 0);
        lido__os_connect(silent->fillers[i], (struct sockaddr *)&name, length);
    }
}

static void silent_fini(struct silent *silent)
{
    for (size_t i = 0; i < COUNT(silent->fillers); i++)
        lido__os_close(silent->fillers[i]);
    lido__os_close(silent->listener);
}

/* The lowest descriptor that is free: the same before and after, if none has leaked. */
static int lowest_free(void)
{
    int fd = dup(STDERR_FILENO);
    lido__os_close(fd);
    return fd;
}

static int connect_past_silence(void *arg)
{
    struct silent silent;
    lido_listener *listener = net_listen();
    lido_address answers = net_address(listener), peer;
    lido_stream *stream;
    (void)arg;
    silent_init(&silent);
    int before = lowest_free();
    const struct lido__route routes[] = {{.to = &silent.address}, {.to = &answers}};
    lido_within(60000);
    check_int(lido__race_connect(&stream, routes, 2), 0);
    check_int(lido_stream_peer_address(stream, &peer), 0);
    check_int(lido_address_port(&peer), lido_address_port(&answers));
    lido_close(net_accept(listener));
    net_expect_end(stream);
    lido_close(stream);
    check_int(lowest_free(), before);
    silent_fini(&silent);
    lido_listener_close(listener);
    return 0;
}

static void an_address_that_does_not_answer_keeps_nobody_from_the_next(void **state)
{
    (void)state;
    run(connect_past_silence);
}

/* The deadline is long past the time at which the second attempt would begin by itself. */
static int give_up(void *arg)
{
    struct silent silent;
    lido_address refuses;
    lido_stream *stream = arg;
    int holder = net_dead_port(&refuses);
    silent_init(&silent);
    int before = lowest_free();
    const struct lido__route routes[] = {{.to = &silent.address}, {.to = &refuses}};
    {
        lido_within(400);
        check_int(lido__race_connect(&stream, routes, 2), -ETIMEDOUT);
    }
    check(stream == arg);
    check_int(lowest_free(), before);
    silent_fini(&silent);
    lido__os_close(holder);
    return 0;
}

static void a_deadline_ends_all_attempts_and_leaks_none(void **state)
{
    (void)state;
    run(give_up);
}

static int connect_silence(void *arg)
{
    const struct lido__route route = {.to = arg};
    lido_stream *stream;
    return lido__race_connect(&stream, &route, 1);
}

static int cancel_in_the_middle(void *arg)
{
    struct silent silent;
    lido_task *task;
    int result;
    (void)arg;
    silent_init(&silent);
    check_int(lido_spawn(&task, connect_silence, &silent.address), 0);
    check_int(lido_yield(), 0);
    check_int(lido_stop(task, &result), 0);
    check_int(result, -ECANCELED);
    silent_fini(&silent);
    return 0;
}

static void a_cancel_ends_the_attempts(void **state)
{
    (void)state;
    run(cancel_in_the_middle);
}

/* The next begins when one has failed, and not when its time has come: two hundred failures in a
   few milliseconds each. */
static int refused_by_all(void *arg)
{
    lido_address refuses;
    int holder = net_dead_port(&refuses);
    lido_stream *stream = arg;
    const struct lido__route routes[] = {{.to = &refuses}, {.to = &refuses}};
    uint64_t began = lido_now();
    for (int i = 0; i < 100; i++)
        check_int(lido__race_connect(&stream, routes, 2), -ECONNREFUSED);
    check(lido_now() - began < 100 * (uint64_t)250000000);
    check_int(lido__race_connect(&stream, routes, 0), -ENOENT);
    check(stream == arg);
    lido__os_close(holder);
    return 0;
}

static void a_refusal_begins_the_next_attempt_at_once(void **state)
{
    (void)state;
    run(refused_by_all);
}

static void the_families_take_turns_and_keep_their_order(void **state)
{
    static const char *const texts[] = {"[::1]:1", "[::1]:2",     "[::1]:3",
                                        "[::1]:4", "127.0.0.1:5", "127.0.0.1:6"};
    static const unsigned expected[] = {1, 5, 2, 6, 3, 4};
    lido_address addresses[COUNT(texts)];
    struct lido__route routes[COUNT(texts)];
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(lido_address_parse(&addresses[i], texts[i]), 0);
        routes[i] = (struct lido__route){.to = &addresses[i]};
    }
    lido__routes_alternate(routes, COUNT(texts));
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_int_equal(lido_address_port(routes[i].to), expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_that_does_not_answer_keeps_nobody_from_the_next),
        cmocka_unit_test(a_deadline_ends_all_attempts_and_leaks_none),
        cmocka_unit_test(a_cancel_ends_the_attempts),
        cmocka_unit_test(a_refusal_begins_the_next_attempt_at_once),
        cmocka_unit_test(the_families_take_turns_and_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
