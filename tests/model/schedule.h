/*
 * Whose turn it is: the switch between simulated threads, and the choice at each point.
 *
 * A part of explorer.c, which says how a schedule runs.
 */
#ifndef LIDO_TESTS_MODEL_SCHEDULE_H
#define LIDO_TESTS_MODEL_SCHEDULE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "choices.h"
#include "regions.h"
#include "trace.h"
#include "world.h"

/* --- switching ----------------------------------------------------------------------------------*/

MODEL_UNSEEN static struct coroutine *coroutine_of(int thread)
{
    return thread == NOBODY ? &world.main : &world.threads[thread].coroutine;
}

MODEL_UNSEEN static void change_per_thread(int from, int to)
{
    void *variable = world.scenario->per_thread;
    if (!variable)
        return;
    if (from != NOBODY)
        memcpy(&world.threads[from].per_thread, variable, sizeof(void *));
    if (to != NOBODY)
        memcpy(variable, &world.threads[to].per_thread, sizeof(void *));
}

MODEL_UNSEEN static void switch_to(int next)
{
    int self = world.current;
    if (next == self)
        return;
    change_per_thread(self, next);
    world.current = next;
    coroutine_switch(coroutine_of(self), coroutine_of(next));
}

/* `file` NULL: found by the explorer and not by an assertion. Comes back only in `main`. */
MODEL_UNSEEN static void fail_at(const char *what, const char *file, int line)
{
    if (!world.failure) {
        world.failure = what;
        world.failure_file = file;
        world.failure_line = line;
        world.failure_thread = world.current;
    }
    switch_to(NOBODY);
}

MODEL_UNSEEN void model_fail(const char *what, const char *file, int line)
{
    fail_at(what, file, line);
    fprintf(stderr, "model: %s:%d: %s, outside of a scenario\n", file, line, what);
    abort();
}

/* For mistakes in the scenario or in the explorer, which no schedule is to blame for. */
__attribute__((noreturn)) MODEL_UNSEEN static void misuse(const char *what)
{
    fprintf(stderr, "model: %s: %s\n", world.scenario ? world.scenario->name : "no scenario", what);
    abort();
}

/* --- choosing -----------------------------------------------------------------------------------*/

MODEL_UNSEEN static unsigned choose(unsigned options)
{
    unsigned taken = 0;
    const char *why_not = choices_make(options, &taken);
    if (why_not)
        misuse(why_not);
    return taken;
}

/* Among what a memory may do: the first option is what it does at once, the others are delays. */
MODEL_UNSEEN static unsigned choose_delay(unsigned options)
{
    if (world.delays >= world.delay_bound)
        return 0;
    unsigned taken = choose(options);
    if (taken)
        world.delays++;
    return taken;
}

MODEL_UNSEEN static bool can_run(const struct thread *thread)
{
    if (thread->progress != ASLEEP)
        return thread->progress == READY;

    world.quiet = true;
    sanitized_ignore_accesses(true);
    sanitized_ignore_sync(true);
    bool awake = thread->predicate(thread->predicate_arg);
    sanitized_ignore_sync(false);
    sanitized_ignore_accesses(false);
    world.quiet = false;
    return awake;
}

/* The threads beside `self` that can run, in a ring after it. */
MODEL_UNSEEN static int others_than(int self, int *others)
{
    int count = 0;
    for (int i = 1; i <= world.count; i++) {
        int thread = (self + i) % world.count;
        if (thread != self && can_run(&world.threads[thread]))
            others[count++] = thread;
    }
    return count;
}

/* Who makes the next step, at a point of `self`; NOBODY if `self` is, and cannot go on. */
MODEL_UNSEEN static int next_thread(int self)
{
    int options[MODEL_MAX_THREADS + 1];
    int count = 0;
    bool may_stay = self != NOBODY && can_run(&world.threads[self]);

    if (may_stay) {
        if (world.preemptions >= world.preemption_bound)
            return self;
        options[count++] = self;
    }
    count += others_than(self, options + count);
    if (!count)
        return NOBODY;
    int next = options[choose((unsigned)count)];
    if (may_stay && next != self)
        world.preemptions++;
    return next;
}

MODEL_UNSEEN static int next_thread_after_yield(int self)
{
    int options[MODEL_MAX_THREADS];
    int count = others_than(self, options);
    if (!count)
        return self;
    if (world.preemptions >= world.preemption_bound)
        count = 1;
    unsigned taken = choose((unsigned)count);
    if (taken)
        world.preemptions++;
    return options[taken];
}

/* --- points -------------------------------------------------------------------------------------*/

MODEL_UNSEEN static void record(const char *what, const void *where)
{
    if (!trace_add(world.current, what, where))
        fail_at("livelock: too many points", NULL, 0);
}

/* Gives way to whoever is to make the next step, until that is the caller again. */
MODEL_UNSEEN static void give_way(void)
{
    switch_to(world.starting ? NOBODY : next_thread(world.current));
}

MODEL_UNSEEN static void point(const char *what, const void *where)
{
    if (world.current == OFFSTAGE)
        return;
    give_way();
    record(what, where);
    trace_remember_held();
}

MODEL_UNSEEN void lido__model_point(const char *what, const void *where)
{
    if (world.current == NOBODY || world.quiet)
        return;
    point(what, where);
    if (block_is_freed(where))
        fail_at("memory is used after it was freed", NULL, 0);
    if (world.raced)
        fail_at("data race, says ThreadSanitizer", NULL, 0);
}

/* A line for a delay. */
MODEL_UNSEEN static void note_delay(const char *what, const void *where)
{
    record(what, where);
    trace_remember_held();
}

#endif
