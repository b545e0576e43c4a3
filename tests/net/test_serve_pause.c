/* Serving while descriptors or memory are lacking: it pauses, tries seldom, and loses nobody. */
#include <errno.h>
#include <lido.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the world answers: `error` as long as it is set, to each attempt; all attempts are counted. */
struct scarcity {
    int error;
    unsigned failures_left; /* of spawns only */
    unsigned attempts;
};

static struct scarcity spawning, accepting;

static int spawn_at(lido_runtime *runtime, lido_task **task, lido_fn fn, void *arg,
                    const lido_spawn_options *options, const char *where)
{
    spawning.attempts++;
    if (spawning.failures_left) {
        spawning.failures_left--;
        return spawning.error;
    }
    return lido_spawn_at(runtime, task, fn, arg, options, where);
}

static int spawn_future_at(lido_runtime *runtime, lido_task **task, lido_future *future,
                           const lido_spawn_options *options, const char *where)
{
    spawning.attempts++;
    if (spawning.failures_left) {
        spawning.failures_left--;
        return spawning.error;
    }
    return lido_spawn_future_at(runtime, task, future, options, where);
}

#define lido_spawn_at spawn_at
#define lido_spawn_future_at spawn_future_at
#include "../../src/net/serve.c"
#undef lido_spawn_at
#undef lido_spawn_future_at

#include "support/net.h"
#include "support/runtime.h"

/* In place of the C library's. */
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    accepting.attempts++;
    if (accepting.error) {
        errno = accepting.error;
        return -1;
    }
    return (int)syscall(SYS_accept4, fd, address, length, flags);
}

/* To which one that is refused falls back: part of the same attempt. */
int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    if (accepting.error) {
        errno = accepting.error;
        return -1;
    }
    return (int)syscall(SYS_accept, fd, address, length);
}

static int greet(void *arg)
{
    lido_stream *stream = arg;
    char byte;
    check_int(lido_write(stream, "x", 1), 1);
    check_int(lido_read(stream, &byte, 1), 0);
    lido_close(stream);
    return 0;
}

static int serve_greetings(void *listener)
{
    return lido_serve(listener, greet);
}

static void stop_server(lido_task *server)
{
    int result;
    check_int(lido_stop(server, &result), 0);
    check_int(result, -ECANCELED);
    check_int(lido__load(&lido__paused, LIDO__RELAXED), 0);
}

static bool has_paused(void *arg)
{
    (void)arg;
    return lido__load(&lido__paused, LIDO__RELAXED) > 0;
}

static int setup(void **state)
{
    (void)state;
    accepting = spawning = (struct scarcity){0};
    return 0;
}

/* ---- Descriptors ------------------------------------------------------------------------------- */

/* How often the timer of a pause can have fired by now: after 10 ms, 20 more, 40 more, ... */
static unsigned timers_until(uint64_t elapsed_ns)
{
    unsigned fired = 0;
    for (uint64_t ms = 10, at = 10; at * 1000000 <= elapsed_ns; at += ms) {
        ms = ms * 2 < 1000 ? ms * 2 : 1000;
        fired++;
    }
    return fired;
}

static int starve(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    lido_task *server = start(serve_greetings, listener);
    lido_stream *client = net_connect(listener);
    accepting.error = EMFILE;
    uint64_t began = lido_now();
    await_that(has_paused, NULL);
    check_int(lido_sleep(100), 0);
    /* One attempt failed, one was made to be sure, and then one for each time it looked again. */
    check(accepting.attempts >= 3);
    check(accepting.attempts <= 2 + timers_until(lido_now() - began));
    accepting.error = 0; /* somebody has freed a descriptor, and told nobody */
    net_expect(client, "x");
    lido_close(client);
    stop_server(server);
    lido_listener_close(listener);
    return 0;
}

static void without_descriptors_accepting_looks_ever_more_rarely(void **state)
{
    (void)state;
    run(starve);
}

#define CROWD 8
#define ROOM 3

