/* Scenes of interruption: what never comes, until somebody cancels or time is up; and what comes in time. */
#include <errno.h>

#include "soak/scene.h"
#include "soak/watchdog.h"

#define CROWD_MAX 12

static int wait_and_report(struct part *part)
{
    int first = wait_for_ever(part);
    /* From then on everything is interrupted too, for the same reason or another. */
    if (draw(part, 2))
        insist(attempt(part, lido_sleep(1)) < 0);
    return first;
}

/* ---- Cancel ------------------------------------------------------------------------------------------------- */

void play_cancel(struct part *part)
{
    struct part *child = part_new(part, "to be cancelled", wait_and_report, NULL);
    lido_task *task;
    int result;
    if (part_spawn(part, child, &task) < 0)
        return;
    pause_some(part);
    if (draw(part, 2)) {
        part_provoke(child);
        for (unsigned i = draw(part, 2); i < 2; i++)
            lido_cancel(task);
        result = part_join(part, child, task);
    } else {
        result = part_stop(part, child, task);
    }
    insist(result == -ECANCELED || result == -ETIMEDOUT);
}

/* Somebody else than the one who waits for the task cancels it. */
struct assault {
    struct part *victim;
    lido_task *task;
};

static int cancel_other(struct part *part)
{
    const struct assault *assault = part->arg;
    pause_some(part);
    part_provoke(assault->victim);
    lido_cancel(assault->task);
    return 0;
}

/* The killer ends first: it uses the handle. */
static void be_assaulted(struct part *part)
{
    struct assault assault = {part_new(part, "victim", wait_and_report, NULL), NULL};
    struct part *killer;
    lido_task *task;
    if (part_spawn(part, assault.victim, &assault.task) < 0)
        return;
    killer = part_new(part, "killer", cancel_other, &assault);
    if (part_spawn(part, killer, &task) == 0) {
        part_finish(part, killer, task);
        insist(part_join(part, assault.victim, assault.task) < 0);
    } else {
        insist(part_stop(part, assault.victim, assault.task) < 0);
    }
}

void play_storm(struct part *part)
{
    struct part *children[CROWD_MAX];
    lido_task *tasks[CROWD_MAX];
    unsigned count = 0;
    if (draw(part, 2)) {
        be_assaulted(part);
        return;
    }
    for (unsigned i = 0; i < CROWD_MAX; i++) {
        children[count] = part_new(part, "stormed", wait_and_report, NULL);
        count += part_spawn(part, children[count], &tasks[count]) == 0;
    }
    pause_some(part);
    for (unsigned i = 0; i < count; i++) {
        part_provoke(children[i]);
        lido_cancel(tasks[i]);
    }
    while (count-- > 0)
        insist(part_join(part, children[count], tasks[count]) < 0);
}

/* ---- Deadlines ----------------------------------------------------------------------------------------------- */

static void nest(struct part *part)
{
    struct limit inner = limit_begin(part, draw(part, 4));
    insist(wait_for_ever(part) < 0);
    limit_end(part, &inner);
}

/* The child inherits the deadline. */
static void bequeath(struct part *part)
{
    struct part *child = part_new(part, "heir", wait_and_report, NULL);
    lido_task *task;
    if (part_spawn(part, child, &task) == 0)
        insist(part_join(part, child, task) < 0);
}

void play_late(struct part *part)
{
    struct limit limit = limit_begin(part, draw(part, 5));
    switch (draw(part, 4)) {
    case 0: nest(part); break;
    case 1: bequeath(part); break;
    case 2: pause_some(part); break;
    default: insist(wait_for_ever(part) < 0);
    }
    limit_end(part, &limit);
    /* Over: what follows waits as if there had been none. */
    ssize_t r = attempt(part, lido_sleep(0));
    insist(r != -ETIMEDOUT || part_may_get(part, -ETIMEDOUT));
}

/* ---- Intervals -------------------------------------------------------------------------------------------------- */

void play_ticks(struct part *part)
{
    lido_interval interval;
    uint64_t began = lido_now();
    unsigned ticks = 1 + draw(part, 4);
    insist(lido_interval_init(&interval, 1, (lido_missed)draw(part, 3)) == 0);
    for (unsigned i = 0; i < ticks; i++) {
        if (attempt(part, lido_interval_tick(&interval)) < 0)
            return;
        pause_some(part);
    }
    insist(lido_now() >= began + ticks * UINT64_C(1000000));
}
