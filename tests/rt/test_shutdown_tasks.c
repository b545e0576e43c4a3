/* Tasks that wait for the end of another runtime: nobody else of their worker waits with them. */
#include <errno.h>

#include "os/os.h"
#include "support/reports.h"
#include "support/runtime.h"

/* ---- Tasks -------------------------------------------------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int nap(void *arg)
{
    (void)arg;
    return lido_sleep(0);
}

/* 7, when it is told. */
static int receive(void *oneshot)
{
    void *value;
    int r = lido_oneshot_recv(oneshot, &value);
    return r < 0 ? r : 7;
}

static void tell_receiver(lido_oneshot *oneshot)
{
    check_int(lido_oneshot_send(oneshot, NULL), 0);
}

static int sleep_long(void *arg)
{
    (void)arg;
    return lido_sleep(3600000);
}

static int yield_until_told(void *arg)
{
    const struct flag *told = arg;
    while (!flag_is_up(told))
        lido_yield();
    return 0;
}

/* The runtime that is to be ended, with a task that ends when told. */
struct other {
    lido_runtime *runtime;
    lido_oneshot oneshot;
    lido_task *task;
};

static void other_begin(struct other *other)
{
    other->runtime = runtime_of(2);
    other->oneshot = (lido_oneshot)LIDO_ONESHOT_INIT;
    other->task = runtime_start(other->runtime, receive, &other->oneshot);
}

/* That a shutdown which failed has left it as it was. */
static void other_goes_on(struct other *other)
{
    check(!lido_task_is_done(other->task));
    check_int(lido_runtime_spawn(other->runtime, NULL, nothing, NULL), 0);
}

