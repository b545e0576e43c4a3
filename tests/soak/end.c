/* The ends of runtimes. */
#include <errno.h>

#include "soak/part.h"
#include "soak/watchdog.h"

/* ---- Stages ---------------------------------------------------------------------------------------------- */

static void reach(struct host *host, enum stage stage)
{
    if (host_stage(host) < stage)
        lido__store(&host->stage, stage, LIDO__RELAXED);
}

static enum stage stage_of(lido_shutdown_how how)
{
    return how == LIDO_SHUTDOWN_NOW     ? STAGE_CANCELLING
           : how == LIDO_SHUTDOWN_DRAIN ? STAGE_DRAINING
                                        : STAGE_OPEN;
}

/* The first call of the rung, or one like it. */
static lido_shutdown_how first_of(enum rung rung)
{
    switch (rung) {
    case RUNG_ON_IDLE:
    case RUNG_LADDER: return LIDO_SHUTDOWN_ON_IDLE;
    case RUNG_DRAIN:
    case RUNG_WITHIN: return LIDO_SHUTDOWN_DRAIN;
    default: return LIDO_SHUTDOWN_NOW;
    }
}

/* ---- Calls ------------------------------------------------------------------------------------------------ */

/* What is left after a call that gave up soon: nothing is wrong with that. */
static void check_stuck(void *arg, const lido_stuck *stuck)
{
    const struct host *host = arg;
    insist(stuck->worker < host->plan->workers && stuck->where && stuck->awaits);
    insist(stuck->waited_ms >= 0 && stuck->waited_ms < PATIENCE_MS);
}

/* 0, or -ETIMEDOUT: not yet. */
static int try_end(struct host *host, lido_shutdown_how how, int64_t ms)
{
    reach(host, stage_of(how));
    int r = lido_shutdown(host->runtime, how, ms, check_stuck, host);
    if (r != 0 && r != -ETIMEDOUT)
        fail_soak("lido_shutdown: %s", lido_strerror(r));
    return r;
}

static void end_surely(struct host *host, lido_shutdown_how how)
{
    reach(host, stage_of(how));
    int r = lido_shutdown(host->runtime, how, PATIENCE_MS, print_stuck, NULL);
    if (r != 0)
        fail_soak("lido_shutdown: %s", lido_strerror(r));
}

/* When it cancels is for lido to know. */
static void end_within(struct host *host)
{
    reach(host, STAGE_CANCELLING);
    int r = lido_shutdown_within(host->runtime, host->plan->patience_ms, PATIENCE_MS, print_stuck,
                                 NULL);
    if (r != 0)
        fail_soak("lido_shutdown_within: %s", lido_strerror(r));
}

static void climb_down(struct host *host)
{
    int64_t ms = host->plan->patience_ms;
    if (try_end(host, LIDO_SHUTDOWN_ON_IDLE, ms) < 0 && try_end(host, LIDO_SHUTDOWN_DRAIN, ms) < 0)
        end_surely(host, LIDO_SHUTDOWN_NOW);
}

static void end_by_rung(struct host *host)
{
    switch (host->plan->rung) {
    case RUNG_FREE:
        reach(host, STAGE_CANCELLING);
        insist(lido_runtime_free(host->runtime) == 0);
        break;
    case RUNG_WITHIN: end_within(host); break;
    case RUNG_LADDER: climb_down(host); break;
    default: end_surely(host, first_of(host->plan->rung));
    }
}

/* ---- By tasks of the other runtime --------------------------------------------------------------------------- */

struct ending {
    struct host *host;
    lido_wait wait;
};

/* Now and then it has too little time at first. */
static int end_in_fiber(struct part *part)
{
    const struct ending *ending = part->arg;
    int r = -ETIMEDOUT;
    if (draw(part, 2)) {
        struct limit limit = limit_begin(part, draw(part, 10));
        part_does(part, "lido_shutdown");
        r = try_end(ending->host, first_of(ending->host->plan->rung), -1);
        limit_end(part, &limit);
    }
    part_does(part, "the end of the first runtime");
    if (r < 0)
        end_by_rung(ending->host);
    return 0;
}

static int poll_end(struct part *part, const lido_waker *waker)
{
    struct ending *ending = part->arg;
    struct host *host = ending->host;
    lido_shutdown_how how = first_of(host->plan->rung);
    reach(host, stage_of(how));
    int r = lido_shutdown_poll(host->runtime, how, &ending->wait, waker);
    if (r == LIDO_PENDING && draw(part, 2)) {
        lido_shutdown_forgo(host->runtime, &ending->wait);
        r = lido_shutdown_poll(host->runtime, how, &ending->wait, waker);
    }
    return r;
}

static void end_by_task(struct host *host)
{
    struct ending ending = {.host = host};
    const struct plan *plan = host->round->plan;
    struct part nobody = {.host = host->other, .outside = true, .deadline = NO_DEADLINE};
    nobody.dice = dice_of(plan->seed ^ 3, plan->number);
    struct part *part = part_new_on(host->other, &nobody, "ender", end_in_fiber, &ending);
    lido_task *task;
    part->poll = plan->ender == ENDER_FUTURE ? poll_end : NULL;
    insist(part_spawn(&nobody, part, &task) == 0);
    insist(part_join(&nobody, part, task) == 0);
}

/* ---- What the round calls --------------------------------------------------------------------------------------- */

void host_end(struct host *host)
{
    if (host->other && host->round->plan->ender != ENDER_THREAD)
        end_by_task(host);
    else
        end_by_rung(host);
    host->runtime = NULL;
}

void host_begin_end(struct host *host)
{
    int64_t ms = host->plan->patience_ms;
    insist(try_end(host, first_of(host->plan->rung), ms) == -ETIMEDOUT);
}
