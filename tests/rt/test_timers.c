/* Sleeping, intervals, and the timers of futures. */
#include <errno.h>

#include "os/os.h"
#include "support/runtime.h"

#define MS UINT64_C(1000000)

/* ---- Sleep ---------------------------------------------------------------------------------------- */

static int sleep_at_least(void *arg)
{
    static const int durations[] = {1, 2, 3, 5, 8, 13, 1, 1};
    (void)arg;
    for (size_t i = 0; i < COUNT(durations); i++) {
        uint64_t until = lido_now() + (uint64_t)durations[i] * MS;
        check_int(lido_sleep(durations[i]), 0);
        check(lido_now() >= until);
        until = lido_now() + 150000 + i * 10000;
        check_int(lido_sleep_until(until), 0);
        check(lido_now() >= until);
    }
    return 0;
}

static void a_sleep_never_ends_early(void **state)
{
    (void)state;
    run(sleep_at_least);
}

static int note_turn(void *arg)
{
    ++*(int *)arg;
    return 0;
}

static int sleep_in_the_past(void *arg)
{
    static const int64_t durations[] = {0, -1, INT64_MIN};
    int turns = 0;
    (void)arg;
    for (size_t i = 0; i < COUNT(durations); i++) {
        check_int(lido_spawn(NULL, note_turn, &turns), 0);
        check_int(lido_sleep(durations[i]), 0);
        check_int(turns, i + 1); /* a yield: the others had their turn */
    }
    check_int(lido_spawn(NULL, note_turn, &turns), 0);
    check_int(lido_sleep_until(lido_now() - 1), 0);
    check_int(turns, 4);
    check_int(lido_sleep_until(0), 0);
    return 0;
}

static void a_sleep_until_the_past_is_a_yield(void **state)
{
    (void)state;
    run(sleep_in_the_past);
}

static int sleep_for_ever(void *arg)
{
    const int64_t *ms = arg;
    return lido_sleep(*ms);
}

static int sleep_until_the_end(void *arg)
{
    const uint64_t *ns = arg;
    return lido_sleep_until(*ns);
}

/* Overflown, they would end at once. */
static int stop_long_sleepers(void *arg)
{
    static int64_t durations[] = {INT64_MAX, INT64_MAX / 1000000, INT64_MAX / 1000000 + 1,
                                  (int64_t)(UINT64_MAX / 1000000)};
    static uint64_t times[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 65536};
    lido_task *tasks[COUNT(durations) + COUNT(times)];
    (void)arg;
    for (size_t i = 0; i < COUNT(durations); i++)
        tasks[i] = start(sleep_for_ever, &durations[i]);
    for (size_t i = 0; i < COUNT(times); i++)
        tasks[COUNT(durations) + i] = start(sleep_until_the_end, &times[i]);
    check_int(lido_sleep(10), 0);
    for (size_t i = 0; i < COUNT(tasks); i++) {
        int result;
        check(!lido_task_is_done(tasks[i]));
        check_int(lido_stop(tasks[i], &result), 0);
        check_int(result, -ECANCELED);
    }
    return 0;
}

static void a_very_long_sleep_does_not_overflow(void **state)
{
    (void)state;
    run(stop_long_sleepers);
}

struct sleeper {
    uint64_t until;
    uint64_t *last; /* the time of the sleeper that woke before */
};

static int wake_in_order(void *arg)
{
    struct sleeper *sleeper = arg;
    bool late = lido_now() + 20 * MS > sleeper->until; /* on a machine that is busy with others */
    check_int(lido_sleep_until(sleeper->until), 0);
    check(lido_now() >= sleeper->until);
    if (late)
        return 1;
    /* In the order of their times, to within a tick of the wheel. */
    check(*sleeper->last <= sleeper->until + 65536);
    *sleeper->last = sleeper->until;
    return 0;
}

static uint32_t scramble(uint32_t x)
{
    return x * 2654435761u;
}

static int sleep_in_disorder(void *arg)
{
    enum { SLEEPERS = 500 };
    static struct sleeper sleepers[SLEEPERS];
    static lido_task *tasks[SLEEPERS];
    uint64_t last = 0, now = lido_now();
    int late = 0;
    (void)arg;
    for (uint32_t i = 0; i < SLEEPERS; i++) {
        sleepers[i] = (struct sleeper){now + 100 * MS + scramble(i) % (60 * MS), &last};
        tasks[i] = start(wake_in_order, &sleepers[i]);
    }
    for (size_t i = 0; i < SLEEPERS; i++)
        late += finish(tasks[i]);
    check(late < SLEEPERS);
    return 0;
}

static void sleepers_wake_in_the_order_of_their_times(void **state)
{
    (void)state;
    run(sleep_in_disorder);
}

/* ---- Intervals ------------------------------------------------------------------------------------- */

