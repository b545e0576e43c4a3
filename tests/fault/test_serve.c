/*
 * Each call that a server makes fails once, at every place: for want of descriptors or memory it
 * serves a little later; of everything else it tells its caller, who may serve on. No connection is
 * lost in either case.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include "fault/sweep.h"
#include "net/pause.h"
#include "net/sibling.h"
#include "support/runtime.h"

#define CLIENTS 3

static lido__shared int served;

/* ---- What is done for a connection ---------------------------------------------------------------- */

static int echo(void *stream)
{
    char buffer[64];
    int64_t n;
    while ((n = retried(lido_read(stream, buffer, sizeof(buffer)))) > 0) {
        for (int64_t done = 0; done < n;)
            done += retried(lido_write(stream, buffer + done, (size_t)(n - done)));
    }
    check_int(n, 0);
    lido_close(stream);
    lido__fetch_add(&served, 1, LIDO__RELAXED);
    return 0;
}

struct echo {
    lido_future future;
    lido_stream *stream;
    lido_op op;
    char text[64];
    size_t to_write;
    size_t written;
    bool under_way;
};

static void start_op(struct echo *echo)
{
    if (echo->to_write > 0)
        lido_op_write(&echo->op, echo->stream, echo->text + echo->written,
                      echo->to_write - echo->written);
    else
        lido_op_read(&echo->op, echo->stream, echo->text, sizeof(echo->text));
    echo->under_way = true;
}

static void account(struct echo *echo, size_t bytes)
{
    if (echo->to_write == 0) {
        echo->to_write = bytes;
        echo->written = 0;
    } else if ((echo->written += bytes) == echo->to_write) {
        echo->to_write = 0;
    }
}

static int poll_echo(lido_future *future, const lido_waker *waker)
{
    struct echo *echo = (struct echo *)future;
    for (;;) {
        if (!echo->under_way)
            start_op(echo);
        ssize_t n = lido_op_poll(&echo->op, waker);
        if (n == LIDO_PENDING)
            return LIDO_PENDING;
        echo->under_way = false;
        if (n == 0)
            break;
        if (!failed(n))
            account(echo, (size_t)n);
    }
    lido_close(echo->stream);
    free(echo);
    lido__fetch_add(&served, 1, LIDO__RELAXED);
    return 0;
}

static lido_future *make_echo(void *arg, lido_stream *stream)
{
    struct echo *echo = calloc(1, sizeof(*echo));
    (void)arg;
    check(echo);
    echo->future.poll = poll_echo;
    echo->stream = stream;
    return &echo->future;
}

/* ---- Servers, which serve on ---------------------------------------------------------------------- */

static bool is_shortage(int error)
{
    return error == -ENOMEM || error == -EMFILE;
}

/* Serves until it is cancelled. An error is told; but a shortage is none to a server that has started. */
static int serve_on(lido_listener *listener, int (*serve)(lido_listener *listener), bool may_fail)
{
    int r;
    while ((r = serve(listener)) != -ECANCELED) {
        check(failed(r));
        check(may_fail || !is_shortage(r));
    }
    return 0;
}

static int with_fibers(lido_listener *listener)
{
    return lido_serve(listener, echo);
}

static int serve_fibers(void *listener)
{
    return serve_on(listener, with_fibers, false);
}

static int with_futures(lido_listener *listener)
{
    return lido_serve_futures(listener, make_echo, NULL, NULL);
}

static int serve_futures(void *listener)
{
    return serve_on(listener, with_futures, false);
}

static int with_reuseport(lido_listener *listener)
{
    lido_serve_options options = LIDO_SERVE_OPTIONS_INIT;
    options.placement = LIDO_PLACE_REUSEPORT;
    return lido_serve_with(listener, echo, &options);
}

static int serve_reuseport(void *listener)
{
    return serve_on(listener, with_reuseport, true);
}

/* ---- Clients -------------------------------------------------------------------------------------- */

/* Without lido as far as it goes: it is not the clients that are to fail. */
static int connected(const lido_listener *listener)
{
    struct sockaddr_storage to;
    socklen_t length = sizeof(to);
    int fd = lido_listener_fd(listener);
    check_int(getsockname(fd, (struct sockaddr *)&to, &length), 0);
    fd = socket(to.ss_family, SOCK_STREAM, 0);
    check_int(connect(fd, (struct sockaddr *)&to, length), 0);
    return fd;
}

