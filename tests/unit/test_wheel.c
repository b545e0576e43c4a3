#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "time/wheel.h"

#define TICK (UINT64_C(1) << LIDO__TICK_SHIFT)
#define START (123456789 * TICK + 777) /* in the middle of a tick and of each level */

static struct lido__wheel wheel;
static struct lido__node fired;

static int start_at(uint64_t now)
{
    lido__wheel_init(&wheel, now);
    lido__list_init(&fired);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return start_at(START);
}

static void arm(struct lido__timer *timer, uint64_t expires)
{
    lido__timer_init(timer);
    lido__wheel_insert(&wheel, timer, expires);
}

static struct lido__timer *advance(uint64_t now)
{
    lido__wheel_advance(&wheel, now, LIDO__TICKS_ALL, &fired);
    return lido__timer_next_fired(&fired);
}

/* The width of a slot of a level, in ns. */
static uint64_t width(int level)
{
    return TICK << (6 * level);
}

static uint64_t round_up(uint64_t ns)
{
    return (ns + TICK - 1) / TICK * TICK;
}

static void an_empty_wheel_never_expires(void **state)
{
    (void)state;
    assert_true(lido__wheel_empty(&wheel));
    assert_true(lido__wheel_next_expiry(&wheel) == LIDO__NEVER);
    assert_null(advance(START + width(7)));
}

static void a_timer_fires_never_early_and_at_most_a_tick_late(void **state)
{
    (void)state;
    for (int level = 0; level < 7; level++) {
        for (uint64_t off = 0; off < 3; off++) {
            struct lido__timer timer;
            start_at(START);
            uint64_t expires = START + 3 * width(level) + off * (TICK / 2) - 1;
            arm(&timer, expires);
            assert_true(lido__timer_armed(&timer));
            assert_null(advance(expires - 1));
            assert_ptr_equal(advance(round_up(expires)), &timer);
            assert_true(round_up(expires) < expires + TICK);
            assert_false(lido__timer_armed(&timer));
        }
    }
}

static void a_timer_on_the_border_of_a_tick_fires_at_once(void **state)
{
    (void)state;
    struct lido__timer timer;
    uint64_t border = round_up(START) + 5 * TICK;
    arm(&timer, border);
    assert_null(advance(border - 1));
    assert_ptr_equal(advance(border), &timer);
}

static void timers_fire_in_the_order_of_their_ticks(void **state)
{
    (void)state;
    static const uint64_t ticks[] = {70, 3, 5000, 64, 1, 300000, 63, 65, 4096, 2};
    static const uint64_t sorted[] = {1, 2, 3, 63, 64, 65, 70, 4096, 5000, 300000};
    struct lido__timer timers[10];
    for (int i = 0; i < 10; i++)
        arm(&timers[i], START + ticks[i] * TICK);
    lido__wheel_advance(&wheel, START + 300001 * TICK, LIDO__TICKS_ALL, &fired);
    for (int i = 0; i < 10; i++) {
        struct lido__timer *timer = lido__timer_next_fired(&fired);
        assert_non_null(timer);
        assert_true(timer->expires == START + sorted[i] * TICK);
    }
    assert_null(lido__timer_next_fired(&fired));
}

static void timers_of_one_tick_fire_in_the_order_of_insertion(void **state)
{
    (void)state;
    struct lido__timer timers[5];
    for (int i = 0; i < 5; i++)
        arm(&timers[i], START + 10 * TICK + (uint64_t)(5 - i));
    lido__wheel_advance(&wheel, START + 12 * TICK, LIDO__TICKS_ALL, &fired);
    for (int i = 0; i < 5; i++)
        assert_ptr_equal(lido__timer_next_fired(&fired), &timers[i]);
}

static void advance_appends_to_what_was_not_taken_yet(void **state)
{
    (void)state;
    struct lido__timer first, second;
    arm(&first, START + TICK);
    arm(&second, START + 100 * TICK);
    lido__wheel_advance(&wheel, START + 2 * TICK, LIDO__TICKS_ALL, &fired);
    lido__wheel_advance(&wheel, START + 102 * TICK, LIDO__TICKS_ALL, &fired);
    assert_ptr_equal(lido__timer_next_fired(&fired), &first);
    assert_ptr_equal(lido__timer_next_fired(&fired), &second);
}