static int refuse_periods(void *arg)
{
    lido_interval interval = {1, 2, LIDO_MISSED_SKIP};
    (void)arg;
    check_int(lido_interval_init(&interval, 0, LIDO_MISSED_BURST), -EINVAL);
    check_int(lido_interval_init(&interval, -1, LIDO_MISSED_BURST), -EINVAL);
    check_int(lido_interval_init(&interval, INT64_MAX, LIDO_MISSED_BURST), -EINVAL);
    check_int(lido_interval_init(&interval, 1, (lido_missed)3), -EINVAL);
    check(interval.next == 1 && interval.period == 2 && interval.missed == LIDO_MISSED_SKIP);
    return 0;
}

static void an_interval_without_a_period_is_refused(void **state)
{
    (void)state;
    run(refuse_periods);
}

static int tick_regularly(void *arg)
{
    lido_interval interval;
    (void)arg;
    uint64_t before = lido_now();
    check_int(lido_interval_init(&interval, 5, LIDO_MISSED_BURST), 0);
    check(interval.next >= before + 5 * MS && interval.next <= lido_now() + 5 * MS);
    uint64_t due = interval.next;
    for (int i = 0; i < 5; i++, due += 5 * MS) {
        check_int(lido_interval_tick(&interval), 0);
        check(lido_now() >= due);
        check(interval.next == due + 5 * MS);
    }
    return 0;
}

static void an_interval_ticks_once_a_period(void **state)
{
    (void)state;
    run(tick_regularly);
}

static void compute_until(uint64_t ns)
{
    while (lido_now() < ns)
        ;
}

/* Misses three ticks and a half; returns when the first of them was due. */
static uint64_t miss_ticks(lido_interval *interval, lido_missed missed)
{
    check_int(lido_interval_init(interval, 4, missed), 0);
    uint64_t due = interval->next;
    compute_until(due + 14 * MS);
    return due;
}

static int catch_up(void *arg)
{
    lido_interval interval;
    (void)arg;
    uint64_t due = miss_ticks(&interval, LIDO_MISSED_BURST);
    for (uint64_t i = 1; i <= 4; i++) {
        check_int(lido_interval_tick(&interval), 0);
        check(interval.next == due + i * 4 * MS);
    }
    return 0;
}

static void burst_makes_up_for_each_missed_tick(void **state)
{
    (void)state;
    run(catch_up);
}

static int start_anew(void *arg)
{
    lido_interval interval;
    (void)arg;
    uint64_t due = miss_ticks(&interval, LIDO_MISSED_DELAY);
    uint64_t before = lido_now();
    check_int(lido_interval_tick(&interval), 0);
    check(interval.next >= before + 4 * MS);
    check(interval.next <= lido_now() + 4 * MS);
    check(interval.next > due + 4 * MS);
    return 0;
}

static void delay_starts_anew_after_a_missed_tick(void **state)
{
    (void)state;
    run(start_anew);
}

static int skip_missed(void *arg)
{
    lido_interval interval;
    (void)arg;
    uint64_t due = miss_ticks(&interval, LIDO_MISSED_SKIP);
    check_int(lido_interval_tick(&interval), 0);
    check((interval.next - due) % (4 * MS) == 0);
    check(interval.next > due + 14 * MS);
    check(interval.next <= lido_now() + 4 * MS);
    return 0;
}

static void skip_goes_on_with_the_next_multiple(void **state)
{
    (void)state;
    run(skip_missed);
}

static int tick_in_time(void *arg)
{
    lido_interval interval;
    (void)arg;
    check_int(lido_interval_init(&interval, 5, LIDO_MISSED_BURST), 0);
    uint64_t due = interval.next;
    {
        lido_within(0);
        check_int(lido_interval_tick(&interval), -ETIMEDOUT);
    }
    check(interval.next == due); /* the tick is not lost */
    check_int(lido_interval_tick(&interval), 0);
    check(lido_now() >= due);
    return 0;
}

static void a_tick_that_times_out_is_not_lost(void **state)
{
    (void)state;
    run(tick_in_time);
}

/* ---- Timers of futures ------------------------------------------------------------------------------ */

struct alarm {
    lido_future future;
    lido_timer timer;
    uint64_t at;
    uint64_t moved_to; /* 0: it is not reset */
    unsigned polls;
};

static int alarm_poll(lido_future *future, const lido_waker *waker)
{
    struct alarm *alarm = (struct alarm *)future;
    if (alarm->polls++ == 0)
        lido_timer_start_at(&alarm->timer, alarm->at);
    int r = lido_timer_poll(&alarm->timer, waker);
    if (r == LIDO_PENDING && alarm->moved_to) {
        lido_timer_stop(&alarm->timer);
        alarm->at = alarm->moved_to;
        alarm->moved_to = 0;
        lido_timer_start_at(&alarm->timer, alarm->at);
        r = lido_timer_poll(&alarm->timer, waker);
    }
    if (r == 0)
        check(lido_now() >= alarm->at);
    return r;
}

static struct alarm alarm_at(uint64_t at, uint64_t moved_to)
{
    return (struct alarm){.future = {alarm_poll}, .at = at, .moved_to = moved_to};
}