static void serve_clients(const lido_listener *listener)
{
    lido_stream *clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        int fd = connected(listener);
        made(clients[i], lido_stream_from_fd(&clients[i], fd));
        say(clients[i], "ahoy");
    }
    for (int i = 0; i < CLIENTS; i++) {
        expect(clients[i], "ahoy");
        check_int(retried(lido_shutdown_stream(clients[i], LIDO_SIDE_WRITE)), 0);
        expect_end(clients[i]);
        lido_close(clients[i]);
    }
}

static bool all_are_served(void *arg)
{
    (void)arg;
    return lido__load(&served, LIDO__RELAXED) == CLIENTS;
}

static bool has_handles(void *count)
{
    return handle_count() == *(const int32_t *)count;
}

/* `more`: so many handles the server has when it accepts from everywhere; nobody connects before. */
static void run_server(lido_fn server, lido_listener *listener, int32_t more)
{
    int32_t count = handle_count() + more;
    int result;
    lido__store(&served, 0, LIDO__RELAXED);
    lido_task *task = begin(server, listener);
    await_that(has_handles, &count);
    serve_clients(listener);
    await_that(all_are_served, NULL);
    check_int(lido_stop(task, &result), 0);
    check_int(result, 0);
    lido_listener_close(listener);
}

static lido_listener *listening(bool reuse_port)
{
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    lido_listener *listener;
    options.reuse_port = reuse_port;
    made(listener, lido_listen_tcp_with(&listener, "127.0.0.1:0", &options));
    return listener;
}

/* ---- The tests ------------------------------------------------------------------------------------ */

static void fibers(void)
{
    run_server(serve_fibers, listening(false), 1);
}

static void futures(void)
{
    run_server(serve_futures, listening(false), 1);
}

/* On two workers: one listener more, and on each an accept. */
static void siblings(void)
{
    run_server(serve_reuseport, listening(true), 3);
}

/* What is lacking while it serves is waited for, so a failure need not be told. */
static void sweep_servers(void (*scenario)(void), uint64_t least)
{
    sweep_on(1, (struct sweep_plan){scenario, NULL, -EMFILE, least, all_are_silent});
    sweep_on(1, (struct sweep_plan){scenario, NULL, -ENOMEM, least, all_are_silent});
    sweep_on(2, (struct sweep_plan){scenario, NULL, -ENOMEM, least, all_are_silent});
}

static void served_by_fibers_nobody_is_lost(void **state)
{
    (void)state;
    sweep_servers(fibers, 70);
}

static void served_by_futures_nobody_is_lost(void **state)
{
    (void)state;
    sweep_servers(futures, 70);
}

static void served_from_several_listeners_nobody_is_lost(void **state)
{
    (void)state;
    lido__handshakes_ms = 1;
    sweep_on(2, (struct sweep_plan){siblings, NULL, -EMFILE, 85, all_are_silent});
    sweep_on(2, (struct sweep_plan){siblings, NULL, -ENOMEM, 85, all_are_silent});
}

/* Of a connection that has been accepted: what is wrong then is told to its task. Accepting itself
   goes on. */
static bool may_be_passed(const char *name)
{
    return is_allocation(name) || concerns_nobody(name) || asks_who(name) ||
           !strcmp(name, "accept") || !strcmp(name, "epoll_ctl");
}

/* Then nobody is lost who has not been accepted yet. */
static void other_errors_do_not_end_a_server(void **state)
{
    (void)state;
    sweep_on(1, (struct sweep_plan){fibers, NULL, -EPROTOTYPE, 70, may_be_passed});
    sweep_on(1, (struct sweep_plan){futures, NULL, -EPROTOTYPE, 70, may_be_passed});
}

/* ---- A shortage that lasts ------------------------------------------------------------------------ */

static bool has_paused(void *arg)
{
    (void)arg;
    return lido__load(&lido__paused, LIDO__RELAXED) > 0;
}

/* The clients are there before, so that it is the server that is short of it. */
static void outlast(lido_fn server, const char *name, int error)
{
    lido_listener *listener = listening(false);
    lido_stream *clients[CLIENTS];
    sweep.error = error;
    lido__store(&served, 0, LIDO__RELAXED);
    lido_task *task = begin(server, listener);
    net_await_acceptor(listener);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = net_connect(listener);
    lido__fault_plan_from(name, 1, error);
    await_that(has_paused, NULL);
    while (lido__fault_count() < 5)
        check_int(lido_sleep(1), 0);
    check_int(lido__load(&served, LIDO__RELAXED), 0);
    lido__fault_clear();
    for (int i = 0; i < CLIENTS; i++) {
        say(clients[i], "ahoy");
        expect(clients[i], "ahoy");
        lido_close(clients[i]);
    }
    await_that(all_are_served, NULL);
    check_int(lido_stop(task, NULL), 0);
    lido_listener_close(listener);
}

