#include "support/figure.h"

#include <stdio.h>
#include <stdlib.h>

static bool as_json;
static bool further;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

void bench_figures_begin(bool json)
{
    as_json = json;
    further = false;
    if (json)
        printf("[");
}

void bench_figures_end(void)
{
    if (as_json)
        printf("\n]\n");
}

void bench_figure(const char *name, const char *unit, double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), ascending);
    double median = (values[(count - 1) / 2] + values[count / 2]) / 2;
    double min = values[0];
    double max = values[count - 1];
    const char *suffix = unit ? unit : "ns";
    if (as_json)
        printf("%s\n  {\"name\": \"%s\", \"median_%s\": %.2f, \"min_%s\": %.2f, \"max_%s\": %.2f}",
               further ? "," : "", name, suffix, median, suffix, min, suffix, max);
    else
        printf("%s%s%s %.2f %.2f %.2f\n", name, unit ? "_" : "", unit ? unit : "", median, min,
               max);
    fflush(stdout);
    further = true;
}