static void a_bounded_advance_leaves_the_rest_to_the_next(void **state)
{
    (void)state;
    struct lido__timer timers[6];
    for (unsigned i = 0; i < 6; i++)
        arm(&timers[i], START + (10 + i / 2 * 100) * TICK); /* two in each of three ticks */
    lido__wheel_advance(&wheel, START + 1000 * TICK, 2, &fired);
    for (unsigned i = 0; i < 4; i++)
        assert_ptr_equal(lido__timer_next_fired(&fired), &timers[i]);
    assert_null(lido__timer_next_fired(&fired));
    assert_true(lido__wheel_next_expiry(&wheel) <= START + 210 * TICK);
    /* What is armed meanwhile does not pass them by. */
    struct lido__timer later;
    arm(&later, START + 300 * TICK);
    lido__wheel_advance(&wheel, START + 1000 * TICK, 2, &fired);
    assert_ptr_equal(lido__timer_next_fired(&fired), &timers[4]);
    assert_ptr_equal(lido__timer_next_fired(&fired), &timers[5]);
    assert_ptr_equal(lido__timer_next_fired(&fired), &later);
    assert_true(lido__wheel_empty(&wheel));
}

static void a_passed_expiry_fires_at_the_next_advance(void **state)
{
    (void)state;
    static const uint64_t passed[] = {0, 1, START - TICK, START - 777};
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        struct lido__timer timer;
        start_at(START);
        arm(&timer, passed[i]);
        assert_true(lido__wheel_next_expiry(&wheel) <= START);
        assert_ptr_equal(advance(START), &timer); /* even when no time has passed */
    }
}

static void a_clock_that_goes_back_is_ignored(void **state)
{
    (void)state;
    struct lido__timer timer;
    arm(&timer, START - 777);
    assert_null(advance(START - 2 * TICK));
    assert_ptr_equal(advance(START), &timer);
    assert_true(wheel.tick == START / TICK);
}

static void a_cancelled_timer_does_not_fire_from_any_level(void **state)
{
    (void)state;
    for (int level = 0; level < LIDO__WHEEL_LEVELS; level++) {
        struct lido__timer timer;
        start_at(777);
        arm(&timer, 777 + 2 * width(level));
        assert_true(wheel.occupied[level] != 0);
        lido__wheel_cancel(&wheel, &timer);
        assert_false(lido__timer_armed(&timer));
        assert_true(wheel.occupied[level] == 0);
        assert_true(lido__wheel_empty(&wheel));
        assert_true(lido__wheel_next_expiry(&wheel) == LIDO__NEVER);
        assert_null(advance(777 + 3 * width(level)));
    }
}

static void cancel_leaves_the_others_of_its_slot(void **state)
{
    (void)state;
    struct lido__timer timers[3];
    for (int i = 0; i < 3; i++)
        arm(&timers[i], START + 5000 * TICK);
    lido__wheel_cancel(&wheel, &timers[1]);
    assert_false(lido__wheel_empty(&wheel));
    lido__wheel_advance(&wheel, START + 5001 * TICK, LIDO__TICKS_ALL, &fired);
    assert_ptr_equal(lido__timer_next_fired(&fired), &timers[0]);
    assert_ptr_equal(lido__timer_next_fired(&fired), &timers[2]);
    assert_null(lido__timer_next_fired(&fired));
}

static void cancel_of_a_timer_that_is_not_armed_is_nothing(void **state)
{
    (void)state;
    struct lido__timer timer;
    lido__timer_init(&timer);
    lido__wheel_cancel(&wheel, &timer);
    arm(&timer, START + TICK);
    assert_ptr_equal(advance(START + 2 * TICK), &timer);
    lido__wheel_cancel(&wheel, &timer);
    assert_false(lido__timer_armed(&timer));
}

/* The first of two timers that fire together runs a task that cancels the second. */
static void a_fired_timer_can_be_cancelled_until_it_is_taken(void **state)
{
    (void)state;
    struct lido__timer first, second, other;
    arm(&first, START + TICK);
    arm(&second, START + TICK);
    arm(&other, START + 50 * TICK);
    assert_ptr_equal(advance(START + 2 * TICK), &first);
    assert_true(lido__timer_armed(&second));
    lido__wheel_cancel(&wheel, &second);
    assert_false(lido__timer_armed(&second));
    assert_null(lido__timer_next_fired(&fired));
    assert_ptr_equal(advance(START + 51 * TICK), &other); /* its slot's bit was not touched */
}

static void a_taken_timer_can_be_armed_again(void **state)
{
    (void)state;
    struct lido__timer timer;
    lido__timer_init(&timer);
    for (uint64_t i = 1; i < 1000; i++) {
        lido__wheel_insert(&wheel, &timer, START + i * 7 * TICK);
        assert_ptr_equal(advance(START + i * 7 * TICK + TICK), &timer);
    }
}

