/*
 * What happened in the schedule that runs: a line for each point.
 *
 * A part of explorer.c. Recorded always, because that is cheap; printed when a schedule has failed.
 */
#ifndef LIDO_TESTS_MODEL_TRACE_H
#define LIDO_TESTS_MODEL_TRACE_H

#include <stdlib.h>
#include <string.h>

#include "regions.h"

struct event {
    int thread;
    const char *what;
    const void *where; /* NULL for a note */
    bool has_held;
    unsigned char held[8]; /* the aligned eight bytes around `where`, before the operation */
};

static struct {
    struct event *events;
    size_t count;
    size_t max;
} trace;

static inline bool trace_init(size_t max)
{
    trace.events = calloc(max, sizeof(*trace.events));
    trace.max = max;
    trace.count = 0;
    return trace.events != NULL;
}

static inline void trace_fini(void)
{
    free(trace.events);
    trace.events = NULL;
    trace.count = 0;
}

MODEL_UNSEEN static void trace_reset(void)
{
    trace.count = 0;
}

MODEL_UNSEEN static size_t trace_length(void)
{
    return trace.count;
}

/* False if there is no room. */
MODEL_UNSEEN static bool trace_add(int thread, const char *what, const void *where)
{
    if (trace.count == trace.max)
        return false;
    struct event *event = &trace.events[trace.count++];
    event->thread = thread;
    event->what = what;
    event->where = where;
    event->has_held = false;
    return true;
}

/*
 * Keeps what the last event's word holds. Its size is known only when it is printed, so this reads
 * the eight bytes around it, behind the sanitizers' backs.
 */
MODEL_UNCHECKED static void trace_remember_held(void)
{
    struct event *event = &trace.events[trace.count - 1];
    if (!event->where)
        return;
    const volatile char *start = (const char *)event->where - (uintptr_t)event->where % 8;
    for (int i = 0; i < 8; i++)
        event->held[i] = (unsigned char)start[i];
    event->has_held = true;
}

/* The word's value in the printout; as a name, if it is the address of something that has one. */
MODEL_UNSEEN static void trace_print_held(const struct event *event, char *text, size_t size)
{
    const struct region *region = region_of(event->where);
    size_t offset = (uintptr_t)event->where % 8;
    uint64_t value = 0;
    uint32_t half = 0;

    if (!event->has_held || !region || region->size > 8 - offset)
        return;
    if (region->size == 8)
        memcpy(&value, event->held, 8);
    else if (region->size == 4)
        memcpy(&half, event->held + offset, 4);
    else
        value = event->held[offset];
    value |= half;

    const void *pointer = (const void *)(uintptr_t)value;
    if (region->size == 8 && region_of(pointer)) {
        text[0] = '&';
        region_print(pointer, text + 1, size - 1);
    } else {
        snprintf(text, size, value < 10 ? "%llu" : "0x%llx", (unsigned long long)value);
    }
}

MODEL_UNSEEN static void trace_print_line(const char *number, const char *thread, const char *what,
                                          const void *where, const char *held)
{
    char name[64] = "";
    if (where)
        region_print(where, name, sizeof(name));
    fprintf(stderr, "    %4s  %-12s %-11s %-24s %s\n", number, thread, what, name, held);
}

/* A livelock is seen in its beginning and its end. */
MODEL_UNSEEN static void trace_print(const char *const *threads)
{
    fprintf(stderr, "    %4s  %-12s %-11s %-24s %s\n", "", "thread", "operation", "word",
            "held before");
    for (size_t i = 0; i < trace.count; i++) {
        const struct event *event = &trace.events[i];
        char number[24], held[72] = "";
        if (trace.count > 200 && i == 100) {
            i = trace.count - 40;
            fprintf(stderr, "    ...\n");
            continue;
        }
        snprintf(number, sizeof(number), "%zu", i + 1);
        trace_print_held(event, held, sizeof(held));
        trace_print_line(number, threads[event->thread], event->what, event->where, held);
    }
}

#endif
