/* lido_op_try: a future's operation that is over at once, either way. */
#include <errno.h>

#include "net/net.h"
#include "support/net.h"

/* A future that is over after one step of a test. */
struct step {
    lido_future future;
    void (*take)(struct step *step, const lido_waker *waker);
    lido_op op;
    lido_stream *stream;
};

static int poll_step(lido_future *future, const lido_waker *waker)
{
    struct step *step = (struct step *)future;
    step->take(step, waker);
    return 0;
}

static void run_step(struct step *step)
{
    lido_task *task;
    step->future.poll = poll_step;
    check_int(lido_spawn_future(&task, &step->future), 0);
    check_int(finish(task), 0);
}

static void try_reading(struct step *step, const lido_waker *waker)
{
    char got[8];
    for (int i = 0; i < 2; i++) {
        lido_op_read(&step->op, step->stream, got, sizeof(got));
        check_int(lido_op_try(&step->op, waker), -EAGAIN);
        check(!lido__side_busy(&step->stream->handle, 0));
    }
}

static int try_empty_stream(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    struct step step = {.take = try_reading, .stream = pair[0]};
    run_step(&step);
    net_say(pair[1], "later");
    net_expect(pair[0], "later"); /* others can wait there now, and nothing was taken */
    net_close_pair(pair);
    return 0;
}

static void an_op_that_would_have_to_wait_is_over_and_has_consumed_nothing(void **state)
{
    (void)state;
    run(try_empty_stream);
}

/* The bytes are written from the lent buffer itself; when nothing more goes through, it is told. */
static void echo_lent(struct step *step, const lido_waker *waker)
{
    lido_op_read(&step->op, step->stream, NULL, 0);
    check_int(lido_op_try(&step->op, waker), 5);
    const void *lent = lido_op_lent(&step->op);
    lido_op_write(&step->op, step->stream, lent, 5);
    check_int(lido_op_try(&step->op, waker), 5);
    net_fill(step->stream);
    lido_op_write(&step->op, step->stream, lent, 5);
    check_int(lido_op_try(&step->op, waker), -EAGAIN);
}

static int try_lent(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    net_say(pair[1], "hello");
    struct step step = {.take = echo_lent, .stream = pair[0]};
    run_step(&step);
    net_expect(pair[1], "hello");
    net_close_pair(pair);
    return 0;
}

static void what_was_lent_can_be_written_where_it_lies(void **state)
{
    (void)state;
    run(try_lent);
}

static void try_while_busy(struct step *step, const lido_waker *waker)
{
    char got[8];
    lido_op_read(&step->op, step->stream, got, sizeof(got));
    check_int(lido_op_try(&step->op, waker), -EBUSY);
}

static int read_one(void *stream)
{
    char byte;
    return (int)lido_read(stream, &byte, 1);
}

static int try_busy_stream(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    lido_task *reader = start(read_one, pair[0]);
    net_await_reader(pair[0]);
    struct step step = {.take = try_while_busy, .stream = pair[0]};
    run_step(&step);
    net_say(pair[1], "x");
    check_int(finish(reader), 1);
    net_close_pair(pair);
    return 0;
}

static void a_side_on_which_another_task_waits_is_busy(void **state)
{
    (void)state;
    run(try_busy_stream);
}

/* Cancellation and deadline end waits; this is none, and what it writes would be lost. */
static void try_cancelled(struct step *step, const lido_waker *waker)
{
    lido_cancel(lido_self());
    lido_op_write(&step->op, step->stream, "x", 1);
    check_int(lido_op_poll(&step->op, waker), -ECANCELED);
    lido_op_write(&step->op, step->stream, "y", 1);
    check_int(lido_op_try(&step->op, waker), 1);
}

static int try_in_cancelled_task(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    struct step step = {.take = try_cancelled, .stream = pair[0]};
    run_step(&step);
    net_expect(pair[1], "y");
    net_close_pair(pair);
    return 0;
}

static void a_cancelled_task_can_still_write_what_it_has(void **state)
{
    (void)state;
    run(try_in_cancelled_task);
}

static lido_waker kept;

static void keep_waker(struct step *step, const lido_waker *waker)
{
    (void)step;
    kept = lido_waker_clone(waker);
}

static int try_elsewhere(void *arg)
{
    lido_stream *pair[2];
    (void)arg;
    net_pair(pair);
    struct step step = {.take = keep_waker, .stream = pair[0]};
    run_step(&step);
    lido_op_write(&step.op, pair[0], "x", 1);
    check_int(lido_op_try(&step.op, &kept), -ENXIO);
    lido_waker_drop(&kept);
    net_close_pair(pair);
    return 0;
}

static void only_the_task_itself_can_try(void **state)
{
    (void)state;
    run(try_elsewhere);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_op_that_would_have_to_wait_is_over_and_has_consumed_nothing),
        cmocka_unit_test(what_was_lent_can_be_written_where_it_lies),
        cmocka_unit_test(a_side_on_which_another_task_waits_is_busy),
        cmocka_unit_test(a_cancelled_task_can_still_write_what_it_has),
        cmocka_unit_test(only_the_task_itself_can_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
