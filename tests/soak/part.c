#include "soak/part.h"

#include <errno.h>

#include "soak/watchdog.h"

/* ---- Making ---------------------------------------------------------------------------------------- */

/* Release: pairs with the acquire of the watchdog. Between those who make parts it orders nothing. */
static void enter_account(struct round *round, struct part *part)
{
    part->next = lido__load(&round->parts, LIDO__RELAXED);
    while (!lido__cas(&round->parts, &part->next, part, LIDO__RELEASE, LIDO__RELAXED)) {}
    lido__fetch_add(&round->live, 1, LIDO__RELAXED);
}

struct part *part_new_on(struct host *host, struct part *parent, const char *name,
                         int (*body)(struct part *part), void *arg)
{
    struct part *part = calloc(1, sizeof(*part));
    insist(part);
    part->host = host;
    part->name = name;
    part->body = body;
    part->arg = arg;
    part->home = -1;
    part->deadline = NO_DEADLINE;
    part->dice = dice_of(draw(parent, UINT32_MAX), draw(parent, UINT32_MAX));
    enter_account(host->round, part);
    return part;
}

struct part *part_new(struct part *parent, const char *name, int (*body)(struct part *part),
                      void *arg)
{
    struct host *host = parent->host;
    if (draw(parent, 4) == 0 && host->other)
        host = host->other;
    return part_new_on(host, parent, name, body, arg);
}

/* ---- Running --------------------------------------------------------------------------------------- */

static void begin(struct part *part)
{
    if (lido__fetch_add(&part->began, 1, LIDO__RELAXED) != 0)
        fail_soak("%s runs twice", part->name);
}

static int end(struct part *part, int result)
{
    part->result = result;
    if (lido__fetch_add(&part->ended, 1, LIDO__RELAXED) != 0)
        fail_soak("%s ends twice", part->name);
    lido__fetch_sub(&part->host->round->live, 1, LIDO__RELAXED);
    return result;
}

static void check_home(struct part *part)
{
    if (!part->pinned || !lido_self())
        return;
    int here = lido_worker_index();
    if (part->home < 0)
        part->home = here;
    if (part->home != here)
        fail_soak("%s is pinned to worker %d and runs on %d", part->name, part->home, here);
}

static int run_part(void *arg)
{
    struct part *part = arg;
    begin(part);
    check_home(part);
    return end(part, part->body(part));
}

int part_run_here(struct part *part)
{
    part->outside = true;
    return run_part(part);
}

static int run_job(void *arg)
{
    struct part *part = arg;
    pool_enter(part->host, part->pool);
    int result = run_part(part);
    pool_leave(part->host, part->pool);
    return result;
}

static int poll_part(lido_future *future, const lido_waker *waker)
{
    struct part *part = (struct part *)((char *)future - offsetof(struct part, future));
    if (lido__load(&part->began, LIDO__RELAXED) == 0)
        begin(part);
    if (lido__load(&part->ended, LIDO__RELAXED))
        fail_soak("%s is polled after its end", part->name);
    int result = part->poll(part, waker);
    return result == LIDO_PENDING ? result : end(part, result);
}

/* ---- Spawning -------------------------------------------------------------------------------------- */

/* Blocking code is outside too: there is no current runtime. */
static bool may_refuse(const struct host *host)
{
    enum stage stage = host_stage(host);
    return stage == STAGE_CANCELLING ||
           (stage == STAGE_DRAINING && lido_runtime_current() != host->runtime);
}

/* To the account of the part; returns `r`. */
static int spawned(struct part *part, int r, const char *where)
{
    if (r == 0)
        return r;
    if (r != -ESHUTDOWN || !may_refuse(part->host))
        fail_soak_at(where, "the spawn of %s: %s", part->name, lido_strerror(r));
    part->refused = true;
    lido__fetch_sub(&part->host->round->live, 1, LIDO__RELAXED);
    return r;
}

