#include "net/race.h"

#include <errno.h>
#include <string.h>

#include "fiber/fiber.h"
#include "net/connect.h"
#include "os/os.h"
#include "sched/wake.h"

#define ATTEMPT_DELAY_NS 250000000u

struct attempt {
    struct lido__handle *handle; /* NULL: not under way */
    struct lido__op op;
};

struct race {
    const struct lido__route *routes;
    int count;
    int begun; /* of the routes; the others have not had their turn */
    int under_way;
    int error;        /* of the attempt that failed last */
    uint64_t next_at; /* ns: when the next attempt begins though none has failed */
    struct lido__handle *winner;
    struct attempt attempts[LIDO__ADDRESSES_MAX]; /* as the routes */
};

/* ---- The order -------------------------------------------------------------------------------- */

/* The first route from `at` on that is of the family, or is not; -1: there is none. */
static int find_route(const struct lido__route *routes, int count, int at, sa_family_t family,
                      bool same)
{
    for (int i = at; i < count; i++)
        if ((lido__address_family(routes[i].to) == family) == same)
            return i;
    return -1;
}

void lido__routes_alternate(struct lido__route *routes, int count)
{
    for (int at = 1; at < count; at++) {
        sa_family_t before = lido__address_family(routes[at - 1].to);
        int other = find_route(routes, count, at, before, false);
        if (other < 0)
            return;
        struct lido__route chosen = routes[other];
        memmove(&routes[at + 1], &routes[at], (size_t)(other - at) * sizeof(routes[0]));
        routes[at] = chosen;
    }
}

/* ---- Attempts --------------------------------------------------------------------------------- */

/* Whether another address may fare better: not if the failure is about this process. */
static bool is_worth_another(int error)
{
    return error != -EMFILE && error != -ENFILE && error != -ENOMEM;
}

static void note_failure(struct race *race, int error)
{
    race->error = error;
    race->next_at = 0;
    if (!is_worth_another(error))
        race->begun = race->count;
}

static void begin_next(struct race *race)
{
    const struct lido__route *route = &race->routes[race->begun];
    struct attempt *attempt = &race->attempts[race->begun++];
    int r = lido__connect_open(&attempt->handle, route->to, route->from);
    if (r < 0) {
        note_failure(race, r);
        return;
    }
    lido__op_init(&attempt->op, LIDO__OP_CONNECT, attempt->handle, (void *)(uintptr_t)route->to, 0);
    race->under_way++;
    race->next_at = lido__clock_now() + ATTEMPT_DELAY_NS;
}

static void end_attempt(struct race *race, struct attempt *attempt)
{
    lido__net_close(attempt->handle, false); /* takes an op that waits off the handle first */
    attempt->handle = NULL;
    race->under_way--;
}

/* The op of the attempt is settled. */
static void settle(struct race *race, struct attempt *attempt)
{
    int r = lido__connect_verdict(attempt->handle, (int)attempt->op.result);
    if (r < 0) {
        end_attempt(race, attempt);
        note_failure(race, r);
        return;
    }
    race->winner = attempt->handle;
    attempt->handle = NULL;
    race->under_way--;
}

static void advance_all(struct race *race)
{
    struct lido__worker *worker = lido__worker_current();
    for (int i = 0; i < race->begun && !race->winner; i++) {
        struct attempt *attempt = &race->attempts[i];
        if (attempt->handle && lido__op_advance(worker, worker->current, &attempt->op))
            settle(race, attempt);
    }
}

/* Until something has happened to an attempt or the task, or it is time for the next attempt. */
static void await_any(const struct race *race)
{
    struct lido__worker *worker = lido__worker_current();
    struct lido__alarm alarm;
    bool more = race->begun < race->count;
    lido__timer_init(&alarm.timer);
    if (more)
        lido__alarm_set(worker, &alarm, race->next_at);
    lido__fiber_suspend(worker, "connect");
    if (more)
        lido__alarm_stop(&alarm);
}

/* ---- The race --------------------------------------------------------------------------------- */

static int interrupted(void)
{
    const struct lido__worker *worker = lido__worker_current();
    return lido__task_interrupted(worker, worker->current);
}

static bool next_is_due(const struct race *race)
{
    return race->begun < race->count &&
           (race->under_way == 0 || lido__clock_now() >= race->next_at);
}

/* One step: begins what is due, and looks at all that is under way. False: it is decided. */
static bool run_on(struct race *race)
{
    int reason = interrupted();
    if (reason)
        race->error = reason;
    while (!reason && next_is_due(race))
        begin_next(race);
    if (!reason)
        advance_all(race);
    return !reason && !race->winner && (race->under_way > 0 || race->begun < race->count);
}

int lido__race_connect(lido_stream **stream, const struct lido__route *routes, int count)
{
    struct race race = {.routes = routes, .count = count, .error = -ENOENT};
    int error;
    if (!lido__fiber_worker(&error))
        return error;
    while (run_on(&race))
        if (!next_is_due(&race))
            await_any(&race);
    for (int i = 0; i < race.begun; i++)
        if (race.attempts[i].handle)
            end_attempt(&race, &race.attempts[i]);
    if (!race.winner)
        return race.error;
    *stream = (lido_stream *)race.winner;
    return 0;
}