static int outlast_each(void *arg)
{
    int32_t handles_before = handle_count();
    (void)arg;
    outlast(serve_fibers, "accept", -EMFILE);
    outlast(serve_fibers, "accept", -ENOMEM);
    outlast(serve_fibers, "handle", -ENOMEM);
    outlast(serve_fibers, "task", -ENOMEM);
    outlast(serve_futures, "task", -ENOMEM);
    outlast(serve_futures, "malloc", -ENOMEM);
    check_int(handle_count(), handles_before);
    return 0;
}

static void a_lasting_shortage_is_waited_for_and_nobody_is_lost(void **state)
{
    (void)state;
    run_on(1, outlast_each, NULL);
}

/* ---- What a listener that closes still holds ------------------------------------------------------- */

#define CROWD 32

struct hold {
    struct flag held, let_go;
};

static int hold_worker(void *arg)
{
    struct hold *hold = arg;
    flag_raise(&hold->held);
    flag_await(&hold->let_go);
    return 0;
}

static bool has_accepted_all(void *listener)
{
    struct pollfd ask = {.fd = lido_listener_fd(listener), .events = POLLIN};
    return poll(&ask, 1, 0) == 0;
}

static bool crowd_is_served(void *arg)
{
    (void)arg;
    return lido__load(&served, LIDO__RELAXED) == CROWD;
}

/* The other worker is held, so what the system has dealt to its listener is there when that is closed. */
static int close_sibling_with_a_backlog(void *arg)
{
    struct hold hold = {{0}, {0}};
    lido_listener *listener = listening(true);
    int32_t ready = handle_count() + 3;
    int clients[CROWD], result;
    (void)arg;
    served = 0;
    lido_task *server = start(serve_reuseport, listener);
    await_that(has_handles, &ready);
    lido_task *holder = start_on(1, hold_worker, &hold);
    flag_await(&hold.held);
    for (int i = 0; i < CROWD; i++)
        clients[i] = connected(listener);
    await_that(has_accepted_all, listener);
    net_await_acceptor(listener);
    lido__fault_plan("accept", 1, -ECONNABORTED);
    lido_cancel(server);
    flag_raise(&hold.let_go);
    check_int(lido_join(server, &result), 0);
    check_string(lido__fault_hit(), "accept");
    lido__fault_clear();
    for (int i = 0; i < CROWD; i++)
        close(clients[i]);
    await_that(crowd_is_served, NULL);
    check_int(finish(holder), 0);
    lido_listener_close(listener);
    return 0;
}

static void a_dead_connection_does_not_hide_those_behind_it(void **state)
{
    (void)state;
    run_pinned_on(2, close_sibling_with_a_backlog, NULL);
}

/* ---- A listener whose options cannot be asked for ---------------------------------------------------- */

static int serve_without_an_answer(void *arg)
{
    lido_listener *listener;
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    (void)arg;
    options.reuse_port = true;
    check_int(lido_listen_tcp_with(&listener, "[::1]:0", &options), 0);
    for (uint64_t n = 1; n <= 2;
         n++) { /* whether it shares its port; whether it is for IPv6 only */
        lido__fault_plan("getsockopt", n, -ENOBUFS);
        check_int(with_reuseport(listener), -ENOBUFS);
        lido__fault_clear();
    }
    lido_listener_close(listener);
    return 0;
}

static void an_option_that_cannot_be_read_is_not_taken_for_unset(void **state)
{
    (void)state;
    if (!net_has_ipv6())
        skip();
    run_on(2, serve_without_an_answer, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(served_by_fibers_nobody_is_lost),
        cmocka_unit_test(served_by_futures_nobody_is_lost),
        cmocka_unit_test(served_from_several_listeners_nobody_is_lost),
        cmocka_unit_test(other_errors_do_not_end_a_server),
        cmocka_unit_test(a_lasting_shortage_is_waited_for_and_nobody_is_lost),
        cmocka_unit_test(a_dead_connection_does_not_hide_those_behind_it),
        cmocka_unit_test(an_option_that_cannot_be_read_is_not_taken_for_unset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