/* In single ticks across the places where several levels carry at once. */
static void timers_come_down_through_all_levels(void **state)
{
    (void)state;
    uint64_t carry = UINT64_C(64) * 64 * 64 * 64;
    start_at((carry - 100) * TICK);
    struct lido__timer timers[200];
    for (uint64_t i = 0; i < 200; i++)
        arm(&timers[i], (carry - 99 + i) * TICK);
    for (uint64_t i = 0; i < 200; i++) {
        assert_true(lido__wheel_next_expiry(&wheel) <= (carry - 99 + i) * TICK);
        assert_ptr_equal(advance((carry - 99 + i) * TICK), &timers[i]);
        assert_null(lido__timer_next_fired(&fired));
    }
    assert_true(lido__wheel_empty(&wheel));
}

static void the_far_future_is_kept(void **state)
{
    (void)state;
    struct lido__timer year, century, last;
    uint64_t a_year = UINT64_C(365) * 86400 * 1000000000;
    arm(&last, UINT64_MAX);
    arm(&century, START + 100 * a_year);
    arm(&year, START + a_year);
    assert_null(advance(START + a_year - 1));
    assert_ptr_equal(advance(START + a_year + TICK), &year);
    assert_null(advance(START + 100 * a_year - 1));
    assert_ptr_equal(advance(START + 100 * a_year + TICK), &century);
    assert_true(lido__wheel_next_expiry(&wheel) != LIDO__NEVER);
    assert_null(advance(UINT64_MAX - TICK));
    assert_ptr_equal(advance(UINT64_MAX), &last);
}

/* Whoever sleeps until next_expiry each time wakes at most once for each level of a timer. */
static void sleeping_until_next_expiry_reaches_a_timer_in_eight_steps(void **state)
{
    (void)state;
    struct lido__timer timer;
    uint64_t expires = START + width(6) * 5 + width(3) * 9 + 12345;
    arm(&timer, expires);
    int wakeups = 0;
    uint64_t now = START;
    struct lido__timer *found = NULL;
    while (!found) {
        uint64_t next = lido__wheel_next_expiry(&wheel);
        assert_true(next > now && next <= round_up(expires));
        now = next;
        found = advance(now);
        wakeups++;
    }
    assert_ptr_equal(found, &timer);
    assert_in_range(wakeups, 1, LIDO__WHEEL_LEVELS);
}

/* ---- Against a model ------------------------------------------------------------------------- */

#define MODEL_TIMERS 128
#define OPERATIONS 100000

/* What the wheel should hold; `due` is the tick at which the timer fires, kept sorted. */
struct model_timer {
    struct lido__timer timer;
    uint64_t due;
    bool armed;
};

static struct model_timer model[MODEL_TIMERS];
static struct model_timer *sorted[MODEL_TIMERS];
static int armed_count;
static uint64_t random_state;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Of random magnitude, so that all levels are used alike. */
static uint64_t random_span(unsigned bits)
{
    return next_random() >> (63 - next_random() % bits);
}

static void model_insert(struct model_timer *timer, uint64_t expires)
{
    uint64_t tick = expires / TICK + (expires % TICK != 0);
    timer->due = tick > wheel.tick ? tick : wheel.tick;
    timer->armed = true;
    int i = armed_count++;
    for (; i > 0 && sorted[i - 1]->due > timer->due; i--)
        sorted[i] = sorted[i - 1];
    sorted[i] = timer;
}

static void model_remove(struct model_timer *timer)
{
    int i = 0;
    while (sorted[i] != timer)
        i++;
    armed_count--;
    memmove(&sorted[i], &sorted[i + 1], (size_t)(armed_count - i) * sizeof(sorted[0]));
    timer->armed = false;
}

/* Insert or cancel one at random. */
static void toggle(uint64_t now)
{
    struct model_timer *timer = &model[next_random() % MODEL_TIMERS];
    if (timer->armed) {
        lido__wheel_cancel(&wheel, &timer->timer);
        model_remove(timer);
        return;
    }
    uint64_t span = random_span(56);
    uint64_t expires = next_random() % 8 ? now + span : now - (span < now ? span : now);
    lido__wheel_insert(&wheel, &timer->timer, expires);
    model_insert(timer, expires);
}

