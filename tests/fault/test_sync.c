/* Channels and scopes without memory: nothing is begun that was refused, and a scope hears of all its tasks. */
#include <errno.h>

#include "base/atomic.h"
#include "base/fault.h"
#include "support/runtime.h"

static uint32_t ran;

static int count_up(void *arg)
{
    lido__fetch_add(&ran, 1, LIDO__RELAXED);
    return (int)(intptr_t)arg;
}

/* ---- Each failure ---------------------------------------------------------------------------------------- */

static void pass_one(void)
{
    lido_channel *channel;
    int value = 5, r;
    while ((r = lido_channel_new(&channel, sizeof(int), 1)) < 0)
        check_int(r, -ENOMEM);
    check_int(lido_channel_send(channel, &value), 0);
    check_int(lido_channel_recv(channel, &value), 0);
    lido_channel_drop(channel);
}

static void spawn_three(void)
{
    lido_scope scope = LIDO_SCOPE_INIT;
    int r;
    ran = 0;
    for (int i = 0; i < 3; i++)
        while ((r = lido_scope_spawn(&scope, count_up, NULL)) < 0)
            check_int(r, -ENOMEM);
    check_int(lido_scope_wait(&scope), 0);
    check_int(ran, 3);
}

static int fail_at_each_place(void *arg)
{
    (void)arg;
    uint64_t n = 1;
    do {
        lido__fault_plan(NULL, n++, -ENOMEM);
        pass_one();
        spawn_three();
    } while (lido__fault_hit());
    lido__fault_clear();
    check(n > 8); /* a channel, three times a part of the scope and a task */
    return 0;
}

static void what_is_refused_has_not_begun(void **state)
{
    (void)state;
    run(fail_at_each_place);
}

/* ---- No stacks --------------------------------------------------------------------------------------------- */

/* A future, which needs no stack, that owns a scope of fibers on the other worker, which get none. */
struct owner {
    lido_future future;
    lido_scope scope;
    lido_wait wait;
    bool started;
};

static int own_fibers(lido_future *future, const lido_waker *waker)
{
    struct owner *self = (struct owner *)future;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = 1;
    options.mobility = LIDO_PINNED;
    for (int i = 0; i < 3 && !self->started; i++)
        check_int(lido_scope_spawn_with(&self->scope, NULL, count_up, NULL, &options), 0);
    self->started = true;
    return lido_scope_wait_poll(&self->scope, &self->wait, waker);
}

static void a_scope_hears_of_tasks_that_never_ran(void **state)
{
    struct owner owner = {.future = {own_fibers}};
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    options.placement = LIDO_PLACE_WORKER;
    ran = 0;
    lido__fault_plan_from("mmap", 1, -ENOMEM);
    check_int(lido_spawn_future_at(runtime, &task, &owner.future, &options, LIDO_HERE), 0);
    check_int(finish(task), -ENOMEM);
    check_int(ran, 0);
    lido__fault_clear();
    runtime_end(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_has_not_begun),
        cmocka_unit_test(a_scope_hears_of_tasks_that_never_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
