/* lido_poll_fd: descriptors that lido does not own. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/net.h"
#include "support/runtime.h"

#define BOTH (LIDO_READABLE | LIDO_WRITABLE)

/* Blocking descriptors, as a foreign library has them. [0] is read from. */
struct pipe {
    int fds[2];
};

static struct pipe open_pipe(void)
{
    struct pipe made;
    check_int(pipe(made.fds), 0);
    return made;
}

static void put(int fd)
{
    check_int(write(fd, "x", 1), 1);
}

static void get(int fd)
{
    char byte;
    check_int(read(fd, &byte, 1), 1);
}

static void close_pipe(struct pipe *made)
{
    close(made->fds[0]);
    close(made->fds[1]);
}

static int await_readable(void *fd)
{
    return lido_poll_fd(*(int *)fd, LIDO_READABLE);
}

/* ---- What is told ------------------------------------------------------------------------------ */

static int wait_for_input(void *arg)
{
    struct pipe foreign = open_pipe();
    (void)arg;
    lido_task *waiter = start(await_readable, &foreign.fds[0]);
    check_int(lido_sleep(1), 0);
    check(!lido_task_is_done(waiter));
    put(foreign.fds[1]);
    check_int(finish(waiter), LIDO_READABLE);
    check_int(lido_poll_fd(foreign.fds[0], LIDO_READABLE), LIDO_READABLE); /* still */
    get(foreign.fds[0]);
    check_int(fcntl(foreign.fds[0], F_GETFL) & O_NONBLOCK, 0);
    close_pipe(&foreign);
    return 0;
}

static void input_wakes_the_task_and_is_left_where_it_is(void **state)
{
    (void)state;
    run(wait_for_input);
}

