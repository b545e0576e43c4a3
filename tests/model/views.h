/*
 * What a simulated thread knows: which steps of the others happen before what it does next, and how far it
 * has seen each place change.
 *
 * A part of explorer.c. The first is a vector clock: it says which plain accesses are ordered. The second
 * says which stores a load may still return: one that is overwritten by what the thread knows of is gone
 * for it. A message, which is a store, carries the view that a release gives away with it.
 */
#ifndef LIDO_TESTS_MODEL_VIEWS_H
#define LIDO_TESTS_MODEL_VIEWS_H

#include <stdint.h>
#include <string.h>

#include "world.h"

#define VIEW_PLACES 256

struct view {
    uint32_t clock[ALL_THREADS];
    unsigned places;             /* those after them have the floor 0 */
    uint32_t floor[VIEW_PLACES]; /* the number of the oldest store that may be read, from 1 */
};

/* Each thread has three: C11's fences need to know what was read without acquire, and what is given away by a
   relaxed store since the last fence. */
struct knowledge {
    struct view now;
    struct view read;   /* what a fence would acquire */
    struct view fenced; /* as it was at the last fence: what a relaxed store gives away */
};

static struct {
    struct knowledge of[ALL_THREADS];
    struct view
        order; /* what the sequentially consistent operations so far have in common: floors only */
} views;

MODEL_UNSEEN static void view_raise(uint32_t *some, const uint32_t *others, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (some[i] < others[i])
            some[i] = others[i];
}

MODEL_UNSEEN static void view_widen(struct view *view, unsigned places)
{
    while (view->places < places)
        view->floor[view->places++] = 0;
}

MODEL_UNSEEN static uint32_t view_floor(const struct view *view, unsigned place)
{
    return place < view->places ? view->floor[place] : 0;
}

MODEL_UNSEEN static void view_raise_floor(struct view *view, unsigned place, uint32_t floor)
{
    view_widen(view, place + 1);
    view_raise(&view->floor[place], &floor, 1);
}

MODEL_UNSEEN static void view_join_floors(struct view *view, const struct view *other)
{
    view_widen(view, other->places);
    view_raise(view->floor, other->floor, other->places);
}

MODEL_UNSEEN static void view_join(struct view *view, const struct view *other)
{
    view_raise(view->clock, other->clock, ALL_THREADS);
    view_join_floors(view, other);
}

/* In loops: of a memcpy ThreadSanitizer would see what it reads and writes. */
MODEL_UNSEEN static void view_clear(struct view *view)
{
    for (int i = 0; i < ALL_THREADS; i++)
        view->clock[i] = 0;
    view->places = 0;
}

MODEL_UNSEEN static void view_copy(struct view *view, const struct view *other)
{
    for (int i = 0; i < ALL_THREADS; i++)
        view->clock[i] = other->clock[i];
    for (size_t i = 0; i < (size_t)other->places; i++)
        view->floor[i] = other->floor[i];
    view->places = other->places;
}

MODEL_UNSEEN static struct knowledge *knowledge_of(int thread)
{
    return &views.of[thread];
}

MODEL_UNSEEN static bool view_has(const struct view *view, int thread, uint32_t when)
{
    return view->clock[thread] >= when;
}

/* Before each schedule. Clocks begin at 1: 0 is never. */
MODEL_UNSEEN static void views_reset(void)
{
    view_clear(&views.order);
    for (int i = 0; i < ALL_THREADS; i++) {
        view_clear(&views.of[i].now);
        view_clear(&views.of[i].read);
        view_clear(&views.of[i].fenced);
        views.of[i].now.clock[i] = 1;
    }
}

/* What one does from now on is not known to those who have got its view so far. */
MODEL_UNSEEN static void views_tick(int thread)
{
    views.of[thread].now.clock[thread]++;
}

/* A fence that is sequentially consistent: acquire, release, and its place in the common order. */
MODEL_UNSEEN static void views_fence(int thread)
{
    struct knowledge *self = &views.of[thread];
    view_join(&self->now, &self->read);
    view_join_floors(&self->now, &views.order);
    view_join_floors(&views.order, &self->now);
    view_copy(&self->fenced, &self->now);
    views_tick(thread);
}

/* All threads pass such a fence at once. */
MODEL_UNSEEN static void views_fence_all(int count)
{
    for (int i = 0; i < count; i++)
        view_join_floors(&views.order, &views.of[i].now);
    for (int i = 0; i < count; i++)
        views_fence(i);
}

#endif