static int await_alarm(struct alarm *alarm)
{
    lido_task *task;
    check_int(lido_spawn_future(&task, &alarm->future), 0);
    return finish(task);
}

static int await_alarms(void *arg)
{
    (void)arg;
    struct alarm alarm = alarm_at(lido_now() + 3 * MS, 0);
    check_int(await_alarm(&alarm), 0);
    check(alarm.polls >= 2);
    alarm = alarm_at(lido_now() - MS, 0);
    check_int(await_alarm(&alarm), 0);
    check_int(alarm.polls, 1); /* the past is now */
    alarm = alarm_at(0, 0);
    check_int(await_alarm(&alarm), 0);
    return 0;
}

static void a_timer_fires_when_its_time_has_come(void **state)
{
    (void)state;
    run(await_alarms);
}

static int reset_alarms(void *arg)
{
    (void)arg;
    uint64_t now = lido_now();
    struct alarm earlier = alarm_at(now + 3600000 * MS, now + 2 * MS);
    check_int(await_alarm(&earlier), 0);
    now = lido_now();
    struct alarm later = alarm_at(now + 2 * MS, now + 8 * MS);
    check_int(await_alarm(&later), 0);
    check(lido_now() >= now + 8 * MS);
    struct alarm past = alarm_at(now + 3600000 * MS, 1);
    check_int(await_alarm(&past), 0);
    return 0;
}

static void a_timer_can_be_reset(void **state)
{
    (void)state;
    run(reset_alarms);
}

static int cancel_an_alarm(void *arg)
{
    lido_task *task;
    int result;
    (void)arg;
    struct alarm alarm = alarm_at(UINT64_MAX, 0);
    check_int(lido_spawn_future(&task, &alarm.future), 0);
    check_int(lido_sleep(1), 0);
    check_int(lido_stop(task, &result), 0);
    check_int(result, -ECANCELED);
    return 0;
}

static void a_cancelled_timer_says_so(void **state)
{
    (void)state;
    run(cancel_an_alarm);
}

/* ---- Many ------------------------------------------------------------------------------------------- */

/* One future with a million timers. It sees them fire in the order in which it lists them. */
struct crowd {
    lido_future future;
    lido_timer *timers;
    size_t count;
    size_t fired;
    uint64_t begin;
    bool armed;
};

static uint64_t crowd_time(const struct crowd *crowd, size_t i)
{
    return crowd->begin + scramble((uint32_t)i) % (200 * MS);
}

static void crowd_arm(struct crowd *crowd, const lido_waker *waker)
{
    for (size_t i = 0; i < crowd->count; i++) {
        lido_timer_start_at(&crowd->timers[i], crowd_time(crowd, i));
        lido_timer_poll(&crowd->timers[i], waker);
    }
    crowd->armed = true;
}

static int crowd_poll(lido_future *future, const lido_waker *waker)
{
    struct crowd *crowd = (struct crowd *)future;
    if (!crowd->armed)
        crowd_arm(crowd, waker);
    for (; crowd->fired < crowd->count; crowd->fired++) {
        int r = lido_timer_poll(&crowd->timers[crowd->fired], waker);
        if (r == LIDO_PENDING)
            return LIDO_PENDING;
        check_int(r, 0);
        check(lido_now() >= crowd_time(crowd, crowd->fired));
    }
    return 0;
}

static int await_a_million(void *arg)
{
    struct crowd *crowd = arg;
    lido_task *task;
    crowd->begin = lido_now() + 300 * MS;
    check_int(lido_spawn_future(&task, &crowd->future), 0);
    return finish(task);
}

static void a_million_timers_fire(void **state)
{
    const size_t count = UNDER_TSAN ? 100000 : 1000000;
    struct crowd crowd = {.future = {crowd_poll}, .count = count};
    (void)state;
    crowd.timers = calloc(count, sizeof(*crowd.timers));
    check(crowd.timers != NULL);
    run_on(1, await_a_million, &crowd);
    check_int(crowd.fired, count);
    free(crowd.timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sleep_never_ends_early),
        cmocka_unit_test(a_sleep_until_the_past_is_a_yield),
        cmocka_unit_test(a_very_long_sleep_does_not_overflow),
        cmocka_unit_test(sleepers_wake_in_the_order_of_their_times),
        cmocka_unit_test(an_interval_without_a_period_is_refused),
        cmocka_unit_test(an_interval_ticks_once_a_period),
        cmocka_unit_test(burst_makes_up_for_each_missed_tick),
        cmocka_unit_test(delay_starts_anew_after_a_missed_tick),
        cmocka_unit_test(skip_goes_on_with_the_next_multiple),
        cmocka_unit_test(a_tick_that_times_out_is_not_lost),
        cmocka_unit_test(a_timer_fires_when_its_time_has_come),
        cmocka_unit_test(a_timer_can_be_reset),
        cmocka_unit_test(a_cancelled_timer_says_so),
        cmocka_unit_test(a_million_timers_fire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
