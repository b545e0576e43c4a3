/*
 * The peer on State Threads: a thread of the library for each connection, which reads and writes as if it
 * blocked. The library knows one processor, so each further worker is a process, as in the server that
 * comes with it; all of them accept from one listener.
 *
 * It waits by poll: Debian builds the library without epoll. To ask for that means select then, which knows
 * no more than 1024 descriptors.
 *
 * The stacks are as large as the library makes them, 64 KiB: the buffer of a connection is on its stack, and
 * only what is touched takes memory.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "pipe.h"
#include "protocol.h"
#include "state_threads/state_threads.h"

#define FOR_EVER ST_UTIME_NO_TIMEOUT

static const struct peer_options *options;
static const struct protocol *protocol;

void st_begin(void)
{
    if (st_set_eventsys(ST_EVENTSYS_POLL) < 0 || st_init() < 0)
        bench_die("st_init");
}

st_thread_t st_spawn(void *(*body)(void *), void *arg, bool joinable)
{
    st_thread_t thread = st_thread_create(body, arg, joinable, 0);
    if (!thread)
        bench_die("a thread");
    return thread;
}

/* ---- echo, ping, http ---------------------------------------------------------------------------- */

static void *converse(void *arg)
{
    st_netfd_t peer = arg;
    struct protocol_state state = {0};
    char buffer[PEER_READ_OWN];
    ssize_t size = 0;
    for (;;) {
        /* Who has been answered has sent nothing yet as a rule, and a read would be in vain. */
        if (size < (ssize_t)sizeof(buffer) && st_netfd_poll(peer, POLLIN, FOR_EVER) < 0)
            break;
        size = st_read(peer, buffer, sizeof(buffer), FOR_EVER);
        if (size <= 0)
            break;
        struct protocol_bytes reply = protocol_reply(protocol, &state, buffer, (size_t)size);
        if (reply.size > 0 && st_write(peer, reply.data, reply.size, FOR_EVER) < 0)
            break;
    }
    st_netfd_close(peer);
    return NULL;
}

/* ---- proxy --------------------------------------------------------------------------------------- */

struct direction {
    st_netfd_t from;
    st_netfd_t to;
};

static void shut(st_netfd_t socket, int how)
{
    shutdown(st_netfd_fileno(socket), how);
}

/* All of what is in the pipe. False: the connection is broken. */
static bool empty_into(st_netfd_t to, const struct peer_pipe *pipe, size_t size)
{
    while (size > 0) {
        ssize_t done = peer_splice_out(pipe, st_netfd_fileno(to), size);
        if (done > 0)
            size -= (size_t)done;
        else if (errno != EAGAIN || st_netfd_poll(to, POLLOUT, FOR_EVER) < 0)
            return false;
    }
    return true;
}

/*
 * What has come, through a pipe. As read does: how much that was, 0 for the end of the stream. The library
 * changes to another thread only where this one waits, so all of them have their pipes from one list.
 */
static ssize_t splice_on(const struct direction *direction)
{
    static struct peer_pipe *spare;
    struct peer_pipe *pipe;
    ssize_t size;
    for (;;) {
        pipe = peer_pipe_take(&spare);
        size = peer_splice_in(st_netfd_fileno(direction->from), pipe);
        if (size > 0)
            break;
        peer_pipe_give_back(&spare, pipe);
        if (size == 0 || errno != EAGAIN || st_netfd_poll(direction->from, POLLIN, FOR_EVER) < 0)
            return size;
    }
    if (empty_into(direction->to, pipe, (size_t)size)) {
        peer_pipe_give_back(&spare, pipe);
        return size;
    }
    peer_pipe_close(pipe);
    return -1;
}

/* The same through a buffer. */
static ssize_t copy_on(const struct direction *direction, char *buffer)
{
    ssize_t size = st_read(direction->from, buffer, PEER_READ_SHARED, FOR_EVER);
    if (size > 0 && st_write(direction->to, buffer, (size_t)size, FOR_EVER) < 0)
        return -1;
    return size;
}

