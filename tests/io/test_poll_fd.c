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
    lido_task *beside = start(await_readable, &foreign.fds[0]);
    lido_task *there = start_on(1, await_readable, &foreign.fds[0]);
    check_int(lido_yield(), 0);
    put(foreign.fds[1]);
    check_int(finish(here), LIDO_READABLE);
    check_int(finish(beside), LIDO_READABLE);
    check_int(finish(there), LIDO_READABLE);
    close_pipe(&foreign);
    return 0;
}

static void any_task_of_any_worker_may_poll_a_descriptor(void **state)
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

/* ---- Numbers that become another's --------------------------------------------------------------- */

static int await_for_a_while(void *fd)
{
    lido_within(50);
    return lido_poll_fd(*(int *)fd, LIDO_READABLE);
}

static int read_byte(void *stream)
{
    char byte;
    lido_within(10000);
    return (int)lido_read(stream, &byte, 1);
}

/* The owner closes what is polled, lido opens a stream of that number, and the poll ends. `keep`: the file goes on by
   another descriptor. */
static void reuse_number(bool keep)
{
    lido_stream *pair[2];
    struct pipe foreign = open_pipe();
    int number = foreign.fds[0];
    lido_task *poller = start(await_for_a_while, &number);
    check_int(lido_sleep(1), 0);
    int kept = keep ? dup(number) : -1;
    close(number);
    check_int(lido_stream_pair(pair), 0);
    check_int(lido_stream_fd(pair[0]), number);
    lido_task *reader = start(read_byte, pair[0]);
    net_await_reader(pair[0]);
    check_int(finish(poller), -ETIMEDOUT);
    if (keep)
        put(foreign.fds[1]); /* tells nobody */
    check_int(lido_sleep(1), 0);
    check(!lido_task_is_done(reader));
    net_say(pair[1], "x");
    check_int(finish(reader), 1);
    net_close_pair(pair);
    if (keep) {
        check_int(dup2(kept, number), number); /* and comes back */
        check_int(lido_poll_fd(number, LIDO_READABLE), LIDO_READABLE);
        close(kept);
        close(number);
    }
    close(foreign.fds[1]);
}

static int reuse_numbers(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        reuse_number(false);
        reuse_number(true);
    }
    return 0;
}

static void the_next_of_a_number_gets_its_events_and_no_others(void **state)
{
    (void)state;
    run_pinned_on(1, reuse_numbers, NULL);
}

/* As it is with a library that reconnects: the same number, another file. */
static int poll_successor(void *arg)
{
    struct pipe first = open_pipe(), second;
    int number = first.fds[0];
    (void)arg;
    lido_task *poller = start(await_for_a_while, &number);
    check_int(lido_sleep(1), 0);
    close(number);
    second = open_pipe();
    check_int(second.fds[0], number);
    lido_task *next = start(await_readable, &number);
    check_int(finish(poller), -ETIMEDOUT);
    check(!lido_task_is_done(next));
    put(second.fds[1]);
    check_int(finish(next), LIDO_READABLE);
    close(first.fds[1]);
    close_pipe(&second);
    check_int(lido_poll_fd(number, LIDO_READABLE), -EBADF);
    return 0;
}

static void a_number_is_polled_as_the_file_that_it_is_now(void **state)
{
    (void)state;
    run_pinned_on(1, poll_successor, NULL);
}

static int poll_file_and_folder(void *arg)
{
    int folder = open("/proc/self", O_RDONLY | O_DIRECTORY);
    (void)arg;
    check_int(lido_poll_fd(folder, LIDO_READABLE), -EPERM);
    close(folder);
    return 0;
}

static void a_folder_cannot_be_polled(void **state)
{
    (void)state;
    run(poll_file_and_folder);
}

/* ---- Watches -------------------------------------------------------------------------------------- */

static int await_watch(void *watch)
{
    lido_within(10000);
    return lido_watch_wait(watch);
}

static int watch_input(void *arg)
{
    struct pipe foreign = open_pipe();
    lido_watch *watch;
    (void)arg;
    check_int(lido_watch_open(&watch, foreign.fds[0], LIDO_READABLE), 0);
    for (int i = 0; i < 3; i++) {
        lido_task *waiter = start(await_watch, watch);
        check_int(lido_sleep(1), 0);
        check(!lido_task_is_done(waiter));
        put(foreign.fds[1]);
        put(foreign.fds[1]);
        check_int(finish(waiter), LIDO_READABLE);
        get(foreign.fds[0]);
        check_int(lido_watch_wait(watch), LIDO_READABLE); /* not all was taken */
        get(foreign.fds[0]);
        if (i > 0)
            lido_watch_drained(watch);
    }
    lido_watch_close(watch);
    lido_watch_close(NULL);
    close_pipe(&foreign);
    return 0;
}

