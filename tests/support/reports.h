/* What lido_shutdown has reported. */
#ifndef TESTS_SUPPORT_REPORTS_H
#define TESTS_SUPPORT_REPORTS_H

#include <lido.h>

struct reports {
    unsigned count;
    lido_stuck stuck[16];
    char names[16][32]; /* a name is valid only while it is reported */
};

/* The callback. */
void note(void *reports, const lido_stuck *stuck);

/* What was said of the task of that name; the test fails if there was nothing, or if it was told twice. */
const lido_stuck *reported(const struct reports *reports, const char *name);

/* A fiber of that name, from outside or from another runtime; on that worker. */
lido_task *start_named_on(lido_runtime *runtime, unsigned worker, const char *name, lido_fn fn,
                          void *arg);
lido_task *start_named(lido_runtime *runtime, const char *name, lido_fn fn, void *arg);

#endif
