/*
 * The memory that the code under test shares: for each place that is accessed atomically the stores that
 * were made to it, and for each byte the plain accesses.
 *
 * A part of explorer.c. The memory itself always holds the newest store, so that what a scenario looks at
 * behind the explorer's back, and what `check` sees, is what is there in the end.
 */
#ifndef LIDO_TESTS_MODEL_PLACES_H
#define LIDO_TESTS_MODEL_PLACES_H

#include "schedule.h"
#include "views.h"

enum {
    HISTORY = 24,      /* stores that a place remembers */
    MAX_STORES = 8192, /* in one schedule */
    MAX_CELLS = 8192,
    ACCESSORS = MODEL_MAX_THREADS,
};

struct place {
    char *where;
    unsigned size;
    uint32_t first; /* the number of the oldest that is remembered */
    unsigned count;
    uint16_t stores[HISTORY]; /* in the order of modification */
    bool overwritten;         /* by a plain write that is about to be done, or was */
    uint32_t loaded_at[ACCESSORS], stored_at[ACCESSORS]; /* atomically; clocks */
};

struct store {
    uint64_t value;
    uint16_t place;
    int8_t thread;
    bool pending; /* in the store buffer of its thread */
    struct view released;
};

/* Eight bytes of memory. */
struct cell {
    uintptr_t number;
    uint32_t schedule; /* in which it is in use */
    uint16_t place[8]; /* plus one, of the byte; 0: none */
    int8_t writer[8];
    uint32_t written_at[8];
    uint32_t read_at[8][ACCESSORS];
};

enum { BUFFER = 64 };

/* The stores of a thread that wait, by number; the counters only grow. */
struct buffer {
    uint16_t stores[BUFFER];
    unsigned first, last;
};

static struct {
    uint32_t schedule;
    unsigned cells_used;
    unsigned place_count;
    unsigned most_places; /* of all schedules so far */
    unsigned store_count;
    struct place list[VIEW_PLACES];
    struct buffer buffers[ALL_THREADS];
    struct store stores[MAX_STORES];
    struct cell cells[MAX_CELLS];
} places;

MODEL_UNSEEN static void places_reset(void)
{
    views_reset();
    places.schedule++;
    places.cells_used = 0;
    places.place_count = 0;
    places.store_count = 0;
    memset(places.buffers, 0, sizeof(places.buffers));
}

/* --- cells --------------------------------------------------------------------------------------*/

MODEL_UNSEEN static struct cell *cell_begin(struct cell *cell, uintptr_t number)
{
    if (++places.cells_used > MAX_CELLS / 2)
        misuse("too much memory is accessed in one schedule");
    memset(cell, 0, sizeof(*cell));
    cell->number = number;
    cell->schedule = places.schedule;
    return cell;
}

/* Where the cell is, or would be. */
MODEL_UNSEEN static struct cell *cell_slot(uintptr_t number)
{
    size_t at = (number * 0x9e3779b97f4a7c15u) >> 51;
    while (places.cells[at].schedule == places.schedule && places.cells[at].number != number)
        at = (at + 1) % MAX_CELLS;
    return &places.cells[at];
}

MODEL_UNSEEN static bool cell_is_used(const struct cell *cell)
{
    return cell->schedule == places.schedule;
}

MODEL_UNSEEN static struct cell *cell_of(const void *where)
{
    uintptr_t number = (uintptr_t)where / 8;
    struct cell *cell = cell_slot(number);
    return cell_is_used(cell) ? cell : cell_begin(cell, number);
}

/* --- values -------------------------------------------------------------------------------------*/

MODEL_UNCHECKED static uint64_t value_at(const void *where, unsigned size)
{
    switch (size) {
    case 1: return *(const volatile uint8_t *)where;
    case 2: return *(const volatile uint16_t *)where;
    case 4: return *(const volatile uint32_t *)where;
    default: return *(const volatile uint64_t *)where;
    }
}

MODEL_UNCHECKED static void value_put(void *where, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *(volatile uint8_t *)where = (uint8_t)value; break;
    case 2: *(volatile uint16_t *)where = (uint16_t)value; break;
    case 4: *(volatile uint32_t *)where = (uint32_t)value; break;
    default: *(volatile uint64_t *)where = value;
    }
}

/* As a variable of that size would hold it. */
MODEL_UNSEEN static uint64_t value_cut(uint64_t value, unsigned size)
{
    return size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

/* --- stores -------------------------------------------------------------------------------------*/

MODEL_UNSEEN static struct store *store_at(const struct place *place, unsigned position)
{
    return &places.stores[place->stores[position]];
}

MODEL_UNSEEN static unsigned place_number(const struct place *place)
{
    return (unsigned)(place - places.list);
}

MODEL_UNSEEN static struct store *newest(const struct place *place)
{
    return store_at(place, place->count - 1);
}

/* Appends one. Its view is to be filled in. */
MODEL_UNSEEN static struct store *place_append(struct place *place, uint64_t value)
{
    if (places.store_count == MAX_STORES)
        misuse("too many stores in one schedule");
    if (place->count == HISTORY) {
        memmove(place->stores, place->stores + 1, (HISTORY - 1) * sizeof(place->stores[0]));
        place->count--;
        place->first++;
    }
    place->stores[place->count++] = (uint16_t)places.store_count;
    struct store *store = &places.stores[places.store_count++];
    store->value = value;
    store->place = (uint16_t)place_number(place);
    store->thread = (int8_t)world.current;
    store->pending = false;
    return store;
}

/* What is there from the beginning, or was written as plain memory: nothing older can be read. */
MODEL_UNSEEN static void place_restart(struct place *place)
{
    place->first += place->count;
    place->count = 0;
    place->overwritten = false;
    view_clear(&place_append(place, value_at(place->where, place->size))->released);
}

MODEL_UNSEEN static struct place *place_begin(const void *where, unsigned size)
{
    if (places.place_count == VIEW_PLACES)
        misuse("too many atomic variables");
    unsigned number = places.place_count++;
    if (places.most_places < places.place_count)
        places.most_places = places.place_count;
    struct place *place = &places.list[number];
    *place = (struct place){.where = (char *)(uintptr_t)where, .size = size, .first = 1};
    place_restart(place);
    cell_of(where)->place[(uintptr_t)where % 8] = (uint16_t)(number + 1);
    return place;
}

/* A plain write that no hook has told of (memset, a system call) is seen by its value. */
MODEL_UNSEEN static struct place *place_of(const void *where, unsigned size)
{
    uint16_t number = cell_of(where)->place[(uintptr_t)where % 8];
    if (!number)
        return place_begin(where, size);
    struct place *place = &places.list[number - 1];
    if (place->size != size)
        misuse("an atomic variable is accessed in two sizes");
    if (place->overwritten || newest(place)->value != value_at(where, size))
        place_restart(place);
    return place;
}

#endif