/* All that are due fire, none else, and their ticks never go down. */
static void advance_both(uint64_t now)
{
    uint64_t tick = now / TICK;
    uint64_t last = 0;
    lido__wheel_advance(&wheel, now, LIDO__TICKS_ALL, &fired);
    for (struct lido__timer *t; (t = lido__timer_next_fired(&fired));) {
        struct model_timer *timer = lido__container_of(t, struct model_timer, timer);
        assert_true(timer->armed);
        assert_true(t->expires <= now);
        assert_true(timer->due <= tick && timer->due >= last);
        last = timer->due;
        model_remove(timer);
    }
    assert_true(armed_count == 0 || sorted[0]->due > tick);
}

static void compare(void)
{
    uint64_t next = lido__wheel_next_expiry(&wheel);
    assert_int_equal(lido__wheel_empty(&wheel), armed_count == 0);
    if (armed_count == 0)
        assert_true(next == LIDO__NEVER);
    else
        assert_true(next <= sorted[0]->due * TICK);
}

static uint64_t next_time(uint64_t now)
{
    uint64_t next = lido__wheel_next_expiry(&wheel);
    if (next_random() % 4 == 0 && next != LIDO__NEVER && next > now)
        return next;
    return now + random_span(44);
}

static void the_wheel_agrees_with_a_sorted_array(void **state)
{
    (void)state;
    uint64_t now = START;
    random_state = 0x9e3779b97f4a7c15;
    for (int i = 0; i < MODEL_TIMERS; i++)
        lido__timer_init(&model[i].timer);
    for (int i = 0; i < OPERATIONS; i++) {
        if (next_random() % 3 != 0) {
            toggle(now);
        } else if (now < UINT64_C(1) << 63) {
            now = next_time(now);
            advance_both(now);
        }
        compare();
    }
    advance_both(UINT64_MAX);
    assert_int_equal(armed_count, 0);
    compare();
}

#define MILLION 1000000

static void a_million_timers_all_fire_in_time(void **state)
{
    (void)state;
    struct lido__timer *timers = calloc(MILLION, sizeof(*timers));
    assert_non_null(timers);
    random_state = 42;
    for (int i = 0; i < MILLION; i++)
        arm(&timers[i], START + next_random() % (UINT64_C(60) * 1000000000));

    int count = 0;
    int wrong = 0;
    while (!lido__wheel_empty(&wheel)) {
        uint64_t now = lido__wheel_next_expiry(&wheel);
        lido__wheel_advance(&wheel, now > START ? now : START, LIDO__TICKS_ALL, &fired);
        for (struct lido__timer *timer; (timer = lido__timer_next_fired(&fired)); count++)
            wrong += now > START && (timer->expires > now || now - timer->expires >= TICK);
    }
    assert_int_equal(count, MILLION);
    assert_int_equal(wrong, 0);
    free(timers);
}

/* ---- Very many in one slot ------------------------------------------------------------------- */

static struct lido__timer *many(uint64_t (*expires)(void))
{
    struct lido__timer *timers = calloc(MILLION, sizeof(*timers));
    assert_non_null(timers);
    random_state = 4711;
    for (int i = 0; i < MILLION; i++)
        arm(&timers[i], expires());
    return timers;
}

#define FAR_SLOT (((START / width(3)) + 2) * width(3))

static uint64_t in_a_far_slot(void)
{
    return FAR_SLOT + next_random() % width(3);
}

static uint64_t at_one_time(void)
{
    return FAR_SLOT;
}

/* How many timers lie elsewhere than before: all that an advance has moved, or fired. */
static unsigned touched_by_advance(struct lido__timer *timers, struct lido__node **seen,
                                   uint64_t now)
{
    unsigned touched = 0;
    for (int i = 0; i < MILLION; i++)
        seen[i] = timers[i].node.prev;
    lido__wheel_advance(&wheel, now, LIDO__TICKS_ALL, &fired);
    for (int i = 0; i < MILLION; i++)
        touched += timers[i].node.prev != seen[i];
    return touched;
}

/* A timer that is moved has new neighbours, and so has the one that was behind it. */
static void an_advance_touches_few_timers(uint64_t (*expires)(void))
{
    struct lido__timer *timers = many(expires);
    struct lido__node **seen = calloc(MILLION, sizeof(*seen));
    assert_non_null(seen);
    assert_in_range(touched_by_advance(timers, seen, FAR_SLOT), 1, 2 * LIDO__WHEEL_WORK);
    assert_in_range(touched_by_advance(timers, seen, FAR_SLOT), 1, 2 * LIDO__WHEEL_WORK);
    free(seen);
    free(timers);
}

