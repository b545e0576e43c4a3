/*
 * The explorer itself: it walks as many schedules as there are, finds what is broken, and does not
 * blame what is right.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explorer.h"
#include "props.h"

static struct {
    int counter;
    int locked;
    int flag;
    /* Apart, because TSan remembers only four accesses for each eight bytes. */
    _Alignas(8) int plain;
    int *block;
    struct model_bell bell;
} world;

static void set_up(void)
{
    world.counter = 0;
    world.locked = 0;
    world.flag = 0;
    world.plain = 0;
    world.bell = (struct model_bell){0};
    model_name(world.counter);
    model_name(world.locked);
    model_name(world.flag);
    model_name_bell(world.bell);
}

/* --- counting -----------------------------------------------------------------------------------*/

static void make_points(void *count)
{
    for (int i = *(int *)count; i > 0; i--)
        lido__load(&world.flag, LIDO__RELAXED);
}

static int one = 1, two = 2, three = 3;

static size_t count_schedules(int *first, int *second, int *third, int preemptions)
{
    struct model_scenario scenario = {
        .name = "counting",
        .setup = set_up,
        .threads = {{"first", make_points, first}, {"second", make_points, second}},
        .preemptions = preemptions,
    };
    if (third)
        scenario.threads[2] = (struct model_thread){"third", make_points, third};
    return model_holds(&scenario);
}

/* With m and n points there are (m + n)! / (m! n!) interleavings. */
static void all_interleavings_are_walked_once(void **state)
{
    (void)state;
    assert_int_equal(count_schedules(&one, &one, NULL, MODEL_ALL_INTERLEAVINGS), 2);
    assert_int_equal(count_schedules(&two, &two, NULL, MODEL_ALL_INTERLEAVINGS), 6);
    assert_int_equal(count_schedules(&three, &three, NULL, MODEL_ALL_INTERLEAVINGS), 20);
    assert_int_equal(count_schedules(&one, &one, &one, MODEL_ALL_INTERLEAVINGS), 6);
    assert_int_equal(count_schedules(&two, &two, &two, MODEL_ALL_INTERLEAVINGS), 90);
}

/*
 * AABB and BBAA need no preemption; ABBA and BAAB one; ABAB and BABA two.
 * Of AAABBB: 2 without; 4 with one (two places for it in the first to run); 8 with two (two places
 * in each); 4 with three (the first is cut into three, the second at one of two places); 2 with four.
 */
static void bound_counts_preemptions(void **state)
{
    (void)state;
    assert_int_equal(count_schedules(&two, &two, NULL, MODEL_NO_PREEMPTION), 2);
    assert_int_equal(count_schedules(&two, &two, NULL, 1), 4);
    assert_int_equal(count_schedules(&two, &two, NULL, 2), 6);
    assert_int_equal(count_schedules(&three, &three, NULL, MODEL_NO_PREEMPTION), 2);
    assert_int_equal(count_schedules(&three, &three, NULL, 1), 2 + 4);
    assert_int_equal(count_schedules(&three, &three, NULL, 2), 2 + 4 + 8);
    assert_int_equal(count_schedules(&three, &three, NULL, 3), 2 + 4 + 8 + 4);
    assert_int_equal(count_schedules(&three, &three, NULL, 4), 2 + 4 + 8 + 4 + 2);
    assert_int_equal(count_schedules(&one, &one, &one, MODEL_NO_PREEMPTION), 6);
}

/* --- races --------------------------------------------------------------------------------------*/

static void count_racily(void *unused)
{
    (void)unused;
    int counter = lido__load(&world.counter, LIDO__RELAXED);
    lido__store(&world.counter, counter + 1, LIDO__RELAXED);
}

static bool unlocked(const void *lock)
{
    return *(const int *)lock == 0;
}

static void lock(void)
{
    int free = 0;
    while (!lido__cas(&world.locked, &free, 1, LIDO__ACQUIRE, LIDO__RELAXED)) {
        free = 0;
        model_block_until(unlocked, &world.locked);
    }
}

static void count_under_lock(void *unused)
{
    (void)unused;
    lock();
    model_touch(&world.plain);
    int before = world.plain;
    model_touch(&world.plain);
    world.plain = before + 1;
    lido__store(&world.locked, 0, LIDO__RELEASE);
}

static void counter_is_two(void)
{
    model_assert(world.counter == 2);
}

static void plain_is_three(void)
{
    model_assert(world.plain == 3);
}

