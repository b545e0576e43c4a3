/*
 * The state word of a task that moves: SHARED against wake-ups from afar, on their way to where the task was.
 *
 * Two workers. Each may give the task away once while it is runnable; whoever comes first takes it. The wakers
 * write an event each, which is plain: a poll reads it when its wake-up has been taken, passed on to the
 * claim, or found SHARED. So ThreadSanitizer sees each order that is missing, and a wake-up that goes astray
 * is a deadlock. test_share.c has the whole scheduler around it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/inbox.h"
#include "explorer.h"
#include "props.h"
#include "task/state.h"

enum { WORKERS = 2, EVENTS = 2 };

struct worker {
    struct lido__inbox inbox;
    struct model_bell bell;
    bool may_share;
};

struct task {
    struct lido__state state;
    lido__shared struct worker *worker;
    struct lido__link mail;
    _Alignas(8) int events[EVENTS]; /* plain */
    int polls;                      /* plain, and its worker's */
};

/* What can be done wrong. */
struct protocol {
    bool (*notify)(struct lido__state *state, uint32_t flags);
    void (*claim)(struct lido__state *state);
    bool (*pass)(struct lido__state *state);
};

static struct {
    const struct protocol *protocol;
    unsigned wanted; /* events */

    struct worker workers[WORKERS];
    struct task *task;
    lido__shared struct task *offered;
    lido__shared uint32_t over;

    /* Of whoever has the task. */
    struct task *runnable;
    unsigned heard; /* events whose wake-ups have arrived */
    unsigned seen;

    /* Events whose notify has been made: written together with it, without a point in between. */
    unsigned notified;
} world;

/* --- the worker ---------------------------------------------------------------------------------*/

MODEL_UNSEEN static void hear(void)
{
    world.heard = world.notified;
}

/* The task can be run by this worker. */
MODEL_UNSEEN static void take_over(struct task *task)
{
    world.runnable = task;
}

MODEL_UNSEEN static struct task *runnable_here(const struct worker *self)
{
    struct task *task = world.runnable;
    return task && task->worker == self ? task : NULL;
}

/* News of the task's events that its poll may look at. */
MODEL_UNSEEN static unsigned news(void)
{
    unsigned fresh = world.heard & ~world.seen;
    world.seen |= fresh;
    return fresh;
}

MODEL_UNSEEN static bool has_seen_all(void)
{
    return world.seen == world.wanted;
}

static struct worker *other_than(const struct worker *self)
{
    return &world.workers[self == &world.workers[0]];
}

static void post(struct worker *worker, struct task *task)
{
    if (lido__inbox_push(&worker->inbox, &task->mail))
        model_bell_ring(&worker->bell);
}

static void end_it_all(void)
{
    lido__store(&world.over, 1, LIDO__RELEASE);
    for (int i = 0; i < WORKERS; i++)
        model_bell_ring(&world.workers[i].bell);
}

/* A wake-up that is under way has to arrive first. */
static void end(struct task *task)
{
    uint32_t was = lido__state_finish(&task->state, false);
    if (was & LIDO__NOTIFIED)
        return;
    if (was / LIDO__REF == 1)
        model_free(task);
    end_it_all();
}

static void poll(struct task *task)
{
    unsigned fresh = news();
    take_over(NULL);
    task->polls++;
    for (int i = 0; i < EVENTS; i++)
        if (fresh & 1u << i)
            model_assert(task->events[i] == 1);
    if (has_seen_all())
        end(task);
}

static void receive(struct worker *self, struct task *task)
{
    uint32_t word = lido__load(&task->state.word, LIDO__ACQUIRE);
    if (word & LIDO__SHARED || lido__load(&task->worker, LIDO__RELAXED) != self) {
        if (!world.protocol->pass(&task->state))
            post(lido__load(&task->worker, LIDO__RELAXED), task);
        return;
    }
    enum lido__taken taken = lido__state_take(&task->state);
    hear();
    if (taken == LIDO__TAKEN_RUN) {
        take_over(task);
        return;
    }
    if (taken == LIDO__TAKEN_FREE)
        model_free(task);
    end_it_all();
}

