/* lido-load as its user sees it: what it sends, what it counts, and what it says. */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/atomic.h"
#include "load/running.h"
#include "os/os.h"
#include "support/net.h"

#define MESSAGE 64

/* What the servers below have seen. */
static struct {
    lido__shared uint32_t connections;
    lido__shared uint32_t messages;
} seen;

static uint32_t messages_seen(void)
{
    return lido__load(&seen.messages, LIDO__ACQUIRE);
}

static uint32_t count_message(void)
{
    return lido__fetch_add(&seen.messages, 1, LIDO__RELEASE);
}

/* ---- Servers ----------------------------------------------------------------------------------- */

/* One message after the other, so that they can be counted. `answer` gets each and the number of those
   before it, over all connections; false: hang up. */
static int serve(lido_stream *stream, bool (*answer)(lido_stream *, char *, uint32_t))
{
    char message[MESSAGE];
    lido__fetch_add(&seen.connections, 1, LIDO__RELAXED);
    while (lido_read_all(stream, message, MESSAGE, NULL) == MESSAGE)
        if (!answer(stream, message, count_message()))
            break;
    lido_close(stream);
    return 0;
}

static bool echo_message(lido_stream *stream, char *message, uint32_t number)
{
    (void)number;
    return lido_write_all(stream, message, MESSAGE, NULL) == MESSAGE;
}

static int echo(void *stream)
{
    return serve(stream, echo_message);
}

#define STALL_AT 500
#define STALL_MS 200

/* The whole server does nothing for a while. */
static bool stall_once(lido_stream *stream, char *message, uint32_t number)
{
    if (number == STALL_AT)
        usleep(STALL_MS * 1000);
    return echo_message(stream, message, number);
}

static int echo_with_a_stall(void *stream)
{
    return serve(stream, stall_once);
}

static bool reset_once(lido_stream *stream, char *message, uint32_t number)
{
    if (number != 100)
        return echo_message(stream, message, number);
    lido_stream_set(stream, LIDO_OPTION_LINGER, 0);
    return false;
}

static int echo_with_a_reset(void *stream)
{
    return serve(stream, reset_once);
}

static bool change_once(lido_stream *stream, char *message, uint32_t number)
{
    message[MESSAGE - 1] ^= number == 10;
    return echo_message(stream, message, number);
}

static int echo_with_a_mistake(void *stream)
{
    return serve(stream, change_once);
}

static bool say_nothing(lido_stream *stream, char *message, uint32_t number)
{
    (void)stream;
    (void)message;
    (void)number;
    return true;
}

static int be_silent(void *stream)
{
    return serve(stream, say_nothing);
}

/* Half a second for a hundred. */
static bool take_time(lido_stream *stream, char *message, uint32_t number)
{
    lido_sleep(5);
    return echo_message(stream, message, number);
}

static int echo_slowly(void *stream)
{
    return serve(stream, take_time);
}

static int echo_all(void *arg)
{
    lido_stream *stream = arg;
    lido_copy(stream, stream, NULL);
    lido_close(stream);
    return 0;
}

/* Of every ten datagrams one is not answered. */
static int echo_most_datagrams(void *arg)
{
    lido_datagram *socket = arg;
    char message[2048];
    lido_address from;
    ssize_t got;
    while ((got = lido_recv_from(socket, message, sizeof(message), &from, NULL)) >= 0)
        if (count_message() % 10 != 9)
            lido_send_to(socket, message, (size_t)got, &from);
    lido_datagram_close(socket);
    return 0;
}

static int echo_datagrams(void *arg)
{
    lido_datagram *socket = arg;
    char message[2048];
    lido_address from;
    ssize_t got;
    while ((got = lido_recv_from(socket, message, sizeof(message), &from, NULL)) >= 0) {
        count_message();
        lido_send_to(socket, message, (size_t)got, &from);
    }
    lido_datagram_close(socket);
    return 0;
}

