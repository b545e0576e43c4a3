/*
 * Events that tell many, one at a time here: who waits is told or leaves, nobody is told who came
 * later, a permit that comes meanwhile is not lost, and the event may be freed by the last who has
 * waited.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "waiting.h"

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sync/event.c"
#include "../../src/sync/waitq.c"

enum { FIRST, SECOND, FIBERS };

static struct {
    void (*notify_all)(lido_event *event);
    lido_event *event;
    struct model_fiber *fibers[FIBERS];
    unsigned waiters;
    uint32_t handles; /* of others, to the first one's task */
    unsigned users;   /* others who use the event, and do not wait */
    uint32_t left;    /* of both, who still use it */
    uint32_t permits; /* that the waiters were given, or that were left */
    unsigned waiting; /* waiters that have not returned */
} scene;

static void set_up(void)
{
    scene.event = model_alloc(sizeof(*scene.event), "event");
    model_name(event_of(scene.event)->word);
    scene.left = scene.waiters + scene.users;
    scene.waiting = scene.waiters;
    scene.permits = 0;
    for (unsigned i = 0; i < scene.waiters; i++)
        scene.fibers[i] = model_fiber_new(i == FIRST ? scene.handles : 0, "waiter");
}

/* ---- Fibers ---------------------------------------------------------------------------------- */

MODEL_UNSEEN static void note_return(void)
{
    scene.waiting--;
}

/* The last one frees the event. */
static void leave_event(void)
{
    if (lido__fetch_sub(&scene.left, 1, LIDO__ACQ_REL) != 1)
        return;
    scene.permits += event_of(scene.event)->word / PERMIT;
    model_free(scene.event);
}

/* As lido_event_wait. */
static int wait_for_event(unsigned self)
{
    struct event *event = event_of(scene.event);
    struct lido__wait wait;
    lido__wait_init(&wait, &kind, &event->word, &scene.fibers[self]->task);
    int r = take_or_list(event, &wait) ? 0 : lido__wait_sleep(&wait, "event");
    if (r == 0)
        lido__fetch_add(&scene.permits, wait.wants, LIDO__RELAXED);
    note_return();
    leave_event();
    return r;
}

static void be_told(void *arg)
{
    unsigned self = (unsigned)(uintptr_t)arg;
    model_fiber_begin(scene.fibers[self], (int)self);
    int r = wait_for_event(self);
    model_assert(r == 0 || (self == FIRST && r == -ECANCELED));
    model_fiber_end(scene.fibers[self]);
}

/* ---- Others ---------------------------------------------------------------------------------- */

/* All who have not returned are in the queue. */
MODEL_UNSEEN static bool have_come(const void *unused)
{
    const struct event *event = event_of(scene.event);
    unsigned listed = 0;
    (void)unused;
    for (const struct lido__wait *wait = event->queue.first; wait; wait = wait->next)
        listed++;
    return !(event->word & LIDO__BUSY) && listed == scene.waiting;
}

/* One waiter at least does not return before. */
static void tell_all(void *arg)
{
    (void)arg;
    model_block_until(have_come, NULL);
    scene.notify_all(scene.event);
}

static void tell_one(void *arg)
{
    (void)arg;
    lido_event_notify_one(scene.event);
    leave_event();
}

static void cancel_first(void *arg)
{
    (void)arg;
    model_fiber_cancel(scene.fibers[FIRST]);
}

/* ---- All are told, and one of them is cancelled ---------------------------------------------- */

static struct model_scenario telling(void (*notify_all)(lido_event *event))
{
    scene.notify_all = notify_all;
    scene.waiters = 2;
    scene.users = 0;
    scene.handles = 1;
    return (struct model_scenario){
        .name = "all are told, of whom one is cancelled",
        .setup = set_up,
        .threads = {{"first", be_told, (void *)FIRST},
                    {"second", be_told, (void *)SECOND},
                    {"teller", tell_all, NULL},
                    {"canceler", cancel_first, NULL}},
        .preemptions = 2,
        .per_thread = &lido__worker_of_thread,
    };
}

static void those_who_wait_are_told_or_leave(void **state)
{
    struct model_scenario scenario = telling(lido_event_notify_all);
    (void)state;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
    assert_int_equal(scene.permits, 0);
}

/* Nobody is chosen: between two of them all may leave, and free the event. */
static void notify_without_choice(lido_event *public)
{
    struct event *event = event_of(public);
    uint32_t word;
    do {
        struct lido__wakes wakes;
        lido__wakes_init(&wakes);
        word = lido__word_lock(&event->word);
        if (event->queue.first)
            tell_first(event, &wakes);
        word = lido__waitq_mark(&event->queue, word);
        lido__word_unlock_and_wake(&event->word, word, &wakes);
    } while (word & LIDO__WAITERS);
}

static void telling_without_a_choice_is_caught(void **state)
{
    struct model_scenario scenario = telling(notify_without_choice);
    (void)state;
    scenario.threads[0] = scenario.threads[1]; /* the one that is cancelled waits longest */
    scenario.threads[1] = (struct model_thread){"first", be_told, (void *)FIRST};
    assert_true(model_catches(&scenario, "freed") > 0);
}

/* ---- A permit at the same time --------------------------------------------------------------- */

static void one_permit_was_given(void)
{
    model_assert(scene.permits == 1);
}

static void no_permit_is_lost_meanwhile(void **state)
{
    struct model_scenario scenario = telling(lido_event_notify_all);
    (void)state;
    scene.users = 1;
    scene.handles = 0;
    scenario.name = "all are told, and one";
    scenario.threads[3] = (struct model_thread){"other teller", tell_one, NULL};
    scenario.check = one_permit_was_given;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_who_wait_are_told_or_leave),
        cmocka_unit_test(telling_without_a_choice_is_caught),
        cmocka_unit_test(no_permit_is_lost_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