static void an_advance_that_meets_a_million_moves_few(void **state)
{
    (void)state;
    an_advance_touches_few_timers(in_a_far_slot);
}

static void an_advance_at_which_a_million_are_due_fires_few(void **state)
{
    (void)state;
    an_advance_touches_few_timers(at_one_time);
}

/* Whoever asks for the next expiry comes back at once, as often as it takes; the order is kept, and
   what is cancelled meanwhile, or armed, is treated as ever. */
static void a_million_of_one_slot_fire_in_order_and_never_early(void **state)
{
    struct lido__timer *timers = many(in_a_far_slot);
    uint64_t last = 0, now = START;
    int count = 0, wrong = 0, cancelled = 0;
    (void)state;
    while (!lido__wheel_empty(&wheel)) {
        now = lido__wheel_next_expiry(&wheel) > now ? lido__wheel_next_expiry(&wheel) : now;
        lido__wheel_advance(&wheel, now, LIDO__TICKS_ALL, &fired);
        struct lido__timer *victim = &timers[next_random() % MILLION];
        cancelled += lido__timer_armed(victim);
        lido__wheel_cancel(&wheel, victim);
        for (struct lido__timer *timer; (timer = lido__timer_next_fired(&fired)); count++) {
            uint64_t tick = round_up(timer->expires);
            wrong += timer->expires > now || tick < last;
            last = tick;
        }
    }
    assert_int_equal(count + cancelled, MILLION);
    assert_int_equal(wrong, 0);
    assert_true(lido__wheel_next_expiry(&wheel) == LIDO__NEVER);
    free(timers);
}

static void cancelling_all_of_a_slot_that_is_half_moved_empties_the_wheel(void **state)
{
    struct lido__timer *timers = many(in_a_far_slot);
    (void)state;
    lido__wheel_advance(&wheel, FAR_SLOT, LIDO__TICKS_ALL, &fired);
    assert_true(lido__wheel_next_expiry(&wheel) <= FAR_SLOT);
    for (int i = 0; i < MILLION; i++)
        lido__wheel_cancel(&wheel, &timers[i]);
    assert_true(lido__wheel_empty(&wheel));
    assert_true(lido__wheel_next_expiry(&wheel) == LIDO__NEVER);
    assert_null(advance(FAR_SLOT + width(4)));
    free(timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_empty_wheel_never_expires, setup),
        cmocka_unit_test(a_timer_fires_never_early_and_at_most_a_tick_late),
        cmocka_unit_test_setup(a_timer_on_the_border_of_a_tick_fires_at_once, setup),
        cmocka_unit_test_setup(timers_fire_in_the_order_of_their_ticks, setup),
        cmocka_unit_test_setup(timers_of_one_tick_fire_in_the_order_of_insertion, setup),
        cmocka_unit_test_setup(advance_appends_to_what_was_not_taken_yet, setup),
        cmocka_unit_test(a_bounded_advance_leaves_the_rest_to_the_next),
        cmocka_unit_test(a_passed_expiry_fires_at_the_next_advance),
        cmocka_unit_test_setup(a_clock_that_goes_back_is_ignored, setup),
        cmocka_unit_test(a_cancelled_timer_does_not_fire_from_any_level),
        cmocka_unit_test_setup(cancel_leaves_the_others_of_its_slot, setup),
        cmocka_unit_test_setup(cancel_of_a_timer_that_is_not_armed_is_nothing, setup),
        cmocka_unit_test_setup(a_fired_timer_can_be_cancelled_until_it_is_taken, setup),
        cmocka_unit_test_setup(a_taken_timer_can_be_armed_again, setup),
        cmocka_unit_test_setup(timers_come_down_through_all_levels, setup),
        cmocka_unit_test_setup(the_far_future_is_kept, setup),
        cmocka_unit_test_setup(sleeping_until_next_expiry_reaches_a_timer_in_eight_steps, setup),
        cmocka_unit_test_setup(the_wheel_agrees_with_a_sorted_array, setup),
        cmocka_unit_test_setup(a_million_timers_all_fire_in_time, setup),
        cmocka_unit_test_setup(an_advance_that_meets_a_million_moves_few, setup),
        cmocka_unit_test_setup(an_advance_at_which_a_million_are_due_fires_few, setup),
        cmocka_unit_test_setup(a_million_of_one_slot_fire_in_order_and_never_early, setup),
        cmocka_unit_test_setup(cancelling_all_of_a_slot_that_is_half_moved_empties_the_wheel,
                               setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
