/*
 * Reads that end at a boundary although more is there: a short one does not mean that the stream is drained.
 * Each kind of boundary, in each way to read, for a reader that comes late and for one that waits.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/net.h"
#include "support/net.h"

extern char **environ;

/* A stream, and the descriptor of its other end. */
struct ends {
    lido_stream *stream;
    int peer;
};

/* ---- The boundaries ----------------------------------------------------------------------------- */

/* The machine may lack it: false. */
struct boundary {
    const char *name;
    bool (*open)(struct ends *ends);
    bool (*send)(int peer); /* two parts, and a boundary between them */
    const char *text;       /* what is to be read */
};

static void put(int fd, const char *text)
{
    check_int(write(fd, text, strlen(text)), strlen(text));
}

static void take_over(struct ends *ends, int fd, int peer)
{
    check_int(lido_stream_from_fd(&ends->stream, fd), 0);
    ends->peer = peer;
}

static bool open_pipe(struct ends *ends)
{
    int fds[2];
    check_int(pipe(fds), 0);
    take_over(ends, fds[0], fds[1]);
    return true;
}

/* Only the writer says so, and after the reader has been taken over. */
static bool send_packets(int peer)
{
    if (fcntl(peer, F_SETFL, O_DIRECT) < 0)
        return false;
    put(peer, "abc");
    put(peer, "def");
    return true;
}

static bool open_unix(struct ends *ends)
{
    int fds[2];
    check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    take_over(ends, fds[0], fds[1]);
    return true;
}

static bool open_lidos_pair(struct ends *ends)
{
    lido_stream *pair[2];
    net_unix_pair(pair);
    ends->stream = pair[0];
    ends->peer = lido_stream_into_fd(pair[1]);
    return true;
}

static bool send_descriptor(int peer)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {(void *)"abc", 3};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.room)};
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &peer, sizeof(peer));
    check_int(sendmsg(peer, &message, 0), 3);
    put(peer, "def");
    return true;
}

/* Also TCP's. */
static bool send_out_of_band(int peer)
{
    put(peer, "abc");
    if (send(peer, "!", 1, MSG_OOB) != 1)
        return false; /* a Unix socket of an older kernel */
    put(peer, "def");
    return true;
}

static bool open_with_credentials(struct ends *ends)
{
    int on = 1;
    open_unix(ends);
    check_int(setsockopt(lido_stream_fd(ends->stream), SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)),
              0);
    return true;
}

/* The second part is another process's. */
static bool send_with_credentials(int peer)
{
    char *command[] = {"sh", "-c", "printf def", NULL};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    put(peer, "abc");
    check_int(posix_spawn_file_actions_init(&actions), 0);
    check_int(posix_spawn_file_actions_adddup2(&actions, peer, STDOUT_FILENO), 0);
    check_int(posix_spawn(&child, "/bin/sh", &actions, NULL, command, environ), 0);
    check_int(posix_spawn_file_actions_destroy(&actions), 0);
    check_int(waitpid(child, &status, 0), child);
    check_int(status, 0);
    return true;
}

static bool open_accepted(struct ends *ends)
{
    lido_stream *pair[2];
    net_pair(pair);
    ends->stream = pair[1];
    ends->peer = lido_stream_into_fd(pair[0]);
    return true;
}

static bool open_connected(struct ends *ends)
{
    lido_listener *listener = net_listen();
    lido_address address = net_address(listener);
    check_int(lido_connect(&ends->stream, &address), 0);
    ends->peer = lido_stream_into_fd(net_accept(listener));
    lido_listener_close(listener);
    return true;
}

static bool open_with_urgent_inline(struct ends *ends)
{
    int on = 1;
    open_accepted(ends);
    check_int(setsockopt(lido_stream_fd(ends->stream), SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)),
              0);
    return true;
}

static bool open_terminal(struct ends *ends)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        return false; /* a bare root may have no /dev/pts */
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (terminal < 0)
        return false;
    take_over(ends, terminal, master);
    return true;
}

static bool send_lines(int peer)
{
    put(peer, "abc\ndef\n");
    return true;
}

static const struct boundary boundaries[] = {
    {"a pipe whose writer sets O_DIRECT", open_pipe, send_packets, "abcdef"},
    {"a Unix stream with a descriptor", open_unix, send_descriptor, "abcdef"},
    {"a pair of lido's with a descriptor", open_lidos_pair, send_descriptor, "abcdef"},
    {"a Unix stream with MSG_OOB", open_unix, send_out_of_band, "abcdef"},
    {"a Unix stream with SO_PASSCRED", open_with_credentials, send_with_credentials, "abcdef"},
    {"TCP that was accepted, with an urgent mark", open_accepted, send_out_of_band, "abcdef"},
    {"TCP that was connected, with an urgent mark", open_connected, send_out_of_band, "abcdef"},
    {"TCP with an urgent byte in line", open_with_urgent_inline, send_out_of_band, "abc!def"},
    {"a terminal", open_terminal, send_lines, "abc\ndef\n"},
};

/* ---- The ways to read --------------------------------------------------------------------------- */

struct reading {
    lido_future future; /* first */
    lido_op op;
    lido_stream *stream;
    lido_stream *copied[2]; /* [0]: of the copy */
    bool begun;
    bool lent;
    size_t want, got;
    char text[64];
};

