#include "rt/debug.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/ledger.h"
#include "rt/runtime.h"
#include "sched/wake.h"

#define LOOK_EVERY_NS 500000000u
/* At so many looks in a row nothing has happened. */
#define QUIET_LOOKS 2u
/* When another report is being made. */
#define RETRY_NS 10000000u
#define AFTER_CANCEL_DEFAULT_MS 1000
#define WATCH_MS 1000u
/* So many things that have not been given back are named. */
#define LEFT_MAX 32u

void lido__debug_settle(struct lido__settings *settings)
{
    lido_config *config = &settings->config;
    if (config->after_cancel_ms == 0)
        config->after_cancel_ms = AFTER_CANCEL_DEFAULT_MS;
    if (!settings->debug)
        return;
    config->report_faults = true;
    if (config->watch_ms == 0)
        config->watch_ms = WATCH_MS;
}

/* ---- Failed tasks ---------------------------------------------------------------------------- */

void lido__debug_failed(struct lido__pool *pool, const char *name, const char *where, int result)
{
    const lido_runtime *runtime = pool->runtime;
    const lido_config *config = &runtime->settings.config;
    if (runtime->settings.debug)
        dprintf(STDERR_FILENO,
                "lido: task %s, spawned at %s, returned %d (%s), and nobody joins it\n",
                name ? name : "(unnamed)", where, result, lido_strerror(result));
    if (config->on_task_error)
        config->on_task_error(config->hook_arg, name, where, result);
}

/* ---- Stuck tasks ----------------------------------------------------------------------------- */

struct tally {
    uint32_t tasks;
    uint32_t waiting; /* of these, for each other */
};

/* Nothing but another task, or a thread that is not lido's, can end such a wait. */
static bool is_for_a_task(const lido_stuck *stuck)
{
    static const char *const waits[] = {"event", "mutex", "one-shot", "join",
                                        "scope", "send",  "receive"};
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]) && !stuck->runnable; i++)
        if (strcmp(stuck->awaits, waits[i]) == 0)
            return true;
    return false;
}

static void count(void *arg, const lido_stuck *stuck)
{
    struct tally *tally = arg;
    tally->tasks++;
    tally->waiting += is_for_a_task(stuck);
}

static void tell(void *arg, const lido_stuck *stuck)
{
    const lido_runtime *runtime = arg;
    const lido_config *config = &runtime->settings.config;
    if (runtime->settings.debug)
        dprintf(STDERR_FILENO,
                "lido:   task %s, spawned at %s, worker %u: awaits %s for %lld ms%s\n",
                stuck->name ? stuck->name : "(unnamed)", stuck->where, stuck->worker, stuck->awaits,
                (long long)stuck->waited_ms, stuck->runnable ? ", runnable" : "");
    if (config->on_stuck)
        config->on_stuck(config->hook_arg, stuck);
}

static void say(const lido_runtime *runtime, const char *text)
{
    if (runtime->settings.debug)
        dprintf(STDERR_FILENO, "lido: %s\n", text);
}

/* False: somebody who ends the runtime makes a report just now. */
static bool make(lido_runtime *runtime)
{
    if (!lido__report_try_begin(&runtime->report))
        return false;
    lido__report_make(runtime);
    return true;
}

static void report_after_cancel(lido_runtime *runtime)
{
    struct tally tally = {0};
    if (!make(runtime))
        return;
    lido__store(&runtime->debug.cancelled, 0, LIDO__RELAXED);
    lido__report_each(&runtime->report, count, &tally);
    if (tally.tasks)
        say(runtime, "lido_run waits for tasks that have been cancelled:");
    lido__report_tell(&runtime->report, tell, runtime);
    lido__report_end(&runtime->report);
}

/* Those of a runtime where all wait for each other are told once, until they are more, or fewer. */
static void report_deadlock(lido_runtime *runtime)
{
    struct tally tally = {0};
    if (!make(runtime))
        return;
    lido__report_each(&runtime->report, count, &tally);
    bool stuck = tally.tasks > 0 && tally.waiting == tally.tasks;
    if (stuck && tally.tasks != runtime->debug.told) {
        say(runtime, "nothing happens any more; all tasks wait for each other, or for a thread:");
        lido__report_tell(&runtime->report, tell, runtime);
    }
    runtime->debug.told = stuck ? tally.tasks : 0;
    lido__report_drop(&runtime->report);
    lido__report_end(&runtime->report);
}