/* All descriptors of the process but ROOM are taken. */
static struct rlimit leave_room(void)
{
    struct rlimit before, limit;
    int next = dup(STDIN_FILENO);
    check(next >= 0);
    close(next);
    check_int(getrlimit(RLIMIT_NOFILE, &before), 0);
    limit = before;
    limit.rlim_cur = (rlim_t)next + ROOM;
    check_int(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return before;
}

/* Each client that leaves makes room for the next, at both ends. */
static int crowd(void *arg)
{
    lido_listener *listener = net_listen();
    lido_stream *clients[CROWD];
    (void)arg;
    for (unsigned i = 0; i < CROWD; i++)
        clients[i] = net_connect(listener);
    struct rlimit before = leave_room();
    lido_task *server = start(serve_greetings, listener);
    await_that(has_paused, NULL);
    check_int(accepting.attempts, ROOM + 2);
    for (unsigned i = 0; i < CROWD; i++) {
        net_expect(clients[i], "x");
        lido_close(clients[i]);
    }
    check_int(setrlimit(RLIMIT_NOFILE, &before), 0);
    stop_server(server);
    /* Beside the successes: twice for each pause, once for each descriptor that was freed. */
    check(accepting.attempts <= CROWD + 2 * CROWD + 2 * CROWD);
    lido_listener_close(listener);
    return 0;
}

static void everybody_is_served_in_turn(void **state)
{
    (void)state;
    run(crowd);
}

static int cancel_pause(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    accepting.error = ENFILE;
    lido_task *server = start(serve_greetings, listener);
    lido_stream *client = net_connect(listener);
    await_that(has_paused, NULL);
    stop_server(server);
    accepting.error = 0;
    lido_close(net_accept(listener)); /* it is still in the backlog */
    lido_close(client);
    lido_listener_close(listener);
    return 0;
}

static void a_pause_can_be_cancelled_and_leaves_the_connection_in_the_backlog(void **state)
{
    (void)state;
    run(cancel_pause);
}

/* ---- What ends a pause ------------------------------------------------------------------------- */

/* Returns when a descriptor has been closed, and practically never otherwise. */
static int pause_for_long(void *arg)
{
    struct lido__pause pause;
    (void)arg;
    lido__pause_enter(&pause);
    pause.patience = 3600000;
    int r = lido__pause_wait(&pause);
    lido__pause_leave(&pause);
    return r;
}

static bool two_have_paused(void *arg)
{
    (void)arg;
    return lido__load(&lido__paused, LIDO__RELAXED) == 2;
}

static int close_here(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_task *first = start(pause_for_long, NULL), *second = start_on(1, pause_for_long, NULL);
    await_that(two_have_paused, NULL);
    lido_close(pair[0]);
    check_int(finish(first), 0);
    check_int(finish(second), 0);
    lido_close(pair[1]);
    return 0;
}

static void closing_ends_the_pauses_of_all_workers(void **state)
{
    (void)state;
    run_on(2, close_here, NULL);
}

static void *close_stream(void *stream)
{
    lido_close(stream);
    return NULL;
}

static int close_elsewhere(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_task *paused = start(pause_for_long, NULL);
    await_that(has_paused, NULL);
    pthread_t thread = thread_start(close_stream, pair[0]);
    check_int(finish(paused), 0);
    thread_join(thread);
    lido_close(pair[1]);
    return 0;
}

static void so_does_closing_in_a_plain_thread(void **state)
{
    (void)state;
    run(close_elsewhere);
}

static int close_before(void *arg)
{
    lido_stream *pair[2];
    struct lido__pause pause;
    (void)arg;
    net_pair(pair);
    lido__pause_enter(&pause);
    pause.patience = 3600000;
    lido_close(pair[0]);
    check_int(lido__pause_wait(&pause), 0);
    lido__pause_leave(&pause);
    lido_close(pair[1]);
    return 0;
}

static void a_descriptor_freed_before_the_wait_is_not_overlooked(void **state)
{
    (void)state;
    run(close_before);
}

/* ---- Memory ------------------------------------------------------------------------------------ */

static int lack_memory(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    spawning = (struct scarcity){.error = -ENOMEM, .failures_left = 3};
    lido_task *server = start(serve_greetings, listener);
    lido_stream *client = net_connect(listener);
    net_expect(client, "x");
    check_int(spawning.attempts, 4);
    check_int(accepting.attempts, 2); /* the connection, and that there is no other */
    lido_close(client);
    stop_server(server);
    lido_listener_close(listener);
    return 0;
}

static void without_memory_for_a_task_its_connection_waits(void **state)
{
    (void)state;
    run(lack_memory);
}

static int shut_down(void *arg)
{
    lido_listener *listener = net_listen();
    (void)arg;
    spawning = (struct scarcity){.error = -ESHUTDOWN, .failures_left = 1};
    lido_task *server = start(serve_greetings, listener);
    lido_stream *client = net_connect(listener);
    net_expect_end(client);
    check_int(finish(server), -ESHUTDOWN);
    lido_close(client);
    lido_listener_close(listener);
    return 0;
}

static void a_connection_that_can_have_no_task_is_closed(void **state)
{
    (void)state;
    run(shut_down);
}

struct greeting {
    lido_future future;
    lido_op op;
    lido_stream *stream;
};

static int poll_greeting(lido_future *future, const lido_waker *waker)
{
    struct greeting *greeting = (struct greeting *)future;
    check_int(lido_op_poll(&greeting->op, waker), 1);
    lido_close(greeting->stream);
    free(greeting);
    return 0;
}

static lido_future *make_greeting(void *arg, lido_stream *stream)
{
    struct greeting *greeting = malloc(sizeof(*greeting));
    ++*(unsigned *)arg;
    check(greeting != NULL);
    greeting->future.poll = poll_greeting;
    greeting->stream = stream;
    lido_op_write(&greeting->op, stream, "x", 1);
    return &greeting->future;
}

struct future_server {
    lido_listener *listener;
    unsigned made;
};

static int serve_futures(void *arg)
{
    struct future_server *server = arg;
    return lido_serve_futures(server->listener, make_greeting, &server->made, NULL);
}

static int lack_memory_for_futures(void *arg)
{
    struct future_server server = {.listener = net_listen()};
    (void)arg;
    spawning = (struct scarcity){.error = -ENOMEM, .failures_left = 3};
    lido_task *task = start(serve_futures, &server);
    lido_stream *client = net_connect(server.listener);
    net_expect(client, "x");
    net_expect_end(client);
    check_int(spawning.attempts, 4);
    check_int(server.made, 1);
    lido_close(client);
    stop_server(task);
    lido_listener_close(server.listener);
    return 0;
}

static void a_future_is_made_once_and_only_if_there_is_a_task_for_it(void **state)
{
    (void)state;
    run(lack_memory_for_futures);
}

/* ---- Other errors ------------------------------------------------------------------------------
   */

static void check_outlived(int error)
{
    lido_listener *listener = net_listen();
    lido_task *server = start(serve_greetings, listener);
    net_await_acceptor(listener);
    accepting.attempts = 0;
    accepting.error = error;
    lido_stream *client = net_connect(listener);
    await_that(has_paused, NULL);
    check(accepting.attempts <= 4 * (LIDO__PASSED_OVER_MAX + 1)); /* it does not spin */
    accepting.error = 0;
    net_expect(client, "x");
    lido_close(client);
    stop_server(server);
    lido_listener_close(listener);
}

static int outlive_errors(void *arg)
{
    static const int errors[] = {EPERM,   ECONNABORTED, EPROTO, EHOSTUNREACH, ENETDOWN, ETIMEDOUT,
                                 ENOBUFS, EACCES,       EIO,    ECANCELED,    ENXIO,    EDEADLK,
                                 ENOSPC,  ENOSR,        EPIPE,  ECONNRESET,   ENOSYS};
    (void)arg;
    for (size_t i = 0; i < COUNT(errors); i++)
        check_outlived(errors[i]);
    return 0;
}

static void a_code_that_says_nothing_of_the_listener_does_not_end_the_server(void **state)
{
    (void)state;
    run(outlive_errors);
}

static int end_by_errors(void *arg)
{
    static const int errors[] = {EBADF, EINVAL, ENOTSOCK, EFAULT};
    (void)arg;
    for (size_t i = 0; i < COUNT(errors); i++) {
        lido_listener *listener = net_listen();
        accepting.error = errors[i];
        check_int(finish(start(serve_greetings, listener)), -errors[i]);
        accepting.error = 0;
        lido_listener_close(listener);
    }
    return 0;
}

static void one_that_says_that_the_listener_is_none_ends_it(void **state)
{
    (void)state;
    run(end_by_errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_descriptors_accepting_looks_ever_more_rarely, setup),
        cmocka_unit_test_setup(everybody_is_served_in_turn, setup),
        cmocka_unit_test_setup(a_pause_can_be_cancelled_and_leaves_the_connection_in_the_backlog,
                               setup),
        cmocka_unit_test_setup(closing_ends_the_pauses_of_all_workers, setup),
        cmocka_unit_test_setup(so_does_closing_in_a_plain_thread, setup),
        cmocka_unit_test_setup(a_descriptor_freed_before_the_wait_is_not_overlooked, setup),
        cmocka_unit_test_setup(without_memory_for_a_task_its_connection_waits, setup),
        cmocka_unit_test_setup(a_connection_that_can_have_no_task_is_closed, setup),
        cmocka_unit_test_setup(a_future_is_made_once_and_only_if_there_is_a_task_for_it, setup),
        cmocka_unit_test_setup(a_code_that_says_nothing_of_the_listener_does_not_end_the_server,
                               setup),
        cmocka_unit_test_setup(one_that_says_that_the_listener_is_none_ends_it, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