static int take(struct reading *reading, ssize_t n)
{
    reading->got += n > 0 ? (size_t)n : 0;
    return n > 0 && reading->got < reading->want ? 1 : n > 0 ? 0 : n < 0 ? (int)n : -EIO;
}

static int by_read(void *arg)
{
    struct reading *reading = arg;
    char *to = reading->text;
    int r = 1;
    while (r > 0)
        r = take(reading, lido_read(reading->stream, to + reading->got, 32));
    return r;
}

static int by_readv(void *arg)
{
    struct reading *reading = arg;
    int r = 1;
    while (r > 0) {
        char *to = reading->text + reading->got;
        lido_slice slices[] = {{to, 1}, {to + 1, 31}};
        r = take(reading, lido_readv(reading->stream, slices, COUNT(slices)));
    }
    return r;
}

static int copy(void *arg)
{
    struct reading *reading = arg;
    return (int)lido_copy(reading->copied[0], reading->stream, NULL);
}

static int by_copy(void *arg)
{
    struct reading *reading = arg;
    net_pair(reading->copied);
    lido_task *copier = start(copy, reading);
    ssize_t n = lido_read_all(reading->copied[1], reading->text, reading->want, NULL);
    lido_stop(copier, NULL);
    net_close_pair(reading->copied);
    return n == (ssize_t)reading->want ? 0 : -EIO;
}

static int poll_reading(lido_future *future, const lido_waker *waker)
{
    struct reading *reading = (struct reading *)future;
    int r = 1;
    while (r > 0) {
        char *to = reading->text + reading->got;
        if (!reading->begun)
            lido_op_read(&reading->op, reading->stream, reading->lent ? NULL : to, 32);
        ssize_t n = lido_op_poll(&reading->op, waker);
        reading->begun = n == LIDO_PENDING;
        if (reading->begun)
            return LIDO_PENDING;
        if (reading->lent && n > 0)
            memcpy(to, lido_op_lent(&reading->op), (size_t)n);
        r = take(reading, n);
    }
    return r;
}

static int by_future(void *arg)
{
    struct reading *reading = arg;
    lido_task *task;
    reading->future.poll = poll_reading;
    check_int(lido_spawn_future(&task, &reading->future), 0);
    return finish(task);
}

static int by_future_lent(void *arg)
{
    ((struct reading *)arg)->lent = true;
    return by_future(arg);
}

static const struct {
    const char *name;
    lido_fn read;
} ways[] = {
    {"lido_read", by_read},
    {"lido_readv", by_readv},
    {"lido_copy", by_copy},
    {"a future's read", by_future},
    {"a future's lent read", by_future_lent},
};

/* ---- The tests ---------------------------------------------------------------------------------- */

static int within_time(lido_task *task)
{
    int result;
    lido_within(10000);
    int r = lido_join(task, &result);
    if (r == -ETIMEDOUT)
        lido_stop(task, NULL);
    return r < 0 ? r : result;
}

static bool read_across(const struct boundary *boundary, lido_fn way, bool waits)
{
    struct ends ends;
    if (!boundary->open(&ends))
        return false;
    struct reading reading = {.stream = ends.stream, .want = strlen(boundary->text)};
    lido_task *reader = NULL;
    if (waits) {
        reader = start(way, &reading);
        net_await_reader(ends.stream);
    }
    bool sent = boundary->send(ends.peer);
    if (!waits && sent)
        reader = start(way, &reading);
    if (sent) {
        check_int(within_time(reader), 0);
        check_string(reading.text, boundary->text);
    } else if (reader) {
        lido_stop(reader, NULL);
    }
    lido_close(ends.stream);
    close(ends.peer);
    return sent;
}

static int read_all_across(void *arg)
{
    (void)arg;
    for (size_t b = 0; b < COUNT(boundaries); b++)
        for (size_t w = 0; w < COUNT(ways); w++)
            for (int waits = 0; waits < 2; waits++)
                if (!read_across(&boundaries[b], ways[w].read, waits))
                    fprintf(stderr, "skipped: %s, %s\n", boundaries[b].name, ways[w].name);
    return 0;
}

static void what_is_behind_a_boundary_is_read_at_once(void **state)
{
    (void)state;
    run(read_all_across);
}

/* What the kernel makes of the bytes before they are read may be set before the stream is lido's. */
static int take_over_with_layer(void *arg)
{
    lido_stream *pair[2];
    bool *had = arg;
    net_pair(pair);
    check_int(pair[0]->handle.kind, LIDO__HANDLE_TCP);
    check_int(pair[1]->handle.kind, LIDO__HANDLE_TCP);
    int fd = lido_stream_into_fd(pair[0]);
    *had = setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 3) == 0;
    check_int(lido_stream_from_fd(&pair[0], fd), 0);
    check_int(pair[0]->handle.kind, *had ? LIDO__HANDLE_SOCKET : LIDO__HANDLE_TCP);
    net_close_pair(pair);
    return 0;
}

static void records_of_a_layer_above_tcp_are_boundaries(void **state)
{
    bool had;
    (void)state;
    run_on(1, take_over_with_layer, &had);
    if (!had)
        skip(); /* the kernel has no TLS */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_behind_a_boundary_is_read_at_once),
        cmocka_unit_test(records_of_a_layer_above_tcp_are_boundaries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
