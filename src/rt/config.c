#include "rt/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/sanitize.h"
#include "os/os.h"
#include "rt/debug.h"

#define WORKERS_MAX 32768u
#define BUDGET_DEFAULT 128u
#define BUDGET_MAX 1000000u
#define MAX_BLOCKING_DEFAULT 100u
#define MAX_FS_DEFAULT 32u
#define MAX_DNS_DEFAULT 16u
#define MAX_POOL 32768u
#define KEEP_ALIVE_DEFAULT_MS 10000
#define WATCH_MAX_MS 3600000u
#define STACK_MIN ((size_t)16 << 10)
#define STACK_MAX ((size_t)1 << 30)
#define NAME_PREFIX_DEFAULT "lido-"
/* Instrumented code needs several times the stack. */
#ifdef LIDO__ASAN
#define STACK_DEFAULT ((size_t)256 << 10)
#else
#define STACK_DEFAULT ((size_t)128 << 10)
#endif

struct problem {
    char *text;
    size_t size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct problem *problem, const char *format,
                                                        ...)
{
    va_list arguments;
    if (problem->text && problem->size) {
        va_start(arguments, format);
        vsnprintf(problem->text, problem->size, format, arguments);
        va_end(arguments);
    }
    return -EINVAL;
}

/* A whole decimal number and nothing else. */
static int parse_number(const char *text, unsigned long *ret)
{
    char *end;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    unsigned long value = strtoul(text, &end, 10);
    if (*end != '\0')
        return -EINVAL;
    *ret = value;
    return 0;
}

