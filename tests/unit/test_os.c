/* Clock, threads, park words, descriptors and sockets. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "os/os.h"

/* ---- Clock ------------------------------------------------------------------------------------ */

static void the_clock_never_goes_back(void **state)
{
    (void)state;
    uint64_t last = lido__clock_now();
    assert_true(last > 0);
    for (int i = 0; i < 10000; i++) {
        uint64_t now = lido__clock_now();
        assert_true(now >= last);
        last = now;
    }
}

static void the_clock_counts_nanoseconds(void **state)
{
    (void)state;
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    uint64_t now = lido__clock_now();
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(now >= (uint64_t)before.tv_sec * 1000000000 + (uint64_t)before.tv_nsec);
    assert_true(now <= (uint64_t)after.tv_sec * 1000000000 + (uint64_t)after.tv_nsec);
}

static void the_coarse_clock_is_never_ahead_and_not_far_behind(void **state)
{
    (void)state;
    uint64_t before = lido__clock_now();
    uint64_t coarse = lido__clock_coarse();
    assert_true(coarse <= lido__clock_now());
    assert_true(coarse + 20000000 >= before);
}

/* ---- Threads ---------------------------------------------------------------------------------- */

struct seen {
    char name[32];
    int cpus;
    int cpu;
    size_t stack_size;
};

static void look(void *arg)
{
    struct seen *seen = arg;
    cpu_set_t mask;
    pthread_attr_t attributes;
    pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    sched_getaffinity(0, sizeof(mask), &mask);
    seen->cpus = CPU_COUNT(&mask);
    seen->cpu = sched_getcpu();
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstacksize(&attributes, &seen->stack_size);
    pthread_attr_destroy(&attributes);
}

static struct seen look_from(const struct lido__thread_config *config)
{
    struct lido__thread thread;
    struct seen seen = {0};
    assert_int_equal(lido__thread_start(&thread, config, look, &seen), 0);
    assert_int_equal(lido__thread_join(&thread), 0);
    return seen;
}

static void a_thread_runs_and_is_joined(void **state)
{
    (void)state;
    assert_int_not_equal(look_from(NULL).cpus, 0);
}

static void a_thread_has_the_first_15_characters_of_its_name(void **state)
{
    (void)state;
    struct lido__thread_config config = {.name = "lido-worker-0123", .cpu = LIDO__CPU_ANY};
    assert_string_equal(look_from(&config).name, "lido-worker-012");
    config.name = "short";
    assert_string_equal(look_from(&config).name, "short");
}

static void a_pinned_thread_is_on_its_cpu_only(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 2; n++) {
        struct lido__thread_config config = {.cpu = lido__cpu_nth(n)};
        struct seen seen = look_from(&config);
        assert_int_equal(seen.cpus, 1);
        assert_int_equal(seen.cpu, config.cpu);
    }
}

static void a_thread_has_at_least_the_stack_that_it_asked_for(void **state)
{
    (void)state;
    struct lido__thread_config config = {.cpu = LIDO__CPU_ANY, .stack_size = (3u << 20) + 1};
    assert_true(look_from(&config).stack_size >= config.stack_size);
    config.stack_size = 1; /* less than the system demands */
    assert_true(look_from(&config).stack_size >= (size_t)PTHREAD_STACK_MIN);
}

static void a_cpu_that_does_not_exist_is_einval(void **state)
{
    (void)state;
    static const int cpus[] = {-2, CPU_SETSIZE - 1, CPU_SETSIZE, INT_MAX};
    for (size_t i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++) {
        struct lido__thread thread;
        struct lido__thread_config config = {.cpu = cpus[i]};
        struct seen seen;
        assert_int_equal(lido__thread_start(&thread, &config, look, &seen), -EINVAL);
        assert_int_equal(lido__thread_pin(cpus[i]), -EINVAL);
    }
}

/* A pinned thread asks: it must not take its own mask for that of the process. */
static void ask_count(void *arg)
{
    *(unsigned *)arg = lido__cpu_count();
}