static void take_mail(struct worker *self)
{
    struct lido__link *link = lido__inbox_take(&self->inbox);
    while (link) {
        struct task *task = lido__container_of(link, struct task, mail);
        link = link->next;
        receive(self, task);
    }
}

static void share(struct worker *self, struct task *task)
{
    self->may_share = false;
    take_over(NULL);
    lido__state_share(&task->state);
    lido__store(&world.offered, task, LIDO__RELEASE);
    model_bell_ring(&other_than(self)->bell);
}

static void take_offered(struct worker *self)
{
    if (!lido__load(&world.offered, LIDO__RELAXED))
        return;
    struct task *task = lido__exchange(&world.offered, NULL, LIDO__ACQUIRE);
    if (!task)
        return;
    lido__store(&task->worker, self, LIDO__RELAXED);
    world.protocol->claim(&task->state);
    hear();
    take_over(task);
}

static void work(void *self_)
{
    struct worker *self = self_;
    while (!lido__load(&world.over, LIDO__ACQUIRE)) {
        take_mail(self);
        take_offered(self);
        struct task *task = runnable_here(self);
        if (task && self->may_share && model_choose(2))
            share(self, task);
        else if (task)
            poll(task);
        else if (lido__inbox_park(&self->inbox))
            model_bell_wait(&self->bell);
    }
}

/* --- the wakers ---------------------------------------------------------------------------------*/

static int first = 0, second = 1;

MODEL_UNSEEN static void note_notified(int event)
{
    world.notified |= 1u << event;
}

static void wake(void *event_)
{
    struct task *task = world.task;
    int event = *(int *)event_;
    task->events[event] = 1;
    bool must_mail = world.protocol->notify(&task->state, 0);
    note_notified(event);
    if (must_mail)
        post(lido__load(&task->worker, LIDO__RELAXED), task);
    if (lido__state_unref(&task->state))
        model_free(task);
}

/* --- scenes -------------------------------------------------------------------------------------*/

static void set_up(unsigned events)
{
    for (int i = 0; i < WORKERS; i++) {
        world.workers[i].bell = (struct model_bell){0};
        world.workers[i].may_share = true;
        lido__inbox_init(&world.workers[i].inbox);
    }
    struct task *task = model_alloc(sizeof(*task), "task");
    lido__state_init(&task->state, 1 + events);
    task->worker = &world.workers[0];
    world.task = world.runnable = task;
    world.offered = NULL;
    world.over = 0;
    world.wanted = (1u << events) - 1;
    world.heard = world.seen = world.notified = 0;
    model_name(task->state);
    model_name(task->worker);
    model_name(world.workers[0].inbox.head);
    model_name(world.workers[1].inbox.head);
    model_name(world.offered);
}

static void set_up_one(void)
{
    set_up(1);
}

static void set_up_two(void)
{
    set_up(2);
}

static void no_mail_is_left(void)
{
    for (int i = 0; i < WORKERS; i++)
        model_assert(world.workers[i].inbox.head == NULL ||
                     world.workers[i].inbox.head == LIDO__ASLEEP);
}

#define SCENE(NAME, SET_UP, PREEMPTIONS, ...)                                                      \
    {                                                                                              \
        .name = NAME, .setup = SET_UP, .check = no_mail_is_left,                                   \
        .threads = {{"worker 1", work, &world.workers[0]},                                         \
                    {"worker 2", work, &world.workers[1]},                                         \
                    __VA_ARGS__},                                                                  \
        .preemptions = PREEMPTIONS,                                                                \
    }

static const struct model_scenario one_waker =
    SCENE("moving: one waker", set_up_one, 2, {"waker", wake, &first});
static const struct model_scenario two_wakers = SCENE(
    "moving: two wakers", set_up_two, 2, {"waker 1", wake, &first}, {"waker 2", wake, &second});

/* --- wrong protocols ----------------------------------------------------------------------------*/

