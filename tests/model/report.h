/*
 * What is printed about a scenario: that it holds, or where it fails.
 *
 * A part of explorer.c.
 */
#ifndef LIDO_TESTS_MODEL_REPORT_H
#define LIDO_TESTS_MODEL_REPORT_H

#include <stdio.h>

#include "trace.h"
#include "world.h"

MODEL_UNSEEN static void print_interleaving(void)
{
    const char *names[ALL_THREADS];
    for (int i = 0; i < ALL_THREADS; i++)
        names[i] = world.threads[i].name;
    trace_print(names);
    for (int i = 0; i < world.count; i++) {
        const struct thread *thread = &world.threads[i];
        if (thread->progress == ASLEEP)
            trace_print_line("", thread->name, "is asleep", thread->predicate_arg, "");
    }
}

MODEL_UNSEEN static const char *memory_name(enum model_memory memory)
{
    static const char *const names[] = {"sc", "tso", "c11"};
    return names[memory];
}

MODEL_UNSEEN static void print_failure(size_t schedule)
{
    fprintf(stderr, "model: %s: on %s schedule %zu fails: %s", world.scenario->name,
            memory_name(world.memory), schedule, world.failure);
    if (world.failure_thread != NOBODY)
        fprintf(stderr, ", in %s", world.threads[world.failure_thread].name);
    if (world.failure_file)
        fprintf(stderr, " (%s:%d)", world.failure_file, world.failure_line);
    fputc('\n', stderr);
}

MODEL_UNSEEN static void print_last_words(void)
{
    if (!world.scenario)
        return;
    fprintf(stderr, "model: %s: crashed in this interleaving:\n", world.scenario->name);
    print_interleaving();
}

MODEL_UNSEEN static void print_success(size_t schedules)
{
    char bound[32] = "all", delays[32] = "";
    if (world.preemption_bound != MODEL_ALL_INTERLEAVINGS)
        snprintf(bound, sizeof(bound), "%d preemptions:", world.preemption_bound);
    if (world.memory != MODEL_SC)
        snprintf(delays, sizeof(delays), "%d delays, ", world.delay_bound);
    fprintf(stderr, "model: %s: %s: %s%s %zu schedules of at most %zu points\n",
            world.scenario->name, memory_name(world.memory), delays, bound, schedules,
            world.longest);
}

#endif