static void a_watch_tells_again_what_was_not_taken(void **state)
{
    (void)state;
    run(watch_input);
}

static int drain_early(void *arg)
{
    struct pipe foreign = open_pipe();
    lido_watch *watch;
    (void)arg;
    check_int(lido_watch_open(&watch, foreign.fds[0], LIDO_READABLE), 0);
    put(foreign.fds[1]);
    check_int(lido_watch_wait(watch), LIDO_READABLE);
    get(foreign.fds[0]);
    put(foreign.fds[1]); /* before it says so */
    check_int(lido_sleep(1), 0);
    lido_watch_drained(watch);
    check_int(await_watch(watch), LIDO_READABLE);
    lido_watch_close(watch);
    close_pipe(&foreign);
    return 0;
}

static void what_comes_before_drained_is_said_is_told(void **state)
{
    (void)state;
    run(drain_early);
}

static int watch_both_and_twice(void *arg)
{
    int pair[2];
    lido_watch *both, *input;
    (void)arg;
    check_int(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    check_int(lido_watch_open(&both, pair[0], BOTH), 0);
    check_int(lido_watch_open(&input, pair[0], LIDO_READABLE), 0);
    check_int(lido_watch_wait(both), LIDO_WRITABLE);
    lido_task *waiter = start(await_watch, input);
    check_int(lido_sleep(1), 0);
    check_int(lido_watch_wait(input), -EBUSY);
    put(pair[1]);
    check_int(finish(waiter), LIDO_READABLE);
    check_int(lido_watch_wait(both), BOTH);
    waiter = start(await_watch, input);
    close(pair[1]);
    check_int(finish(waiter), LIDO_READABLE);
    get(pair[0]);
    lido_watch_close(both);
    lido_watch_close(input);
    close(pair[0]);
    return 0;
}

static void each_watch_tells_of_its_own_events(void **state)
{
    (void)state;
    run(watch_both_and_twice);
}

/* The descriptor is closed first, and its number is another watch's. */
static int close_behind_watch(void *arg)
{
    struct pipe first = open_pipe(), second;
    lido_watch *old, *new;
    int number = first.fds[0];
    (void)arg;
    check_int(lido_watch_open(&old, number, LIDO_READABLE), 0);
    lido_task *orphan = start(await_watch, old);
    check_int(lido_sleep(1), 0);
    close(number);
    second = open_pipe();
    check_int(second.fds[0], number);
    check_int(lido_watch_open(&new, number, LIDO_READABLE), 0);
    lido_task *waiter = start(await_watch, new);
    check_int(lido_sleep(1), 0);
    lido_watch_close(old);
    check_int(finish(orphan), -ECANCELED);
    put(second.fds[1]);
    check_int(finish(waiter), LIDO_READABLE);
    lido_watch_close(new);
    close(first.fds[1]);
    close_pipe(&second);
    return 0;
}

static void the_end_of_a_watch_is_nothing_to_the_next_of_the_number(void **state)
{
    (void)state;
    run(close_behind_watch);
}

static int open_impossible_watches(void *arg)
{
    lido_watch *watch;
    struct pipe foreign = open_pipe();
    int file = open("/proc/self/exe", O_RDONLY);
    (void)arg;
    check_int(lido_watch_open(&watch, file, LIDO_READABLE), -EPERM);
    check_int(lido_watch_open(&watch, -1, LIDO_READABLE), -EBADF);
    check_int(lido_watch_open(&watch, foreign.fds[0], 0), -EINVAL);
    check_int(lido_watch_open(&watch, foreign.fds[0], 4), -EINVAL);
    close(file);
    close_pipe(&foreign);
    return 0;
}

static void what_cannot_be_watched_is_told_apart(void **state)
{
    lido_watch *watch;
    (void)state;
    run(open_impossible_watches);
    assert_int_equal(lido_watch_open(&watch, 0, LIDO_READABLE), -ENXIO);
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
        cmocka_unit_test(any_task_of_any_worker_may_poll_a_descriptor),
        cmocka_unit_test(cancellation_and_deadline_leave_no_trace),
        cmocka_unit_test(the_next_of_a_number_gets_its_events_and_no_others),
        cmocka_unit_test(a_number_is_polled_as_the_file_that_it_is_now),
        cmocka_unit_test(a_folder_cannot_be_polled),
        cmocka_unit_test(a_watch_tells_again_what_was_not_taken),
        cmocka_unit_test(what_comes_before_drained_is_said_is_told),
        cmocka_unit_test(each_watch_tells_of_its_own_events),
        cmocka_unit_test(the_end_of_a_watch_is_nothing_to_the_next_of_the_number),
        cmocka_unit_test(what_cannot_be_watched_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
