/*
 * A handle of a task that is used after it was given back: an abort that says so, and no hang. If the task has ended, its
 * memory is not another's yet in these scenes; AddressSanitizer has its own words for that.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitize.h"
#include "support/death.h"
#include "support/runtime.h"

static int nothing(void *arg)
{
    (void)arg;
    return 7;
}

static int wait_for_long(void *arg)
{
    (void)arg;
    return lido_sleep(1000000);
}

/* ---- How a handle is given back, and used again ------------------------------------------------------ */

static void by_join(lido_task *task)
{
    check_int(lido_join(task, NULL), 0);
}

static void by_stop(lido_task *task)
{
    check_int(lido_stop(task, NULL), 0);
}

static void by_detach(lido_task *task)
{
    lido_detach(task);
}

static void join(lido_task *task)
{
    lido_join(task, NULL);
}

static void stop(lido_task *task)
{
    lido_stop(task, NULL);
}

struct poller {
    lido_future future;
    lido_task *task;
};

static int poll_join(lido_future *self, const lido_waker *waker)
{
    return lido_join_poll(((struct poller *)self)->task, NULL, waker);
}

static void join_in_a_future(lido_task *task)
{
    struct poller poller = {{poll_join}, task};
    lido_task *poll;
    check_int(lido_spawn_future(&poll, &poller.future), 0);
    lido_join(poll, NULL);
}

static void ask(lido_task *task)
{
    lido_task_is_done(task);
}

static void ask_its_name(lido_task *task)
{
    lido_task_name(task);
}

struct misuse {
    lido_fn task;
    void (*give_back)(lido_task *task);
    void (*use)(lido_task *task);
    bool from_thread; /* a plain one */
    unsigned workers; /* 0: as many as there are */
};

static void misuse_it(const struct misuse *misuse, lido_runtime *runtime)
{
    lido_task *task;
    check_int(lido_runtime_spawn(runtime, &task, misuse->task, NULL), 0);
    misuse->give_back(task);
    misuse->use(task);
    fprintf(stderr, "nobody has noticed\n");
}

static int misuse_in_task(void *arg)
{
    misuse_it(arg, lido_runtime_current());
    return 0;
}

static void be_told(void *arg)
{
    struct misuse *misuse = arg;
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = misuse->workers;
    alarm(60); /* a hang */
    if (!misuse->from_thread)
        lido_run(&config, misuse_in_task, misuse);
    else
        misuse_it(misuse, runtime_of(1));
}

static void check_told(struct misuse misuse)
{
    struct death death;
    death_of(be_told, &misuse, &death);
#if defined(LIDO__ASAN)
    check(death.status != 0 && !(WIFSIGNALED(death.status) && WTERMSIG(death.status) == SIGALRM));
    if (strstr(death.told, "AddressSanitizer"))
        return;
#endif
    if (!strstr(death.told, "given back already"))
        print_error("%s", death.told);
    check(strstr(death.told, "given back already") != NULL);
    check(WIFSIGNALED(death.status) && WTERMSIG(death.status) == SIGABRT);
}

static void a_handle_that_was_given_back_is_not_used_again(void **state)
{
    static void (*const ways[])(lido_task *) = {by_join, by_stop, by_detach};
    static void (*const uses[])(lido_task *) = {join, stop, by_detach};
    (void)state;
    for (size_t i = 0; i < COUNT(ways); i++)
        for (size_t j = 0; j < COUNT(uses); j++)
            for (int thread = 0; thread < 2; thread++)
                check_told((struct misuse){nothing, ways[i], uses[j], thread, 0});
}

/* It goes on, so nothing of it is gone. */
static void a_task_that_was_detached_is_not_joined(void **state)
{
    static void (*const uses[])(lido_task *) = {join, stop, by_detach, join_in_a_future};
    (void)state;
    for (size_t j = 0; j < COUNT(uses); j++)
        check_told((struct misuse){wait_for_long, by_detach, uses[j], false, 0});
    for (size_t j = 0; j < COUNT(uses) - 1; j++)
        check_told((struct misuse){wait_for_long, by_detach, uses[j], true, 0});
}

/* On one worker: on another one it may have a reference for a moment longer. */
static void a_task_that_is_gone_is_not_asked_for(void **state)
{
    static void (*const uses[])(lido_task *) = {lido_cancel, ask, ask_its_name};
    (void)state;
    for (size_t j = 0; j < COUNT(uses); j++)
        check_told((struct misuse){nothing, by_join, uses[j], false, 1});
}

/* ---- What is not a mistake ----------------------------------------------------------------------------- */

static int use_oneself(void *arg)
{
    lido_task *self = lido_self();
    (void)arg;
    check_int(lido_join(self, NULL), -EDEADLK);
    check_int(lido_stop(self, NULL), -EDEADLK);
    check(!lido_task_is_done(self));
    check(lido_task_name(self) == NULL);
    lido_cancel(self);
    check(lido_is_cancelled());
    return 0;
}

static int use_well(void *arg)
{
    lido_task *task;
    (void)arg;
    check_int(lido_spawn(NULL, use_oneself, NULL), 0); /* has no handle at all */
    check_int(lido_spawn(&task, wait_for_long, NULL), 0);
    lido_within(1);
    check_int(lido_join(task, NULL), -ETIMEDOUT); /* an error leaves the handle */
    lido_cancel(task);
    lido_cancel(task);
    check_int(lido_stop(task, NULL), 0);
    return 0;
}

static void a_task_may_name_itself_and_an_error_leaves_the_handle(void **state)
{
    (void)state;
    run_on(1, use_well, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handle_that_was_given_back_is_not_used_again),
        cmocka_unit_test(a_task_that_was_detached_is_not_joined),
        cmocka_unit_test(a_task_that_is_gone_is_not_asked_for),
        cmocka_unit_test(a_task_may_name_itself_and_an_error_leaves_the_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
