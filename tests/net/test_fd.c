/* Streams and listeners from descriptors, and back. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "os/os.h"
#include "support/net.h"

static bool is_nonblocking(int fd)
{
    return fcntl(fd, F_GETFL) & O_NONBLOCK;
}

static int read_one(void *stream)
{
    char byte = 0;
    check_int(lido_read(stream, &byte, 1), 1);
    return byte;
}

static int adopt_socket(void *arg)
{
    lido_stream *stream;
    int fds[2];
    (void)arg;
    check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    check(!is_nonblocking(fds[0]));
    check_int(lido_stream_from_fd(&stream, fds[0]), 0);
    check_int(lido_stream_fd(stream), fds[0]);
    check(is_nonblocking(fds[0]));
    lido_task *reader = start(read_one, stream);
    net_await_reader(stream);
    check_int(write(fds[1], "x", 1), 1);
    check_int(finish(reader), 'x');
    lido_close(stream);
    char byte;
    check_int(read(fds[1], &byte, 1), 0);
    close(fds[1]);
    return 0;
}

static void a_socket_becomes_a_stream_and_is_closed_with_it(void **state)
{
    (void)state;
    run(adopt_socket);
}

static int adopt_pipe(void *arg)
{
    lido_stream *reader, *writer;
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&reader, fds[0]), 0);
    check_int(lido_stream_from_fd(&writer, fds[1]), 0);
    lido_task *task = start(read_one, reader);
    net_await_reader(reader);
    net_say(writer, "x");
    check_int(finish(task), 'x');
    net_say(writer, "and more");
    lido_close(writer);
    net_expect(reader, "and more");
    net_expect_end(reader);
    lido_close(reader);
    return 0;
}

static void the_ends_of_a_pipe_become_streams(void **state)
{
    (void)state;
    run(adopt_pipe);
}

static int write_much(void *stream)
{
    static char zeros[1 << 20];
    check_int(lido_write_all(stream, zeros, sizeof(zeros), NULL), sizeof(zeros));
    lido_close(stream);
    return 0;
}

static int fill_pipe(void *arg)
{
    lido_stream *reader, *writer;
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&reader, fds[0]), 0);
    check_int(lido_stream_from_fd(&writer, fds[1]), 0);
    lido_task *task = start(write_much, writer);
    net_await_writer(writer);
    net_drain(reader, 1 << 20);
    net_expect_end(reader);
    check_int(finish(task), 0);
    lido_close(reader);
    return 0;
}

static void a_full_pipe_makes_its_writer_wait(void **state)
{
    (void)state;
    run(fill_pipe);
}

/* A terminal as the user's end of it sees it. */
static int open_terminal(int *ret_keyboard)
{
    int keyboard = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    check(keyboard >= 0);
    check_int(grantpt(keyboard), 0);
    check_int(unlockpt(keyboard), 0);
    int terminal = open(ptsname(keyboard), O_RDWR | O_NOCTTY | O_CLOEXEC);
    check(terminal >= 0);
    *ret_keyboard = keyboard;
    return terminal;
}

/* A read ends with the line, whatever comes behind it: there is one event for both lines. */
static int type_two_lines(void *arg)
{
    lido_stream *stream;
    char line[64] = "";
    int keyboard;
    (void)arg;
    check_int(lido_stream_from_fd(&stream, open_terminal(&keyboard)), 0);
    lido_task *reader = start(read_one, stream);
    net_await_reader(stream);
    check_int(write(keyboard, "x\none\ntwo\n", 10), 10);
    check_int(finish(reader), 'x');
    check_int(lido_read(stream, line, sizeof(line)), 1); /* the rest of the first */
    check_int(lido_read(stream, line, sizeof(line)), 4);
    check_bytes(line, "one\n", 4);
    check_int(lido_read(stream, line, sizeof(line)), 4);
    check_bytes(line, "two\n", 4);
    lido_close(stream);
    close(keyboard);
    return 0;
}

static void lines_that_were_typed_together_are_all_read(void **state)
{
    (void)state;
    int keyboard = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (keyboard < 0)
        skip(); /* a bare root may have no /dev/pts */
    close(keyboard);
    run(type_two_lines);
}

static int write_to_closed_pipe(void *arg)
{
    lido_stream *writer;
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&writer, fds[1]), 0);
    close(fds[0]);
    check_int(lido_write(writer, "x", 1), -EPIPE);
    lido_slice slice = {"x", 1};
    check_int(lido_writev(writer, &slice, 1), -EPIPE);
    lido_close(writer);
    return 0;
}