/* What the operator says goes over what the program says. An empty value says nothing. */
static const char *operator_says(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int resolve_scheduler(struct lido__settings *settings, struct problem *problem)
{
    static const char *const schedulers[] = {
        [LIDO__IO_POOL] = "io-pool",
        [LIDO__WORK_STEALING] = "work-stealing",
        [LIDO__CURRENT_THREAD] = "current-thread",
    };
    lido_config *config = &settings->config;
    const char *text = operator_says("LIDO_SCHEDULER");
    const char *name = text ? text : config->scheduler ? config->scheduler : schedulers[0];
    for (size_t i = 0; i < sizeof(schedulers) / sizeof(schedulers[0]); i++)
        if (strcmp(name, schedulers[i]) == 0) {
            config->scheduler = schedulers[i];
            settings->scheduler = (enum lido__scheduler)i;
            return 0;
        }
    return refuse(problem, "%s%s: there is no such scheduler; there are: %s, %s, %s",
                  text ? "LIDO_SCHEDULER=" : "scheduler: ", name, schedulers[0], schedulers[1],
                  schedulers[2]);
}

static int resolve_workers(struct lido__settings *settings, struct problem *problem)
{
    lido_config *config = &settings->config;
    const char *text = operator_says("LIDO_WORKERS");
    unsigned long workers = config->workers;
    if (text && (parse_number(text, &workers) < 0 || workers < 1 || workers > WORKERS_MAX))
        return refuse(problem, "LIDO_WORKERS=%s: must be a number from 1 to %u", text, WORKERS_MAX);
    if (workers > WORKERS_MAX)
        return refuse(problem, "workers: %lu is not in 1..%u", workers, WORKERS_MAX);
    bool alone = settings->scheduler == LIDO__CURRENT_THREAD;
    if (alone && workers > 1)
        return refuse(problem, "workers: %lu, but current-thread has one", workers);
    config->workers = workers ? (unsigned)workers : alone ? 1 : lido__cpu_count();
    return 0;
}

static int resolve_reactor(struct lido__settings *settings, struct problem *problem)
{
    const char *text = operator_says("LIDO_REACTOR");
    const char *name = text ? text : settings->config.reactor;
    char known[64] = "";
    settings->reactor = lido__reactor_find(name);
    if (settings->reactor) {
        settings->config.reactor = settings->reactor->name;
        return 0;
    }
    for (size_t i = 0; lido__reactors[i]; i++)
        snprintf(known + strlen(known), sizeof(known) - strlen(known), " %s",
                 lido__reactors[i]->name);
    return refuse(problem, "%s%s: there is no such reactor; there is:%s",
                  text ? "LIDO_REACTOR=" : "reactor: ", name, known);
}

static int resolve_sizes(lido_config *config, struct problem *problem)
{
    if (config->stack_size == 0)
        config->stack_size = STACK_DEFAULT;
    if (config->stack_size < STACK_MIN || config->stack_size > STACK_MAX)
        return refuse(problem, "stack_size: %zu is not in %zu..%zu", config->stack_size, STACK_MIN,
                      STACK_MAX);
    if (config->budget == 0)
        config->budget = BUDGET_DEFAULT;
    if (config->budget > BUDGET_MAX)
        return refuse(problem, "budget: %u is not in 1..%u", config->budget, BUDGET_MAX);
    if (config->park && !config->park->park)
        return refuse(problem, "park: has no function park");
    if (config->placement == LIDO_PLACE_DEFAULT)
        config->placement = LIDO_PLACE_ROUND_ROBIN;
    if (config->placement != LIDO_PLACE_ROUND_ROBIN && config->placement != LIDO_PLACE_LEAST_LOADED)
        return refuse(problem, "placement: %d is neither ROUND_ROBIN nor LEAST_LOADED",
                      (int)config->placement);
    return 0;
}

static int resolve_limit(unsigned *limit, const char *field, unsigned by_default,
                         struct problem *problem)
{
    if (*limit == 0)
        *limit = by_default;
    if (*limit > MAX_POOL)
        return refuse(problem, "%s: %u is not in 1..%u", field, *limit, MAX_POOL);
    return 0;
}

static int resolve_threads(lido_config *config, struct problem *problem)
{
    int r = resolve_limit(&config->max_blocking, "max_blocking", MAX_BLOCKING_DEFAULT, problem);
    if (r == 0)
        r = resolve_limit(&config->max_fs, "max_fs", MAX_FS_DEFAULT, problem);
    if (r == 0)
        r = resolve_limit(&config->max_dns, "max_dns", MAX_DNS_DEFAULT, problem);
    if (config->keep_alive_ms == 0)
        config->keep_alive_ms = KEEP_ALIVE_DEFAULT_MS;
    if (r == 0 && config->after_cancel_ms < 0)
        r = refuse(problem, "after_cancel_ms: %lld is negative",
                   (long long)config->after_cancel_ms);
    if (r == 0 && config->watch_ms > WATCH_MAX_MS)
        r = refuse(problem, "watch_ms: %u is not in 1..%u", config->watch_ms, WATCH_MAX_MS);
    return r;
}

int lido__config_resolve(struct lido__settings *settings, const lido_config *config, char *text,
                         size_t text_size)
{
    struct problem problem = {text, text_size};
    memset(settings, 0, sizeof(*settings));
    /* A caller that was compiled with another version of the header knows fewer fields, or more:
       those that this library does not know must be zero, that is, their defaults. */
    if (config && (config->size < sizeof(size_t) || config->size > 4096))
        return refuse(&problem, "size: %zu; start from LIDO_CONFIG_INIT", config->size);
    if (config)
        memcpy(&settings->config, config,
               config->size < sizeof(*config) ? config->size : sizeof(*config));
    for (size_t i = sizeof(*config); config && i < config->size; i++)
        if (((const char *)config)[i])
            return refuse(&problem, "size: %zu; a field is set that this lido does not know",
                          config->size);
    int r = resolve_scheduler(settings, &problem);
    if (r == 0)
        r = resolve_workers(settings, &problem);
    if (r == 0)
        r = resolve_reactor(settings, &problem);
    if (r == 0)
        r = resolve_sizes(&settings->config, &problem);
    if (r == 0)
        r = resolve_threads(&settings->config, &problem);
    const char *debug = operator_says("LIDO_DEBUG");
    settings->debug = debug && strcmp(debug, "1") == 0;
    lido__debug_settle(settings);
    if (r == 0 && !settings->config.name_prefix)
        settings->config.name_prefix = NAME_PREFIX_DEFAULT;
    return r;
}

static int try_reactor(const struct lido__reactor_ops *ops, struct problem *problem)
{
    struct lido__reactor *reactor = lido__fault("malloc") < 0 ? NULL : calloc(1, ops->size);
    if (!reactor)
        return -ENOMEM;
    reactor->ops = ops;
    int r = ops->init(reactor);
    if (r == 0)
        ops->fini(reactor);
    else
        refuse(problem, "reactor %s: %s: %s", ops->name, reactor->failed, lido_strerror(r));
    free(reactor);
    return r;
}

static void do_nothing(void *arg)
{
    (void)arg;
}

static int try_thread(struct problem *problem)
{
    struct lido__thread thread;
    int r = lido__thread_start(&thread, NULL, do_nothing, NULL);
    if (r == 0)
        lido__thread_join(&thread);
    else
        refuse(problem, "threads: none can be started: %s", lido_strerror(r));
    return r;
}

int lido_config_check(const lido_config *config, char *problem, size_t problem_size)
{
    struct lido__settings settings;
    struct problem text = {problem, problem_size};
    int r = lido__config_resolve(&settings, config, problem, problem_size);
    if (r == 0)
        r = try_reactor(settings.reactor, &text);
    if (r == 0)
        r = try_thread(&text);
    return r;
}
