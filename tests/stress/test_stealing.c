/*
 * Couples of tasks that wake each other in turns, in one of several ways, while workers take them from each
 * other, fall asleep and are called: if one wake-up were lost, a couple would wait for ever. Their number
 * changes, so that a worker now has too many and now has none.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/net.h"
#include "support/oneshot.h"
#include "support/runtime.h"
#include "support/stress.h"

#define SECONDS SCALED(6u, 6u, 8u)
#define PHASE_NS 250000000u
#define WORKERS_MAX 4u
#define DRIVERS_MAX 8u
#define TURNS_MAX 60u
/* What a couple needs on a loaded machine is a thousandth of this. */
#define PATIENCE_MS 30000

/* Of all phases; printed at the end. */
static struct {
    uint64_t couples;
    uint64_t turns;
    uint64_t moves;
    uint64_t cancelled;
} account;

static struct {
    lido_runtime *runtime;
    unsigned workers;
    uint64_t until; /* ns */
    uint64_t next;  /* the dice of the next driver */
    uint64_t seed;
} phase;

/* ---- Ways to wake each other --------------------------------------------------------------------------- */

struct couple {
    const struct way *way;
    unsigned turns;
    lido_stream *pair[2];
    int fds[2];
    struct oneshot oneshots[2];
    lido_event events[2];
};

/* Each of the two has a side of its own; `call` is for the other one. */
struct way {
    void (*open)(struct couple *couple);
    int (*call)(struct couple *couple, unsigned side);
    int (*await)(struct couple *couple, unsigned side);
    void (*close)(struct couple *couple);
};

static void open_streams(struct couple *couple)
{
    net_unix_pair(couple->pair);
}

static int call_by_stream(struct couple *couple, unsigned side)
{
    ssize_t n = lido_write(couple->pair[side], "", 1);
    return n < 0 ? (int)n : 0;
}

static int await_stream(struct couple *couple, unsigned side)
{
    char byte;
    ssize_t n = lido_read(couple->pair[side], &byte, 1);
    check(n != 0);
    return n < 0 ? (int)n : 0;
}

static void close_streams(struct couple *couple)
{
    net_close_pair(couple->pair);
}

static void open_eventfds(struct couple *couple)
{
    for (int i = 0; i < 2; i++) {
        couple->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        check(couple->fds[i] >= 0);
    }
}

static int call_by_eventfd(struct couple *couple, unsigned side)
{
    uint64_t one = 1;
    check_int(write(couple->fds[!side], &one, sizeof(one)), sizeof(one));
    return 0;
}

static int await_eventfd(struct couple *couple, unsigned side)
{
    uint64_t count;
    int r = lido_poll_fd(couple->fds[side], LIDO_READABLE);
    if (r < 0)
        return r;
    check_int(read(couple->fds[side], &count, sizeof(count)), sizeof(count));
    check_int(count, 1);
    return 0;
}

static void close_eventfds(struct couple *couple)
{
    close(couple->fds[0]);
    close(couple->fds[1]);
}

/* Futures, wakers and joins. */
static void open_oneshots(struct couple *couple)
{
    oneshot_init(&couple->oneshots[0]);
    oneshot_init(&couple->oneshots[1]);
}

static int call_by_oneshot(struct couple *couple, unsigned side)
{
    oneshot_send(&couple->oneshots[!side], 0);
    return 0;
}

/* The other one sends again only when it has been called. */
static int await_oneshot(struct couple *couple, unsigned side)
{
    int r = oneshot_receive(&couple->oneshots[side]);
    if (r == 0)
        oneshot_init(&couple->oneshots[side]);
    return r;
}

static void open_events(struct couple *couple)
{
    memset(couple->events, 0, sizeof(couple->events));
}

static int call_by_event(struct couple *couple, unsigned side)
{
    lido_event_notify_one(&couple->events[!side]);
    return 0;
}

static int await_event(struct couple *couple, unsigned side)
{
    return lido_event_wait(&couple->events[side]);
}

static void close_nothing(struct couple *couple)
{
    (void)couple;
}

static const struct way ways[] = {
    {open_streams, call_by_stream, await_stream, close_streams},
    {open_eventfds, call_by_eventfd, await_eventfd, close_eventfds},
    {open_oneshots, call_by_oneshot, await_oneshot, close_nothing},
    {open_events, call_by_event, await_event, close_nothing},
};

/* ---- One of a couple ----------------------------------------------------------------------------------- */

struct partner {
    struct couple *couple;
    unsigned side;
    unsigned turns; /* so far */
    struct dice dice;
    lido_task *task;
};

static lido_task *start_stealable(lido_fn fn, void *arg, struct dice *dice)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.mobility = LIDO_STEALABLE;
    if (roll(dice, 3) == 0) {
        options.placement = LIDO_PLACE_WORKER;
        options.worker = roll(dice, phase.workers);
    }
    check_int(lido_spawn_with(&task, fn, arg, &options), 0);
    return task;
}

