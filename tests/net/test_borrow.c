/* A descriptor that was somebody else's is given back as it was. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/death.h"
#include "support/net.h"

static bool is_nonblocking(int fd)
{
    return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

/* A terminal of the test's own: [0] is what the user types, [1] what a program has. */
static void open_terminal(int ends[2])
{
    ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
    check(ends[0] >= 0);
    check_int(grantpt(ends[0]), 0);
    check_int(unlockpt(ends[0]), 0);
    ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
    check(ends[1] >= 0);
}

static int read_line(void *fd)
{
    lido_stream *stream;
    char line[8];
    check_int(lido_stream_from_fd(&stream, *(int *)fd), 0);
    check_int(lido_read(stream, line, sizeof(line)), 3);
    lido_close(stream);
    return 0;
}

static int leave_open(void *fd)
{
    lido_stream *stream;
    check_int(lido_stream_from_fd(&stream, *(int *)fd), 0);
    check(is_nonblocking(*(int *)fd));
    return 0;
}

/* `others`: the shell's own descriptor of the same terminal. */
static void a_terminal_blocks_again_after_its_close(void **state)
{
    int ends[2];
    (void)state;
    open_terminal(ends);
    int others = dup(ends[1]);
    check_int(write(ends[0], "hi\n", 3), 3);
    run_on(1, read_line, &ends[1]);
    check(!is_nonblocking(others));
    close(others);
    close(ends[0]);
}

static void one_that_was_not_closed_blocks_again_after_the_runtime(void **state)
{
    int ends[2];
    (void)state;
    open_terminal(ends);
    run_on(1, leave_open, &ends[1]);
    check(!is_nonblocking(ends[1]));
    close(ends[0]);
    close(ends[1]);
}

static int exit_inside(void *fd)
{
    leave_open(fd);
    exit(0);
}

static void exit_in_child(void *fd)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 2;
    lido_run(&config, exit_inside, fd);
}

static void one_that_was_not_closed_blocks_again_after_exit(void **state)
{
    struct death death;
    int fds[2];
    (void)state;
    check_int(pipe(fds), 0);
    death_of(exit_in_child, &fds[0], &death);
    check(WIFEXITED(death.status)); /* a leak checker may find the runtime */
    check(!is_nonblocking(fds[0]));
    close(fds[0]);
    close(fds[1]);
}

/* What did not block before does not block after. */
static int take_over_nonblocking(void *arg)
{
    lido_stream *stream;
    int fds[2];
    (void)arg;
    check_int(pipe2(fds, O_NONBLOCK), 0);
    int others = dup(fds[0]);
    check_int(lido_stream_from_fd(&stream, fds[0]), 0);
    lido_close(stream);
    check(is_nonblocking(others));
    close(others);
    close(fds[1]);
    return 0;
}

static void what_did_not_block_is_left_so(void **state)
{
    (void)state;
    run(take_over_nonblocking);
}

static bool closes_on_exec(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

static int take_over_each(void *arg)
{
    lido_stream *stream;
    lido_listener *listener;
    lido_datagram *datagram;
    lido_address address;
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&stream, fds[0]), 0);
    check(closes_on_exec(fds[0]));
    lido_close(stream);
    close(fds[1]);
    int fd = net_listening_fd(&address);
    check_int(fcntl(fd, F_SETFD, 0), 0);
    check_int(lido_listener_from_fd(&listener, fd), 0);
    check(closes_on_exec(fd));
    lido_listener_close(listener);
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    check_int(lido_datagram_from_fd(&datagram, fd), 0);
    check(closes_on_exec(fd));
    lido_datagram_close(datagram);
    return 0;
}

static void what_is_taken_over_is_closed_on_exec(void **state)
{
    (void)state;
    run(take_over_each);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_terminal_blocks_again_after_its_close),
        cmocka_unit_test(one_that_was_not_closed_blocks_again_after_the_runtime),
        cmocka_unit_test(one_that_was_not_closed_blocks_again_after_exit),
        cmocka_unit_test(what_did_not_block_is_left_so),
        cmocka_unit_test(what_is_taken_over_is_closed_on_exec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