/* If one direction breaks, so does the other; both threads are woken by that. */
static void *pass(void *arg)
{
    struct direction *direction = arg;
    char *buffer = options->copy ? malloc(PEER_READ_SHARED) : NULL; /* as large as a stack */
    ssize_t size;
    if (options->copy && !buffer)
        bench_die("memory");
    do
        size = buffer ? copy_on(direction, buffer) : splice_on(direction);
    while (size > 0);
    free(buffer);
    if (size == 0) {
        shut(direction->to, SHUT_WR);
    } else {
        shut(direction->from, SHUT_RDWR);
        shut(direction->to, SHUT_RDWR);
    }
    return NULL;
}

static void pass_both_ways(st_netfd_t client, st_netfd_t server)
{
    struct direction there = {client, server};
    struct direction back = {server, client};
    st_thread_t other = st_spawn(pass, &there, true);
    pass(&back);
    st_thread_join(other, NULL);
}

static void *pass_on(void *arg)
{
    st_netfd_t client = arg;
    int fd = socket(options->to.sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    st_netfd_t server = fd < 0 ? NULL : st_netfd_open_socket(fd);
    if (!server)
        bench_die("socket");
    peer_no_delay(fd);
    if (st_connect(server, (const struct sockaddr *)&options->to.sockaddr, (int)options->to.length,
                   FOR_EVER) == 0)
        pass_both_ways(client, server);
    st_netfd_close(server);
    st_netfd_close(client);
    return NULL;
}

/* ---- udp ----------------------------------------------------------------------------------------- */

static void send_datagrams_back(st_netfd_t udp)
{
    static char buffer[PEER_READ_SHARED];
    for (;;) {
        struct sockaddr_storage from;
        int length = sizeof(from);
        int size =
            st_recvfrom(udp, buffer, sizeof(buffer), (struct sockaddr *)&from, &length, FOR_EVER);
        if (size >= 0) /* otherwise it is the error of an earlier one */
            st_sendto(udp, buffer, size, (struct sockaddr *)&from, length, FOR_EVER);
    }
}

/* ---- Servers ------------------------------------------------------------------------------------- */

static void accept_all(st_netfd_t listener, void *(*body)(void *))
{
    for (;;) {
        st_netfd_t peer = st_accept(listener, NULL, NULL, FOR_EVER);
        if (peer)
            st_spawn(body, peer, false);
        else if (errno != ECONNABORTED && errno != EINTR)
            bench_die("accept");
    }
}

/* All but the first end with it. Says to the first that it is. */
static bool fork_workers(void)
{
    pid_t first = getpid();
    for (unsigned i = 1; i < options->workers; i++) {
        pid_t pid = fork();
        if (pid < 0)
            bench_die("fork");
        if (pid > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != first)
            _exit(0);
        return false;
    }
    return true;
}

static st_netfd_t begin(const struct peer_options *given, int type)
{
    options = given;
    protocol = protocol_of(options->job);
    int fd = peer_listen(&options->listen, type, false);
    peer_end_at_once();
    if (fork_workers())
        peer_announce(fd);
    st_begin();
    st_netfd_t socket = st_netfd_open_socket(fd);
    if (!socket)
        bench_die("socket");
    return socket;
}

static void run_streams(const struct peer_options *given)
{
    accept_all(begin(given, SOCK_STREAM), converse);
}

static void run_proxy(const struct peer_options *given)
{
    accept_all(begin(given, SOCK_STREAM), pass_on);
}

static void run_datagrams(const struct peer_options *given)
{
    send_datagrams_back(begin(given, SOCK_DGRAM));
}

int main(int argc, char **argv)
{
    static const struct peer_job jobs[] = {
        {"echo", run_streams},  {"ping", run_streams}, {"http", run_streams},
        {"udp", run_datagrams}, {"proxy", run_proxy},  {"sched", st_run_sched},
        {NULL, NULL},
    };
    return peer_main(argc, argv, "State Threads " ST_VERSION " (poll)", jobs);
}
