/* Several buffers in one read or write. */
#include <errno.h>
#include <unistd.h>

#include "support/net.h"

static lido_slice slice(const char *text)
{
    return (lido_slice){(void *)text, strlen(text)};
}

static int write_slices(void *arg)
{
    lido_stream *pair[2];
    lido_slice slices[] = {slice("one "), slice(""), slice("two "), slice("three")};
    (void)arg;
    net_pair(pair);
    check_int(lido_writev(pair[0], slices, COUNT(slices)), 13);
    net_expect(pair[1], "one two three");
    net_close_pair(pair);
    return 0;
}

static void slices_are_written_in_order(void **state)
{
    (void)state;
    run(write_slices);
}

static int read_slices(void *arg)
{
    lido_stream *pair[2];
    char first[3], second[4], third[100];
    lido_slice slices[] = {
        {first, sizeof(first)}, {second, sizeof(second)}, {third, sizeof(third)}};
    (void)arg;
    net_pair(pair);
    net_say(pair[0], "abcdefghij");
    check_int(lido_readv(pair[1], slices, COUNT(slices)), 10);
    check_bytes(first, "abc", 3);
    check_bytes(second, "defg", 4);
    check_bytes(third, "hij", 3);
    lido_close(pair[0]);
    check_int(lido_readv(pair[1], slices, COUNT(slices)), 0);
    lido_close(pair[1]);
    return 0;
}

static void slices_are_filled_in_order(void **state)
{
    (void)state;
    run(read_slices);
}

static int read_into_two(void *stream)
{
    char first[1], second[1];
    lido_slice slices[] = {{first, 1}, {second, 1}};
    check_int(lido_readv(stream, slices, 2), 2);
    check_bytes(first, "a", 1);
    check_bytes(second, "b", 1);
    return 0;
}

static int wait_with_slices(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_task *reader = start(read_into_two, pair[1]);
    net_await_reader(pair[1]);
    net_say(pair[0], "ab");
    check_int(finish(reader), 0);
    net_close_pair(pair);
    return 0;
}

static void a_read_into_slices_waits_for_bytes(void **state)
{
    (void)state;
    run(wait_with_slices);
}

static int count_slices(void *arg)
{
    lido_stream *pair[2];
    static lido_slice slices[1025];
    static char bytes[1025];
    (void)arg;
    net_pair(pair);
    for (size_t i = 0; i < COUNT(slices); i++)
        slices[i] = (lido_slice){&bytes[i], 1};
    check_int(lido_writev(pair[0], slices, 1025), -EINVAL);
    check_int(lido_readv(pair[1], slices, 1025), -EINVAL);
    check_int(lido_writev(pair[0], slices, 1024), 1024);
    check_int(lido_readv(pair[1], slices, 1024), 1024);
    check_int(lido_writev(pair[0], slices, 0), 0);
    net_close_pair(pair);
    return 0;
}

static void as_many_slices_as_were_promised_and_no_more(void **state)
{
    (void)state;
    run(count_slices);
}

static int pipe_slices(void *arg)
{
    lido_stream *reader, *writer;
    lido_slice slices[] = {slice("pi"), slice("pe")};
    int fds[2];
    (void)arg;
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&reader, fds[0]), 0);
    check_int(lido_stream_from_fd(&writer, fds[1]), 0);
    check_int(lido_writev(writer, slices, 2), 4);
    char first[1], rest[8];
    lido_slice into[] = {{first, 1}, {rest, sizeof(rest)}};
    check_int(lido_readv(reader, into, 2), 4);
    check_bytes(first, "p", 1);
    check_bytes(rest, "ipe", 3);
    lido_close(writer);
    lido_close(reader);
    return 0;
}

static void a_pipe_takes_slices_too(void **state)
{
    (void)state;
    run(pipe_slices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_written_in_order),
        cmocka_unit_test(slices_are_filled_in_order),
        cmocka_unit_test(a_read_into_slices_waits_for_bytes),
        cmocka_unit_test(as_many_slices_as_were_promised_and_no_more),
        cmocka_unit_test(a_pipe_takes_slices_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
