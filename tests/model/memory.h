/*
 * The three memories that a scenario is run on: what a load may return, and what a store lets others see.
 *
 * A part of explorer.c.
 *
 * MODEL_SC: a load returns the newest store.
 *
 * MODEL_TSO, as x86 has it: a store waits in the store buffer of its thread, in order, where that thread alone sees
 * it. Read-modify-writes, sequentially consistent stores, fences, system calls and the barrier to all threads
 * empty the buffer. When else it is emptied is decided as late as it can be: where another thread accesses a place
 * for which a store waits. It is there by then, or it is not, and each time that it is not is a delay.
 *
 * MODEL_C11: a load may return any store that the thread does not know to be overwritten (views.h), and each that
 * is not the newest is a delay. A release gives its thread's view away with the store, an acquire takes over
 * that of what is read; read-modify-writes read the newest store, and pass on the view that it gave away. Sequentially
 * consistent operations have an order in common, which is that in which they are done, and see each
 * place at least as new as those before them did. This is the model of Kang et al., "A Promising Semantics for
 * Relaxed-Memory Concurrency" (POPL 2017), without promises: nothing is stored before it is the thread's turn to store
 * it, and the order of modification of a place is that in which it is done. Lahav et al., "Repairing
 * Sequential Consistency in C/C++11" (PLDI 2017), is what the fences follow.
 *
 * Delays are bounded, as preemptions are. In all three memories the views tell which plain accesses are ordered.
 */
#ifndef LIDO_TESTS_MODEL_MEMORY_H
#define LIDO_TESTS_MODEL_MEMORY_H

#include "places.h"
#include "races.h"

MODEL_UNSEEN static bool acquires(int order)
{
    return order == LIDO__ACQUIRE || order == LIDO__ACQ_REL || order == LIDO__SEQ_CST;
}

MODEL_UNSEEN static bool releases(int order)
{
    return order == LIDO__RELEASE || order == LIDO__ACQ_REL || order == LIDO__SEQ_CST;
}

/* --- store buffers ------------------------------------------------------------------------------*/

/* Whether the memory still is what it was: a stack may have been used again, for something else. */
MODEL_UNSEEN static bool is_there(const struct place *place)
{
    return !place->overwritten && newest(place)->value == value_at(place->where, place->size);
}

/* Once it is out, it follows the stores that were out before it. */
MODEL_UNSEEN static void move_to_its_place(struct place *place, struct store *store)
{
    unsigned from = 0, to = 0;
    bool there = is_there(place);
    while (from < place->count && store_at(place, from) != store)
        from++;
    if (from == place->count)
        return; /* overwritten by plain memory */
    while (to < from && !store_at(place, to)->pending)
        to++;
    uint16_t number = place->stores[from];
    memmove(&place->stores[to + 1], &place->stores[to], (from - to) * sizeof(number));
    place->stores[to] = number;
    if (there && to < from)
        value_put(place->where, place->size, newest(place)->value);
}

MODEL_UNSEEN static void buffer_put_out_one(struct buffer *buffer)
{
    struct store *store = &places.stores[buffer->stores[buffer->first++ % BUFFER]];
    move_to_its_place(&places.list[store->place], store);
    store->pending = false;
}

MODEL_UNSEEN static void buffer_empty(int thread)
{
    struct buffer *buffer = &places.buffers[thread];
    while (buffer->first != buffer->last)
        buffer_put_out_one(buffer);
}

MODEL_UNSEEN static void buffer_put_out_to(struct store *store)
{
    while (store->pending)
        buffer_put_out_one(&places.buffers[store->thread]);
}

MODEL_UNSEEN static void buffer_add(int thread, struct store *store)
{
    struct buffer *buffer = &places.buffers[thread];
    if (buffer->last - buffer->first == BUFFER)
        buffer_put_out_one(buffer);
    store->pending = true;
    buffer->stores[buffer->last++ % BUFFER] = (uint16_t)(store - places.stores);
}

/* The next store to a place that waits in the buffer of somebody else. */
MODEL_UNSEEN static struct store *waiting_store(const struct place *place, unsigned *position)
{
    while (*position < place->count) {
        struct store *store = store_at(place, (*position)++);
        if (store->pending && store->thread != world.current)
            return store;
    }
    return NULL;
}

MODEL_UNSEEN static unsigned waiting_stores(const struct place *place)
{
    unsigned count = 0, position = 0;
    while (waiting_store(place, &position))
        count++;
    return count;
}

