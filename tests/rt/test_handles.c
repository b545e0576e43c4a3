/*
 * Handles that outlive what they name: of runtimes, tasks and wakers. What is asked of a runtime that has ended is
 * refused, and never reaches memory that is another's.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "support/death.h"
#include "support/runtime.h"

static int nothing(void *arg)
{
    (void)arg;
    return 7;
}

static int done_at_once(lido_future *self, const lido_waker *waker)
{
    (void)self;
    (void)waker;
    return 7;
}

/* Everything that takes a runtime. */
static void check_refuses(lido_runtime *runtime)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_future future = {done_at_once};
    lido_task *task = NULL;
    for (int placement = LIDO_PLACE_DEFAULT; placement <= LIDO_PLACE_WORKER; placement++)
        for (int mobility = LIDO_MOBILITY_DEFAULT; mobility <= LIDO_STEALABLE; mobility++) {
            options.placement = placement;
            options.mobility = mobility;
            check_int(lido_runtime_spawn_with(runtime, &task, nothing, NULL, &options), -ESHUTDOWN);
        }
    check_int(lido_runtime_spawn(runtime, &task, nothing, NULL), -ESHUTDOWN);
    check_int(lido_runtime_spawn_future(runtime, &task, &future), -ESHUTDOWN);
    check_int(lido_runtime_spawn_blocking(runtime, &task, nothing, NULL), -ESHUTDOWN);
    check(task == NULL);
    check_int(lido_block_on(runtime, nothing, NULL), -ESHUTDOWN);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL), -ESHUTDOWN);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, 0, NULL, NULL), -ESHUTDOWN);
    check_int(lido_shutdown_within(runtime, 0, 0, NULL, NULL), -ESHUTDOWN);
}

/* ---- Of runtimes ----------------------------------------------------------------------------------- */

static void a_runtime_that_has_ended_refuses_everything(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(schedulers); i++) {
        lido_runtime *runtime = runtime_by(schedulers[i], 2);
        lido_runtime *kept = lido_runtime_ref(runtime);
        check(kept == runtime);
        check_int(lido_block_on(runtime, nothing, NULL), 7);
        check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
        check_refuses(kept);
        lido_runtime_unref(kept);
    }
}

static void either_handle_may_end_it_and_free_gives_the_other_back(void **state)
{
    lido_runtime *runtime = runtime_of(2);
    lido_runtime *kept = lido_runtime_ref(runtime);
    (void)state;
    lido_runtime_unref(runtime);
    check_int(lido_block_on(kept, nothing, NULL), 7);
    lido_runtime_ref(kept);
    check_int(lido_runtime_free(kept), 0);
    check_refuses(kept);
    check_int(lido_runtime_free(kept), 0);
    lido_runtime_unref(NULL);
}

static int keep_current(void *arg)
{
    *(lido_runtime **)arg = lido_runtime_ref(lido_runtime_current());
    return 0;
}

static void the_runtime_of_a_run_can_be_kept_too(void **state)
{
    lido_runtime *kept;
    (void)state;
    check_int(lido_run(NULL, keep_current, &kept), 0);
    check_refuses(kept);
    lido_runtime_unref(kept);
}

/* From a task of another runtime. */
static int ask_from_a_task(void *arg)
{
    lido_wait wait = LIDO_WAIT_INIT;
    lido_runtime *kept = arg;
    lido_task *task = NULL;
    check_int(lido_runtime_spawn(kept, &task, nothing, NULL), -ESHUTDOWN);
    check_int(lido_runtime_spawn_blocking(kept, &task, nothing, NULL), -ESHUTDOWN);
    check_int(lido_shutdown(kept, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), -ESHUTDOWN);
    lido_shutdown_forgo(kept, &wait);
    check_int(lido_runtime_free(kept), 0);
    return 0;
}

struct asker {
    lido_future future;
    lido_runtime *runtime;
};

static int ask_from_a_future(lido_future *self, const lido_waker *waker)
{
    lido_wait wait = LIDO_WAIT_INIT;
    lido_runtime *kept = ((struct asker *)self)->runtime;
    check_int(lido_shutdown_poll(kept, LIDO_SHUTDOWN_NOW, &wait, waker), -ESHUTDOWN);
    lido_shutdown_forgo(kept, &wait);
    check_int(lido_runtime_spawn(kept, NULL, nothing, NULL), -ESHUTDOWN);
    return 0;
}

