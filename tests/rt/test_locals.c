/* Task-locals: each task its own, destroyed when it ends. */
#include <errno.h>

#include "support/runtime.h"

static unsigned destroyed;

static void count_destroyed(void *value)
{
    *(int *)value = -1;
    destroyed++;
}

static const lido_local plain = {NULL};
static const lido_local counted = {count_destroyed};
static const lido_local other = {count_destroyed};

static int start_over(void **state)
{
    (void)state;
    destroyed = 0;
    return 0;
}

/* ---- Values --------------------------------------------------------------------------------------- */

static int keep_own_value(void *arg)
{
    check(lido_local_get(&plain) == NULL);
    check_int(lido_local_set(&plain, arg), 0);
    check_int(lido_yield(), 0);
    check(lido_local_get(&plain) == arg);
    return 0;
}

static int spawn_keepers(void *arg)
{
    int values[10];
    lido_task *tasks[10];
    check_int(lido_local_set(&plain, arg), 0);
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = start_on(i % 2, keep_own_value, &values[i]);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    check(lido_local_get(&plain) == arg);
    return 0;
}

static void each_task_has_its_own_value(void **state)
{
    int value;
    (void)state;
    run_on(2, spawn_keepers, &value);
}

static int set_again(void *arg)
{
    int first = 1, second = 2;
    (void)arg;
    check_int(lido_local_set(&counted, &first), 0);
    check_int(lido_local_set(&counted, &second), 0);
    check(lido_local_get(&counted) == &second);
    check(lido_local_get(&other) == NULL);
    check_int(lido_local_set(&counted, NULL), 0);
    check(lido_local_get(&counted) == NULL);
    check_int(first, 1);
    check_int(second, 2);
    return 0;
}

static void a_previous_value_is_not_destroyed(void **state)
{
    (void)state;
    run(set_again);
    check_int(destroyed, 0);
}

/* ---- Destructors ----------------------------------------------------------------------------------- */

static int set_two(void *arg)
{
    int *values = arg;
    check_int(lido_local_set(&counted, &values[0]), 0);
    check_int(lido_local_set(&other, &values[1]), 0);
    return 0;
}

static int join_setter(void *arg)
{
    int values[2] = {0, 0};
    (void)arg;
    check_int(finish(start(set_two, values)), 0);
    check_int(values[0], -1); /* before the joiner is told */
    check_int(values[1], -1);
    return 0;
}

static void values_are_destroyed_before_the_task_is_done(void **state)
{
    (void)state;
    run(join_setter);
    check_int(destroyed, 2);
}

struct setter {
    lido_future future;
    int value;
};

static int setter_poll(lido_future *future, const lido_waker *waker)
{
    struct setter *setter = (struct setter *)future;
    (void)waker;
    check_int(lido_local_set(&counted, &setter->value), 0);
    check(lido_local_get(&counted) == &setter->value);
    return 0;
}

static int join_future(void *arg)
{
    struct setter setter = {{setter_poll}, 0};
    lido_task *task;
    (void)arg;
    check_int(lido_spawn_future(&task, &setter.future), 0);
    check_int(finish(task), 0);
    check_int(setter.value, -1);
    return 0;
}

static void futures_have_values_too(void **state)
{
    (void)state;
    run(join_future);
    check_int(destroyed, 1);
}

static void set_again_thrice(void *value);
static const lido_local stubborn = {set_again_thrice};

static void set_again_thrice(void *value)
{
    int *left = value;
    destroyed++;
    if (--*left > 0)
        check_int(lido_local_set(&stubborn, value), 0);
    check_int(lido_local_set(&counted, left + 1), 0);
}

static int set_stubborn(void *arg)
{
    return lido_local_set(&stubborn, arg);
}

static void what_a_destructor_sets_is_destroyed_too(void **state)
{
    int values[2] = {3, 0};
    (void)state;
    run_on(1, set_stubborn, values);
    check_int(values[0], 0);
    check_int(values[1], -1);
    check(destroyed > 3);
}

/* A destructor may wait: closing something may need to. */
static void wait_and_note(void *value)
{
    check_int(lido_sleep(1), 0);
    check_int(lido_yield(), 0);
    flag_raise(value);
}

static const lido_local waiting = {wait_and_note};

static int set_waiting(void *arg)
{
    return lido_local_set(&waiting, arg);
}

static int join_waiting(void *arg)
{
    struct flag flags[4] = {{0}, {0}, {0}, {0}};
    lido_task *tasks[4];
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = start_on(i % 2, set_waiting, &flags[i]);
    for (size_t i = 0; i < COUNT(tasks); i++) {
        check_int(finish(tasks[i]), 0);
        check(flag_is_up(&flags[i]));
    }
    return 0;
}

static void a_destructor_of_a_fiber_may_wait(void **state)
{
    (void)state;
    run_on(2, join_waiting, NULL);
}

static void outside_there_are_no_values(void **state)
{
    int value;
    (void)state;
    check_int(lido_local_set(&plain, &value), -ENXIO);
    check(lido_local_get(&plain) == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_task_has_its_own_value, start_over),
        cmocka_unit_test_setup(a_previous_value_is_not_destroyed, start_over),
        cmocka_unit_test_setup(values_are_destroyed_before_the_task_is_done, start_over),
        cmocka_unit_test_setup(futures_have_values_too, start_over),
        cmocka_unit_test_setup(what_a_destructor_sets_is_destroyed_too, start_over),
        cmocka_unit_test_setup(a_destructor_of_a_fiber_may_wait, start_over),
        cmocka_unit_test_setup(outside_there_are_no_values, start_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