static void a_pinned_thread_counts_all_cpus(void **state)
{
    (void)state;
    struct lido__thread thread;
    struct lido__thread_config config = {.cpu = lido__cpu_nth(0)};
    unsigned count = 0;
    assert_int_equal(lido__thread_start(&thread, &config, ask_count, &count), 0);
    assert_int_equal(lido__thread_join(&thread), 0);
    assert_int_equal(count, lido__cpu_count());
}

/* ---- Park words ------------------------------------------------------------------------------- */

static void a_wait_for_a_word_that_has_changed_is_eagain(void **state)
{
    (void)state;
    uint32_t word = 1;
    assert_int_equal(lido__futex_wait(&word, 0, LIDO__FOREVER), -EAGAIN);
}

static void a_wait_ends_with_its_timeout(void **state)
{
    (void)state;
    uint32_t word = 0;
    uint64_t before = lido__clock_now();
    assert_int_equal(lido__futex_wait(&word, 0, 0), -ETIMEDOUT);
    assert_int_equal(lido__futex_wait(&word, 0, 1000000), -ETIMEDOUT);
    assert_true(lido__clock_now() - before >= 1000000);
}

static void a_wake_without_sleepers_wakes_nobody(void **state)
{
    (void)state;
    uint32_t word = 0;
    assert_int_equal(lido__futex_wake(&word, INT_MAX), 0);
}

static void answer(void *arg)
{
    uint32_t *word = arg;
    while (lido__load(word, LIDO__ACQUIRE) == 0)
        lido__futex_wait(word, 0, LIDO__FOREVER);
    lido__store(word, 2, LIDO__RELEASE);
    lido__futex_wake(word, 1);
}

static void a_sleeper_is_woken(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct lido__thread thread;
        uint32_t word = 0;
        assert_int_equal(lido__thread_start(&thread, NULL, answer, &word), 0);
        lido__store(&word, 1, LIDO__RELEASE);
        lido__futex_wake(&word, 1);
        while (lido__load(&word, LIDO__ACQUIRE) == 1)
            lido__futex_wait(&word, 1, LIDO__FOREVER);
        assert_int_equal(lido__thread_join(&thread), 0);
        assert_int_equal(word, 2);
    }
}

/* ---- Descriptors and sockets ------------------------------------------------------------------ */