static int wait_for_both(void *arg)
{
    int pair[2];
    (void)arg;
    check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    check_int(lido_poll_fd(pair[0], BOTH), LIDO_WRITABLE);
    check_int(lido_poll_fd(pair[0], LIDO_WRITABLE), LIDO_WRITABLE);
    put(pair[1]);
    check_int(lido_poll_fd(pair[0], BOTH), BOTH);
    check_int(lido_poll_fd(pair[0], LIDO_READABLE), LIDO_READABLE);
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static void those_events_are_told_that_were_asked_for_and_hold(void **state)
{
    (void)state;
    run(wait_for_both);
}

static int await_both(void *fd)
{
    return lido_poll_fd(*(int *)fd, BOTH);
}

static int wait_for_either(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    for (int side = 0; side < 2; side++) {
        check_int(lido_stream_pair(pair), 0);
        size_t filled = net_fill(pair[0]);
        int fd = dup(lido_stream_fd(pair[0]));
        lido_task *waiter = start(await_both, &fd);
        check_int(lido_sleep(1), 0);
        check(!lido_task_is_done(waiter));
        if (side == 0)
            net_say(pair[1], "x");
        else
            net_drain(pair[1], filled);
        check_int(finish(waiter), side == 0 ? LIDO_READABLE : LIDO_WRITABLE);
        close(fd);
        net_close_pair(pair);
    }
    return 0;
}

static void the_first_of_both_events_ends_the_wait(void **state)
{
    (void)state;
    run(wait_for_either);
}

static int wait_for_hang_up(void *arg)
{
    struct pipe foreign = open_pipe();
    (void)arg;
    lido_task *waiter = start(await_readable, &foreign.fds[0]);
    check_int(lido_sleep(1), 0);
    close(foreign.fds[1]);
    check_int(finish(waiter), LIDO_READABLE);
    close(foreign.fds[0]);
    foreign = open_pipe();
    close(foreign.fds[0]);
    check_int(lido_poll_fd(foreign.fds[1], LIDO_WRITABLE), LIDO_WRITABLE); /* an error: EPIPE */
    close(foreign.fds[1]);
    return 0;
}

static void hang_ups_and_errors_count_as_ready(void **state)
{
    (void)state;
    run(wait_for_hang_up);
}

/* Both tasks are told of one byte; the one that comes first takes it. */
struct rivals {
    struct pipe foreign;
    int duplicate;
    unsigned winners;
};

static int take_byte(struct rivals *rivals, int fd)
{
    check_int(lido_poll_fd(fd, LIDO_READABLE), LIDO_READABLE);
    rivals->winners++;
    get(rivals->foreign.fds[0]);
    return 0;
}

static int first_rival(void *arg)
{
    struct rivals *rivals = arg;
    return take_byte(rivals, rivals->foreign.fds[0]);
}

static int second_rival(void *arg)
{
    struct rivals *rivals = arg;
    return take_byte(rivals, rivals->duplicate);
}

static bool one_has_won(void *rivals)
{
    return ((struct rivals *)rivals)->winners == 1;
}

static int race_for_byte(void *arg)
{
    struct rivals rivals = {.foreign = open_pipe()};
    (void)arg;
    rivals.duplicate = dup(rivals.foreign.fds[0]);
    lido_task *first = start(first_rival, &rivals), *second = start(second_rival, &rivals);
    check_int(lido_sleep(1), 0);
    put(rivals.foreign.fds[1]);
    await_that(one_has_won, &rivals);
    check_int(lido_sleep(1), 0);
    check_int(rivals.winners, 1);
    put(rivals.foreign.fds[1]);
    check_int(finish(first), 0);
    check_int(finish(second), 0);
    close(rivals.duplicate);
    close_pipe(&rivals.foreign);
    return 0;
}

static void an_event_that_somebody_else_has_taken_is_not_told(void **state)
{
    (void)state;
    run(race_for_byte);
}

/* ---- Errors ------------------------------------------------------------------------------------ */

static int poll_the_impossible(void *arg)
{
    struct pipe foreign = open_pipe();
    int file = open("/proc/self/exe", O_RDONLY);
    (void)arg;
    check(file >= 0);
    check_int(lido_poll_fd(file, LIDO_READABLE), -EPERM);
    close(file);
    check_int(lido_poll_fd(file, LIDO_READABLE), -EBADF);
    check_int(lido_poll_fd(-1, LIDO_READABLE), -EBADF);
    check_int(lido_poll_fd(foreign.fds[0], 0), -EINVAL);
    check_int(lido_poll_fd(foreign.fds[0], 4), -EINVAL);
    close_pipe(&foreign);
    return 0;
}

static void what_cannot_be_polled_is_told_apart(void **state)
{
    (void)state;
    run(poll_the_impossible);
    assert_int_equal(lido_poll_fd(0, LIDO_READABLE), -ENXIO);
}

static int poll_twice(void *arg)
{
    struct pipe foreign = open_pipe();
    (void)arg;
    lido_task *here = start(await_readable, &foreign.fds[0]);
    check_int(lido_yield(), 0);
    check_int(lido_poll_fd(foreign.fds[0], LIDO_READABLE), -EBUSY);
    lido_task *there = start_on(1, await_readable, &foreign.fds[0]);
    put(foreign.fds[1]);
    check_int(finish(here), LIDO_READABLE);
    check_int(finish(there), LIDO_READABLE);
    close_pipe(&foreign);
    return 0;
}

static void one_task_of_a_worker_polls_a_descriptor(void **state)
{
    (void)state;
    run_pinned_on(2, poll_twice, NULL);
}

static int interrupt(void *arg)
{
    struct pipe foreign = open_pipe();
    int result;
    (void)arg;
    lido_task *waiter = start(await_readable, &foreign.fds[0]);
    check_int(lido_yield(), 0);
    check_int(lido_stop(waiter, &result), 0);
    check_int(result, -ECANCELED);
    {
        lido_within(1);
        check_int(lido_poll_fd(foreign.fds[0], LIDO_READABLE), -ETIMEDOUT);
    }
    put(foreign.fds[1]);
    check_int(lido_poll_fd(foreign.fds[0], LIDO_READABLE), LIDO_READABLE); /* nothing is left */
    {
        lido_within(0);
        check_int(lido_poll_fd(foreign.fds[0], LIDO_READABLE), -ETIMEDOUT);
    }
    close_pipe(&foreign);
    return 0;
}

static void cancellation_and_deadline_leave_no_trace(void **state)
{
    (void)state;
    run(interrupt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(input_wakes_the_task_and_is_left_where_it_is),
        cmocka_unit_test(those_events_are_told_that_were_asked_for_and_hold),
        cmocka_unit_test(the_first_of_both_events_ends_the_wait),
        cmocka_unit_test(hang_ups_and_errors_count_as_ready),
        cmocka_unit_test(an_event_that_somebody_else_has_taken_is_not_told),
        cmocka_unit_test(what_cannot_be_polled_is_told_apart),
        cmocka_unit_test(one_task_of_a_worker_polls_a_descriptor),
        cmocka_unit_test(cancellation_and_deadline_leave_no_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