/* Whether the stores of others to this place are out by now. */
MODEL_UNSEEN static void settle(struct place *place)
{
    unsigned waiting = waiting_stores(place);
    if (!waiting)
        return;
    unsigned position = 0, remaining = choose_delay(waiting + 1);
    struct store *out[HISTORY];
    for (unsigned i = 0; i < waiting; i++)
        out[i] = waiting_store(place, &position);
    for (unsigned i = 0; i + remaining < waiting; i++)
        buffer_put_out_to(out[i]);
    if (remaining)
        note_delay("not out yet", place->where);
}

/* What the thread reads: its own newest that waits, or the newest that is out. */
MODEL_UNSEEN static struct store *newest_seen(const struct place *place)
{
    unsigned at = place->count;
    while (at &&
           !(store_at(place, at - 1)->pending && store_at(place, at - 1)->thread == world.current))
        at--;
    if (at)
        return store_at(place, at - 1);
    at = place->count - 1;
    while (at && store_at(place, at)->pending)
        at--;
    return store_at(place, at);
}

/* --- loads --------------------------------------------------------------------------------------*/

/* The position of the oldest store that a load of that order may return. */
MODEL_UNSEEN static unsigned oldest_readable(const struct place *place, int order)
{
    unsigned number = place_number(place);
    uint32_t floor = view_floor(&knowledge_of(world.current)->now, number);
    uint32_t common = view_floor(&views.order, number);
    if (order == LIDO__SEQ_CST && floor < common)
        floor = common;
    return floor > place->first ? floor - place->first : 0;
}

MODEL_UNSEEN static void saw(struct place *place, unsigned position, int order)
{
    unsigned number = place_number(place);
    struct knowledge *self = knowledge_of(world.current);
    const struct view *given = &store_at(place, position)->released;
    view_raise_floor(&self->now, number, place->first + position);
    view_join(&self->read, given);
    if (acquires(order))
        view_join(&self->now, given);
    if (order == LIDO__SEQ_CST)
        view_raise_floor(&views.order, number, place->first + position);
}

MODEL_UNSEEN static unsigned position_of(const struct place *place, const struct store *store)
{
    unsigned at = 0;
    while (store_at(place, at) != store)
        at++;
    return at;
}

/* The position of what a load returns. */
MODEL_UNSEEN static unsigned pick(struct place *place, int order)
{
    unsigned last = place->count - 1;
    if (world.memory == MODEL_TSO) {
        settle(place);
        return position_of(place, newest_seen(place));
    }
    if (world.memory == MODEL_SC)
        return last;
    unsigned older = choose_delay(last - oldest_readable(place, order) + 1);
    if (older)
        note_delay("an older one", place->where);
    return last - older;
}

MODEL_UNSEEN static uint64_t load(struct place *place, int order)
{
    unsigned at = pick(place, order);
    saw(place, at, order);
    return store_at(place, at)->value;
}

/* --- stores -------------------------------------------------------------------------------------*/

/* What a store gives away. */
MODEL_UNSEEN static void give_view(struct store *store, int order)
{
    struct knowledge *self = knowledge_of(world.current);
    view_copy(&store->released, releases(order) ? &self->now : &self->fenced);
    views_tick(world.current);
}

/* After it has been appended. */
MODEL_UNSEEN static void stored(struct place *place, struct store *store, int order)
{
    unsigned number = place_number(place);
    uint32_t floor = place->first + place->count - 1;
    view_raise_floor(&knowledge_of(world.current)->now, number, floor);
    if (order == LIDO__SEQ_CST)
        view_raise_floor(&views.order, number, floor);
    give_view(store, order);
    view_raise_floor(&store->released, number, floor);
    value_put(place->where, place->size, newest(place)->value);
}

MODEL_UNSEEN static void store(struct place *place, uint64_t value, int order)
{
    bool waits = world.memory == MODEL_TSO && order != LIDO__SEQ_CST;
    if (world.memory == MODEL_TSO && !waits) {
        buffer_empty(world.current);
        settle(place);
    }
    struct store *store = place_append(place, value_cut(value, place->size));
    if (waits)
        buffer_add(world.current, store);
    else if (world.memory == MODEL_TSO)
        move_to_its_place(place, store);
    stored(place, store, order);
}

/* The position of what a read-modify-write reads. */
MODEL_UNSEEN static unsigned pick_newest(struct place *place)
{
    if (world.memory != MODEL_TSO)
        return place->count - 1;
    buffer_empty(world.current);
    settle(place);
    return position_of(place, newest_seen(place));
}

