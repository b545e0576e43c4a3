/* Unix sockets: streams, pairs, abstract names, credentials, and the path that they leave or not. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/os.h"
#include "support/net.h"

#define UNIX_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/* A directory of the test's own. */
static char directory[] = "/tmp/lido-unix-XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory); /* fails if a socket has been left behind */
}

static const char *path_of(const char *name)
{
    static char path[UNIX_PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

/* A connection by path, or by name if that begins with '@'. */
static void check_connects(const char *path)
{
    lido_listener *listener;
    lido_stream *client, *server;
    lido_address address;
    char text[LIDO_ADDRESS_TEXT];
    check_int(lido_listen_unix(&listener, path), 0);
    check_int(lido_listener_local_address(listener, &address), 0);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_string(text, path);
    check_int(lido_connect_unix(&client, path), 0);
    check_int(lido_accept(listener, &server, &address), 0);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_string(text, ""); /* the client has no name */
    check_int(lido_stream_peer_address(client, &address), 0);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_string(text, path);
    net_say(client, "ping");
    net_expect(server, "ping");
    net_say(server, "pong");
    net_expect(client, "pong");
    lido_close(server);
    net_expect_end(client);
    lido_close(client);
    lido_listener_close(listener);
}

static int connect_by_path(void *arg)
{
    (void)arg;
    check_connects(path_of("socket"));
    return 0;
}

static void a_connection_is_made_by_path(void **state)
{
    (void)state;
    run(connect_by_path);
}

static int connect_by_name(void *arg)
{
    char name[64];
    (void)arg;
    snprintf(name, sizeof(name), "@lido-test-%d", getpid());
    check_connects(name);
    check(!exists(name));
    return 0;
}

static void a_connection_is_made_by_abstract_name(void **state)
{
    (void)state;
    run(connect_by_name);
}

static int leave_no_path(void *arg)
{
    lido_listener *listener, *second;
    const char *path = path_of("removed");
    (void)arg;
    check_int(lido_listen_unix(&listener, path), 0);
    check(exists(path));
    check_int(lido_listen_unix(&second, path), -EADDRINUSE);
    check(exists(path)); /* the failed one has not taken it away */
    lido_listener_close(listener);
    check(!exists(path));
    check_int(lido_listen_unix(&listener, path), 0);
    lido_listener_close(listener);
    return 0;
}

static void a_path_is_removed_when_its_listener_is_closed(void **state)
{
    (void)state;
    run(leave_no_path);
}

static int fail_to_connect(void *arg)
{
    lido_stream *stream;
    lido_listener *listener;
    char path[200];
    (void)arg;
    check_int(lido_connect_unix(&stream, path_of("missing")), -ENOENT);
    check_int(lido_connect_unix(&stream, "@lido-nobody-has-this-name"), -ECONNREFUSED);
    check_int(lido_connect_unix(&stream, ""), -EINVAL);
    check_int(lido_listen_unix(&listener, ""), -EINVAL);
    check_int(lido_listen_unix(&listener, path_of("no-directory/socket")), -ENOENT);
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    check_int(lido_connect_unix(&stream, path), -ENAMETOOLONG);
    check_int(lido_listen_unix(&listener, path), -ENAMETOOLONG);
    /* A socket that is bound and does not listen. */
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path_of("deaf"));
    int fd = lido__os_socket(AF_UNIX, SOCK_STREAM, 0);
    check_int(lido__os_bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    check_int(lido_connect_unix(&stream, un.sun_path), -ECONNREFUSED);
    lido__os_close(fd);
    unlink(un.sun_path);
    return 0;
}

static void a_path_that_does_not_do_is_a_clear_error(void **state)
{
    (void)state;
    run(fail_to_connect);
}

static int talk_in_pair(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    check_int(lido_stream_pair(pair), 0);
    net_say(pair[0], "to the other");
    net_expect(pair[1], "to the other");
    net_say(pair[1], "and back");
    net_expect(pair[0], "and back");
    lido_close(pair[0]);
    net_expect_end(pair[1]);
    check_int(lido_write(pair[1], "x", 1), -EPIPE);
    lido_close(pair[1]);
    return 0;
}

static void the_ends_of_a_pair_are_connected(void **state)
{
    (void)state;
    run(talk_in_pair);
}

static void check_credentials_of(const lido_stream *stream)
{
    lido_credentials credentials;
    check_int(lido_stream_peer_credentials(stream, &credentials), 0);
    check_int(credentials.pid, getpid());
    check_int(credentials.uid, getuid());
    check_int(credentials.gid, getgid());
}

static int ask_credentials(void *arg)
{
    lido_listener *listener;
    lido_stream *client, *pair[2], *tcp[2], *reader;
    lido_credentials credentials = {.uid = 42};
    int fds[2];
    (void)arg;
    check_int(lido_listen_unix(&listener, path_of("credentials")), 0);
    check_int(lido_connect_unix(&client, path_of("credentials")), 0);
    lido_stream *server = net_accept(listener);
    check_credentials_of(client);
    check_credentials_of(server);
    check_int(lido_stream_pair(pair), 0);
    check_credentials_of(pair[0]);
    net_pair(tcp);
    check_int(lido_stream_peer_credentials(tcp[0], &credentials), -ENOTSUP);
    check_int(pipe(fds), 0);
    check_int(lido_stream_from_fd(&reader, fds[0]), 0);
    check_int(lido_stream_peer_credentials(reader, &credentials), -ENOTSUP);
    check_int(credentials.uid, 42);
    lido_close(reader);
    close(fds[1]);
    net_close_pair(tcp);
    net_close_pair(pair);
    lido_close(client);
    lido_close(server);
    lido_listener_close(listener);
    return 0;
}

static void the_peer_of_a_unix_socket_is_known(void **state)
{
    (void)state;
    run(ask_credentials);
}

/* ---- Whose a path is
   ----------------------------------------------------------------------------- */

static int succeed(void *arg)
{
    lido_listener *old, *next;
    lido_datagram *datagrams[2];
    lido_stream *client;
    const char *path = path_of("owner");
    (void)arg;
    check_int(lido_listen_unix(&old, path), 0);
    check_int(unlink(path), 0);
    check_int(lido_listen_unix(&next, path), 0);
    lido_listener_close(old);
    check(exists(path));
    check_int(lido_connect_unix(&client, path), 0);
    lido_close(client);
    lido_listener_close(next);
    check(!exists(path));
    check_int(lido_bind_unix_datagram(&datagrams[0], path), 0);
    check_int(unlink(path), 0);
    check_int(lido_bind_unix_datagram(&datagrams[1], path), 0);
    lido_datagram_close(datagrams[0]);
    check(exists(path));
    lido_datagram_close(datagrams[1]);
    check(!exists(path));
    return 0;
}

static void the_path_of_a_successor_is_left_alone(void **state)
{
    (void)state;
    run(succeed);
}

static int go_elsewhere(void *arg)
{
    lido_listener *listener;
    char before[4096], path[UNIX_PATH_MAX];
    (void)arg;
    snprintf(path, sizeof(path), "%s", path_of("relative"));
    check(getcwd(before, sizeof(before)) != NULL);
    check_int(chdir(directory), 0);
    check_int(lido_listen_unix(&listener, "relative"), 0);
    check_int(chdir("/"), 0);
    lido_listener_close(listener);
    check_int(chdir(before), 0);
    check(!exists(path));
    return 0;
}

static void a_relative_path_is_the_same_after_a_chdir(void **state)
{
    (void)state;
    run(go_elsewhere);
}

static int keep_paths(void *arg)
{
    lido_listener *listener;
    lido_datagram *datagram;
    const char *path = path_of("kept");
    (void)arg;
    check_int(lido_listen_unix(&listener, path), 0);
    lido_listener_keep_path(listener);
    lido_listener_keep_path(listener);
    lido_listener_close(listener);
    check_int(unlink(path), 0);
    check_int(lido_bind_unix_datagram(&datagram, path), 0);
    lido_datagram_keep_path(datagram);
    lido_datagram_close(datagram);
    check_int(unlink(path), 0);
    return 0;
}

static void a_path_can_be_kept(void **state)
{
    (void)state;
    run(keep_paths);
}

/* A name that fills the struct, without an end; and an abstract one with NULs. */
static void check_answered(const void *raw, size_t length)
{
    lido_datagram *asker, *answerer;
    lido_address address, from;
    char got[8];
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    check_int(bind(fd, raw, (socklen_t)length), 0);
    check_int(lido_datagram_from_fd(&asker, fd), 0);
    check_int(lido_bind_unix_datagram(&answerer, path_of("answer")), 0);
    check_int(lido_address_unix(&address, path_of("answer")), 0);
    check_int(lido_send_to(asker, "ask", 3, &address), 3);
    check_int(lido_recv_from(answerer, got, sizeof(got), &from, NULL), 3);
    check_int(from.length, length);
    check_bytes(from.lido_private, raw, length);
    check_int(lido_send_to(answerer, "yes", 3, &from), 3);
    check_int(lido_recv_from(asker, got, sizeof(got), &from, NULL), 3);
    check_int(lido_datagram_local_address(asker, &address), 0);
    check_int(address.length, length);
    check_int(lido_send_to(answerer, "too", 3, &address), 3);
    lido_datagram_close(asker);
    lido_datagram_close(answerer);
}

static int answer_long_names(void *arg)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char path[UNIX_PATH_MAX + 1] = "";
    lido_listener *listener;
    lido_stream *client;
    lido_address address;
    char text[LIDO_ADDRESS_TEXT];
    (void)arg;
    size_t used = (size_t)snprintf(path, sizeof(path), "%s/", directory);
    memset(path + used, 'l', UNIX_PATH_MAX - used);
    check_int(lido_listen_unix(&listener, path), 0);
    check_int(lido_connect_unix(&client, path), 0);
    check_int(lido_stream_peer_address(client, &address), 0);
    check_int(lido_address_format(&address, text, sizeof(text)), 0);
    check_string(text, path);
    lido_close(client);
    check_int(lido_connect(&client, &address), 0);
    lido_close(client);
    lido_listener_close(listener);
    check(!exists(path));
    memcpy(un.sun_path, path, UNIX_PATH_MAX);
    check_answered(&un, sizeof(un));
    check_int(unlink(path), 0);
    memcpy(un.sun_path, "\0lido\0test\0", 11);
    check_answered(&un, offsetof(struct sockaddr_un, sun_path) + 11);
    check_answered(&un, sizeof(un));
    return 0;
}

static void names_of_full_length_and_with_nuls_are_answered(void **state)
{
    (void)state;
    run(answer_long_names);
}

/* ---- A full backlog, for whose end the system has no event -------------------------------------- */

/* A listener that takes one connection more than it was told, and is full. */
struct full {
    lido_listener *listener;
    lido_stream *inside;
    char path[UNIX_PATH_MAX];
};

static void full_init(struct full *full)
{
    lido_address address;
    int fd = lido__os_socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(full->path, sizeof(full->path), "%s", path_of("full"));
    check_int(lido_address_unix(&address, full->path), 0);
    size_t length;
    const void *raw = lido_address_sockaddr(&address, &length);
    check_int(lido__os_bind(fd, raw, (socklen_t)length), 0);
    check_int(lido__os_listen(fd, 0), 0);
    check_int(lido_listener_from_fd(&full->listener, fd), 0);
    check_int(lido_connect_unix(&full->inside, full->path), 0);
}

static void full_fini(struct full *full)
{
    lido_close(full->inside);
    lido_listener_close(full->listener);
    unlink(full->path);
}

static int connect_to_it(void *path)
{
    lido_stream *stream;
    int r = lido_connect_unix(&stream, path);
    if (r < 0)
        return r;
    net_say(stream, "in");
    lido_close(stream);
    return 0;
}

static int wait_for_room(void *arg)
{
    struct full full;
    (void)arg;
    full_init(&full);
    lido_task *task = start(connect_to_it, full.path);
    check_int(lido_yield(), 0);
    check(!lido_task_is_done(task));
    lido_close(net_accept(full.listener));
    check_int(finish(task), 0);
    lido_stream *server = net_accept(full.listener);
    net_expect(server, "in");
    lido_close(server);
    full_fini(&full);
    return 0;
}

static void a_connect_to_a_full_backlog_waits_for_room(void **state)
{
    (void)state;
    run(wait_for_room);
}

static int give_up_waiting(void *arg)
{
    struct full full;
    int result;
    (void)arg;
    full_init(&full);
    {
        lido_within(10);
        check_int(connect_to_it(full.path), -ETIMEDOUT);
    }
    lido_task *task = start(connect_to_it, full.path);
    check_int(lido_yield(), 0);
    check_int(lido_stop(task, &result), 0);
    check_int(result, -ECANCELED);
    full_fini(&full);
    return 0;
}

static void the_wait_for_room_can_be_cancelled_and_has_a_deadline(void **state)
{
    (void)state;
    run(give_up_waiting);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_made_by_path),
        cmocka_unit_test(a_connection_is_made_by_abstract_name),
        cmocka_unit_test(a_path_is_removed_when_its_listener_is_closed),
        cmocka_unit_test(a_path_that_does_not_do_is_a_clear_error),
        cmocka_unit_test(the_ends_of_a_pair_are_connected),
        cmocka_unit_test(the_peer_of_a_unix_socket_is_known),
        cmocka_unit_test(the_path_of_a_successor_is_left_alone),
        cmocka_unit_test(a_relative_path_is_the_same_after_a_chdir),
        cmocka_unit_test(a_path_can_be_kept),
        cmocka_unit_test(names_of_full_length_and_with_nuls_are_answered),
        cmocka_unit_test(a_connect_to_a_full_backlog_waits_for_room),
        cmocka_unit_test(the_wait_for_room_can_be_cancelled_and_has_a_deadline),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
