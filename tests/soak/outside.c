/* Threads that use runtimes from outside, also while those end. */
#include <errno.h>

#include "soak/part.h"
#include "soak/scene.h"
#include "soak/watchdog.h"
#include "support/runtime.h"

#define OUTSIDERS_MAX 3
/* So many times refused, an outsider leaves. */
#define REFUSALS_MAX 20

struct outsiders {
    unsigned count;
    struct part *parts[OUTSIDERS_MAX];
    pthread_t threads[OUTSIDERS_MAX];
};

static int be_cancelled(struct part *part)
{
    return wait_for_ever(part);
}

static int work(struct part *part)
{
    spin_us(draw(part, 300));
    return 1;
}

/* 0, or that it was refused. */
static int visit(struct part *part)
{
    struct part *guest = part_new(part, "guest", act_once, NULL);
    lido_task *task;
    bool stays = draw(part, 3) == 0;
    int r = part_spawn(part, guest, stays ? NULL : &task);
    if (r == 0 && !stays)
        part_finish(part, guest, task);
    return r;
}

static int block_on(struct part *part)
{
    struct part *root = part_new(part, "root", act_once, NULL);
    int r = part_block_on(part, root);
    return root->refused ? r : 0;
}

static int order_work(struct part *part)
{
    struct part *job = part_new(part, "job from outside", work, NULL);
    lido_task *task;
    int r = part_spawn_job(part, job, &task);
    if (r == 0)
        part_finish(part, job, task);
    return r;
}

static int cancel_one(struct part *part)
{
    struct part *victim = part_new(part, "victim of a thread", be_cancelled, NULL);
    lido_task *task;
    int r = part_spawn(part, victim, &task);
    if (r == 0)
        insist(part_stop(part, victim, task) < 0);
    return r;
}

static int linger(struct part *part)
{
    static int (*const ways[])(struct part *) = {visit, visit, block_on, order_work, cancel_one};
    unsigned refusals = 0;
    while (!part_is_over(part) && refusals < REFUSALS_MAX)
        refusals += ways[draw(part, COUNT(ways))](part) < 0;
    return 0;
}

static void *run_outsider(void *arg)
{
    part_run_here(arg);
    return NULL;
}

struct outsiders *outsiders_start(struct round *round)
{
    struct part nobody = {.dice = dice_of(round->plan->seed ^ 2, round->plan->number)};
    struct outsiders *outsiders = calloc(1, sizeof(*outsiders));
    insist(outsiders && round->plan->outsiders <= OUTSIDERS_MAX);
    outsiders->count = round->plan->outsiders;
    for (unsigned i = 0; i < outsiders->count; i++) {
        outsiders->parts[i] = part_new_on(&round->hosts[0], &nobody, "outsider", linger, NULL);
        outsiders->threads[i] = thread_start(run_outsider, outsiders->parts[i]);
    }
    return outsiders;
}

void outsiders_join(struct outsiders *outsiders)
{
    for (unsigned i = 0; i < outsiders->count; i++)
        thread_join(outsiders->threads[i]);
    free(outsiders);
}
