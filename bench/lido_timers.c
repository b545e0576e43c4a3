/*
 * lido_timers timers|wheel [--repeat N]: the job `timers` of bench/peers, done by lido.
 *
 * `timers` is the public face. A timer of lido fires for a task, which is woken and polled, so there are
 * two ways to have a million of them, and each is measured where it is what the peers do. To arm and to
 * cancel: one task that has them all, as others arm and cancel theirs from one callback. To fire: a million
 * tasks with a timer each, because others call a million callbacks then.
 *
 * `wheel` is what lies below it, the timer wheel by itself: lido without tasks, as no user has it.
 */
#include <errno.h>
#include <lido.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "peer.h"
#include "time/wheel.h"
#include "timers.h"

static void check(const char *what, int r)
{
    if (r >= 0)
        return;
    errno = -r;
    bench_die("%s", what);
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory)
        bench_die("memory");
    return memory;
}

/* ---- One task that has them all -------------------------------------------------------------------- */

struct owner {
    lido_future future;
    lido_task *task;
    lido_waker waker;
    lido_event armed;
    const uint32_t *delays;
    const uint32_t *order; /* NULL: to be armed */
    lido_timer timers[PEER_TIMERS];
};

static int arm_own(struct owner *owner, const lido_waker *waker)
{
    for (unsigned i = 0; i < PEER_TIMERS; i++) {
        lido_timer_start(&owner->timers[i], owner->delays[i]);
        if (lido_timer_poll(&owner->timers[i], waker) != LIDO_PENDING)
            return -EINVAL;
    }
    owner->waker = lido_waker_clone(waker);
    lido_event_notify_one(&owner->armed);
    return LIDO_PENDING;
}

static int cancel_own(struct owner *owner)
{
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        lido_timer_stop(&owner->timers[owner->order[i]]);
    lido_waker_drop(&owner->waker);
    return 0;
}

static int owner_poll(lido_future *future, const lido_waker *waker)
{
    struct owner *owner = (struct owner *)future;
    return owner->order ? cancel_own(owner) : arm_own(owner, waker);
}

/* ---- A task for each ------------------------------------------------------------------------------- */

struct crowd;

struct sleeper {
    lido_future future;
    struct crowd *crowd;
    lido_waker waker;
    lido_timer timer;
};

struct crowd {
    struct owner owner;
    lido_event all_asleep;
    lido_event all_fired;
    lido_event all_ended;
    const uint32_t *delays;
    uint64_t fallen_asleep; /* since the program began, as is what follows */
    uint64_t fired;
    uint64_t ended;
    struct sleeper sleepers[PEER_TIMERS];
};

static void count(uint64_t *counter, lido_event *all)
{
    if (++*counter % PEER_TIMERS == 0)
        lido_event_notify_one(all);
}

static int idle(lido_future *future, const lido_waker *waker)
{
    (void)future;
    (void)waker;
    return LIDO_PENDING;
}

static int wake_up(lido_future *future, const lido_waker *waker)
{
    struct sleeper *sleeper = (struct sleeper *)future;
    int r = lido_timer_poll(&sleeper->timer, waker);
    if (r != 0)
        return r;
    future->poll = idle;
    count(&sleeper->crowd->fired, &sleeper->crowd->all_fired);
    return LIDO_PENDING;
}

static int fall_asleep(lido_future *future, const lido_waker *waker)
{
    struct sleeper *sleeper = (struct sleeper *)future;
    struct crowd *crowd = sleeper->crowd;
    lido_timer_start(&sleeper->timer, crowd->delays[sleeper - crowd->sleepers]);
    future->poll = wake_up;
    count(&crowd->fallen_asleep, &crowd->all_asleep);
    return wake_up(future, waker);
}

static int begin(lido_future *future, const lido_waker *waker)
{
    struct sleeper *sleeper = (struct sleeper *)future;
    sleeper->waker = lido_waker_clone(waker);
    return fall_asleep(future, waker);
}

static int end(lido_future *future, const lido_waker *waker)
{
    struct sleeper *sleeper = (struct sleeper *)future;
    (void)waker;
    lido_waker_drop(&sleeper->waker);
    count(&sleeper->crowd->ended, &sleeper->crowd->all_ended);
    return 0;
}

static void spawn_all(struct crowd *crowd)
{
    for (unsigned i = 0; i < PEER_TIMERS; i++) {
        struct sleeper *sleeper = &crowd->sleepers[i];
        *sleeper = (struct sleeper){.future.poll = begin, .crowd = crowd};
        check("spawn", lido_spawn_future(NULL, &sleeper->future));
    }
}

