/*
 * Writing without SIGPIPE, with the kernel's flag and without. The file is compiled into the test so
 * that the test can say that the kernel has not got the flag. SIGPIPE has its default action: one
 * that gets through ends the test.
 */
#include "../../src/os/linux_write.c"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

static int with_the_flag(void **state)
{
    (void)state;
    nosignal = UNKNOWN;
    return 0;
}

static int without_the_flag(void **state)
{
    (void)state;
    nosignal = UNSUPPORTED;
    return 0;
}

static bool sigpipe_in(int (*get)(sigset_t *set))
{
    sigset_t set;
    assert_int_equal(get(&set), 0);
    return sigismember(&set, SIGPIPE);
}

static int get_mask(sigset_t *set)
{
    return pthread_sigmask(SIG_BLOCK, NULL, set);
}

static void bytes_arrive(void **state)
{
    (void)state;
    int fds[2];
    char buffer[8] = "";
    struct iovec parts[] = {{"lo", 2}, {"!", 1}};
    assert_int_equal(lido__os_pipe(fds), 0);
    assert_int_equal(lido__os_write(fds[1], "hel", 3), 3);
    assert_int_equal(lido__os_writev(fds[1], parts, 2), 3);
    assert_int_equal(lido__os_read(fds[0], buffer, sizeof(buffer)), 6);
    assert_string_equal(buffer, "hello!");
    lido__os_close(fds[0]);
    lido__os_close(fds[1]);
}

static void a_full_pipe_is_eagain(void **state)
{
    (void)state;
    int fds[2];
    static const char block[4096];
    ssize_t n;
    assert_int_equal(lido__os_pipe(fds), 0);
    do
        n = lido__os_write(fds[1], block, sizeof(block));
    while (n > 0);
    assert_int_equal(n, -EAGAIN);
    lido__os_close(fds[0]);
    lido__os_close(fds[1]);
}

static void a_closed_pipe_is_epipe_and_no_signal(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(lido__os_pipe(fds), 0);
    lido__os_close(fds[0]);
    assert_int_equal(lido__os_write(fds[1], "x", 1), -EPIPE);
    assert_false(sigpipe_in(sigpending));
    assert_false(sigpipe_in(get_mask));
    lido__os_close(fds[1]);
}

/* The program has blocked the signal and waits for one of its own. */
static void a_signal_that_was_pending_before_stays_pending(void **state)
{
    (void)state;
    static const struct timespec at_once;
    int fds[2];
    sigset_t sigpipe;
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, NULL);
    raise(SIGPIPE);

    assert_int_equal(lido__os_pipe(fds), 0);
    lido__os_close(fds[0]);
    assert_int_equal(lido__os_write(fds[1], "x", 1), -EPIPE);
    lido__os_close(fds[1]);
    assert_true(sigpipe_in(get_mask));
    assert_int_equal(sigtimedwait(&sigpipe, NULL, &at_once), SIGPIPE);
    pthread_sigmask(SIG_UNBLOCK, &sigpipe, NULL);
}

/* An eventfd has no vectored write, so it refuses all flags. */
static void a_file_that_takes_no_flags_is_written_too(void **state)
{
    (void)state;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t value = 5;
    assert_int_equal(lido__os_write(fd, &value, sizeof(value)), sizeof(value));
    value = 0;
    assert_int_equal(lido__os_read(fd, &value, sizeof(value)), sizeof(value));
    assert_int_equal(value, 5);
    lido__os_close(fd);
}

static void a_regular_file_is_written_where_it_stands(void **state)
{
    (void)state;
    char name[] = "/tmp/lido-test-XXXXXX";
    char buffer[8] = "";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(lido__os_write(fd, "one", 3), 3);
    assert_int_equal(lido__os_write(fd, "two", 3), 3);
    assert_int_equal(pread(fd, buffer, sizeof(buffer), 0), 6);
    assert_string_equal(buffer, "onetwo");
    lido__os_close(fd);
}

#define BOTH_WAYS(test)                                                                            \
    cmocka_unit_test_setup(test, with_the_flag), cmocka_unit_test_setup(test, without_the_flag)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_WAYS(bytes_arrive),
        BOTH_WAYS(a_full_pipe_is_eagain),
        BOTH_WAYS(a_closed_pipe_is_epipe_and_no_signal),
        BOTH_WAYS(a_signal_that_was_pending_before_stays_pending),
        BOTH_WAYS(a_file_that_takes_no_flags_is_written_too),
        BOTH_WAYS(a_regular_file_is_written_where_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
