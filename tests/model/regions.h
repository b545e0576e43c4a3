/*
 * The memory that one schedule knows by name: variables, and the blocks of model_alloc.
 *
 * A part of explorer.c. Blocks come from one arena that is emptied after each schedule, so that the
 * same choices lead to the same addresses, and a freed block is recognised until then.
 */
#ifndef LIDO_TESTS_MODEL_REGIONS_H
#define LIDO_TESTS_MODEL_REGIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sanitizers.h"

struct region {
    const char *name;
    char *start;
    size_t size;
    bool freed; /* blocks only */
};

static struct {
    struct region blocks[32];
    size_t block_count;
    struct region names[32];
    size_t name_count;
    size_t arena_used;
    char arena[64 * 1024] __attribute__((aligned(64)));
} regions;

MODEL_UNSEEN static void regions_reset(void)
{
    sanitized_unpoison(regions.arena, regions.arena_used);
    regions.arena_used = 0;
    regions.block_count = 0;
    regions.name_count = 0;
}

MODEL_UNSEEN static bool name_add(const void *start, size_t size, const char *name)
{
    if (regions.name_count == sizeof(regions.names) / sizeof(regions.names[0]))
        return false;
    regions.names[regions.name_count++] =
        (struct region){.name = name, .start = (char *)(uintptr_t)start, .size = size};
    return true;
}

/* NULL if there is no room. */
MODEL_UNSEEN static char *block_new(size_t size, const char *name)
{
    size_t rounded = (size + 63) & ~(size_t)63;
    if (regions.block_count == sizeof(regions.blocks) / sizeof(regions.blocks[0]) ||
        sizeof(regions.arena) - regions.arena_used < rounded)
        return NULL;
    char *start = regions.arena + regions.arena_used;
    regions.arena_used += rounded;
    regions.blocks[regions.block_count++] =
        (struct region){.name = name, .start = start, .size = size};
    return start;
}

/* The smallest one around the address. */
MODEL_UNSEEN static struct region *region_among(struct region *some, size_t count,
                                                const void *where)
{
    const char *byte = where;
    struct region *best = NULL;
    for (size_t i = 0; i < count; i++)
        if (byte >= some[i].start && byte < some[i].start + some[i].size)
            if (!best || some[i].size < best->size)
                best = &some[i];
    return best;
}

MODEL_UNSEEN static struct region *block_around(const void *where)
{
    return region_among(regions.blocks, regions.block_count, where);
}

/* The block that begins there. */
MODEL_UNSEEN static struct region *block_at(const void *start)
{
    struct region *block = block_around(start);
    return block && block->start == start ? block : NULL;
}

MODEL_UNSEEN static bool block_is_freed(const void *where)
{
    const struct region *block = block_around(where);
    return block && block->freed;
}

MODEL_UNSEEN static bool block_any_alive(void)
{
    for (size_t i = 0; i < regions.block_count; i++)
        if (!regions.blocks[i].freed)
            return true;
    return false;
}

MODEL_UNSEEN static const struct region *region_of(const void *where)
{
    const struct region *named = region_among(regions.names, regions.name_count, where);
    return named ? named : block_around(where);
}

/* The address as the printout has it. */
MODEL_UNSEEN static void region_print(const void *where, char *text, size_t size)
{
    const struct region *region = region_of(where);
    if (!region) {
        snprintf(text, size, "%p", where);
        return;
    }
    size_t offset = (size_t)((const char *)where - region->start);
    if (offset)
        snprintf(text, size, "%s+%zu", region->name, offset);
    else
        snprintf(text, size, "%s", region->name);
}

#endif
