/* Scenes of blocking code: sections, jobs, and what such code may do with runtimes. */
#include <errno.h>
#include <time.h>

#include "soak/scene.h"
#include "soak/watchdog.h"

#define CAST_MAX 8

/* ---- Sections ------------------------------------------------------------------------------------------------ */

struct stay {
    uint64_t spin_us;
    uint64_t block_us;
    int depth; /* of sections in sections, which just run */
    int result;
};

static int stay_in(void *arg)
{
    struct stay *stay = arg;
    struct timespec time = {.tv_nsec = (long)stay->block_us * 1000};
    insist(!lido_self() && lido_worker_index() == -ENXIO && lido_sleep(0) == -ENXIO);
    if (stay->depth-- > 0)
        return lido_blocking(stay_in, stay);
    spin_us(stay->spin_us);
    if (stay->block_us)
        nanosleep(&time, NULL);
    errno = EDOM; /* the thread's, not the fiber's */
    return stay->result;
}

static int make_stays(struct part *part)
{
    for (unsigned i = 1 + draw(part, 8); i > 0; i--) {
        struct stay stay = {draw(part, 3) ? 0 : draw(part, 300),
                            draw(part, 3) ? 0 : draw(part, 3000), (int)draw(part, 3),
                            (int)draw(part, 1000)};
        int expected = stay.result;
        errno = ERANGE;
        int r = part_section(part, stay_in, &stay);
        insist(r == expected || part_may_get(part, r));
        insist(errno == ERANGE);
        if (draw(part, 4) == 0)
            pause_some(part);
    }
    return 0;
}

static void play_all(struct part *part, struct part **parts, lido_task **tasks, unsigned count)
{
    while (count-- > 0)
        part_finish(part, parts[count], tasks[count]);
}

void play_sections(struct part *part)
{
    struct part *parts[CAST_MAX];
    lido_task *tasks[CAST_MAX];
    unsigned count = 0;
    for (unsigned i = 1 + draw(part, CAST_MAX); i > 0; i--) {
        parts[count] = part_new(part, "blocks", make_stays, NULL);
        count += part_spawn(part, parts[count], &tasks[count]) == 0;
    }
    play_all(part, parts, tasks, count);
}

/* ---- Jobs ------------------------------------------------------------------------------------------------------- */

static int work(struct part *part)
{
    struct stay stay = {draw(part, 200), draw(part, 2000), 0, (int)draw(part, 1000)};
    return stay_in(&stay);
}

void play_jobs(struct part *part)
{
    struct part *parts[CAST_MAX];
    lido_task *tasks[CAST_MAX];
    unsigned count = 0;
    for (unsigned i = 1 + draw(part, CAST_MAX); i > 0; i--) {
        parts[count] = part_new(part, "job", work, NULL);
        count += part_spawn_job(part, parts[count], &tasks[count]) == 0;
    }
    pause_some(part);
    play_all(part, parts, tasks, count);
}

/* ---- Runtimes within blocking code --------------------------------------------------------------------------------- */

static int stroll(struct part *part)
{
    for (unsigned i = 0; i < 4; i++)
        attempt(part, i == 2 ? lido_sleep(1) : lido_yield());
    return 5;
}

static int block_on_own(void *arg)
{
    struct part *part = arg;
    struct part *child = part_new(part, "blocked on", stroll, NULL);
    int r = part_block_on(part, child);
    insist(r == 5 || child->refused);
    return 0;
}

static int join_from_section(void *arg)
{
    struct part *part = arg;
    struct part *child = part_new(part, "joined by a section", stroll, NULL);
    lido_task *task;
    if (part_spawn(part, child, &task) == 0)
        insist(part_join(part, child, task) == 5);
    return 0;
}

static int add_one(void *arg)
{
    uint32_t *sum = arg;
    insist(lido_yield() == 0);
    lido__fetch_add(sum, 1, LIDO__RELAXED);
    return 0;
}

static int add_some(void *arg)
{
    lido_scoped(scope);
    for (unsigned i = 0; i < 5; i++)
        insist(lido_scope_spawn(&scope, add_one, arg) == 0);
    return lido_scope_wait(&scope);
}

static int run_another(void *arg)
{
    static const char *const schedulers[] = {"io-pool", "work-stealing", "current-thread"};
    lido_config config = LIDO_CONFIG_INIT;
    uint32_t sum = 0;
    config.scheduler = schedulers[draw(arg, COUNT(schedulers))];
    config.workers = strcmp(config.scheduler, "current-thread") == 0 ? 1 : 1 + draw(arg, 2);
    insist(lido_run(&config, add_some, &sum) == 0);
    insist(sum == 5);
    return 0;
}

void play_nested(struct part *part)
{
    static const lido_fn ways[] = {block_on_own, join_from_section, run_another};
    int r = part_section(part, ways[draw(part, COUNT(ways))], part);
    insist(r == 0 || part_may_get(part, r));
}
