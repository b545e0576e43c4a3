/*
 * Plain accesses: each must be ordered, by what threads know of each other, with those of other threads to the same
 * byte, if one of the two is a write; and none may be to memory that has been freed.
 *
 * A part of explorer.c. The compiler tells of each access, because the code under test is compiled for
 * ThreadSanitizer, whose runtime the functions at the end stand for. In a build with ThreadSanitizer it does
 * this itself, and nothing of this is there.
 */
#ifndef LIDO_TESTS_MODEL_RACES_H
#define LIDO_TESTS_MODEL_RACES_H

#include <string.h>

#include "places.h"
#include "regions.h"

/* Where nobody else runs, and in a predicate, memory is just memory. */
MODEL_UNSEEN static bool is_simulated(void)
{
    return world.scenario && world.current != NOBODY && world.current != OFFSTAGE && !world.quiet;
}

MODEL_UNSEEN static void race_found(const void *where)
{
    if (world.races_are_ignored)
        return;
    if (trace_add(world.current, "races", where))
        trace_remember_held();
    fail_at("data race: accesses are not ordered", NULL, 0);
}

MODEL_UNSEEN static uint32_t now(void)
{
    return knowledge_of(world.current)->now.clock[world.current];
}

/* Whether the thread that runs knows of all those accesses. */
MODEL_UNSEEN static bool knows_of(const uint32_t *clocks)
{
    const struct view *view = &knowledge_of(world.current)->now;
    for (int i = 0; i < ACCESSORS; i++)
        if (!view_has(view, i, clocks[i]))
            return false;
    return true;
}

MODEL_UNSEEN static bool knows_writer(const struct cell *cell, unsigned byte)
{
    return view_has(&knowledge_of(world.current)->now, cell->writer[byte], cell->written_at[byte]);
}

/* Before an atomic operation. */
MODEL_UNSEEN static void check_atomic(struct place *place, bool stores)
{
    const struct cell *cell = cell_of(place->where);
    unsigned first = (uintptr_t)place->where % 8;
    for (unsigned i = first; i < first + place->size && i < 8; i++)
        if (!knows_writer(cell, i) || (stores && !knows_of(cell->read_at[i])))
            race_found(place->where);
    (stores ? place->stored_at : place->loaded_at)[world.current] = now();
}

/* A plain access to what is accessed atomically too. */
MODEL_UNSEEN static void check_place(struct place *place, bool write)
{
    if (!knows_of(place->stored_at) || (write && !knows_of(place->loaded_at)))
        race_found(place->where);
    place->overwritten |= write;
}

MODEL_UNSEEN static void check_byte(struct cell *cell, unsigned byte, bool write)
{
    if (!knows_writer(cell, byte) || (write && !knows_of(cell->read_at[byte])))
        race_found((char *)(cell->number * 8) + byte);
    if (write) {
        cell->writer[byte] = (int8_t)world.current;
        cell->written_at[byte] = now();
    } else {
        cell->read_at[byte][world.current] = now();
    }
}

/* Those that begin in a word before the first byte are not found: none is longer than a word, or crosses one. */
MODEL_UNSEEN static void check_cell(struct cell *cell, unsigned from, unsigned to, bool write)
{
    for (unsigned i = 0; i < to; i++) {
        unsigned number = cell->place[i];
        if (number && i + places.list[number - 1].size > from)
            check_place(&places.list[number - 1], write);
    }
    for (unsigned i = from; i < to; i++)
        check_byte(cell, i, write);
}

MODEL_UNSEEN static void check_bytes(const char *where, size_t size, bool write)
{
    while (size) {
        unsigned from = (uintptr_t)where % 8;
        size_t here = size < 8 - from ? size : 8 - from;
        check_cell(cell_of(where), from, from + (unsigned)here, write);
        where += here;
        size -= here;
    }
}

MODEL_UNSEEN static bool is_per_thread(const char *where)
{
    const char *variable = world.scenario->per_thread;
    return variable && where >= variable && where < variable + sizeof(void *);
}

MODEL_UNSEEN static void plain_access(const void *where, size_t size, bool write)
{
    const char *byte = where;
    if (!is_simulated() || is_per_thread(byte))
        return;
    if (block_is_freed(where))
        fail_at("memory is used after it was freed", NULL, 0);
    check_bytes(byte, size, write);
}

/* To free memory is to write it, where anybody has accessed it. Blocks begin and end with a cell. */
MODEL_UNSEEN static void check_free(const char *block, size_t size)
{
    if (!is_simulated())
        return;
    for (const char *at = block; at < block + size; at += 8) {
        struct cell *cell = cell_slot((uintptr_t)at / 8);
        if (cell_is_used(cell))
            check_cell(cell, 0, 8, true);
    }
}

#if !MODEL_TSAN

/* --- what the compiler calls --------------------------------------------------------------------*/

#define HOOK(NAME, SIZE, WRITE)                                                                    \
    void __tsan_##NAME##SIZE(const void *where);                                                   \
    void __tsan_##NAME##SIZE(const void *where)                                                    \
    {                                                                                              \
        plain_access(where, SIZE, WRITE);                                                          \
    }
#define HOOKS(SIZE)                                                                                \
    HOOK(read, SIZE, false)                                                                        \
    HOOK(write, SIZE, true)                                                                        \
    HOOK(unaligned_read, SIZE, false)                                                              \
    HOOK(unaligned_write, SIZE, true)

HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

void __tsan_init(void);
void __tsan_func_entry(void *caller);
void __tsan_func_exit(void);
void __tsan_read_range(const void *where, size_t size);
void __tsan_write_range(const void *where, size_t size);
void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memmove(void *to, const void *from, size_t size);
void *__tsan_memset(void *to, int byte, size_t size);

void __tsan_init(void) {}

void __tsan_func_entry(void *caller)
{
    (void)caller;
}

void __tsan_func_exit(void) {}

void __tsan_read_range(const void *where, size_t size)
{
    plain_access(where, size, false);
}

void __tsan_write_range(const void *where, size_t size)
{
    plain_access(where, size, true);
}

void *__tsan_memcpy(void *to, const void *from, size_t size)
{
    plain_access(from, size, false);
    plain_access(to, size, true);
    return memcpy(to, from, size);
}

void *__tsan_memmove(void *to, const void *from, size_t size)
{
    plain_access(from, size, false);
    plain_access(to, size, true);
    return memmove(to, from, size);
}

void *__tsan_memset(void *to, int byte, size_t size)
{
    plain_access(to, size, true);
    return memset(to, byte, size);
}

#endif

#endif
