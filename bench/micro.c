/*
 * micro [--json] [--repeat N] [NAME...]: the micro-benchmarks, or those that are named.
 *
 * One line for each figure, NAME MEDIAN MIN MAX, in ns per operation unless the name says bytes; the
 * median of N repetitions (9) after a warm-up. With --json an array of objects.
 */
#include "micro/micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/figure.h"

#define REPETITIONS 9
#define REPETITIONS_MAX 1001

static const struct micro *const all[] = {
    &micro_switch,
    &micro_yield,
    &micro_deadline_yield,
    &micro_spawn_join,
    &micro_spawn_local_future,
    &micro_chained_spawn,
    &micro_spawn_remote_idle,
    &micro_spawn_remote_busy,
    &micro_ping_pong,
    &micro_ping_pong_futures,
    &micro_oneshot_pair,
    &micro_channel_100,
    &micro_channel_1,
    &micro_mutex,
    &micro_event,
    &micro_timer_arm_cancel,
    &micro_blocking_section,
    &micro_blocking_delay,
    &micro_million_pages,
    &micro_million_sleepers,
};
#define COUNT (sizeof(all) / sizeof(all[0]))

/* The values of one benchmark, by figure and repetition. */
struct series {
    const struct micro *micro;
    unsigned repetitions;
    double values[MICRO_FIGURES][REPETITIONS_MAX];
};

static int repeat(void *arg)
{
    struct series *series = arg;
    double values[MICRO_FIGURES];
    if (!series->micro->once)
        series->micro->measure(values);
    for (unsigned i = 0; i < series->repetitions; i++) {
        series->micro->measure(values);
        for (unsigned f = 0; f < MICRO_FIGURES; f++)
            series->values[f][i] = values[f];
    }
    return 0;
}

static void run(const struct micro *micro, unsigned repetitions)
{
    static struct series series;
    series.micro = micro;
    series.repetitions = repetitions;
    lido_config config = micro_config();
    if (micro->on_fiber)
        micro_check("run", lido_run(&config, repeat, &series));
    else
        repeat(&series);
    for (unsigned f = 0; f < MICRO_FIGURES && micro->figures[f].name; f++)
        bench_figure(micro->figures[f].name, micro->figures[f].unit, series.values[f], repetitions);
}

static const struct micro *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(all[i]->figures[0].name, name) == 0)
            return all[i];
    fprintf(stderr, "micro: no benchmark %s. There are:", name);
    for (size_t i = 0; i < COUNT; i++)
        fprintf(stderr, " %s", all[i]->figures[0].name);
    fprintf(stderr, "\n");
    exit(2);
}

int main(int argc, char **argv)
{
    unsigned repetitions = REPETITIONS;
    bool json = false;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++)
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (strcmp(argv[i], "--repeat") == 0)
            repetitions = (unsigned)bench_number_of("--repeat", argv[++i], 1) % REPETITIONS_MAX;
        else
            find(argv[i]);
    for (int n = i; n < argc; n++)
        find(argv[n]); /* complains before anything has been run */

    bench_figures_begin(json);
    for (size_t n = 0; n < COUNT && i == argc; n++)
        run(all[n], repetitions);
    for (int n = i; n < argc; n++)
        run(find(argv[n]), repetitions);
    bench_figures_end();
    return 0;
}
