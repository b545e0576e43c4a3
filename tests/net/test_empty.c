/* A transfer of no bytes is 0 at once, whatever the stream is like: it is not the end, and it is no
   error. */
#include <errno.h>
#include <unistd.h>

#include "support/net.h"

struct empty {
    lido_future future;
    lido_stream *stream;
};

static int poll_empty(lido_future *future, const lido_waker *waker)
{
    struct empty *empty = (struct empty *)future;
    char byte;
    lido_op op;
    lido_op_read(&op, empty->stream, &byte, 0);
    check_int(lido_op_poll(&op, waker), 0);
    check_int(lido_op_poll(&op, waker), 0); /* it stays over */
    lido_op_read(&op, empty->stream, &byte, 0);
    check_int(lido_op_try(&op, waker), 0);
    lido_op_write(&op, empty->stream, &byte, 0);
    check_int(lido_op_poll(&op, waker), 0);
    lido_op_write(&op, empty->stream, &byte, 0);
    check_int(lido_op_try(&op, waker), 0);
    return 0;
}

static void transfer_nothing(lido_stream *stream)
{
    struct empty empty = {{poll_empty}, stream};
    char bytes[2] = "";
    lido_slice none[] = {{bytes, 0}, {NULL, 0}};
    size_t done = 42;
    lido_task *task;
    check_int(lido_read(stream, bytes, 0), 0);
    check_int(lido_read(stream, NULL, 0), 0);
    check_int(lido_peek(stream, bytes, 0), 0);
    check_int(lido_readv(stream, none, 2), 0);
    check_int(lido_readv(stream, NULL, 0), 0);
    check_int(lido_read_all(stream, bytes, 0, &done), 0);
    check_int(done, 0);
    check_int(lido_write(stream, bytes, 0), 0);
    check_int(lido_writev(stream, none, 2), 0);
    check_int(lido_writev(stream, NULL, 0), 0);
    done = 42;
    check_int(lido_write_all(stream, bytes, 0, &done), 0);
    check_int(done, 0);
    check_int(lido_spawn_future(&task, &empty.future), 0);
    check_int(finish(task), 0);
}

static int read_one(void *stream)
{
    char byte = 0;
    ssize_t r = lido_read(stream, &byte, 1);
    return r == 1 ? byte : (int)r;
}

static int transfer_in_each_state(void *arg)
{
    void (*const open[])(lido_stream * pair[2]) = {net_pair, net_unix_pair};
    char byte;
    (void)arg;
    for (size_t i = 0; i < COUNT(open); i++) {
        lido_stream *pair[2];
        open[i](pair);
        transfer_nothing(pair[0]); /* nothing is there */
        check_int(lido_write(pair[1], "abc", 3), 3);
        transfer_nothing(pair[0]);
        net_expect(pair[0], "abc"); /* it has taken none of it */
        net_fill(pair[0]);
        transfer_nothing(pair[0]); /* there is no room */
        lido_task *reader = start(read_one, pair[0]);
        net_await_reader(pair[0]);
        transfer_nothing(pair[0]); /* somebody else reads */
        check_int(lido_write(pair[1], "r", 1), 1);
        check_int(finish(reader), 'r');
        check_int(lido_shutdown_stream(pair[1], LIDO_SIDE_WRITE), 0);
        check_int(lido_read(pair[0], &byte, 1), 0);
        transfer_nothing(pair[0]); /* at the end */
        lido_close(pair[1]);
        transfer_nothing(pair[0]); /* nobody is there */
        lido_close(pair[0]);
    }
    return 0;
}

static void a_transfer_of_no_bytes_is_over_at_once(void **state)
{
    (void)state;
    run(transfer_in_each_state);
}

static int transfer_through_pipes(void *arg)
{
    lido_stream *in, *out;
    char byte;
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&in, fds[0]), 0);
    check_int(lido_stream_from_fd(&out, fds[1]), 0);
    check_int(lido_read(in, &byte, 0), 0);
    check_int(lido_write(out, &byte, 0), 0);
    check_int(lido_peek(in, &byte, 0), 0);
    lido_close(in);
    check_int(lido_write(out, &byte, 0), 0);
    lido_close(out);
    return 0;
}

static void it_is_for_pipes_too(void **state)
{
    (void)state;
    run(transfer_through_pipes);
}

/* A datagram of no bytes is one. */
static int receive_nothing(void *arg)
{
    lido_datagram *pair[2];
    char byte;
    bool truncated;
    (void)arg;
    check_int(lido_datagram_pair(pair), 0);
    check_int(lido_send(pair[0], "lost", 4), 4);
    check_int(lido_send(pair[0], "", 0), 0);
    check_int(lido_send(pair[0], "x", 1), 1);
    check_int(lido_recv(pair[1], &byte, 0, &truncated), 0);
    check(truncated);
    check_int(lido_recv(pair[1], &byte, 1, &truncated), 0);
    check(!truncated);
    check_int(lido_recv(pair[1], &byte, 1, &truncated), 1);
    lido_datagram_close(pair[0]);
    lido_datagram_close(pair[1]);
    return 0;
}

static void for_datagrams_it_is_a_real_transfer(void **state)
{
    (void)state;
    run(receive_nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_of_no_bytes_is_over_at_once),
        cmocka_unit_test(it_is_for_pipes_too),
        cmocka_unit_test(for_datagrams_it_is_a_real_transfer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