static void racy_counter_is_found(void **state)
{
    struct model_scenario scenario = {
        .name = "racy counter",
        .setup = set_up,
        .check = counter_is_two,
        .threads = {{"first", count_racily, NULL}, {"second", count_racily, NULL}},
        .preemptions = 1,
    };
    (void)state;
    assert_true(model_catches(&scenario, "world.counter == 2") > 1);
    scenario.preemptions = MODEL_NO_PREEMPTION;
    scenario.delays = MODEL_NO_DELAY;
    assert_int_equal(model_holds(&scenario), 2);
}

static void correct_lock_is_not_blamed(void **state)
{
    static const struct model_scenario scenario = {
        .name = "lock",
        .setup = set_up,
        .check = plain_is_three,
        .threads = {{"first", count_under_lock, NULL},
                    {"second", count_under_lock, NULL},
                    {"third", count_under_lock, NULL}},
    };
    (void)state;
    assert_in_range(model_holds(&scenario), 100, SIZE_MAX);
}

static void publish_relaxed(void *unused)
{
    (void)unused;
    world.plain = 1;
    lido__store(&world.flag, 1, LIDO__RELAXED);
}

static void publish(void *unused)
{
    (void)unused;
    world.plain = 1;
    lido__store(&world.flag, 1, LIDO__RELEASE);
}

static void subscribe(void *unused)
{
    (void)unused;
    if (lido__load(&world.flag, LIDO__ACQUIRE))
        model_assert(world.plain == 1);
}

/* Both read the right value where memory is sequentially consistent. */
static void missing_release_is_found_by_tsan(void **state)
{
    struct model_scenario scenario = {
        .name = "publish",
        .setup = set_up,
        .threads = {{"publisher", publish, NULL}, {"subscriber", subscribe, NULL}},
    };
    (void)state;
    assert_int_equal(model_holds(&scenario), 2);
    scenario.name = "publish without release";
    scenario.threads[0].run = publish_relaxed;
    assert_true(model_catches_race(&scenario));
}

/* --- sleeping -----------------------------------------------------------------------------------*/

static void ring(void *unused)
{
    (void)unused;
    model_bell_ring(&world.bell);
}

static void wait_for_ring(void *unused)
{
    (void)unused;
    model_bell_wait(&world.bell);
}

/* Looks, and then sleeps: the classic lost wake-up. */
static void look_and_wait(void *unused)
{
    (void)unused;
    if (!lido__load(&world.flag, LIDO__ACQUIRE)) {
        lido__store(&world.locked, 1, LIDO__RELAXED);
        model_bell_wait(&world.bell);
    }
}

static void set_and_ring_sleeper(void *unused)
{
    (void)unused;
    lido__store(&world.flag, 1, LIDO__RELEASE);
    if (lido__load(&world.locked, LIDO__RELAXED))
        model_bell_ring(&world.bell);
}

static void sleeping_is_no_preemption(void **state)
{
    static const struct model_scenario scenario = {
        .name = "bell",
        .setup = set_up,
        .threads = {{"sleeper", wait_for_ring, NULL}, {"ringer", ring, NULL}},
        .preemptions = MODEL_NO_PREEMPTION,
    };
    (void)state;
    /* Only the ringer can begin, and only the sleeper can follow. */
    assert_int_equal(model_holds(&scenario), 1);
}

static void lost_wake_up_is_a_deadlock(void **state)
{
    static const struct model_scenario scenario = {
        .name = "lost wake-up",
        .setup = set_up,
        .threads = {{"sleeper", look_and_wait, NULL}, {"waker", set_and_ring_sleeper, NULL}},
    };
    (void)state;
    assert_true(model_catches(&scenario, "deadlock") > 0);
}

static void futex_sleeper(void *unused)
{
    static struct model_futex futex;
    (void)unused;
    futex = (struct model_futex){0};
    model_futex_wait(&futex, (const uint32_t *)&world.flag, 1);
}

static void futex_does_not_sleep_on_another_value(void **state)
{
    static const struct model_scenario scenario = {
        .name = "futex",
        .setup = set_up,
        .threads = {{"sleeper", futex_sleeper, NULL}},
    };
    (void)state;
    assert_int_equal(model_holds(&scenario), 1);
}

/* --- spinning -----------------------------------------------------------------------------------*/

static void spin(void *unused)
{
    (void)unused;
    while (!lido__load(&world.flag, LIDO__ACQUIRE))
        ;
}

static void spin_politely(void *unused)
{
    (void)unused;
    while (!lido__load(&world.flag, LIDO__ACQUIRE))
        model_yield();
}

static void set_flag(void *unused)
{
    (void)unused;
    lido__store(&world.flag, 1, LIDO__RELEASE);
}

