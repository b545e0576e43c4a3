#include "soak/round.h"

#include <dirent.h>
#include <errno.h>
#include <time.h>

#include "os/os.h"
#include "soak/part.h"
#include "soak/scene.h"
#include "soak/watchdog.h"

/* ---- The beginning ------------------------------------------------------------------------------------------ */

static void open_host(struct host *host)
{
    lido_config config = LIDO_CONFIG_INIT;
    host_configure(host, &config);
    int r = lido_runtime_new(&host->runtime, &config);
    if (r != 0)
        fail_soak("lido_runtime_new: %s", lido_strerror(r));
}

static void spawn_actors(struct host *host, struct part *director)
{
    for (unsigned i = 0; i < host->plan->actors; i++)
        part_spawn(director, part_new_on(host, director, "actor", act, NULL), NULL);
}

/* The clock of the plan, and not something that happens. */
static void sleep_until(uint64_t ns)
{
    struct timespec until = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
}

static uint64_t begin_play(struct round *round)
{
    uint64_t now = lido_now();
    lido__store(&round->until, now + round->plan->play_ms * UINT64_C(1000000), LIDO__RELAXED);
    watchdog_phase("playing");
    return now + round->plan->end_ms * UINT64_C(1000000);
}

/* ---- A runtime that is held from outside ------------------------------------------------------------------------ */

/* Lives until the round lets it go, whatever happens: so does its runtime. */
static int keep(struct part *part)
{
    lido_mutex *mutex = &part->host->round->keep;
    insist(attempt(part, lido_mutex_lock_anyway(mutex)) == 0);
    insist(lido_mutex_unlock(mutex) == 0);
    return 0;
}

static void end_beside_outsiders(struct round *round, struct outsiders *outsiders)
{
    watchdog_phase("beginning to end");
    host_begin_end(&round->hosts[0]);
    watchdog_phase("waiting for the outsiders");
    outsiders_join(outsiders);
    insist(lido_mutex_unlock(&round->keep) == 0);
}

static void play_from_outside(struct round *round, struct part *director)
{
    struct host *host = &round->hosts[0];
    struct outsiders *outsiders = NULL;
    open_host(host);
    uint64_t end = begin_play(round);
    spawn_actors(host, director);
    if (round->plan->outsiders) {
        insist(lido_mutex_try_lock(&round->keep) == 0);
        part_spawn(director, part_new_on(host, director, "keeper", keep, NULL), NULL);
        outsiders = outsiders_start(round);
    }
    sleep_until(end);
    if (outsiders)
        end_beside_outsiders(round, outsiders);
    watchdog_phase("ending the first runtime");
    host_end(host);
}

/* ---- A lido_run --------------------------------------------------------------------------------------------------- */

static int wait_for_outsiders(void *outsiders)
{
    outsiders_join(outsiders);
    return 0;
}

/* The end begins when it returns. */
static int be_root(void *arg)
{
    struct round *round = arg;
    struct host *host = &round->hosts[0];
    struct part director = {.host = host, .deadline = NO_DEADLINE};
    director.dice = dice_of(round->plan->seed ^ 1, round->plan->number);
    host->runtime = lido_runtime_current();
    uint64_t end = begin_play(round);
    spawn_actors(host, &director);
    struct outsiders *outsiders = round->plan->outsiders ? outsiders_start(round) : NULL;
    insist(lido_sleep_until(end) == 0);
    if (outsiders)
        part_section(&director, wait_for_outsiders, outsiders);
    watchdog_phase("returning from lido_run");
    if (host->plan->rung != RUNG_ON_IDLE)
        lido__store(&host->stage, STAGE_CANCELLING, LIDO__RELAXED);
    return 5;
}

static void play_in_run(struct round *round)
{
    lido_config config = LIDO_CONFIG_INIT;
    host_configure(&round->hosts[0], &config);
    int r = lido_run(&config, be_root, round);
    if (r != 5)
        fail_soak("lido_run: %s", lido_strerror(r));
    round->hosts[0].runtime = NULL;
}

/* ---- The account ---------------------------------------------------------------------------------------------------- */

static size_t count_threads(void)
{
    DIR *list = opendir("/proc/self/task");
    size_t count = 0;
    insist(list);
    while (readdir(list))
        count++;
    closedir(list);
    return count - 2;
}

/* A thread that was joined is in the list for a moment longer. */
static void await_threads(size_t expected)
{
    uint64_t until = lido_now() + UINT64_C(10000000000);
    while (count_threads() != expected) {
        if (lido_now() > until)
            fail_soak("%zu threads, and there were %zu before", count_threads(), expected);
        lido__thread_yield();
    }
}

static void settle_host(const struct host *host)
{
    insist(host->threads == 0);
    insist(host->blocking[LIDO_POOL_USER] == 0);
    insist(host->blocking[LIDO_POOL_FS] == 0);
    insist(host->blocking[LIDO_POOL_DNS] == 0);
}

static void settle(struct round *round, size_t threads, size_t descriptors)
{
    watchdog_phase("settling");
    parts_settle(round);
    for (unsigned i = 0; i < round->plan->host_count; i++)
        settle_host(&round->hosts[i]);
    insist(round->locals == 0);
    await_threads(threads);
    if (count_descriptors() != descriptors)
        fail_soak("%zu descriptors, and there were %zu before", count_descriptors(), descriptors);
}

/* ---- The round -------------------------------------------------------------------------------------------------------- */

void round_play(const struct plan *plan)
{
    struct round round = {.plan = plan};
    struct part director = {.outside = true, .deadline = NO_DEADLINE};
    size_t threads = count_threads(), descriptors = count_descriptors();
    bool two = plan->host_count == 2;
    director.dice = dice_of(plan->seed ^ 1, plan->number);
    for (unsigned i = 0; i < HOSTS_MAX; i++)
        round.hosts[i] = (struct host){.round = &round, .plan = &plan->hosts[i]};
    director.host = &round.hosts[0];
    round.until = lido_now() + plan->play_ms * UINT64_C(1000000);
    watchdog_round(&round);
    if (two) {
        open_host(&round.hosts[1]);
        round.hosts[0].other = &round.hosts[1];
        spawn_actors(&round.hosts[1], &director);
    }
    if (plan->by_run)
        play_in_run(&round);
    else
        play_from_outside(&round, &director);
    watchdog_phase("ending the second runtime");
    if (two)
        host_end(&round.hosts[1]);
    settle(&round, threads, descriptors);
    watchdog_round(NULL);
}
