/*
 * The descriptors that lido opens: none of them is a standard one, whichever of those the program was started
 * without; and if the program closes them, it learns which.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "reactor/reactor.h"
#include "sched/worker.h"
#include "support/death.h"
#include "support/net.h"
#include "support/runtime.h"

/* ---- Above the standard ones ------------------------------------------------------------------- */

static unsigned closed; /* a bit for each standard descriptor */

/* What lido has opened since: nothing is where a standard one was. */
static void check_still_closed(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (closed & 1u << fd)
            check(fcntl(fd, F_GETFD) < 0);
}

static int await_signal(void *arg)
{
    (void)arg;
    return lido_signal(SIGUSR2);
}

static void signal_me(void)
{
    lido_task *task = start(await_signal, NULL);
    lido_yield();
    check_still_closed();
    raise(SIGUSR2);
    check_int(finish(task), SIGUSR2);
}

static int pump(void *arg)
{
    lido_stream **ends = arg;
    check(lido_copy(ends[0], ends[1], NULL) > 0);
    check_int(lido_shutdown_stream(ends[0], LIDO_SIDE_WRITE), 0);
    return 0;
}

static int pour(void *arg)
{
    static char bytes[65536];
    for (int i = 0; i < 64; i++)
        check_int(lido_write_all(arg, bytes, sizeof(bytes), NULL), sizeof(bytes));
    check_int(lido_shutdown_stream(arg, LIDO_SIDE_WRITE), 0);
    return 0;
}

/* Enough for pipes to be used. */
static void copy_much(void)
{
    lido_stream *from[2], *to[2];
    char buffer[4096];
    ssize_t n;
    check_int(lido_stream_pair(from), 0);
    check_int(lido_stream_pair(to), 0);
    lido_stream *ends[2] = {to[0], from[1]};
    lido_task *pumping = start(pump, ends), *pouring = start(pour, from[0]);
    while ((n = lido_read(to[1], buffer, sizeof(buffer))) > 0)
        check_still_closed();
    check_int(n, 0);
    finish(pumping);
    finish(pouring);
    net_close_pair(from);
    net_close_pair(to);
}

static int connect_to(void *arg)
{
    lido_stream *stream;
    check_int(lido_connect_tcp(&stream, arg), 0);
    lido_close(stream);
    return 0;
}

/* By lido alone: net_pair would make sockets of its own. */
static void connect_and_accept(void)
{
    lido_listener *listener = net_listen();
    lido_address address = net_address(listener);
    lido_stream *stream;
    char text[LIDO_ADDRESS_TEXT];
    check(lido_address_format(&address, text, sizeof(text)) >= 0);
    check_still_closed();
    lido_task *task = start(connect_to, text);
    check_int(lido_accept(listener, &stream, NULL), 0);
    finish(task);
    check_still_closed();
    lido_close(stream);
    lido_listener_close(listener);
}

static int open_everything(void *arg)
{
    lido_datagram *datagram;
    lido_stream *pair[2];
    (void)arg;
    check_still_closed();
    connect_and_accept();
    check_int(lido_stream_pair(pair), 0);
    check_still_closed();
    check_int(lido_bind_udp(&datagram, "127.0.0.1:0"), 0);
    check_still_closed();
    net_say(pair[0], "hello");
    net_expect(pair[1], "hello");
    signal_me();
    copy_much();
    check_still_closed();
    net_close_pair(pair);
    lido_datagram_close(datagram);
    return 0;
}

static void run_without_standard(void *arg)
{
    (void)arg;
    for (int fd = 0; fd <= 2; fd++)
        if (closed & 1u << fd)
            close(fd);
    run(open_everything); /* with others a number could be in use for a moment */
}

static void no_descriptor_of_lido_is_a_standard_one(void **state)
{
    struct death death;
    (void)state;
    for (closed = 1; closed < 8; closed++) {
        death_of(run_without_standard, NULL, &death);
        assert_string_equal(death.told, "");
        assert_int_equal(death.status, 0);
    }
}

/* ---- Closed under the runtime ------------------------------------------------------------------ */

enum { FDS_MAX = 256 };

static const char eventpoll[] = "anon_inode:[eventpoll]", event_fd[] = "anon_inode:[eventfd]";

static bool is_called(int fd, const char *name)
{
    char path[64], target[64] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target) - 1) > 0 && strcmp(target, name) == 0;
}

static int no_file(void)
{
    return -1;
}

static int regular_file(void)
{
    return memfd_create("another", 0);
}

static int pipe_to_write_to(void)
{
    int ends[2];
    check_int(pipe(ends), 0);
    return ends[1];
}

static int another_eventfd(void)
{
    return eventfd(0, 0);
}

static int another_epoll(void)
{
    return epoll_create1(0);
}

/* What is closed, and what the program opens that gets its number. */
struct replacement {
    const char *name; /* NULL: all of lido's */
    int (*with)(void);
    const char *told;
};

