/* The configuration of a runtime of the soak, with hooks that count, and a sleep of its own. */
#include <poll.h>

#include "soak/round.h"
#include "soak/watchdog.h"

/* More are never started; see lido_config.max_*. */
static unsigned threads_max(const struct host_plan *plan)
{
    return plan->workers + (plan->max_blocking ? plan->max_blocking : 100) +
           (plan->max_fs ? plan->max_fs : 32) + (plan->max_dns ? plan->max_dns : 16);
}

static void after_start(void *arg, unsigned thread)
{
    struct host *host = arg;
    (void)thread;
    lido__fetch_add(&host->starts, 1, LIDO__RELAXED);
    unsigned now = 1 + lido__fetch_add(&host->threads, 1, LIDO__RELAXED);
    if (now > threads_max(host->plan))
        fail_soak("%u threads, and there may be %u", now, threads_max(host->plan));
}

static void before_stop(void *arg, unsigned thread)
{
    struct host *host = arg;
    (void)thread;
    lido__fetch_sub(&host->threads, 1, LIDO__RELAXED);
}

/* Now and then it forgets to run the worker; then lido does. */
static void around_worker(void *arg, unsigned worker, void (*carry)(void *run_arg), void *run_arg)
{
    struct host *host = arg;
    insist(worker < host->plan->workers);
    if (lido__fetch_add(&host->wraps, 1, LIDO__RELAXED) % 4 != 3)
        carry(run_arg);
}

static void on_watch(void *arg, const lido_watch_report *report)
{
    const struct host *host = arg;
    insist(report->worker < host->plan->workers);
    insist(report->ms >= host->plan->watch_ms);
}

/* May be short: the worker sleeps on. */
static int milliseconds(uint64_t ns)
{
    return ns < UINT64_C(3600000000000) ? (int)(ns / 1000000 + 1) : 3600000;
}

static void park(void *arg, unsigned worker, int fd, uint64_t timeout_ns)
{
    const struct host *host = arg;
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    insist(worker < host->plan->workers);
    poll(&readable, 1, timeout_ns == UINT64_MAX ? -1 : milliseconds(timeout_ns));
}

/* `fd` is readable then. */
static void unpark(void *arg, unsigned worker)
{
    insist(worker < ((const struct host *)arg)->plan->workers);
}

static void configure_hooks(struct host *host, lido_config *config)
{
    config->hook_arg = host;
    config->after_start = after_start;
    config->before_stop = before_stop;
    config->around_worker = host->plan->wraps ? around_worker : NULL;
    config->on_watch = on_watch;
    host->park = (lido_park){.park = park, .unpark = unpark, .park_arg = host};
    config->park = host->plan->parks ? &host->park : NULL;
}

void host_configure(struct host *host, lido_config *config)
{
    const struct host_plan *plan = host->plan;
    config->scheduler = plan->scheduler;
    config->workers = plan->workers;
    config->stack_size = plan->stack_size;
    config->budget = plan->budget;
    config->max_blocking = plan->max_blocking;
    config->max_fs = plan->max_fs;
    config->max_dns = plan->max_dns;
    config->keep_alive_ms = plan->keep_alive_ms;
    config->placement = plan->placement;
    config->watch_ms = plan->watch_ms;
    config->pin_cpus = plan->pin_cpus;
    if (plan->rung == RUNG_NOW)
        config->grace_ms = -1;
    if (plan->rung == RUNG_WITHIN)
        config->grace_ms = 1 + plan->patience_ms;
    configure_hooks(host, config);
}