static void inherit(const struct part *caller, struct part *part)
{
    if (lido_self())
        part->deadline = lido__load(&caller->deadline, LIDO__RELAXED);
}

static void draw_options(struct part *caller, struct part *part, lido_spawn_options *options)
{
    static const lido_placement placements[] = {LIDO_PLACE_DEFAULT,     LIDO_PLACE_DEFAULT,
                                                LIDO_PLACE_ROUND_ROBIN, LIDO_PLACE_LEAST_LOADED,
                                                LIDO_PLACE_LOCAL,       LIDO_PLACE_WORKER};
    const struct host_plan *plan = part->host->plan;
    bool stays = strcmp(plan->scheduler, "work-stealing") != 0;
    options->name = part->name;
    options->mobility = (lido_mobility)draw(caller, LIDO_STEALABLE + 1);
    options->placement = placements[draw(caller, COUNT(placements))];
    options->worker = draw(caller, plan->workers);
    part->pinned = options->mobility == LIDO_PINNED ||
                   (options->mobility == LIDO_MOBILITY_DEFAULT && stays);
    if (options->placement == LIDO_PLACE_WORKER)
        part->home = (int)options->worker;
}

int part_spawn_at(struct part *caller, struct part *part, lido_task **task, const char *where)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_runtime *runtime = part->host->runtime;
    int r;
    draw_options(caller, part, &options);
    inherit(caller, part);
    if (lido_runtime_current() == runtime && draw(caller, 2))
        runtime = NULL;
    if (part->poll) {
        part->future.poll = poll_part;
        r = lido_spawn_future_at(runtime, task, &part->future, &options, where);
    } else {
        r = lido_spawn_at(runtime, task, run_part, part, &options, where);
    }
    return spawned(part, r, where);
}

int part_scope_spawn(struct part *caller, struct part *part, lido_scope *scope, int *result)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    int r;
    draw_options(caller, part, &options);
    inherit(caller, part);
    if (part->poll) {
        part->future.poll = poll_part;
        r = lido_scope_spawn_future_at(scope, result, &part->future, &options, LIDO_HERE);
    } else {
        r = lido_scope_spawn_with(scope, result, run_part, part, &options);
    }
    if (r == -ECANCELED && part_may_get(part, r)) {
        part->refused = true;
        lido__fetch_sub(&part->host->round->live, 1, LIDO__RELAXED);
        return r;
    }
    return spawned(part, r, LIDO_HERE);
}

int part_spawn_job(struct part *caller, struct part *part, lido_task **task)
{
    lido_blocking_options options = LIDO_BLOCKING_OPTIONS_INIT;
    lido_runtime *runtime = part->host->runtime;
    part->job = true;
    part->outside = true;
    part->pool = options.pool = (lido_blocking_pool)draw(caller, 3);
    options.name = part->name;
    inherit(caller, part);
    return spawned(part, lido_spawn_blocking_at(runtime, task, run_job, part, &options, LIDO_HERE),
                   LIDO_HERE);
}

int part_block_on(struct part *caller, struct part *part)
{
    part_does(caller, "lido_block_on");
    int r = lido_block_on(part->host->runtime, run_part, part);
    part_does(caller, NULL);
    if (!lido__load(&part->began, LIDO__RELAXED))
        return spawned(part, r, LIDO_HERE);
    insist(r == part->result);
    return r;
}

/* ---- Ending ---------------------------------------------------------------------------------------- */

void part_provoke(struct part *part)
{
    lido__store(&part->provoked, 1, LIDO__RELAXED);
}

static int check_result(struct part *part, int result)
{
    bool ran = lido__load(&part->began, LIDO__RELAXED);
    if (!ran && part->job && part_may_get(part, result)) {
        part->skipped = true;
        lido__fetch_sub(&part->host->round->live, 1, LIDO__RELAXED);
        return result;
    }
    if (!ran || !lido__load(&part->ended, LIDO__RELAXED))
        fail_soak("%s was joined, and had not ended", part->name);
    if (part->result != result)
        fail_soak("%s returned %d, and its join said %d", part->name, part->result, result);
    return result;
}