/* Believes that the wake-up is over. */
static bool pass_nothing_on(struct lido__state *state)
{
    lido__fetch_sub(&state->word, LIDO__NOTIFIED + LIDO__REF, LIDO__ACQ_REL);
    return true;
}

/* Leaves NOTIFIED set: later wake-ups rely on mail that is not on its way any more. */
static bool pass_half(struct lido__state *state)
{
    if (!(lido__load(&state->word, LIDO__ACQUIRE) & LIDO__SHARED))
        return false;
    lido__fetch_sub(&state->word, LIDO__REF, LIDO__ACQ_REL);
    return true;
}

/* Looks first, and forgets the wake-up then, although the task may have been claimed in between. */
static bool pass_in_two_steps(struct lido__state *state)
{
    if (!(lido__load(&state->word, LIDO__ACQUIRE) & LIDO__SHARED))
        return false;
    lido__fetch_sub(&state->word, LIDO__NOTIFIED + LIDO__REF, LIDO__ACQ_REL);
    return true;
}

/* Right in each interleaving, but what was written before is not passed on. */

static bool notify_without_writing(struct lido__state *state, uint32_t flags)
{
    if (lido__load(&state->word, LIDO__RELAXED) & LIDO__SHARED)
        return false;
    return lido__state_notify(state, flags);
}

static void claim_relaxed(struct lido__state *state)
{
    lido__fetch_and(&state->word, ~LIDO__SHARED, LIDO__RELAXED);
}

static bool pass_relaxed(struct lido__state *state)
{
    uint32_t old = lido__load(&state->word, LIDO__RELAXED);
    do {
        if (!(old & LIDO__SHARED))
            return false;
    } while (!lido__cas(&state->word, &old, (old & ~LIDO__NOTIFIED) - LIDO__REF, LIDO__RELAXED,
                        LIDO__RELAXED));
    return true;
}

/* --- the tests ----------------------------------------------------------------------------------*/

static const struct protocol right = {lido__state_notify, lido__state_claim, lido__state_pass};

#define BUT(FUNCTION, WRONG)                                                                       \
    ({                                                                                             \
        struct protocol but_ = right;                                                              \
        but_.FUNCTION = (WRONG);                                                                   \
        but_;                                                                                      \
    })

static void no_wake_up_is_lost_on_the_way(void **state)
{
    (void)state;
    world.protocol = &right;
    assert_in_range(model_holds(&one_waker), 15000, SIZE_MAX);
    assert_in_range(model_holds(&two_wakers), 300000, SIZE_MAX);
}

static bool caught(const struct model_scenario *right_one, const char *name, struct protocol wrong,
                   const char *how)
{
    struct model_scenario scenario = *right_one;
    scenario.name = name;
    world.protocol = &wrong;
    return model_catches(&scenario, how) > 0;
}

static void wrong_transitions_are_caught(void **state)
{
    (void)state;
    assert_true(caught(&two_wakers, "a pass that ends the wake-up", BUT(pass, pass_nothing_on),
                       "deadlock"));
    assert_true(
        caught(&two_wakers, "a pass that leaves NOTIFIED", BUT(pass, pass_half), "deadlock"));
    assert_true(
        caught(&two_wakers, "a pass in two steps", BUT(pass, pass_in_two_steps), "deadlock"));
}

static bool races(const struct model_scenario *right_one, const char *name, struct protocol wrong)
{
    struct model_scenario scenario = *right_one;
    scenario.name = name;
    world.protocol = &wrong;
    return model_catches_race(&scenario);
}

static void missing_orderings_are_caught_by_tsan(void **state)
{
    (void)state;
    assert_true(
        races(&one_waker, "notify that does not write", BUT(notify, notify_without_writing)));
    assert_true(races(&one_waker, "claim without acquire", BUT(claim, claim_relaxed)));
    assert_true(races(&two_wakers, "pass without release", BUT(pass, pass_relaxed)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_wake_up_is_lost_on_the_way),
        cmocka_unit_test(wrong_transitions_are_caught),
        cmocka_unit_test(missing_orderings_are_caught_by_tsan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
