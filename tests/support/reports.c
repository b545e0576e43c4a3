#include "support/reports.h"

#include <stdio.h>

#include "support/check.h"

void note(void *arg, const lido_stuck *stuck)
{
    struct reports *reports = arg;
    unsigned n = reports->count++;
    check(n < COUNT(reports->stuck));
    reports->stuck[n] = *stuck;
    if (stuck->name) {
        snprintf(reports->names[n], sizeof(reports->names[n]), "%s", stuck->name);
        reports->stuck[n].name = reports->names[n];
    }
}

const lido_stuck *reported(const struct reports *reports, const char *name)
{
    const lido_stuck *found = NULL;
    for (unsigned i = 0; i < reports->count; i++)
        if (reports->stuck[i].name && strcmp(reports->stuck[i].name, name) == 0) {
            check(!found);
            found = &reports->stuck[i];
        }
    check(found != NULL);
    return found;
}

lido_task *start_named_on(lido_runtime *runtime, unsigned worker, const char *name, lido_fn fn,
                          void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.name = name;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker;
    options.mobility = LIDO_PINNED;
    check_int(lido_runtime_spawn_with(runtime, &task, fn, arg, &options), 0);
    return task;
}

lido_task *start_named(lido_runtime *runtime, const char *name, lido_fn fn, void *arg)
{
    return start_named_on(runtime, 0, name, fn, arg);
}
