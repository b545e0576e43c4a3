/* Scopes: they do not end before their tasks, whatever happens to their owner, and tell what came of them. */
#include <errno.h>

#include "base/atomic.h"
#include "support/runtime.h"
#include "support/waiters.h"

static uint32_t ended;

static uint32_t ended_so_far(void)
{
    return lido__load(&ended, LIDO__ACQUIRE);
}

static int end_with(void *arg)
{
    lido__fetch_add(&ended, 1, LIDO__RELEASE);
    return (int)(intptr_t)arg;
}

/* Waits for a cancellation, and takes its time about it. */
static int resist(void *arg)
{
    lido_oneshot never = LIDO_ONESHOT_INIT;
    int r = lido_oneshot_recv(&never, &arg);
    for (int i = 0; i < 10; i++)
        lido_yield();
    lido__fetch_add(&ended, 1, LIDO__RELEASE);
    return r;
}

static lido_spawn_options on_worker(unsigned worker)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker;
    return options;
}

static void spawn_on(lido_scope *scope, unsigned worker, int *result, lido_fn fn, int arg)
{
    lido_spawn_options options = on_worker(worker);
    check_int(lido_scope_spawn_with(scope, result, fn, (void *)(intptr_t)arg, &options), 0);
}

/* ---- Results ----------------------------------------------------------------------------------------- */

static int collect(void *arg)
{
    lido_scope scope = LIDO_SCOPE_INIT;
    int results[100];
    (void)arg;
    ended = 0;
    check_int(lido_scope_wait(&scope), 0);
    for (int i = 0; i < 100; i++)
        spawn_on(&scope, (unsigned)i % 3, &results[i], end_with, i);
    check_int(lido_scope_wait(&scope), 0);
    check_int(ended_so_far(), 100);
    for (int i = 0; i < 100; i++)
        check_int(results[i], i);
    return 0;
}

static void a_scope_collects_all_results(void **state)
{
    (void)state;
    run_on(3, collect, NULL);
}

static int fail_in_turn(void *arg)
{
    lido_scope scope = LIDO_SCOPE_INIT;
    (void)arg;
    ended = 0;
    check_int(lido_scope_spawn(&scope, end_with, (void *)(intptr_t)5), 0);
    check_int(lido_scope_spawn(&scope, end_with, (void *)(intptr_t)-EIO), 0);
    check_int(lido_scope_spawn(&scope, end_with, (void *)(intptr_t)-ENOENT), 0);
    check_int(lido_scope_spawn(&scope, end_with, NULL), 0);
    check_int(lido_scope_wait(&scope), -EIO);
    check_int(ended_so_far(), 4);
    /* As new. */
    check_int(lido_scope_spawn(&scope, end_with, NULL), 0);
    check_int(lido_scope_wait(&scope), 0);
    return 0;
}

static void the_first_error_is_told_and_the_others_go_on(void **state)
{
    (void)state;
    run(fail_in_turn);
}

static int fail_together(void *arg)
{
    lido_scope scope = {.cancel_on_error = true};
    int first, second;
    (void)arg;
    ended = 0;
    spawn_on(&scope, 0, &first, resist, 0);
    spawn_on(&scope, 1, &second, resist, 0);
    lido_yield();
    spawn_on(&scope, 1, NULL, end_with, -EIO);
    check_int(lido_scope_wait(&scope), -EIO);
    check_int(ended_so_far(), 3);
    check_int(first, -ECANCELED);
    check_int(second, -ECANCELED);
    return 0;
}

static void an_error_cancels_the_others_if_so_wished(void **state)
{
    (void)state;
    run_on(2, fail_together, NULL);
}

/* ---- Interruption ------------------------------------------------------------------------------------ */

static int own(void *arg)
{
    lido_scope scope = LIDO_SCOPE_INIT;
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++)
        spawn_on(&scope, worker, NULL, resist, 0);
    int r = lido_scope_wait(&scope);
    check_int(ended_so_far(), 2);
    return r;
}