static void tell_all(struct crowd *crowd, int (*poll)(lido_future *, const lido_waker *))
{
    for (unsigned i = 0; i < PEER_TIMERS; i++) {
        crowd->sleepers[i].future.poll = poll;
        lido_waker_wake(&crowd->sleepers[i].waker);
    }
}

/* ---- The job --------------------------------------------------------------------------------------- */

static void arm(void *self, const uint32_t *delays)
{
    struct owner *owner = &((struct crowd *)self)->owner;
    owner->future.poll = owner_poll;
    owner->delays = delays;
    owner->order = NULL;
    check("spawn", lido_spawn_future(&owner->task, &owner->future));
    check("wait", lido_event_wait(&owner->armed));
}

static void cancel(void *self, const uint32_t *order)
{
    struct owner *owner = &((struct crowd *)self)->owner;
    int result;
    owner->order = order;
    lido_waker_wake(&owner->waker);
    check("join", lido_join(owner->task, &result));
    check("a timer", result);
}

static void put_to_sleep(void *self, const uint32_t *delays)
{
    struct crowd *crowd = self;
    crowd->delays = delays;
    if (crowd->fallen_asleep == 0)
        spawn_all(crowd);
    else
        tell_all(crowd, fall_asleep);
    check("wait", lido_event_wait(&crowd->all_asleep));
}

static void await_all(void *self)
{
    struct crowd *crowd = self;
    check("wait", lido_event_wait(&crowd->all_fired));
}

static uint64_t fired(void *self)
{
    struct crowd *crowd = self;
    return crowd->fired;
}

static int measure(void *options)
{
    static const struct peer_timers job = {.arm = arm,
                                           .arm_to_fire = put_to_sleep,
                                           .cancel = cancel,
                                           .run = await_all,
                                           .fired = fired};
    struct crowd *crowd = allocate(sizeof(*crowd));
    peer_timers_measure(&job, crowd, options);
    tell_all(crowd, end);
    check("wait", lido_event_wait(&crowd->all_ended));
    free(crowd);
    return 0;
}

static void run_timers(const struct peer_options *options)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    check("run", lido_run(&config, measure, (void *)options));
}

/* ---- The wheel ------------------------------------------------------------------------------------- */

struct wheel {
    struct lido__wheel wheel;
    uint64_t fired;
    struct lido__timer each[PEER_TIMERS];
};

static void arm_wheel(void *self, const uint32_t *delays)
{
    struct wheel *wheel = self;
    struct lido__node due;
    uint64_t now = bench_now();
    lido__list_init(&due);
    lido__wheel_advance(&wheel->wheel, now, LIDO__TICKS_ALL, &due);
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        lido__wheel_insert(&wheel->wheel, &wheel->each[i], now + delays[i] * UINT64_C(1000000));
}

static void cancel_wheel(void *self, const uint32_t *order)
{
    struct wheel *wheel = self;
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        lido__wheel_cancel(&wheel->wheel, &wheel->each[order[i]]);
}

static void sleep_until(uint64_t ns)
{
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static void run_wheel(void *self)
{
    struct wheel *wheel = self;
    struct lido__node due;
    lido__list_init(&due);
    while (!lido__wheel_empty(&wheel->wheel)) {
        sleep_until(lido__wheel_next_expiry(&wheel->wheel));
        lido__wheel_advance(&wheel->wheel, bench_now(), LIDO__TICKS_ALL, &due);
        while (lido__timer_next_fired(&due))
            wheel->fired++;
    }
}

static uint64_t fired_wheel(void *self)
{
    struct wheel *wheel = self;
    return wheel->fired;
}

static void run_wheel_alone(const struct peer_options *options)
{
    static const struct peer_timers job = {.arm = arm_wheel,
                                           .cancel = cancel_wheel,
                                           .run = run_wheel,
                                           .fired = fired_wheel,
                                           .name = "wheel"};
    struct wheel *wheel = allocate(sizeof(*wheel));
    lido__wheel_init(&wheel->wheel, bench_now());
    peer_timers_measure(&job, wheel, options);
    free(wheel);
}

/* ---------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    static const struct peer_job jobs[] = {
        {"timers", run_timers}, {"wheel", run_wheel_alone}, {NULL, NULL}};
    char version[64];
    snprintf(version, sizeof(version), "lido %s", lido_version_string());
    return peer_main(argc, argv, version, jobs);
}
