#define _GNU_SOURCE

#include "support/workload.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/runtime.h"

#define TRY(call)                                                                                  \
    do {                                                                                           \
        int64_t tried_ = (call);                                                                   \
        if (tried_ < 0)                                                                            \
            return (int)tried_;                                                                    \
    } while (0)

/* Either of the two calls may be refused. */
static void hang_up(lido_stream *stream)
{
    lido_shutdown_stream(stream, LIDO_SIDE_BOTH);
    lido_close(stream);
}

static int echo(void *stream)
{
    lido_copy(stream, stream, NULL);
    hang_up(stream);
    return 0;
}

static int serve(void *listener)
{
    return lido_serve(listener, echo);
}

static int ask(lido_stream *stream)
{
    char answer[5];
    TRY(lido_write_all(stream, "hello", 5, NULL));
    return (int)lido_read_all(stream, answer, sizeof(answer), NULL);
}

static int ask_server(lido_listener *listener)
{
    lido_address address;
    char text[LIDO_ADDRESS_TEXT];
    lido_stream *stream;
    TRY(lido_listener_local_address(listener, &address));
    TRY(lido_address_format(&address, text, sizeof(text)));
    TRY(lido_connect_tcp(&stream, text));
    int r = ask(stream);
    hang_up(stream);
    return r < 0 ? r : 0;
}

static int echo_over_tcp(void)
{
    lido_listener *listener;
    lido_task *server;
    TRY(lido_listen_tcp(&listener, "127.0.0.1:0"));
    int r = lido_spawn(&server, serve, listener);
    if (r == 0) {
        int served;
        r = ask_server(listener);
        lido_stop(server, &served);
        r = r == -ETIMEDOUT && served < 0 && served != -ECANCELED ? served : r;
    }
    lido_listener_close(listener);
    return r;
}

static int send_datagram(void)
{
    lido_datagram *socket;
    lido_address address;
    char byte;
    TRY(lido_bind_udp(&socket, "127.0.0.1:0"));
    int64_t r = lido_datagram_local_address(socket, &address);
    if (r == 0)
        r = lido_send_to(socket, "x", 1, &address);
    if (r > 0)
        r = lido_recv(socket, &byte, 1, NULL);
    lido_datagram_close(socket);
    return r < 0 ? (int)r : 0;
}

static int pour(void *stream)
{
    static char bytes[65536];
    int64_t r = 0;
    for (int i = 0; i < 32 && r >= 0; i++)
        r = lido_write_all(stream, bytes, sizeof(bytes), NULL);
    hang_up(stream);
    return r < 0 ? (int)r : 0;
}

static int drain(void *stream)
{
    static char bytes[65536];
    int64_t n;
    while ((n = lido_read(stream, bytes, sizeof(bytes))) > 0) {}
    hang_up(stream);
    return (int)n;
}

static int copy_much(void)
{
    lido_stream *from[2], *to[2];
    lido_task *pouring, *draining;
    int poured, drained;
    TRY(lido_stream_pair(from));
    TRY(lido_stream_pair(to));
    TRY(lido_spawn(&pouring, pour, from[0]));
    TRY(lido_spawn(&draining, drain, to[1]));
    int64_t r = lido_copy(to[0], from[1], NULL);
    hang_up(from[1]);
    hang_up(to[0]);
    lido_join(pouring, &poured);
    lido_join(draining, &drained);
    return r < 0 ? (int)r : poured < 0 ? poured : drained < 0 ? drained : 0;
}

static int await_signal(void *unused)
{
    (void)unused;
    return lido_signal(SIGUSR1);
}

/* Until it is told: the task may not have come to its wait yet, and before that the signal is ignored. */
static int get_signal(void)
{
    lido_task *task;
    int r;
    TRY(lido_spawn(&task, await_signal, NULL));
    while (!lido_task_is_done(task)) {
        kill(getpid(), SIGUSR1);
        r = lido_sleep(2);
        if (r < 0) {
            lido_stop(task, NULL);
            return r;
        }
    }
    lido_join(task, &r);
    return r < 0 ? r : 0;
}

static int send_some(void *channel)
{
    for (int i = 0; i < 2000; i++)
        TRY(lido_channel_send(channel, &i));
    return 0;
}

static int receive_some(void *channel)
{
    for (int n, i = 0; i < 2000; i++)
        TRY(lido_channel_recv(channel, &n));
    return 0;
}

static int send_messages(void)
{
    lido_channel *channel;
    lido_spawn_options there = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *sender;
    int r;
    there.placement = LIDO_PLACE_WORKER;
    there.worker = 1;
    TRY(lido_channel_new(&channel, sizeof(int), 16));
    int sent = 0;
    r = lido_spawn(&sender, send_some, channel);
    if (r == 0) {
        r = receive_some(channel);
        lido_join(sender, &sent);
    }
    if (r == 0)
        r = lido_spawn_with(&sender, send_some, channel, &there);
    if (r == 0) {
        r = receive_some(channel);
        lido_join(sender, &sent);
    }
    lido_channel_drop(channel);
    return r < 0 ? r : sent;
}

static int block(void *unused)
{
    (void)unused;
    for (uint64_t until = lido_now() + 300000; lido_now() < until;) {}
    return 0;
}

static int block_some(void)
{
    lido_task *task;
    int r;
    TRY(lido_blocking(block, NULL));
    TRY(lido_spawn_blocking(&task, block, NULL));
    TRY(lido_join(task, &r));
    return r;
}

static int write_to_pipe(void)
{
    lido_stream *stream[2];
    char byte;
    TRY(lido_stream_pair(stream));
    int64_t r = lido_write(stream[0], "x", 1);
    if (r > 0)
        r = lido_read(stream[1], &byte, 1);
    lido_close(stream[0]);
    lido_close(stream[1]);
    return r < 0 ? (int)r : 0;
}

static int resolve(void)
{
    lido_address addresses[2];
    return lido_resolve("127.0.0.1:80", addresses, 2) < 0 ? -EIO : 0;
}

static uint64_t cpu_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool workload_measures;

/* While nobody has anything to do nothing is done. */
static int rest(void)
{
    uint64_t before = workload_measures ? cpu_time() : 0;
    TRY(lido_sleep(40));
    return workload_measures && cpu_time() - before > 25000000u ? -ELOOP : 0;
}

int workload_run(void *step_failed)
{
    static int (*const steps[])(void) = {echo_over_tcp, send_datagram, copy_much,
                                         send_messages, block_some,    write_to_pipe,
                                         resolve,       get_signal,    rest};
    int first = 0;
    for (size_t i = 0; i < COUNT(steps); i++) {
        lido_within(20000); /* a loaded machine is no hang */
        int r = steps[i]();
        if (r < 0 && first == 0) {
            first = r;
            *(int *)step_failed = (int)i;
        }
        lido_within(-1);
        if (r == -ETIMEDOUT || r == -ELOOP)
            return r;
    }
    return first;
}