static void spinning_is_a_livelock(void **state)
{
    struct model_scenario scenario = {
        .name = "spinning",
        .setup = set_up,
        .threads = {{"spinner", spin, NULL}, {"setter", set_flag, NULL}},
    };
    (void)state;
    assert_true(model_catches(&scenario, "livelock") > 0);
    scenario.name = "spinning politely";
    scenario.threads[0].run = spin_politely;
    assert_in_range(model_holds(&scenario), 2, 10);
    scenario.name = "two spinning politely";
    scenario.threads[2] = (struct model_thread){"spinner too", spin_politely, NULL};
    assert_in_range(model_holds(&scenario), 6, 1000);
}

/* --- memory -------------------------------------------------------------------------------------*/

static void set_up_block(void)
{
    set_up();
    world.block = model_alloc(sizeof(*world.block), "block");
}

static void use_block(void *unused)
{
    (void)unused;
    lido__fetch_add(world.block, 1, LIDO__RELAXED);
}

static void free_block(void *unused)
{
    (void)unused;
    model_free(world.block);
}

static void misused_memory_is_found(void **state)
{
    struct model_scenario scenario = {
        .name = "use and free",
        .setup = set_up_block,
        .threads = {{"user", use_block, NULL}, {"owner", free_block, NULL}},
    };
    (void)state;
    assert_true(model_catches(&scenario, "used after it was freed") > 0);
    scenario.name = "free and free";
    scenario.threads[0].run = free_block;
    assert_true(model_catches(&scenario, "freed twice") > 0);
    scenario.name = "free never";
    scenario.threads[0].run = use_block;
    scenario.threads[1].run = use_block;
    assert_true(model_catches(&scenario, "never freed") > 0);
    scenario.name = "free once";
    scenario.threads[0] = scenario.threads[1] = (struct model_thread){0};
    scenario.threads[0] = (struct model_thread){"owner", free_block, NULL};
    assert_int_equal(model_holds(&scenario), 1);
}

/* --- thread-locals ------------------------------------------------------------------------------*/

static __thread int *own;

static void keep_own(void *mine)
{
    model_assert(own == NULL);
    own = mine;
    lido__load(&world.flag, LIDO__RELAXED);
    model_assert(own == mine);
    lido__load(&world.flag, LIDO__RELAXED);
    model_assert(own == mine);
}

static void each_thread_has_its_own(void **state)
{
    struct model_scenario scenario = {
        .name = "thread-local",
        .setup = set_up,
        .threads = {{"first", keep_own, &one}, {"second", keep_own, &two}},
        .per_thread = &own,
    };
    (void)state;
    assert_int_equal(model_holds(&scenario), 6);
    scenario.name = "thread-local that is shared";
    scenario.per_thread = NULL;
    assert_true(model_catches(&scenario, "own ==") > 0);
}

/* --- choices ------------------------------------------------------------------------------------*/

static unsigned chosen;

static void choose_twice(void *unused)
{
    (void)unused;
    unsigned first = model_choose(3);
    unsigned second = model_choose(2);
    chosen |= 1u << (2 * first + second);
}

static void every_option_is_tried(void **state)
{
    static const struct model_scenario scenario = {
        .name = "choosing",
        .setup = set_up,
        .threads = {{"chooser", choose_twice, NULL}},
    };
    (void)state;
    chosen = 0;
    assert_int_equal(model_holds(&scenario), 6);
    assert_int_equal(chosen, 0x3f);
}

static void fail_in_setup(void)
{
    model_assert(world.counter < 0);
}

static void failure_outside_the_threads_is_reported(void **state)
{
    struct model_scenario scenario = {
        .name = "failing setup",
        .setup = fail_in_setup,
        .threads = {{"first", count_racily, NULL}},
    };
    (void)state;
    assert_int_equal(model_catches(&scenario, "world.counter < 0"), 1);
    assert_int_equal(model_catches(&scenario, "something else"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_interleavings_are_walked_once),
        cmocka_unit_test(bound_counts_preemptions),
        cmocka_unit_test(racy_counter_is_found),
        cmocka_unit_test(correct_lock_is_not_blamed),
        cmocka_unit_test(missing_release_is_found_by_tsan),
        cmocka_unit_test(sleeping_is_no_preemption),
        cmocka_unit_test(lost_wake_up_is_a_deadlock),
        cmocka_unit_test(futex_does_not_sleep_on_another_value),
        cmocka_unit_test(spinning_is_a_livelock),
        cmocka_unit_test(misused_memory_is_found),
        cmocka_unit_test(each_thread_has_its_own),
        cmocka_unit_test(every_option_is_tried),
        cmocka_unit_test(failure_outside_the_threads_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
