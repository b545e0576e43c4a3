/* The line that says how the run goes. */
#include <stdio.h>
#include <unistd.h>

#include "run.h"
#include "text.h"

struct views {
    struct figures now;
    struct figures before;
    struct histogram second;
};

static const char *phase_of(const struct run *run, uint64_t now)
{
    return now < run->start + run->options->warmup ? "warming up" : "running";
}

/* On a terminal each line replaces the one before it. */
static void print_line(const struct run *run, const struct views *views, uint64_t now)
{
    bool terminal = isatty(STDERR_FILENO);
    fprintf(stderr, "%s%s %.0f s  %llu connections  %.0f/s  p50 %s  p99 %s  errors %llu%s",
            terminal ? "\r\033[K" : "", phase_of(run, now), (double)(now - run->start) / 1e9,
            (unsigned long long)views->now.connections, (double)views->second.count,
            text_of_time((double)histogram_percentile(&views->second, 50)).text,
            text_of_time((double)histogram_percentile(&views->second, 99)).text,
            (unsigned long long)figures_errors(&views->now), terminal ? "" : "\n");
    fflush(stderr);
}

int progress(void *arg)
{
    struct run *run = arg;
    lido_interval interval;
    struct views *views = calloc(1, sizeof(*views));
    int r = views ? lido_interval_init(&interval, 1000, LIDO_MISSED_SKIP) : -ENOMEM;
    bool printed = false;
    while (r == 0 && (r = lido_interval_tick(&interval)) == 0) {
        views->before = views->now;
        views->now = (struct figures){0};
        r = run_collect(run, &views->now);
        if (r < 0)
            break;
        histogram_since(&views->second, &views->now.latency, &views->before.latency);
        print_line(run, views, lido_now());
        printed = true;
    }
    if (printed && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    free(views);
    return r;
}