static void assert_nonblocking_and_cloexec(int fd)
{
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static int listen_on_loopback(struct sockaddr_in *ret_address)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    int one = 1;
    int fd = lido__os_socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(lido__os_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(lido__os_bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(lido__os_listen(fd, 8), 0);
    assert_int_equal(lido__os_getsockname(fd, (struct sockaddr *)&address, &length), 0);
    assert_int_not_equal(address.sin_port, 0);
    *ret_address = address;
    return fd;
}

static void each_new_descriptor_is_nonblocking_and_closed_on_exec(void **state)
{
    (void)state;
    int pair[2], ends[2];
    int fd = lido__os_socket(AF_INET, SOCK_DGRAM, 0);
    assert_nonblocking_and_cloexec(fd);
    assert_int_equal(lido__os_close(fd), 0);
    assert_int_equal(lido__os_socketpair(AF_UNIX, SOCK_STREAM, pair), 0);
    assert_int_equal(lido__os_pipe(ends), 0);
    for (int i = 0; i < 2; i++) {
        assert_nonblocking_and_cloexec(pair[i]);
        assert_nonblocking_and_cloexec(ends[i]);
        assert_int_equal(lido__os_close(pair[i]), 0);
        assert_int_equal(lido__os_close(ends[i]), 0);
    }
}

static void wait_for(int fd, short what)
{
    struct pollfd wanted = {.fd = fd, .events = what};
    assert_int_equal(poll(&wanted, 1, 10000), 1);
}

static void a_connection_is_made_accepted_and_carries_bytes(void **state)
{
    (void)state;
    struct sockaddr_in address, peer;
    socklen_t length = sizeof(peer);
    int listener = listen_on_loopback(&address);
    assert_int_equal(lido__os_accept(listener, NULL, NULL), -EAGAIN);

    int client = lido__os_socket(AF_INET, SOCK_STREAM, 0);
    int r = lido__os_connect(client, (struct sockaddr *)&address, sizeof(address));
    assert_true(r == 0 || r == -EINPROGRESS);
    wait_for(listener, POLLIN);
    int server = lido__os_accept(listener, (struct sockaddr *)&peer, &length);
    assert_nonblocking_and_cloexec(server);
    wait_for(client, POLLOUT);

    int error = -1;
    socklen_t error_length = sizeof(error);
    assert_int_equal(lido__os_getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &error_length), 0);
    assert_int_equal(error, 0);
    length = sizeof(address);
    assert_int_equal(lido__os_getpeername(server, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(address.sin_port, peer.sin_port);

    char buffer[8] = "";
    assert_int_equal(lido__os_send(client, "hello", 5, 0), 5);
    wait_for(server, POLLIN);
    assert_int_equal(lido__os_recv(server, buffer, sizeof(buffer), MSG_PEEK), 5);
    assert_int_equal(lido__os_recv(server, buffer, sizeof(buffer), 0), 5);
    assert_string_equal(buffer, "hello");
    assert_int_equal(lido__os_recv(server, buffer, sizeof(buffer), 0), -EAGAIN);

    assert_int_equal(lido__os_shutdown(client, SHUT_WR), 0);
    wait_for(server, POLLIN);
    assert_int_equal(lido__os_recv(server, buffer, sizeof(buffer), 0), 0);
    assert_int_equal(lido__os_close(client), 0);
    assert_int_equal(lido__os_close(server), 0);
    assert_int_equal(lido__os_close(listener), 0);
}

static void vectors_are_sent_and_read_in_order(void **state)
{
    (void)state;
    int pair[2];
    char first[3] = "", second[5] = "";
    struct iovec out[] = {{"ab", 2}, {"cdef", 4}};
    struct iovec in[] = {{first, 2}, {second, 4}};
    assert_int_equal(lido__os_socketpair(AF_UNIX, SOCK_STREAM, pair), 0);

    assert_int_equal(lido__os_sendv(pair[0], out, 2), 6);
    assert_int_equal(lido__os_readv(pair[1], in, 2), 6);
    assert_string_equal(first, "ab");
    assert_string_equal(second, "cdef");

    memset(first, 0, sizeof(first));
    assert_int_equal(lido__os_writev(pair[0], out, 2), 6);
    assert_int_equal(lido__os_readv(pair[1], in, 2), 6);
    assert_string_equal(first, "ab");
    assert_int_equal(lido__os_close(pair[0]), 0);
    assert_int_equal(lido__os_close(pair[1]), 0);
}

/* Of one that is too long as much as fits, and the rest is lost. */
static void a_datagram_tells_whether_it_was_cut(void **state)
{
    (void)state;
    int pair[2];
    char whole[] = "abcdef", received[4] = "";
    struct iovec out = {whole, 6}, in = {received, 3};
    struct msghdr sent = {.msg_iov = &out, .msg_iovlen = 1};
    struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1};
    assert_int_equal(lido__os_socketpair(AF_UNIX, SOCK_DGRAM, pair), 0);
    for (size_t size = 6; size > 0; size -= 3) {
        out.iov_len = size;
        assert_int_equal(lido__os_send_datagram(pair[0], &sent), (ssize_t)size);
        assert_int_equal(lido__os_recv_datagram(pair[1], &message), 3);
        assert_string_equal(received, "abc");
        assert_int_equal(message.msg_flags, size > 3 ? MSG_TRUNC : 0);
    }
    assert_int_equal(lido__os_recv_datagram(pair[1], &message), -EAGAIN);
    assert_int_equal(lido__os_close(pair[0]), 0);
    assert_int_equal(lido__os_close(pair[1]), 0);
}

/* SIGPIPE has its default action here: one of them would end this test. */
static void writing_to_a_closed_socket_is_epipe_and_no_signal(void **state)
{
    (void)state;
    int pair[2];
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    assert_int_equal(lido__os_socketpair(AF_UNIX, SOCK_STREAM, pair), 0);
    assert_int_equal(lido__os_close(pair[1]), 0);
    assert_int_equal(lido__os_send(pair[0], "x", 1, 0), -EPIPE);
    assert_int_equal(lido__os_sendv(pair[0], &part, 1), -EPIPE);
    assert_int_equal(lido__os_send_datagram(pair[0], &message), -EPIPE);
    assert_int_equal(lido__os_write(pair[0], "x", 1), -EPIPE);
    assert_int_equal(lido__os_close(pair[0]), 0);
}

static void a_failed_call_leaves_its_results_alone(void **state)
{
    (void)state;
    int fds[2] = {-7, -8};
    assert_int_equal(lido__os_socketpair(AF_INET, SOCK_STREAM, fds), -EOPNOTSUPP);
    assert_int_equal(fds[0], -7);
    assert_int_equal(fds[1], -8);
    char byte = 'x';
    assert_int_equal(lido__os_read(-1, &byte, 1), -EBADF);
    assert_int_equal(byte, 'x');
    assert_int_equal(lido__os_close(-1), -EBADF);
}

/* So that a fiber which waits after a first attempt finds its own. */
static void a_failed_call_leaves_errno_alone(void **state)
{
    (void)state;
    uint32_t word = 1;
    char byte;
    errno = ERANGE;
    assert_int_equal(lido__futex_wait(&word, 0, LIDO__FOREVER), -EAGAIN);
    assert_int_equal(lido__os_accept(-1, NULL, NULL), -EBADF);
    assert_int_equal(lido__os_recv(-1, &byte, 1, 0), -EBADF);
    assert_int_equal(lido__os_send(-1, &byte, 1, 0), -EBADF);
    assert_int_equal(lido__os_read(-1, &byte, 1), -EBADF);
    assert_int_equal(lido__os_write(-1, &byte, 1), -EBADF);
    assert_int_equal(lido__os_close(-1), -EBADF);
    assert_int_equal(errno, ERANGE);
}

static void a_blocking_descriptor_can_be_made_nonblocking(void **state)
{
    (void)state;
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(lido__fd_set_nonblocking(fds[0]), 0);
    assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(lido__os_read(fds[0], &byte, 1), -EAGAIN);
    close(fds[0]);
    close(fds[1]);
}

static void the_limit_of_descriptors_goes_up_to_the_hard_one(void **state)
{
    (void)state;
    struct rlimit before, after;
    getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit low = {.rlim_cur = 64, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    assert_true((rlim_t)lido__fd_limit_raise() == before.rlim_max);
    getrlimit(RLIMIT_NOFILE, &after);
    assert_true(after.rlim_cur == before.rlim_max);
    setrlimit(RLIMIT_NOFILE, &before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_clock_never_goes_back),
        cmocka_unit_test(the_clock_counts_nanoseconds),
        cmocka_unit_test(the_coarse_clock_is_never_ahead_and_not_far_behind),
        cmocka_unit_test(a_thread_runs_and_is_joined),
        cmocka_unit_test(a_thread_has_the_first_15_characters_of_its_name),
        cmocka_unit_test(a_pinned_thread_is_on_its_cpu_only),
        cmocka_unit_test(a_thread_has_at_least_the_stack_that_it_asked_for),
        cmocka_unit_test(a_cpu_that_does_not_exist_is_einval),
        cmocka_unit_test(a_pinned_thread_counts_all_cpus),
        cmocka_unit_test(a_wait_for_a_word_that_has_changed_is_eagain),
        cmocka_unit_test(a_wait_ends_with_its_timeout),
        cmocka_unit_test(a_wake_without_sleepers_wakes_nobody),
        cmocka_unit_test(a_sleeper_is_woken),
        cmocka_unit_test(each_new_descriptor_is_nonblocking_and_closed_on_exec),
        cmocka_unit_test(a_connection_is_made_accepted_and_carries_bytes),
        cmocka_unit_test(vectors_are_sent_and_read_in_order),
        cmocka_unit_test(a_datagram_tells_whether_it_was_cut),
        cmocka_unit_test(writing_to_a_closed_socket_is_epipe_and_no_signal),
        cmocka_unit_test(a_failed_call_leaves_its_results_alone),
        cmocka_unit_test(a_failed_call_leaves_errno_alone),
        cmocka_unit_test(a_blocking_descriptor_can_be_made_nonblocking),
        cmocka_unit_test(the_limit_of_descriptors_goes_up_to_the_hard_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