/* It hands on what the store that it replaces has given away. */
MODEL_UNSEEN static void replace(struct place *place, unsigned position, uint64_t value, int order)
{
    struct store *before = store_at(place, position);
    saw(place, position, order);
    struct store *store = place_append(place, value_cut(value, place->size));
    if (world.memory == MODEL_TSO)
        move_to_its_place(place, store);
    stored(place, store, order);
    view_join(&store->released, &before->released);
}

MODEL_UNSEEN static uint64_t changed(uint64_t value, enum lido__model_change change,
                                     uint64_t operand)
{
    switch (change) {
    case MODEL_ADD: return value + operand;
    case MODEL_SUB: return value - operand;
    case MODEL_OR: return value | operand;
    case MODEL_AND: return value & operand;
    default: return operand;
    }
}

/* --- what base/atomic.h calls -------------------------------------------------------------------*/

MODEL_UNSEEN uint64_t lido__model_load(const void *where, unsigned size, int order)
{
    if (!is_simulated())
        return value_at(where, size);
    struct place *place = place_of(where, size);
    check_atomic(place, false);
    return load(place, order);
}

MODEL_UNSEEN void lido__model_store(void *where, unsigned size, uint64_t value, int order)
{
    if (!is_simulated()) {
        value_put(where, size, value);
        return;
    }
    struct place *place = place_of(where, size);
    check_atomic(place, true);
    store(place, value, order);
}

MODEL_UNSEEN uint64_t lido__model_change(void *where, unsigned size, enum lido__model_change change,
                                         uint64_t operand, int order)
{
    uint64_t before = value_at(where, size);
    if (!is_simulated()) {
        value_put(where, size, changed(before, change, operand));
        return before;
    }
    struct place *place = place_of(where, size);
    check_atomic(place, true);
    unsigned at = pick_newest(place);
    before = store_at(place, at)->value;
    replace(place, at, changed(before, change, operand), order);
    return before;
}

/* The position of what a compare-and-swap fails with; that of the newest store may be one at which it does not. */
MODEL_UNSEEN static unsigned pick_other_than(struct place *place, uint64_t expected, int order)
{
    unsigned at = pick_newest(place), count = 1, others[HISTORY] = {at};
    if (world.memory != MODEL_C11)
        return at;
    for (unsigned i = at; i-- > oldest_readable(place, order);)
        if (store_at(place, i)->value != expected)
            others[count++] = i;
    unsigned older = choose_delay(count);
    if (older)
        note_delay("an older one", place->where);
    return others[older];
}

/* One that fails is a load, and may return an older store as any other. */
MODEL_UNSEEN static bool cas(struct place *place, uint64_t *expected, uint64_t value, int success,
                             int failure)
{
    unsigned at = pick_other_than(place, *expected, failure);
    bool done = store_at(place, at)->value == *expected;
    check_atomic(place, done);
    if (done) {
        replace(place, at, value, success);
        return true;
    }
    saw(place, at, failure);
    *expected = store_at(place, at)->value;
    return false;
}

MODEL_UNSEEN bool lido__model_cas(void *where, unsigned size, void *expected, uint64_t value,
                                  int success, int failure)
{
    uint64_t before = value_at(expected, size);
    bool done;
    if (is_simulated()) {
        done = cas(place_of(where, size), &before, value, success, failure);
    } else {
        done = value_at(where, size) == before;
        before = value_at(where, size);
        if (done)
            value_put(where, size, value);
    }
    if (!done)
        value_put(expected, size, before);
    return done;
}

MODEL_UNSEEN void lido__model_fence(void)
{
    if (!is_simulated())
        return;
    buffer_empty(world.current);
    views_fence(world.current);
}

MODEL_UNSEEN void model_system_call(void)
{
    if (is_simulated())
        buffer_empty(world.current);
}

/* What a thread has waited for outside of the code under test has been seen by the kernel, or by time. */
MODEL_UNSEEN static void catch_up(void)
{
    for (int i = 0; i < world.count; i++) {
        buffer_empty(i);
        view_join_floors(&knowledge_of(world.current)->now, &knowledge_of(i)->now);
    }
}

MODEL_UNSEEN void model_barrier_all(void)
{
    lido__model_point("barrier", NULL);
    if (!is_simulated())
        return;
    for (int i = 0; i < world.count; i++)
        buffer_empty(i);
    views_fence_all(world.count);
}

#endif