static void writing_to_a_pipe_without_reader_is_epipe_and_no_signal(void **state)
{
    (void)state;
    run(write_to_closed_pipe);
}

static int refuse_descriptors(void *arg)
{
    lido_stream *stream = arg;
    lido_listener *listener = arg;
    lido_stream *pair[2];
    int fds[2];
    (void)arg;
    check_int(lido_stream_from_fd(&stream, -1), -EBADF);
    check_int(lido_listener_from_fd(&listener, -1), -EBADF);
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    check(file >= 0);
    check_int(lido_stream_from_fd(&stream, file), -EINVAL);
    check_int(lido_listener_from_fd(&listener, file), -EINVAL);
    close(file);
    int udp = lido__os_socket(AF_INET, SOCK_DGRAM, 0);
    check_int(lido_stream_from_fd(&stream, udp), -EINVAL);
    check_int(lido_listener_from_fd(&listener, udp), -EINVAL);
    lido__os_close(udp);
    /* Its reads end with the record: no stream of bytes. */
    int records = lido__os_socket(AF_UNIX, SOCK_SEQPACKET, 0);
    check_int(lido_stream_from_fd(&stream, records), -EINVAL);
    check_int(lido_listener_from_fd(&listener, records), -EINVAL);
    lido__os_close(records);
    net_unix_pair(pair);
    check_int(lido_listener_from_fd(&listener, lido_stream_fd(pair[0])), -EINVAL);
    net_close_pair(pair);
    check_int(pipe(fds), 0);
    check_int(lido_listener_from_fd(&listener, fds[0]), -EINVAL);
    check(!is_nonblocking(fds[0])); /* nothing was done to it */
    close(fds[0]);
    close(fds[1]);
    check(stream == arg && listener == arg);
    return 0;
}

static void what_is_neither_stream_nor_listener_is_refused_and_left_alone(void **state)
{
    (void)state;
    run(refuse_descriptors);
}

static int give_back(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_unix_pair(pair);
    int fd = lido_stream_fd(pair[0]);
    /* Registered with the reactor by a wait, and taken off it. */
    lido_task *reader = start(read_one, pair[0]);
    net_await_reader(pair[0]);
    check_int(lido_stream_into_fd(pair[0]), -EBUSY);
    net_say(pair[1], "x");
    check_int(finish(reader), 'x');
    check_int(lido_stream_into_fd(pair[0]), fd);
    check(is_nonblocking(fd));
    check_int(write(fd, "y", 1), 1);
    net_expect(pair[1], "y");
    /* And again: as a stream of its own, it waits as before. */
    check_int(lido_stream_from_fd(&pair[0], fd), 0);
    reader = start(read_one, pair[0]);
    net_await_reader(pair[0]);
    net_say(pair[1], "z");
    check_int(finish(reader), 'z');
    net_close_pair(pair);
    return 0;
}

static void a_descriptor_is_given_back_unless_a_task_waits_on_it(void **state)
{
    (void)state;
    run(give_back);
}

static int adopt_listener(void *arg)
{
    lido_listener *listener;
    lido_stream *stream;
    int on = 0;
    (void)arg;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check_int(listen(fd, 10), 0); /* on any port */
    check_int(lido_stream_from_fd(&stream, fd), -EINVAL);
    check_int(lido_listener_from_fd(&listener, fd), 0);
    check_int(lido_listener_fd(listener), fd);
    check(is_nonblocking(fd));
    lido_stream *client = net_connect(listener), *server = net_accept(listener);
    net_say(client, "x");
    net_expect(server, "x");
    lido_close(client);
    lido_close(server);
    lido_listener_close(listener);
    socklen_t length = sizeof(on);
    check_int(lido__os_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &length), -EBADF);
    return 0;
}

static void a_listening_socket_becomes_a_listener(void **state)
{
    (void)state;
    run(adopt_listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_becomes_a_stream_and_is_closed_with_it),
        cmocka_unit_test(the_ends_of_a_pipe_become_streams),
        cmocka_unit_test(a_full_pipe_makes_its_writer_wait),
        cmocka_unit_test(lines_that_were_typed_together_are_all_read),
        cmocka_unit_test(writing_to_a_pipe_without_reader_is_epipe_and_no_signal),
        cmocka_unit_test(what_is_neither_stream_nor_listener_is_refused_and_left_alone),
        cmocka_unit_test(a_descriptor_is_given_back_unless_a_task_waits_on_it),
        cmocka_unit_test(a_listening_socket_becomes_a_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
