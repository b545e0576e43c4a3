#include "soak/plan.h"

#include "soak/scene.h"
#include "support/check.h"

/* Of tasks on dice: how likely something is, in percent. */
static bool chance(struct dice *dice, uint32_t percent)
{
    return roll(dice, 100) < percent;
}

#define PICK(dice, array) ((array)[roll((dice), COUNT(array))])

static const char *draw_scheduler(struct dice *dice)
{
    static const char *const schedulers[] = {"io-pool",       "io-pool",       "work-stealing",
                                             "work-stealing", "work-stealing", "current-thread"};
    return PICK(dice, schedulers);
}

/* Few of everything: what is scarce is waited for. */
static void draw_limits(struct dice *dice, struct host_plan *host)
{
    static const size_t stacks[] = {0, 0, SCALED(48u, 320u, 320u) << 10,
                                    SCALED(32u, 288u, 288u) << 10};
    static const unsigned budgets[] = {0, 0, 1, 2, 5, 40};
    static const unsigned capacities[] = {0, 1, 2, 3, 8};
    static const int64_t keep_alive[] = {0, -1, 1, 1, 5, 20};
    host->stack_size = PICK(dice, stacks);
    host->budget = PICK(dice, budgets);
    host->max_blocking = PICK(dice, capacities);
    host->max_fs = PICK(dice, capacities);
    host->max_dns = PICK(dice, capacities);
    host->keep_alive_ms = PICK(dice, keep_alive);
}

static void draw_host(struct dice *dice, struct host_plan *host, const struct plan_limits *limits)
{
    const char *scheduler = draw_scheduler(dice);
    unsigned workers = 1 + roll(dice, 4);
    host->scheduler = limits->scheduler ? limits->scheduler : scheduler;
    host->workers = limits->workers ? limits->workers : workers;
    if (strcmp(host->scheduler, "current-thread") == 0)
        host->workers = 1;
    draw_limits(dice, host);
    host->placement = chance(dice, 50) ? LIDO_PLACE_LEAST_LOADED : LIDO_PLACE_ROUND_ROBIN;
    host->watch_ms = chance(dice, 15) ? 1 + roll(dice, 10) : 0;
    host->pin_cpus = chance(dice, 10);
    host->parks = chance(dice, 20);
    host->wraps = chance(dice, 20);
    host->actors = 1 + roll(dice, SCALED(16u, 10u, 6u));
    host->rung = chance(dice, 35) ? RUNG_ON_IDLE : (enum rung)roll(dice, RUNG_COUNT);
    host->patience_ms = roll(dice, 30);
}

/* Half of the rounds play everything, the others a few scenes that get in each other's way all the more. */
static uint64_t draw_scenes(struct dice *dice)
{
    uint64_t all = (UINT64_C(1) << scene_count) - 1, some = 0;
    if (chance(dice, 50))
        return all;
    for (unsigned i = 0, wanted = 1 + roll(dice, 4); i < wanted; i++)
        some |= UINT64_C(1) << roll(dice, scene_count);
    return some;
}

static enum rung rung_of_run(struct dice *dice)
{
    static const enum rung rungs[] = {RUNG_ON_IDLE, RUNG_NOW, RUNG_WITHIN};
    return PICK(dice, rungs);
}

void plan_draw(struct plan *plan, uint64_t seed, uint64_t number, const struct plan_limits *limits)
{
    struct dice dice = dice_of(seed, number);
    *plan = (struct plan){.seed = seed, .number = number, .limits = *limits};
    plan->by_run = chance(&dice, 20);
    plan->host_count = chance(&dice, 35) ? 2 : 1;
    for (unsigned i = 0; i < HOSTS_MAX; i++)
        draw_host(&dice, &plan->hosts[i], limits);
    plan->scenes = draw_scenes(&dice);
    plan->outsiders = chance(&dice, 40) ? 1 + roll(&dice, 3) : 0;
    plan->play_ms = 30 + roll(&dice, 350);
    plan->end_ms = chance(&dice, 50) ? plan->play_ms : roll(&dice, plan->play_ms);
    plan->ender = plan->host_count == 2 ? (enum ender)roll(&dice, 3) : ENDER_THREAD;
    if (plan->by_run) {
        plan->hosts[0].rung = rung_of_run(&dice);
        /* The root waits for the outsiders in a section, and they for tasks that may need one. */
        if (plan->hosts[0].max_blocking == 1)
            plan->hosts[0].max_blocking = 2;
    }
}

static void print_host(FILE *to, const struct host_plan *host)
{
    static const char *const rungs[RUNG_COUNT] = {"on idle", "drain",  "now",
                                                  "free",    "within", "ladder"};
    fprintf(
        to,
        "  %s, %u workers, %u actors, ends %s (%d ms); stack %zu, budget %u, blocking %u/%u/%u, keep_alive %d, "
        "watch %u%s%s%s%s\n",
        host->scheduler, host->workers, host->actors, rungs[host->rung], (int)host->patience_ms,
        host->stack_size, host->budget, host->max_blocking, host->max_fs, host->max_dns,
        (int)host->keep_alive_ms, host->watch_ms, host->parks ? ", parks" : "",
        host->wraps ? ", wraps" : "", host->pin_cpus ? ", pinned to cpus" : "",
        host->placement == LIDO_PLACE_LEAST_LOADED ? ", least loaded" : "");
}

void plan_print(FILE *to, const struct plan *plan)
{
    static const char *const enders[] = {"a thread", "a fiber", "a future"};
    fprintf(to, "seed %llu round %llu: %s, %u ms, ended after %u by %s, %u outsiders, scenes:",
            (unsigned long long)plan->seed, (unsigned long long)plan->number,
            plan->by_run ? "lido_run" : "lido_runtime_new", plan->play_ms, plan->end_ms,
            enders[plan->ender], plan->outsiders);
    for (unsigned i = 0; i < scene_count; i++)
        fprintf(to, "%s%s", plan->scenes >> i & 1 ? " " : "",
                plan->scenes >> i & 1 ? scenes[i].name : "");
    fputc('\n', to);
    for (unsigned i = 0; i < plan->host_count; i++)
        print_host(to, &plan->hosts[i]);
}