static int yield_some(void *arg)
{
    for (uintptr_t i = (uintptr_t)arg; i > 0; i--)
        lido_yield();
    return 0;
}

/* Between two turns. Nothing here fails but by cancellation, which the next wait will tell. */
static void pass_time(struct dice *dice)
{
    uintptr_t yields = roll(dice, 20);
    switch (roll(dice, 12)) {
    case 0: lido_sleep(roll(dice, 2)); break;
    case 1: lido_detach(start_stealable(yield_some, (void *)yields, dice)); break;
    case 2: lido_stop(start_stealable(yield_some, (void *)yields, dice), NULL); break;
    case 3: {
        lido_task *child = start_stealable(yield_some, (void *)yields, dice);
        if (lido_join(child, NULL) < 0)
            lido_detach(child);
        break;
    }
    case 4: yield_some((void *)yields); break;
    default: break;
    }
}

static int take_turn(struct partner *partner)
{
    const struct way *way = partner->couple->way;
    int here = lido_worker_index();
    int r = 0;
    if (partner->side == 0)
        r = way->call(partner->couple, 0);
    if (r == 0)
        r = way->await(partner->couple, partner->side);
    if (r == 0 && partner->side == 1)
        r = way->call(partner->couple, 1);
    tally(&account.moves, lido_worker_index() != here);
    return r;
}

static int be_partner(void *arg)
{
    struct partner *partner = arg;
    int r = 0;
    while (r == 0 && partner->turns < partner->couple->turns) {
        r = take_turn(partner);
        partner->turns += r == 0;
        pass_time(&partner->dice);
    }
    return r;
}

/* ---- Couples, one after the other ------------------------------------------------------------------------ */

static void end_partner(struct partner *partner, bool cancelled)
{
    int result;
    lido_within(PATIENCE_MS);
    check_int(lido_join(partner->task, &result), 0); /* or a wake-up was lost */
    check(result == 0 || (cancelled && result == -ECANCELED));
    check(result < 0 || partner->turns == partner->couple->turns);
    tally(&account.turns, partner->turns);
    tally(&account.cancelled, result == -ECANCELED);
}

static void play_couple(struct dice *dice)
{
    struct couple couple = {.way = &ways[roll(dice, COUNT(ways))]};
    struct partner partners[2];
    bool cancelled = roll(dice, 4) == 0;
    couple.turns = 1 + roll(dice, TURNS_MAX);
    couple.way->open(&couple);
    for (unsigned i = 0; i < 2; i++) {
        partners[i] = (struct partner){&couple, i, 0, dice_of(roll(dice, UINT32_MAX), i), NULL};
        partners[i].task = start_stealable(be_partner, &partners[i], dice);
    }
    if (cancelled) {
        pass_time(dice);
        yield_some((void *)(uintptr_t)roll(dice, 100));
        for (unsigned i = 0; i < 2; i++)
            lido_cancel(partners[i].task);
    }
    for (unsigned i = 0; i < 2; i++)
        end_partner(&partners[i], cancelled);
    couple.way->close(&couple);
    tally(&account.couples, 1);
}

static int drive(void *arg)
{
    struct dice dice = dice_of(phase.seed, (uint64_t)(uintptr_t)arg);
    while (lido_now() < phase.until)
        play_couple(&dice);
    return 0;
}

static void run_phase(const char *scheduler, struct dice *dice)
{
    unsigned drivers = 1 + roll(dice, DRIVERS_MAX);
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.mobility = LIDO_STEALABLE;
    phase.workers = 2 + roll(dice, WORKERS_MAX - 1);
    phase.runtime = runtime_by(scheduler, phase.workers);
    phase.until = lido_now() + PHASE_NS;
    for (unsigned i = 0; i < drivers; i++)
        check_int(lido_runtime_spawn_with(phase.runtime, NULL, drive,
                                          (void *)(uintptr_t)phase.next++, &options),
                  0);
    runtime_end(phase.runtime);
}

static void no_wake_up_is_lost_while_tasks_are_stolen(void **state)
{
    size_t descriptors = count_descriptors();
    (void)state;
    phase.seed = stress_seed();
    struct dice dice = dice_of(phase.seed, UINT64_MAX);
    uint64_t until = lido_now() + SECONDS * (uint64_t)1000000000;
    for (unsigned i = 0; lido_now() < until; i++)
        run_phase(schedulers[i % COUNT(schedulers)], &dice);
    say("%llu couples, %llu turns, in %llu of them somebody moved; %llu partners cancelled",
        (unsigned long long)account.couples, (unsigned long long)account.turns,
        (unsigned long long)account.moves, (unsigned long long)account.cancelled);
    check(account.moves > 0 && account.cancelled > 0);
    check_int(count_descriptors(), descriptors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_up_is_lost_while_tasks_are_stolen),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
