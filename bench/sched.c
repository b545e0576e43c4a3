/*
 * sched [--scheduler NAME] [--workers N] [--cpu] [--json] [--repeat N] [NAME...]: the scheduler
 * benchmarks, or those that are named.
 *
 * One line for each, NAME MEDIAN MIN MAX, in ns per operation; the median of N repetitions (9) after a
 * warm-up. With --cpu the CPU time of the process and not the time that passes; with --json an array.
 */
#include "sched/sched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/figure.h"

#define REPETITIONS_MAX 1000
/* As in tokio-threadpool's benchmark of blocking sections. */
#define MAX_BLOCKING 20

static const struct sched_job *const all[] = {
    &sched_spawn_many_local,  &sched_spawn_many_task, &sched_spawn_many_remote_idle,
    &sched_chained_spawn,     &sched_spawn_join,      &sched_yield_many,
    &sched_ping_pong,         &sched_notify_many,     &sched_channel,
    &sched_channel_contended, &sched_oneshot,         &sched_cpu_bound,
    &sched_cpu_bound_spawn,   &sched_section,         &sched_section_yield,
    &sched_section_spawn,     &sched_section_delay,
};
#define COUNT (sizeof(all) / sizeof(all[0]))

struct options {
    lido_config config;
    unsigned repetitions;
    bool json;
    int named; /* index of the first name in argv */
};

static const struct sched_job *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    fprintf(stderr, "sched: no benchmark %s. There are:", name);
    for (size_t i = 0; i < COUNT; i++)
        fprintf(stderr, " %s", all[i]->name);
    fprintf(stderr, "\n");
    exit(2);
}

static void parse(struct options *options, int argc, char **argv)
{
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++)
        if (strcmp(argv[i], "--json") == 0)
            options->json = true;
        else if (strcmp(argv[i], "--cpu") == 0)
            sched_measure_cpu_time();
        else if (strcmp(argv[i], "--scheduler") == 0 && i + 1 < argc)
            options->config.scheduler = argv[++i];
        else if (strcmp(argv[i], "--workers") == 0)
            options->config.workers = (unsigned)bench_number_of("--workers", argv[++i], 1);
        else if (strcmp(argv[i], "--repeat") == 0)
            options->repetitions = (unsigned)bench_number_of("--repeat", argv[++i], 1);
        else
            find(argv[i]);
    options->named = i;
    for (; i < argc; i++)
        find(argv[i]); /* complains before anything has been run */
    if (options->repetitions > REPETITIONS_MAX)
        options->repetitions = REPETITIONS_MAX;
}

static void check(const lido_config *config)
{
    char problem[200];
    if (lido_config_check(config, problem, sizeof(problem)) == 0)
        return;
    fprintf(stderr, "sched: %s\n", problem);
    exit(2);
}

static void run(const struct sched_job *job, const struct options *options)
{
    static double values[REPETITIONS_MAX];
    lido_runtime *runtime;
    sched_check("runtime", lido_runtime_new(&runtime, &options->config));
    job->measure(runtime); /* warms up */
    for (unsigned i = 0; i < options->repetitions; i++)
        values[i] = job->measure(runtime);
    sched_check("shutdown", lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, -1, NULL, NULL));
    bench_figure(job->name, NULL, values, options->repetitions);
}

int main(int argc, char **argv)
{
    struct options options = {.config = LIDO_CONFIG_INIT, .repetitions = 9};
    options.config.workers = 1;
    options.config.max_blocking = MAX_BLOCKING;
    parse(&options, argc, argv);
    check(&options.config);
    bench_figures_begin(options.json);
    for (size_t i = 0; i < COUNT && options.named == argc; i++)
        run(all[i], &options);
    for (int i = options.named; i < argc; i++)
        run(find(argv[i]), &options);
    bench_figures_end();
    return 0;
}
