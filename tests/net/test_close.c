/*
 * Closing under a task that waits, from its own worker, from another and from a plain thread, at the moment
 * in which what it waits for happens: it ends with what it got or with -ECANCELED, and never touches the
 * descriptor again, whose number is somebody else's at once.
 */
#include <errno.h>

#include "net/net.h"
#include "os/os.h"
#include "support/net.h"
#include "support/runtime.h"

enum { ROUNDS = 1500 };

/* Takes over the number of a descriptor that was just closed. */
struct successor {
    int fds[2];
};

static void succeed(struct successor *successor, int number)
{
    check_int(lido__os_socketpair(AF_UNIX, SOCK_STREAM, successor->fds), 0);
    check_int(successor->fds[0], number);
    check_int(lido__os_send(successor->fds[1], "n", 1, 0), 1);
}

/* Nobody has read from it or written to it. */
static void check_untouched(struct successor *successor)
{
    char byte;
    check_int(lido__os_recv(successor->fds[0], &byte, 1, 0), 1);
    check_int(lido__os_recv(successor->fds[1], &byte, 1, 0), -EAGAIN);
    check_int(lido__os_close(successor->fds[0]), 0);
    check_int(lido__os_close(successor->fds[1]), 0);
}

static int read_one(void *stream)
{
    char byte = 0;
    ssize_t n = lido_read(stream, &byte, 1);
    return n == 1 ? byte : (int)n;
}

static int write_one(void *stream)
{
    return (int)lido_write(stream, "w", 1);
}

/* The number is free from the close on: so that nobody else takes it, all is done by one thread. */
static void close_and_succeed(lido_stream *stream, struct successor *successor)
{
    int number = lido_stream_fd(stream);
    lido_close(stream);
    succeed(successor, number);
}

static void close_under_reader(unsigned worker, int round)
{
    lido_stream *pair[2];
    struct successor successor;
    net_unix_pair(pair);
    lido_task *reader = start_on(worker, read_one, pair[0]);
    net_await_reader(pair[0]);
    if (round % 3)
        net_say(pair[1], "y");
    if (round % 3 == 2)
        lido__thread_yield();
    close_and_succeed(pair[0], &successor);
    int result = finish(reader);
    check(result == -ECANCELED || (result == 'y' && round % 3));
    check_untouched(&successor);
    lido_close(pair[1]);
}

static int close_under_readers(void *arg)
{
    (void)arg;
    for (int round = 0; round < ROUNDS; round++)
        close_under_reader((unsigned)round % 2, round);
    return 0;
}

static void a_close_under_a_reader_ends_its_wait(void **state)
{
    (void)state;
    run_on(2, close_under_readers, NULL);
}

static void close_under_writer(unsigned worker, int round)
{
    lido_stream *pair[2];
    struct successor successor;
    net_unix_pair(pair);
    size_t filled = net_fill(pair[0]);
    lido_task *writer = start_on(worker, write_one, pair[0]);
    net_await_writer(pair[0]);
    if (round % 3)
        net_drain(pair[1], filled);
    if (round % 3 == 2)
        lido__thread_yield();
    close_and_succeed(pair[0], &successor);
    int result = finish(writer);
    check(result == -ECANCELED || (result == 1 && round % 3));
    check_untouched(&successor);
    lido_close(pair[1]);
}

static int close_under_writers(void *arg)
{
    (void)arg;
    for (int round = 0; round < ROUNDS; round++)
        close_under_writer((unsigned)round % 2, round);
    return 0;
}

static void a_close_under_a_writer_ends_its_wait(void **state)
{
    (void)state;
    run_on(2, close_under_writers, NULL);
}

static int make_pair(void *pair)
{
    net_unix_pair(pair);
    return 0;
}

static void a_close_from_a_plain_thread_ends_the_wait(void **state)
{
    lido_runtime *runtime = runtime_of(1);
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        lido_stream *pair[2];
        struct successor successor;
        int result;
        check_int(lido_block_on(runtime, make_pair, pair), 0);
        lido_task *reader = runtime_start(runtime, read_one, pair[0]);
        while (!lido__side_busy(&pair[0]->handle, 0))
            lido__thread_yield();
        if (round % 2)
            check_int(lido__os_send(lido_stream_fd(pair[1]), "y", 1, 0), 1);
        close_and_succeed(pair[0], &successor);
        check_int(lido_join(reader, &result), 0);
        check(result == -ECANCELED || (result == 'y' && round % 2));
        check_untouched(&successor);
        lido_close(pair[1]);
    }
    runtime_end(runtime);
}

/* ---- Giving up ------------------------------------------------------------------------------------- */

/* A future that waits for a byte, and when it is woken gives up. */
struct quitter {
    lido_future future;
    lido_op op;
    lido_stream *stream;
    lido_waker waker;
    bool waits;
    char byte;
};

static int wait_then_quit(lido_future *future, const lido_waker *waker)
{
    struct quitter *quitter = (struct quitter *)future;
    if (quitter->waits)
        return (int)lido_op_try(&quitter->op, waker);
    quitter->waits = true;
    quitter->waker = lido_waker_clone(waker);
    lido_op_read(&quitter->op, quitter->stream, &quitter->byte, 1);
    check_int(lido_op_poll(&quitter->op, waker), LIDO_PENDING);
    return LIDO_PENDING;
}

static int quit_and_read(void *arg)
{
    lido_stream *pair[2];
    lido_task *task;
    (void)arg;
    net_unix_pair(pair);
    struct quitter quitter = {.future = {wait_then_quit}, .stream = pair[0]};
    check_int(lido_spawn_future(&task, &quitter.future), 0);
    net_await_reader(pair[0]);
    lido_waker_wake(&quitter.waker);
    lido_waker_drop(&quitter.waker);
    check_int(finish(task), -EAGAIN);
    net_say(pair[1], "x"); /* neither for the one that gave up, nor in its way */
    net_expect(pair[0], "x");
    check_int(quitter.byte, 0);
    net_close_pair(pair);
    return 0;
}

static void an_op_that_waits_can_be_given_up(void **state)
{
    (void)state;
    run(quit_and_read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_under_a_reader_ends_its_wait),
        cmocka_unit_test(a_close_under_a_writer_ends_its_wait),
        cmocka_unit_test(a_close_from_a_plain_thread_ends_the_wait),
        cmocka_unit_test(an_op_that_waits_can_be_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