int part_stop(struct part *caller, struct part *part, lido_task *task)
{
    int result = INT32_MIN;
    part_provoke(part);
    part_does(caller, "lido_stop");
    int r = lido_stop(task, &result);
    part_does(caller, NULL);
    if (r < 0)
        fail_soak("lido_stop of %s: %s", part->name, lido_strerror(r));
    check_home(caller);
    return check_result(part, result);
}

int part_join(struct part *caller, struct part *part, lido_task *task)
{
    int result = INT32_MIN;
    if (attempt(caller, lido_join(task, &result)) < 0)
        return part_stop(caller, part, task);
    return check_result(part, result);
}

int part_finish(struct part *caller, struct part *part, lido_task *task)
{
    switch (draw(caller, 6)) {
    case 0: return part_stop(caller, part, task);
    case 1:
        part_provoke(part);
        lido_cancel(task);
        return part_join(caller, part, task);
    default: return part_join(caller, part, task);
    }
}

/* ---- The account ------------------------------------------------------------------------------------- */

static void settle(const struct part *part)
{
    uint32_t times = part->refused || part->skipped ? 0 : 1;
    if (part->began != times || part->ended != times)
        fail_soak("%s was %s, began %u times and ended %u times", part->name,
                  part->refused ? "refused" : "spawned", part->began, part->ended);
}

static uint64_t settled;

uint64_t parts_counted(void)
{
    return settled;
}

void parts_settle(struct round *round)
{
    struct part *part = round->parts;
    while (part) {
        struct part *next = part->next;
        settle(part);
        settled++;
        part = next;
    }
    insist(round->live == 0);
    while ((part = round->parts)) {
        round->parts = part->next;
        free(part);
    }
}

/* ---- Within a part ----------------------------------------------------------------------------------- */

void part_does(struct part *part, const char *call)
{
    lido__store(&part->doing, call, LIDO__RELAXED);
}

static bool is_late(const struct part *part)
{
    return lido_now() >= lido__load(&part->deadline, LIDO__RELAXED);
}

static bool is_cancelled(const struct part *part)
{
    const struct part *owner = part->owner;
    return lido__load(&part->provoked, LIDO__RELAXED) ||
           host_stage(part->host) == STAGE_CANCELLING ||
           (owner && (is_cancelled(owner) || is_late(owner)));
}

bool part_may_get(const struct part *part, int error)
{
    return (error == -ECANCELED && is_cancelled(part)) || (error == -ETIMEDOUT && is_late(part));
}

ssize_t part_judge(struct part *part, ssize_t result, int expected, const char *call,
                   const char *where)
{
    part_does(part, NULL);
    check_home(part);
    if (result < 0 && result != expected && !part_may_get(part, (int)result))
        fail_soak_at(where, "%s: %s: %s", part->name, call, lido_strerror((int)result));
    return result;
}

bool part_is_over(struct part *part)
{
    if (lido_is_cancelled()) {
        insist(is_cancelled(part));
        return true;
    }
    return lido_now() >= lido__load(&part->host->round->until, LIDO__RELAXED);
}

struct limit limit_begin(struct part *part, int64_t ms)
{
    uint64_t outer = lido__load(&part->deadline, LIDO__RELAXED);
    uint64_t mine = lido_now() + (uint64_t)(ms > 0 ? ms : 0) * 1000000;
    lido__store(&part->deadline, mine < outer ? mine : outer, LIDO__RELAXED);
    return (struct limit){lido_deadline_push(ms), outer};
}

void limit_end(struct part *part, struct limit *limit)
{
    lido_deadline_pop(&limit->lido);
    lido__store(&part->deadline, limit->outer, LIDO__RELAXED);
}