static int cancel_owner(void *arg)
{
    (void)arg;
    for (unsigned worker = 0; worker < 2; worker++)
        for (int pause = 0; pause < 2; pause++) {
            ended = 0;
            lido_task *owner = start_on(worker, own, NULL);
            for (int i = 0; i < pause * 20; i++)
                lido_yield();
            lido_cancel(owner);
            check_int(finish(owner), -ECANCELED);
        }
    return 0;
}

static void an_owner_that_is_canceled_cancels_and_still_waits(void **state)
{
    (void)state;
    run_on(2, cancel_owner, NULL);
}

static int own_within(void *arg)
{
    ended = 0;
    lido_within(5);
    check_int(own(arg), -ETIMEDOUT);
    return 0;
}

static void an_owner_whose_deadline_passes_still_waits(void **state)
{
    (void)state;
    run_on(2, own_within, NULL);
}

static int leave_early(void *arg)
{
    lido_scoped(scope);
    check_int(lido_scope_spawn(&scope, resist, arg), 0);
    spawn_on(&scope, 1, NULL, resist, 0);
    return 0;
}

static int leave_block(void *arg)
{
    ended = 0;
    check_int(leave_early(arg), 0);
    check_int(ended_so_far(), 2);
    return 0;
}

static void leaving_the_block_stops_what_runs(void **state)
{
    (void)state;
    run_on(2, leave_block, NULL);
}

static int spawn_after_cancel(void *arg)
{
    lido_scope scope = LIDO_SCOPE_INIT;
    ended = 0;
    check_int(lido_scope_spawn(&scope, resist, arg), 0);
    lido_scope_cancel(&scope);
    check_int(lido_scope_spawn(&scope, resist, arg), -ECANCELED);
    check_int(lido_scope_wait(&scope), -ECANCELED);
    check_int(ended_so_far(), 1);
    return 0;
}

static void a_canceled_scope_takes_no_more_tasks(void **state)
{
    (void)state;
    run(spawn_after_cancel);
}

/* ---- Who may do what --------------------------------------------------------------------------------- */

static int join_the_wait(void *arg)
{
    check_int(lido_scope_wait(arg), -EBUSY);
    return 0;
}

static int wait_twice(void *arg)
{
    lido_scope scope = LIDO_SCOPE_INIT;
    (void)arg;
    check_int(lido_scope_spawn(&scope, join_the_wait, &scope), 0);
    check_int(lido_scope_wait(&scope), 0);
    return 0;
}

static void only_one_waits(void **state)
{
    (void)state;
    run(wait_twice);
}

static void a_plain_thread_has_no_scope(void **state)
{
    lido_scope scope = LIDO_SCOPE_INIT;
    (void)state;
    assert_int_equal(lido_scope_spawn(&scope, end_with, NULL), -ENXIO);
    assert_int_equal(lido_scope_wait(&scope), -ENXIO);
}

/* Each task spawns two more into the same scope. */
struct tree {
    lido_scope scope;
    int depth;
};

static int grow(void *arg)
{
    struct tree *tree = arg;
    uint32_t n = lido__fetch_add(&ended, 1, LIDO__RELAXED);
    if (n >= 1u << tree->depth)
        return 0;
    for (unsigned i = 0; i < 2; i++) {
        lido_spawn_options options = on_worker((n + i) % 3);
        check_int(lido_scope_spawn_with(&tree->scope, NULL, grow, tree, &options), 0);
    }
    return 0;
}

static int grow_tree(void *arg)
{
    struct tree tree = {LIDO_SCOPE_INIT, 10};
    (void)arg;
    ended = 0;
    check_int(lido_scope_spawn(&tree.scope, grow, &tree), 0);
    check_int(lido_scope_wait(&tree.scope), 0);
    check_int(ended_so_far(), (2u << 10) + 1);
    return 0;
}

static void tasks_spawn_into_their_scope(void **state)
{
    (void)state;
    run_on(3, grow_tree, NULL);
}

/* ---- Task-locals ------------------------------------------------------------------------------------- */

static void count_destroyed(void *value)
{
    lido__fetch_add((uint32_t *)value, 1, LIDO__RELAXED);
}

static const lido_local key = {count_destroyed};

static int set_local(void *arg)
{
    return lido_local_set(&key, arg);
}

