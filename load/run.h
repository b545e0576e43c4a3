/* A run: lanes on all workers, from the first connection to the last answer. */
#ifndef LOAD_RUN_H
#define LOAD_RUN_H

#include "lane.h"

struct run {
    const struct options *options;
    bool begun; /* the root fiber has, and says itself what goes wrong */
    lido_task *root;
    struct protocol protocol;
    struct target target;
    struct lane *lanes;
    unsigned lane_count;
    lido_task **tasks; /* what each lane does now; NULL: nothing */
    uint64_t start;
    uint64_t stopped; /* when the last lane has ended; 0: there was no run */
    int signal;       /* that has ended it, or 0 */

    struct figures total; /* after the run */
    double elapsed;       /* seconds that count */
};

/* A root fiber; the argument is the run, whose options are set, and all else is zero. What goes wrong has
   been said on stderr: then the result is negative. Needs run_fini either way. */
int run_load(void *run);
void run_fini(struct run *run);

/* Adds up the figures of all lanes while they run. From a fiber. */
int run_collect(struct run *run, struct figures *figures);

/* A fiber; the argument is the run. Prints a line each second on stderr, until it is cancelled. */
int progress(void *run);

#endif
