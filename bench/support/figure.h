/*
 * How programs of bench/ print what they have measured several times: a line for each figure, NAME
 * MEDIAN MIN MAX, or an array of JSON objects. bench/lab reads it.
 */
#ifndef LIDO_BENCH_FIGURE_H
#define LIDO_BENCH_FIGURE_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* First and last of all; with `json` the figures between them become an array. */
void bench_figures_begin(bool json);
void bench_figures_end(void);

/* `unit` NULL is ns, others become a part of the name. Sorts the values, of which there is one at least. */
void bench_figure(const char *name, const char *unit, double *values, unsigned count);

#ifdef __cplusplus
}
#endif

#endif