/* To whatever comes, one answer for each so many bytes. */
static int answer_each(lido_stream *stream, size_t size, const char *answer)
{
    char request[200];
    while (lido_read_all(stream, request, size, NULL) == (ssize_t)size) {
        count_message();
        if (lido_write_all(stream, answer, strlen(answer), NULL) < 0)
            break;
    }
    lido_close(stream);
    return 0;
}

static int pong(void *stream)
{
    return answer_each(stream, strlen("*1\r\n$4\r\nPING\r\n"), "+PONG\r\n");
}

#define HTTP_REQUEST "GET /hello HTTP/1.1\r\nHost: %s\r\n\r\n"
static lido__shared uint64_t http_request_size;

static int hello(void *stream)
{
    return answer_each(stream, lido__load(&http_request_size, LIDO__ACQUIRE),
                       "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

/* Ten requests to a connection, and the last answer says so. */
static int hello_ten_times(void *arg)
{
    static const char go_on[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    static const char end[] = "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    size_t size = lido__load(&http_request_size, LIDO__ACQUIRE);
    lido_stream *stream = arg;
    char request[200];
    lido__fetch_add(&seen.connections, 1, LIDO__RELAXED);
    for (int i = 1; i <= 10 && lido_read_all(stream, request, size, NULL) == (ssize_t)size; i++) {
        const char *answer = i < 10 ? go_on : end;
        count_message();
        lido_write_all(stream, answer, strlen(answer), NULL);
    }
    lido_close(stream);
    return 0;
}

static int not_found(void *stream)
{
    return answer_each(stream, lido__load(&http_request_size, LIDO__ACQUIRE),
                       "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

/* ---- Running ----------------------------------------------------------------------------------- */

static int setup(void **state)
{
    (void)state;
    lido__store(&seen.connections, 0, LIDO__RELAXED);
    lido__store(&seen.messages, 0, LIDO__RELAXED);
    return 0;
}

static void end(void)
{
    program_fini(&program);
    service_end(&service);
}

/* ---- Closed loop ------------------------------------------------------------------------------- */

static void a_closed_loop_sends_as_many_as_it_was_asked(void **state)
{
    (void)state;
    service_tcp(&service, echo);
    run_load(WORDS("-n", "1003", "-c", "7", "-P", "3", "-w", "2", "--json", place("")), 0);
    expect_number("requests", 1003);
    expect_number("bytes.sent", 1003 * MESSAGE);
    expect_number("bytes.received", 1003 * MESSAGE);
    expect_number("latency_ns.count", 1003);
    expect_number("unanswered", 0);
    expect_number("error_count", 0);
    assert_int_equal(messages_seen(), 1003);
    assert_int_equal(seen.connections, 7);
    end();
}

static void a_closed_loop_lasts_as_long_as_it_was_asked(void **state)
{
    (void)state;
    service_tcp(&service, echo);
    run_load(WORDS("-d", "200ms", "--warmup", "100ms", "-c", "3", "--json", place("")), 0);
    assert_true(number("elapsed_s") >= 0.2);
    assert_true(number("requests") > 0);
    assert_true(messages_seen() > number("requests")); /* the warm-up is not counted */
    end();
}

static void messages_of_any_size_come_back(void **state)
{
    static const char *const sizes[] = {"1", "7", "8", "65536", "2000000"};
    (void)state;
    service_tcp(&service, echo_all);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        run_load(WORDS("-n", "20", "-c", "2", "-P", "4", "-s", sizes[i], "--json", place("")), 0);
        expect_number("requests", 20);
        expect_number("bytes.received", 20 * strtod(sizes[i], NULL));
        program_fini(&program);
    }
    service_end(&service);
}

static void churn_makes_a_connection_for_each_request(void **state)
{
    (void)state;
    service_tcp(&service, echo);
    run_load(WORDS("-n", "50", "-c", "5", "--churn", "--reset", "--json", place("")), 0);
    expect_number("requests", 50);
    assert_int_equal(messages_seen(), 50);
    assert_int_equal(seen.connections, 50);
    end();
}

static void unix_sockets_work(void **state)
{
    char path[64];
    (void)state;
    snprintf(path, sizeof(path), "@lido-load-test-%d", (int)getpid());
    service_unix(&service, path, echo);
    run_load(WORDS("-n", "100", "-c", "5", "--json", place("unix:")), 0);
    expect_number("requests", 100);
    assert_int_equal(messages_seen(), 100);
    end();
}

static void pings_are_answered(void **state)
{
    (void)state;
    service_tcp(&service, pong);
    run_load(WORDS("--protocol", "ping", "-n", "200", "-c", "3", "-P", "16", "--json", place("")),
             0);
    expect_number("requests", 200);
    assert_int_equal(messages_seen(), 200);
    end();
}

/* The length of what the server is going to be asked. */
static void note_http_request(void)
{
    char request[LIDO_ADDRESS_TEXT + sizeof(HTTP_REQUEST)];
    int size = snprintf(request, sizeof(request), HTTP_REQUEST, service.address);
    lido__store(&http_request_size, (uint64_t)size, LIDO__RELEASE);
}

static void http_is_spoken(void **state)
{
    (void)state;
    service_tcp(&service, hello);
    note_http_request();
    run_load(WORDS("--protocol", "http", "--path", "/hello", "-n", "100", "-c", "3", "--json",
                   place("")),
             0);
    expect_number("requests", 100);
    assert_int_equal(messages_seen(), 100);
    end();

    service_tcp(&service, not_found);
    note_http_request();
    run_load(WORDS("--protocol", "http", "--path", "/hello", "-n", "10", "--json", place("")), 1);
    expect_number("requests", 10);
    expect_number("errors.status", 10);
    end();
}

static void an_http_server_may_end_connections_if_it_says_so(void **state)
{
    (void)state;
    service_tcp(&service, hello_ten_times);
    note_http_request();
    run_load(WORDS("--protocol", "http", "--path", "/hello", "-n", "100", "-c", "2", "--json",
                   place("")),
             0);
    expect_number("requests", 100);
    assert_int_equal(messages_seen(), 100);
    assert_true(number("reconnects") >= 8);
    assert_true(seen.connections >= 10);
    end();
}

/* ---- Open loop --------------------------------------------------------------------------------- */

static void an_open_loop_sends_by_its_schedule(void **state)
{
    (void)state;
    service_tcp(&service, echo);
    run_load(WORDS("-r", "1000", "--warmup", "200ms", "-d", "500ms", "-c", "6", "-w", "2", "--json",
                   place("")),
             0);
    expect_number("requests", 500);
    expect_number("latency_ns.count", 500);
    assert_int_equal(messages_seen(), 700);
    assert_true(number("elapsed_s") >= 0.5);
    assert_true(number("held_back") + number("send_lateness_ns.count") == 500);
    end();
}

static void a_worker_that_spins_sends_the_same(void **state)
{
    (void)state;
    service_tcp(&service, echo);
    run_load(WORDS("-r", "2000", "-d", "200ms", "-c", "4", "--spin", "--json", place("")), 0);
    expect_number("requests", 400);
    assert_int_equal(messages_seen(), 400);
    end();
}

/* 200 requests were due while the server stood still: a tenth of all, the first of which waited for all
   of the stall. */
static void a_stall_is_seen_by_all_that_were_due(void **state)
{
    (void)state;
    service_tcp(&service, echo_with_a_stall);
    run_load(WORDS("-r", "1000", "-n", "2000", "-c", "2", "--json", place("")), 0);
    expect_number("requests", 2000);
    assert_true(number("latency_ns.p99") >= 0.85 * STALL_MS * 1e6);
    assert_true(number("latency_ns.mean") >= 0.9 * STALL_MS * 1e6 / 2 / 10);
    assert_true(number("held_back") >= 0.9 * STALL_MS);
    end();
}

static void what_is_due_and_not_answered_is_told(void **state)
{
    (void)state;
    service_tcp(&service, echo_slowly);
    run_load(WORDS("-r", "10000", "-d", "300ms", "-c", "2", "--timeout", "100ms", "--json",
                   place("")),
             1);
    assert_true(number("unanswered") > 0);
    assert_true(number("requests") > 0);
    assert_true(number("requests") + number("unanswered") == 3000);
    expect_number("latency_ns.count", number("requests"));
    end();
}

/* ---- Datagrams --------------------------------------------------------------------------------- */

static void datagrams_come_back(void **state)
{
    (void)state;
    service_udp(&service, echo_datagrams);
    run_load(WORDS("-n", "500", "-c", "4", "-P", "2", "--timeout", "20s", "--json", place("udp:")),
             0);
    expect_number("requests", 500);
    assert_int_equal(messages_seen(), 500);
    program_fini(&program);
    run_load(WORDS("-r", "1000", "-d", "200ms", "-c", "4", "-P", "8", "--timeout", "20s", "--json",
                   place("udp:")),
             0);
    expect_number("requests", 200);
    end();
}

static void datagrams_that_are_lost_are_counted(void **state)
{
    (void)state;
    service_udp(&service, echo_most_datagrams);
    run_load(WORDS("-n", "100", "-c", "2", "-P", "4", "--timeout", "1s", "--json", place("udp:")),
             1);
    expect_number("requests", 90);
    expect_number("errors.lost", 10);
    expect_number("unanswered", 10);
    end();
}

/* ---- What goes wrong --------------------------------------------------------------------------- */

static void nobody_there_is_an_error_that_says_so(void **state)
{
    lido_address address;
    (void)state;
    int fd = net_dead_port(&address);
    assert_int_equal(lido_address_format(&address, service.address, sizeof(service.address)), 0);
    run_load(WORDS("-n", "1", place("")), 2);
    assert_non_null(strstr(program.err, "cannot connect to 127.0.0.1:"));
    assert_non_null(strstr(program.err, "refused"));
    assert_string_equal(program.out, "");
    program_fini(&program);
    lido__os_close(fd);
}

static void a_reset_costs_one_connection_and_is_counted(void **state)
{
    (void)state;
    service_tcp(&service, echo_with_a_reset);
    run_load(WORDS("-n", "400", "-c", "4", "--json", place("")), 1);
    expect_number("requests", 399);
    expect_number("unanswered", 1);
    expect_number("errors.reset", 1);
    expect_number("error_count", 1);
    end();
}

static void a_wrong_answer_is_seen(void **state)
{
    (void)state;
    service_tcp(&service, echo_with_a_mistake);
    run_load(WORDS("-n", "100", "--json", place("")), 1);
    expect_number("requests", 10);
    expect_number("errors.answer", 1);
    expect_number("unanswered", 1);
    end();
}

static void a_silent_server_does_not_hold_it_for_ever(void **state)
{
    (void)state;
    service_tcp(&service, be_silent);
    run_load(WORDS("-n", "100", "-c", "3", "--timeout", "100ms", "--json", place("")), 1);
    expect_number("requests", 0);
    expect_number("errors.timeout", 3);
    expect_number("unanswered", 3);
    program_fini(&program);
    run_load(WORDS("-n", "5", "--churn", "--timeout", "200ms", "--json", place("")), 1);
    expect_number("errors.timeout", 5);
    expect_number("unanswered", 5);
    end();
}

static void a_signal_gives_the_result_so_far(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM};
    (void)state;
    for (size_t i = 0; i < COUNT(signals); i++) {
        setup(NULL);
        service_tcp(&service, echo);
        program_start(&program, "load/lido-load",
                      WORDS("-d", "10m", "-c", "3", "--json", place("")));
        while (messages_seen() < 100)
            sched_yield();
        assert_int_equal(kill(program.pid, signals[i]), 0);
        program_finish(&program);
        assert_int_equal(program.status, 128 + signals[i]);
        assert_true(number("requests") > 50);
        expect_number("signal", signals[i]);
        end();
    }
}

/* A server that accepts nobody, and has no room for more to wait. */
static void a_signal_ends_it_while_it_connects(void **state)
{
    char words[LIDO_ADDRESS_TEXT];
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    (void)state;
    int length =
        snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "lido-load-%d", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    socklen_t size = (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1 + (socklen_t)length;
    assert_int_equal(bind(fd, (struct sockaddr *)&name, size), 0);
    assert_int_equal(listen(fd, 0), 0);
    snprintf(words, sizeof(words), "unix:@%s", name.sun_path + 1);
    program_start(&program, "load/lido-load", WORDS("-c", "64", "--timeout", "1h", words));
    assert_int_equal(poll(&pollfd, 1, -1), 1);
    assert_int_equal(kill(program.pid, SIGINT), 0);
    program_finish(&program);
    assert_int_equal(program.status, 128 + SIGINT);
    assert_string_equal(program.out, "");
    program_fini(&program);
    close(fd);
}

static void too_few_descriptors_are_explained(void **state)
{
    char command[LIDO_ADDRESS_TEXT + 40];
    char tool[4096];
    (void)state;
    service_tcp(&service, echo);
    snprintf(command, sizeof(command), "ulimit -n 40; exec \"$0\" -c 100 %s", service.address);
    snprintf(tool, sizeof(tool), "%s/load/lido-load", getenv("LIDO_BUILD"));
    program_start(&program, "/bin/sh", WORDS("-c", command, tool));
    program_finish(&program);
    assert_int_equal(program.status, 2);
    assert_non_null(strstr(program.err, "no descriptors left after"));
    assert_non_null(strstr(program.err, "of 100 connections. A process may have 40 here"));
    end();
}

/* ---- What it prints ---------------------------------------------------------------------------- */

static void the_text_says_what_has_been(void **state)
{
    (void)state;
    service_tcp(&service, echo);
    run_load(WORDS("-n", "100", "-c", "2", place("")), 0);
    assert_non_null(strstr(program.out, "requests    100 answered"));
    assert_non_null(strstr(program.out, "p99.99"));
    assert_string_equal(program.err, ""); /* no progress: it is no terminal */
    end();
}

static void progress_is_told_each_second(void **state)
{
    (void)state;
    service_tcp(&service, echo);
    run_load(WORDS("-d", "1200ms", "--progress", place("")), 0);
    assert_non_null(strstr(program.err, "running "));
    assert_non_null(strstr(program.err, " s  1 connections  "));
    end();
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_closed_loop_sends_as_many_as_it_was_asked),
        TEST(a_closed_loop_lasts_as_long_as_it_was_asked),
        TEST(messages_of_any_size_come_back),
        TEST(churn_makes_a_connection_for_each_request),
        TEST(unix_sockets_work),
        TEST(pings_are_answered),
        TEST(http_is_spoken),
        TEST(an_http_server_may_end_connections_if_it_says_so),
        TEST(an_open_loop_sends_by_its_schedule),
        TEST(a_worker_that_spins_sends_the_same),
        TEST(a_stall_is_seen_by_all_that_were_due),
        TEST(what_is_due_and_not_answered_is_told),
        TEST(datagrams_come_back),
        TEST(datagrams_that_are_lost_are_counted),
        TEST(nobody_there_is_an_error_that_says_so),
        TEST(a_reset_costs_one_connection_and_is_counted),
        TEST(a_wrong_answer_is_seen),
        TEST(a_silent_server_does_not_hold_it_for_ever),
        TEST(a_signal_gives_the_result_so_far),
        TEST(a_signal_ends_it_while_it_connects),
        TEST(too_few_descriptors_are_explained),
        TEST(the_text_says_what_has_been),
        TEST(progress_is_told_each_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