static bool concerns(const struct replacement *replacement, int fd)
{
    if (replacement->name)
        return is_called(fd, replacement->name);
    return is_called(fd, eventpoll) || is_called(fd, event_fd);
}

static void replace(const struct replacement *replacement)
{
    int with = replacement->with();
    unsigned replaced = 0;
    for (int fd = 3; fd < FDS_MAX; fd++)
        if (fd != with && concerns(replacement, fd)) {
            replaced++;
            close(fd);
            if (with >= 0)
                check_int(dup2(with, fd), fd);
        }
    check(replaced > 0);
}

static bool is_asleep(lido_runtime *runtime)
{
    struct lido__pool *pool = (struct lido__pool *)runtime; /* it begins with it */
    return !lido__load(&pool->workers[0].awake, LIDO__RELAXED);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Whose worker sleeps, and was woken the last time in another tick of the clock. */
static lido_runtime *sleeping_runtime(void)
{
    lido_runtime *runtime = runtime_by("io-pool", 1);
    finish(runtime_start(runtime, nothing, NULL));
    while (!is_asleep(runtime))
        lido__thread_yield();
    for (uint64_t tick = lido__clock_coarse(); tick == lido__clock_coarse();)
        lido__thread_yield();
    return runtime;
}

/* Who wakes it finds out, before a byte is written to what is another's. */
static void replace_and_wake(void *arg)
{
    lido_runtime *runtime = sleeping_runtime();
    replace(arg);
    finish(runtime_start(runtime, nothing, NULL));
}

/* The worker is awake, and finds out by itself. */
static int replace_and_work(void *arg)
{
    replace(arg);
    while (lido_yield() == 0) {}
    return 0;
}

static void replace_from_within(void *arg)
{
    run_on(1, replace_and_work, arg);
}

static const struct replacement replacements[] = {
    {NULL, no_file, "epoll descriptor"},
    {NULL, regular_file, "epoll descriptor"},
    {eventpoll, no_file, "epoll descriptor"},
    {eventpoll, regular_file, "epoll descriptor"},
    {eventpoll, pipe_to_write_to, "epoll descriptor"},
    {eventpoll, another_eventfd, "epoll descriptor"},
    {event_fd, no_file, "wake-up descriptor"},
    {event_fd, regular_file, "wake-up descriptor"},
    {event_fd, pipe_to_write_to, "wake-up descriptor"},
    {event_fd, another_epoll, "wake-up descriptor"},
    {event_fd, another_eventfd, "wake-up descriptor"},
    {eventpoll, another_epoll, "wake-up descriptor"},
};

static void dies_saying(void (*fn)(void *arg), const struct replacement *replacement)
{
    struct death death;
    death_of(fn, (void *)replacement, &death);
    bool right = WIFSIGNALED(death.status) && WTERMSIG(death.status) == SIGABRT &&
                 strstr(death.told, replacement->told) &&
                 strstr(death.told, "of worker 0 was closed by the program");
    if (!right)
        print_error("replacement %d: status %#x: %s\n", (int)(replacement - replacements),
                    death.status, death.told);
    assert_true(right);
}

static void who_wakes_a_worker_without_descriptors_says_which(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* it reports the close itself, for it is a mistake */
    for (size_t i = 0; i < COUNT(replacements); i++)
        dies_saying(replace_and_wake, &replacements[i]);
}

static void a_worker_whose_epoll_was_closed_says_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++)
        dies_saying(replace_from_within, &replacements[i]);
}

/* The descriptors are closed as the runtime ends: what has their numbers by now is not lido's to close. */
static void replace_and_end(void *arg)
{
    lido_runtime *runtime = sleeping_runtime();
    replace(arg);
    lido_runtime_free(runtime);
}

static void an_end_does_not_close_what_is_anothers(void **state)
{
    (void)state;
    if (UNDER_TSAN)
        skip(); /* it reports the close itself, for it is a mistake */
    for (size_t i = 0; i < COUNT(replacements); i++)
        dies_saying(replace_and_end, &replacements[i]);
}

static void bad_descriptors_of_the_caller_are_the_callers(void **state)
{
    (void)state;
    lido_runtime *runtime = runtime_of(1);
    struct lido__reactor *reactor = ((struct lido__pool *)runtime)->workers[0].reactor;
    struct lido__handle *handle = lido__handle_new(FDS_MAX - 1, LIDO__HANDLE_FOREIGN);
    struct lido__op op;
    lido__op_init(&op, LIDO__OP_READABLE, handle, NULL, 0);
    assert_int_equal(reactor->ops->watch(reactor, &op), -EBADF);
    lido__handle_free(handle);
    runtime_end(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_descriptor_of_lido_is_a_standard_one),
        cmocka_unit_test(who_wakes_a_worker_without_descriptors_says_which),
        cmocka_unit_test(a_worker_whose_epoll_was_closed_says_so),
        cmocka_unit_test(an_end_does_not_close_what_is_anothers),
        cmocka_unit_test(bad_descriptors_of_the_caller_are_the_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