static int destroy_before_the_end(void *arg)
{
    lido_spawn_options options = on_worker(1);
    (void)arg;
    for (int i = 0; i < 200; i++) {
        lido_scope scope = LIDO_SCOPE_INIT;
        uint32_t destroyed = 0;
        check_int(lido_scope_spawn_with(&scope, NULL, set_local, &destroyed, &options), 0);
        check_int(lido_scope_wait(&scope), 0);
        check_int(lido__load(&destroyed, LIDO__RELAXED), 1);
    }
    return 0;
}

static void destructors_of_its_tasks_have_run_too(void **state)
{
    (void)state;
    run_on(2, destroy_before_the_end, NULL);
}

/* ---- Futures ----------------------------------------------------------------------------------------- */

/* A future that owns a scope, with fibers and futures in it. */
struct owner {
    lido_future future;
    lido_future child;
    lido_scope scope;
    lido_wait wait;
    bool resists;
    bool started;
};

static int end_at_once(lido_future *future, const lido_waker *waker)
{
    (void)future;
    (void)waker;
    lido__fetch_add(&ended, 1, LIDO__RELEASE);
    return 0;
}

static int poll_scope(lido_future *future, const lido_waker *waker)
{
    struct owner *self = (struct owner *)future;
    if (!self->started) {
        self->started = true;
        check_int(lido_scope_spawn_future(&self->scope, &self->child), 0);
        spawn_on(&self->scope, 1, NULL, self->resists ? resist : end_with, 0);
    }
    return lido_scope_wait_poll(&self->scope, &self->wait, waker);
}

static int own_in_future(void *arg)
{
    (void)arg;
    for (int resists = 0; resists < 2; resists++) {
        struct owner owner = {.future = {poll_scope}, .child = {end_at_once}, .resists = resists};
        lido_task *task;
        ended = 0;
        check_int(lido_spawn_future(&task, &owner.future), 0);
        for (int i = 0; resists && i < 20; i++)
            lido_yield();
        if (resists)
            lido_cancel(task);
        check_int(finish(task), resists ? -ECANCELED : 0);
        check_int(ended_so_far(), 2);
    }
    return 0;
}

static void a_future_owns_a_scope(void **state)
{
    (void)state;
    run_on(2, own_in_future, NULL);
}

/* ---- Races ------------------------------------------------------------------------------------------- */

static void *cancel_from_thread(void *arg)
{
    lido_scope_cancel(arg);
    return NULL;
}

static int cancel_at_any_moment(void *arg)
{
    (void)arg;
    for (int round = 0; round < 100; round++) {
        lido_scope scope = LIDO_SCOPE_INIT;
        int spawned = 0;
        ended = 0;
        pthread_t thread = thread_start(cancel_from_thread, &scope);
        for (int i = 0; i < 20; i++) {
            lido_spawn_options options = on_worker((unsigned)i % 3);
            int r = lido_scope_spawn_with(&scope, NULL, i % 2 ? resist : end_with, NULL, &options);
            check(r == 0 || r == -ECANCELED);
            spawned += r == 0;
        }
        thread_join(thread);
        int r = lido_scope_wait(&scope);
        check(r == 0 || r == -ECANCELED);
        check_int(ended_so_far(), spawned);
    }
    return 0;
}

static void a_cancellation_meets_all_tasks(void **state)
{
    (void)state;
    run_on(3, cancel_at_any_moment, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_collects_all_results),
        cmocka_unit_test(the_first_error_is_told_and_the_others_go_on),
        cmocka_unit_test(an_error_cancels_the_others_if_so_wished),
        cmocka_unit_test(an_owner_that_is_canceled_cancels_and_still_waits),
        cmocka_unit_test(an_owner_whose_deadline_passes_still_waits),
        cmocka_unit_test(leaving_the_block_stops_what_runs),
        cmocka_unit_test(a_canceled_scope_takes_no_more_tasks),
        cmocka_unit_test(only_one_waits),
        cmocka_unit_test(a_plain_thread_has_no_scope),
        cmocka_unit_test(tasks_spawn_into_their_scope),
        cmocka_unit_test(destructors_of_its_tasks_have_run_too),
        cmocka_unit_test(a_future_owns_a_scope),
        cmocka_unit_test(a_cancellation_meets_all_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
