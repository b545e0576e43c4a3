/* Scenes of tasks alone: trees and crowds of them, values of their own, and those that do not let go. */
#include <errno.h>

#include "soak/scene.h"
#include "soak/watchdog.h"

/* ---- A tree: each waits for its children, and counts them ------------------------------------------------- */

#define CHILDREN_MAX 4

struct twig {
    unsigned depth;
};

static int grow(struct part *part)
{
    const struct twig *twig = part->arg;
    struct twig below = {twig->depth - 1};
    struct part *children[CHILDREN_MAX];
    lido_task *tasks[CHILDREN_MAX];
    unsigned count = 0;
    int nodes = 1;
    for (unsigned i = twig->depth ? draw(part, CHILDREN_MAX + 1) : 0; i > 0; i--) {
        children[count] = part_new(part, "twig", grow, &below);
        count += part_spawn(part, children[count], &tasks[count]) == 0;
    }
    pause_some(part);
    while (count-- > 0) {
        int below_it = part_finish(part, children[count], tasks[count]);
        insist(below_it > 0);
        nodes += below_it;
    }
    return nodes;
}

void play_tree(struct part *part)
{
    struct twig root = {1 + draw(part, 3)};
    struct part *child = part_new(part, "tree", grow, &root);
    lido_task *task;
    if (part_spawn(part, child, &task) == 0)
        part_finish(part, child, task);
}

/* ---- A crowd: nobody waits for them ------------------------------------------------------------------------ */

static int mill_about(struct part *part)
{
    for (unsigned i = draw(part, 4); i > 0; i--)
        pause_some(part);
    return 0;
}

/* Detached at once, later, or cancelled and then detached. */
static void let_go(struct part *part, struct part *child)
{
    lido_task *task;
    unsigned how = draw(part, 3);
    if (part_spawn(part, child, how ? &task : NULL) < 0 || how == 0)
        return;
    if (how == 2) {
        part_provoke(child);
        lido_cancel(task);
    }
    lido_detach(task);
}

void play_crowd(struct part *part)
{
    for (unsigned i = draw(part, 60); i > 0; i--)
        let_go(part, part_new(part, "one of many", mill_about, NULL));
    attempt(part, lido_sleep(1));
}

/* ---- Values of a task, which end with it --------------------------------------------------------------------- */

static void destroy_value(void *value)
{
    struct round *round = value;
    lido__fetch_sub(&round->locals, 1, LIDO__RELAXED);
}

static const lido_local first_local = {destroy_value}, second_local = {destroy_value};

static int keep_values(struct part *part)
{
    struct round *round = part->host->round;
    const lido_local *const keys[] = {&first_local, &second_local};
    for (unsigned i = 0; i < COUNT(keys); i++) {
        insist(!lido_local_get(keys[i]));
        insist(lido_local_set(keys[i], round) == 0);
        lido__fetch_add(&round->locals, 1, LIDO__RELAXED);
        pause_some(part);
        insist(lido_local_get(keys[i]) == round);
    }
    return 0;
}

void play_locals(struct part *part)
{
    struct part *child = part_new(part, "values", keep_values, NULL);
    lido_task *task;
    if (part_spawn(part, child, &task) == 0)
        part_finish(part, child, task);
}

/* ---- A hog: computes, and others are on its worker ------------------------------------------------------------ */

#define NEIGHBOURS 4

static int compute(struct part *part)
{
    spin_us(500 + draw(part, 8000));
    return 3;
}

/* What a rescue moves: runnable tasks, timers, sockets; what pause_some does, several times. */
static int bustle(struct part *part)
{
    for (unsigned i = 0; i < 6; i++)
        pause_some(part);
    return 4;
}

void play_hog(struct part *part)
{
    struct part *parts[NEIGHBOURS + 1];
    lido_task *tasks[NEIGHBOURS + 1];
    unsigned count = 0;
    for (unsigned i = 0; i <= NEIGHBOURS; i++) {
        parts[count] = i == 0 ? part_new(part, "hog", compute, NULL)
                              : part_new(part, "neighbour", bustle, NULL);
        count += part_spawn(part, parts[count], &tasks[count]) == 0;
    }
    while (count-- > 0)
        part_finish(part, parts[count], tasks[count]);
}