static void other_end(struct other *other)
{
    tell_receiver(&other->oneshot);
    check_int(finish(other->task), 7);
    check_int(lido_shutdown(other->runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
}

/* Nothing is left of the wait for its end: being idle, between the tasks, does not end it. */
static void other_goes_on_and_ends(struct other *other)
{
    other_goes_on(other);
    tell_receiver(&other->oneshot);
    check_int(finish(other->task), 7);
    for (int i = 0; i < 50; i++)
        check_int(finish(runtime_start(other->runtime, i % 2 ? nothing : nap, NULL)), 0);
    check_int(lido_shutdown(other->runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
}

/* ---- Fibers ------------------------------------------------------------------------------------- */

static int tell_later(void *arg)
{
    struct other *other = arg;
    for (int i = 0; i < 100; i++)
        check_int(lido_yield(), 0);
    tell_receiver(&other->oneshot);
    return 0;
}

/* Its neighbour on the same worker brings about what it waits for. */
static int wait_beside_a_neighbour(void *arg)
{
    struct other other;
    (void)arg;
    other_begin(&other);
    lido_task *neighbour = start(tell_later, &other);
    check_int(lido_shutdown(other.runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
    check_int(finish(neighbour), 0);
    return finish(other.task) == 7 ? 0 : -1;
}

static void a_fiber_that_waits_does_not_block_its_worker(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        run(wait_beside_a_neighbour);
}

static int escalate(void *arg)
{
    struct other other;
    (void)arg;
    other_begin(&other);
    check_int(lido_shutdown_within(other.runtime, 10, -1, NULL, NULL), 0);
    return finish(other.task);
}

static void a_fiber_can_go_down_the_ladder(void **state)
{
    (void)state;
    check_int(lido_run(NULL, escalate, NULL), -ECANCELED);
}

/* The callback waits too. */
static void note_and_yield(void *arg, const lido_stuck *stuck)
{
    note(arg, stuck);
    check_int(lido_yield(), 0);
}

static int time_out(void *arg)
{
    struct other other;
    struct reports reports = {0};
    (void)arg;
    other_begin(&other);
    check_int(lido_shutdown(other.runtime, LIDO_SHUTDOWN_ON_IDLE, 1, note_and_yield, &reports),
              -ETIMEDOUT);
    check_int(reports.count, 1);
    other_goes_on_and_ends(&other);
    return 0;
}

static void a_fiber_is_told_what_is_left(void **state)
{
    (void)state;
    run(time_out);
}

static int time_out_by_its_own_deadline(void *arg)
{
    struct other other;
    struct reports reports = {0};
    (void)arg;
    other_begin(&other);
    {
        lido_within(1);
        check_int(lido_shutdown(other.runtime, LIDO_SHUTDOWN_ON_IDLE, -1, note, &reports),
                  -ETIMEDOUT);
        check_int(lido_shutdown(other.runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), -ETIMEDOUT);
    }
    check_int(reports.count, 1);
    other_goes_on(&other);
    /* The ladder ends on the rung on which that happens. */
    {
        lido_within(1);
        check_int(lido_shutdown_within(other.runtime, 3600000, -1, NULL, NULL), -ETIMEDOUT);
    }
    check(!lido_task_is_done(other.task));
    other_end(&other);
    return 0;
}

static void the_deadline_of_a_fiber_ends_its_wait(void **state)
{
    (void)state;
    run(time_out_by_its_own_deadline);
}

static int end_on_idle(void *arg)
{
    struct other *other = arg;
    return lido_shutdown(other->runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL);
}

/* Until the call waits. */
static void await_waiter(lido_runtime *runtime)
{
    int r;
    while ((r = lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 0, NULL, NULL)) == -ETIMEDOUT)
        check_int(lido_yield(), 0);
    check_int(r, -EBUSY);
}

static int cancel_the_waiter(void *arg)
{
    struct other other;
    int result;
    (void)arg;
    other_begin(&other);
    lido_task *waiter = start(end_on_idle, &other);
    check_int(lido_yield(), 0);
    await_waiter(other.runtime);
    check_int(lido_stop(waiter, &result), 0);
    check_int(result, -ECANCELED);
    other_goes_on_and_ends(&other);
    return 0;
}

static void a_fiber_that_waits_can_be_cancelled(void **state)
{
    (void)state;
    run(cancel_the_waiter);
}

static int free_though_cancelled(void *arg)
{
    struct other *other = arg;
    check_int(lido_sleep(3600000), -ECANCELED);
    check_int(lido_shutdown(other->runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), -ECANCELED);
    check(!lido_task_is_done(other->task));
    return lido_runtime_free(other->runtime);
}

static int cancel_who_frees(void *arg)
{
    struct other other;
    int result;
    (void)arg;
    other_begin(&other);
    lido_task *owner = start(free_though_cancelled, &other);
    check_int(lido_yield(), 0);
    check_int(lido_stop(owner, &result), 0);
    check_int(result, 0);
    return finish(other.task) == -ECANCELED ? 0 : -1;
}

static void free_is_not_cut_short_by_cancellation(void **state)
{
    (void)state;
    run(cancel_who_frees);
}

static int end_other(void *arg)
{
    return lido_shutdown(arg, LIDO_SHUTDOWN_NOW, -1, NULL, NULL);
}

/* As a plain thread does. */
static int end_from_a_section(void *arg)
{
    struct other other;
    (void)arg;
    other_begin(&other);
    check_int(lido_blocking(end_other, other.runtime), 0);
    return finish(other.task) == -ECANCELED ? 0 : -1;
}

static void blocking_code_can_end_another_runtime(void **state)
{
    (void)state;
    run(end_from_a_section);
}

/* ---- Futures ------------------------------------------------------------------------------------ */

struct ending {
    lido_future future;
    lido_runtime *runtime;
    lido_shutdown_how how;
    lido_wait wait;
    struct flag polled;
    bool forgoes; /* when it is polled for the second time */
};

static int ending_poll(lido_future *future, const lido_waker *waker)
{
    struct ending *ending = (struct ending *)future;
    if (ending->forgoes && flag_is_up(&ending->polled)) {
        lido_shutdown_forgo(ending->runtime, &ending->wait);
        return 1;
    }
    int r = lido_shutdown_poll(ending->runtime, ending->how, &ending->wait, waker);
    flag_raise(&ending->polled);
    return r;
}

static struct ending ending_of(lido_runtime *runtime, lido_shutdown_how how)
{
    return (struct ending){
        .future = {ending_poll}, .runtime = runtime, .how = how, .wait = LIDO_WAIT_INIT};
}

static lido_task *start_ending(struct ending *ending)
{
    lido_task *task;
    check_int(lido_spawn_future(&task, &ending->future), 0);
    while (!flag_is_up(&ending->polled))
        check_int(lido_yield(), 0);
    return task;
}

static int end_as_a_future(void *arg)
{
    struct other other;
    (void)arg;
    other_begin(&other);
    struct ending ending = ending_of(other.runtime, LIDO_SHUTDOWN_DRAIN);
    lido_task *task = start_ending(&ending);
    check(!lido_task_is_done(task));
    check_int(lido_runtime_spawn(other.runtime, NULL, nothing, NULL), -ESHUTDOWN);
    tell_receiver(&other.oneshot);
    check_int(finish(task), 0);
    return finish(other.task) == 7 ? 0 : -1;
}

static void a_future_can_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        run(end_as_a_future);
}

static int cancel_the_future(void *arg)
{
    struct other other;
    int result;
    (void)arg;
    other_begin(&other);
    struct ending ending = ending_of(other.runtime, LIDO_SHUTDOWN_ON_IDLE);
    lido_task *task = start_ending(&ending);
    check_int(lido_stop(task, &result), 0);
    check_int(result, -ECANCELED);
    other_goes_on_and_ends(&other);
    return 0;
}

static void a_future_that_waits_can_be_cancelled(void **state)
{
    (void)state;
    run(cancel_the_future);
}

static int give_up_as_a_future(void *arg)
{
    struct other other;
    (void)arg;
    other_begin(&other);
    struct ending ending = ending_of(other.runtime, LIDO_SHUTDOWN_ON_IDLE);
    ending.forgoes = true;
    lido_task *task = start_ending(&ending);
    lido_cancel(task); /* wakes it */
    check_int(finish(task), 1);
    other_goes_on_and_ends(&other);
    return 0;
}

static void a_future_can_give_up(void **state)
{
    (void)state;
    run(give_up_as_a_future);
}

/* Nobody waits any more for an end that has come: it does not come again. */
static int give_up_too_late(void *arg)
{
    struct other other;
    (void)arg;
    other_begin(&other);
    struct ending ending = ending_of(other.runtime, LIDO_SHUTDOWN_ON_IDLE);
    ending.forgoes = true;
    lido_task *task = start_ending(&ending);
    tell_receiver(&other.oneshot);
    check_int(finish(other.task), 7);
    check_int(finish(task), 1); /* polled again, because it has ended */
    check_int(lido_shutdown(other.runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), 0);
    return 0;
}

static void what_has_ended_unseen_is_ended_by_the_next_call(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        run(give_up_too_late);
}

static int poll_what_must_not_wait(lido_future *future, const lido_waker *waker)
{
    struct ending *ending = (struct ending *)future;
    lido_runtime *own = lido_runtime_current();
    lido_wait *wait = &ending->wait;
    check_int(lido_shutdown_poll(own, LIDO_SHUTDOWN_NOW, wait, waker), -EDEADLK);
    check_int(lido_shutdown_poll(ending->runtime, (lido_shutdown_how)9, wait, waker), -EINVAL);
    check_int(lido_shutdown(ending->runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), -EDEADLK);
    check_int(lido_runtime_free(ending->runtime), -EDEADLK);
    return 0;
}

static int try_what_is_refused(void *arg)
{
    struct other other;
    lido_task *task;
    (void)arg;
    other_begin(&other);
    struct ending wrong = ending_of(other.runtime, LIDO_SHUTDOWN_NOW);
    wrong.future.poll = poll_what_must_not_wait;
    check_int(lido_spawn_future(&task, &wrong.future), 0);
    check_int(finish(task), 0);
    other_goes_on(&other);

    struct ending first = ending_of(other.runtime, LIDO_SHUTDOWN_ON_IDLE);
    struct ending second = ending_of(other.runtime, LIDO_SHUTDOWN_NOW);
    task = start_ending(&first);
    check_int(finish(start_ending(&second)), -EBUSY);
    other_goes_on(&other);
    tell_receiver(&other.oneshot);
    check_int(finish(task), 0);
    return finish(other.task) == 7 ? 0 : -1;
}

static void a_future_must_not_block_nor_come_second(void **state)
{
    (void)state;
    run(try_what_is_refused);
}

/* ---- To and fro --------------------------------------------------------------------------------- */

/* A task that is told to end by one of the runtime that is being ended. */
static int tell(void *arg)
{
    int r = lido_sleep(3600000);
    flag_raise(arg);
    return r;
}

static int cancel_who_tells(void *arg)
{
    struct flag told = {0};
    lido_runtime *other = runtime_of(2);
    (void)arg;
    lido_task *teller = runtime_start(other, tell, &told);
    lido_task *told_one = start(yield_until_told, &told);
    lido_task *stranger = runtime_start(other, sleep_long, NULL);
    check_int(lido_shutdown_within(other, 0, -1, NULL, NULL), 0);
    check_int(finish(told_one), 0);
    check_int(finish(stranger), -ECANCELED);
    return finish(teller) == -ECANCELED ? 0 : -1;
}

static void tasks_of_a_runtime_that_ends_can_wake_those_of_another(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        run(cancel_who_tells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fiber_that_waits_does_not_block_its_worker),
        cmocka_unit_test(a_fiber_can_go_down_the_ladder),
        cmocka_unit_test(a_fiber_is_told_what_is_left),
        cmocka_unit_test(the_deadline_of_a_fiber_ends_its_wait),
        cmocka_unit_test(a_fiber_that_waits_can_be_cancelled),
        cmocka_unit_test(free_is_not_cut_short_by_cancellation),
        cmocka_unit_test(blocking_code_can_end_another_runtime),
        cmocka_unit_test(a_future_can_wait),
        cmocka_unit_test(a_future_that_waits_can_be_cancelled),
        cmocka_unit_test(a_future_can_give_up),
        cmocka_unit_test(what_has_ended_unseen_is_ended_by_the_next_call),
        cmocka_unit_test(a_future_must_not_block_nor_come_second),
        cmocka_unit_test(tasks_of_a_runtime_that_ends_can_wake_those_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