static int ask_from_tasks(void *arg)
{
    struct asker asker = {{ask_from_a_future}, arg};
    lido_task *task;
    check_int(lido_spawn_future(&task, &asker.future), 0);
    check_int(finish(task), 0);
    return ask_from_a_task(arg);
}

static void tasks_of_another_runtime_are_refused_too(void **state)
{
    lido_runtime *runtime = runtime_of(2);
    lido_runtime *kept = lido_runtime_ref(runtime);
    (void)state;
    check_int(lido_runtime_free(runtime), 0);
    check_int(lido_run(NULL, ask_from_tasks, kept), 0);
}

/* ---- Misuse ----------------------------------------------------------------------------------------- */

static void use_a_copy(void *arg)
{
    lido_runtime *runtime = runtime_of(1);
    (void)arg;
    check_int(lido_runtime_free(runtime), 0);
    check_refuses(runtime);
}

static void give_back_twice(void *arg)
{
    lido_runtime *runtime = runtime_of(1);
    (void)arg;
    check_int(lido_runtime_free(runtime), 0);
    lido_runtime_free(runtime);
}

static void forget_to_end_it(void *arg)
{
    (void)arg;
    lido_runtime_unref(runtime_of(1));
}

static void ref_what_is_gone(void *arg)
{
    lido_runtime *runtime = runtime_of(1);
    (void)arg;
    check_int(lido_runtime_free(runtime), 0);
    lido_runtime_ref(runtime);
}

static void check_dies(void (*fn)(void *arg), const char *told)
{
    struct death death;
    death_of(fn, NULL, &death);
    check(WIFSIGNALED(death.status) && WTERMSIG(death.status) == SIGABRT);
    check(strstr(death.told, told) != NULL);
}

static void what_was_not_counted_is_refused_or_named(void **state)
{
    struct death death;
    (void)state;
    death_of(use_a_copy, NULL, &death);
    if (death.status != 0)
        print_error("%s", death.told);
    check_int(death.status, 0);
    check_dies(give_back_twice, "given back already");
    check_dies(ref_what_is_gone, "given back already");
    check_dies(forget_to_end_it, "nobody has ended it");
}

/* ---- Of tasks and wakers ------------------------------------------------------------------------------ */

struct waiter {
    lido_future future;
    lido_waker kept;
};

static int keep_waker(lido_future *self, const lido_waker *waker)
{
    struct waiter *waiter = (struct waiter *)self;
    if (lido_is_cancelled())
        return -ECANCELED;
    if (!waiter->kept.lido_private)
        waiter->kept = lido_waker_clone(waker);
    return LIDO_PENDING;
}

static int wait_for_ever(void *arg)
{
    (void)arg;
    return lido_sleep(1000000);
}

static void handles_of_tasks_and_wakers_outlive_the_runtime(void **state)
{
    struct waiter waiter = {.future = {keep_waker}};
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *joined, *detached, *stopped, *waits;
    int result = 0;
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    options.name = "joined";
    check_int(lido_runtime_spawn_with(runtime, &joined, nothing, NULL, &options), 0);
    check_int(lido_runtime_spawn(runtime, &detached, nothing, NULL), 0);
    check_int(lido_runtime_spawn(runtime, &stopped, wait_for_ever, NULL), 0);
    check_int(lido_runtime_spawn_future(runtime, &waits, &waiter.future), 0);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 20, NULL, NULL), -ETIMEDOUT);
    check_int(lido_runtime_free(runtime), 0);

    check(lido_task_is_done(joined));
    check_string(lido_task_name(joined), "joined");
    lido_cancel(joined);
    check_int(lido_join(joined, &result), 0);
    check_int(result, 7);
    lido_cancel(detached);
    lido_detach(detached);
    check_int(lido_stop(stopped, &result), 0);
    check_int(result, -ECANCELED);
    lido_waker second = lido_waker_clone(&waiter.kept);
    lido_waker_wake(&waiter.kept);
    lido_waker_drop(&waiter.kept);
    check_int(lido_join(waits, &result), 0);
    check_int(result, -ECANCELED);
    lido_waker_wake(&second);
    lido_waker_drop(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_counted_is_refused_or_named),
        cmocka_unit_test(a_runtime_that_has_ended_refuses_everything),
        cmocka_unit_test(either_handle_may_end_it_and_free_gives_the_other_back),
        cmocka_unit_test(the_runtime_of_a_run_can_be_kept_too),
        cmocka_unit_test(tasks_of_another_runtime_are_refused_too),
        cmocka_unit_test(handles_of_tasks_and_wakers_outlive_the_runtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