static uint64_t progress_of(const lido_runtime *runtime)
{
    uint64_t progress = 0;
    for (unsigned i = 0; i < runtime->pool.count; i++)
        progress += lido__load(&runtime->pool.workers[i].turns, LIDO__RELAXED);
    return progress;
}

static bool nobody_is_awake(const lido_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->pool.count; i++)
        if (lido__load(&runtime->pool.workers[i].awake, LIDO__RELAXED))
            return false;
    return true;
}

/* True once for each time that it has become quiet. To ask the workers wakes them, which is no
   progress. */
static bool has_become_quiet(lido_runtime *runtime)
{
    struct lido__debug *debug = &runtime->debug;
    uint64_t progress = progress_of(runtime);
    bool same = progress == debug->progress && nobody_is_awake(runtime);
    debug->progress = progress;
    debug->quiet = same ? debug->quiet + 1 : 0;
    return debug->quiet == QUIET_LOOKS;
}

/* Acquire: pairs with the release with which the root ends. */
static bool is_due(const struct lido__debug *debug)
{
    return lido__load(&debug->cancelled, LIDO__ACQUIRE) &&
           lido__clock_now() >= lido__load(&debug->due, LIDO__RELAXED);
}

static uint64_t until_due(const struct lido__debug *debug)
{
    if (!lido__load(&debug->cancelled, LIDO__ACQUIRE))
        return LOOK_EVERY_NS;
    uint64_t now = lido__clock_now(), due = lido__load(&debug->due, LIDO__RELAXED);
    if (now >= due)
        return RETRY_NS;
    return due - now < LOOK_EVERY_NS ? due - now : LOOK_EVERY_NS;
}

static void look(void *arg)
{
    lido_runtime *runtime = arg;
    struct lido__debug *debug = &runtime->debug;
    while (!lido__load(&debug->state, LIDO__ACQUIRE)) {
        lido__futex_wait(&debug->state, 0, until_due(debug));
        if (lido__load(&runtime->pool.stopped, LIDO__ACQUIRE))
            continue;
        if (is_due(debug))
            report_after_cancel(runtime);
        else if (has_become_quiet(runtime))
            report_deadlock(runtime);
    }
}

void lido__debug_root_ended(lido_runtime *runtime, int64_t grace_ms)
{
    const lido_config *config = &runtime->settings.config;
    uint64_t cancelled = lido__time_after(lido__clock_now(), grace_ms);
    if (!runtime->debug.started || grace_ms == 0)
        return;
    lido__store(&runtime->debug.due, lido__time_after(cancelled, config->after_cancel_ms),
                LIDO__RELAXED);
    lido__store(&runtime->debug.cancelled, 1, LIDO__RELEASE);
}

/* ---- What has not been given back ------------------------------------------------------------ */

static void tell_left(const struct lido__ledger_entry *entry)
{
    dprintf(STDERR_FILENO, "lido: not given back: %s%s%s%s%s\n", entry->what,
            entry->name[0] ? " of task " : "", entry->name, entry->where ? ", spawned at " : "",
            entry->where ? entry->where : "");
}

/* ---- The life of a runtime ------------------------------------------------------------------- */

void lido__debug_init(lido_runtime *runtime)
{
    const struct lido__settings *settings = &runtime->settings;
    if (settings->debug)
        lido__ledger_enter();
    if (!settings->debug && !settings->config.on_stuck)
        return;
    struct lido__thread_config config = {.name = "lido-debug", .cpu = LIDO__CPU_ANY};
    runtime->debug.started = lido__thread_start(&runtime->debug.thread, &config, look, runtime) ==
                             0;
}

void lido__debug_fini(lido_runtime *runtime)
{
    struct lido__debug *debug = &runtime->debug;
    if (debug->started) {
        lido__store(&debug->state, 1, LIDO__RELEASE);
        lido__futex_wake(&debug->state, 1);
        lido__thread_join(&debug->thread);
    }
    size_t left = runtime->settings.debug ? lido__ledger_leave(tell_left, LEFT_MAX) : 0;
    if (left > LEFT_MAX)
        dprintf(STDERR_FILENO, "lido: not given back: %zu more\n", left - LEFT_MAX);
}
