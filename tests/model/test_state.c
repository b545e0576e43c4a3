/*
 * The state word of a task: each transition against every other that it can meet.
 *
 * One worker owns one task. It takes wake-ups from its inbox, polls, ends the task when it has seen
 * what it waits for, tells who joined, and leaves when nothing can come any more. The other threads
 * hold one reference each and wake, cancel, join or drop it. Task and joiners' wakers are memory of
 * the explorer: freed exactly once, or the schedule fails. A wake-up that is lost is a deadlock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/inbox.h"
#include "explorer.h"
#include "props.h"
#include "task/state.h"

enum { RESULT = 42 };

struct task {
    struct lido__state state;
    struct lido__link mail;
    struct waker *joiner;
    int result;
    _Alignas(
        8) int events[2]; /* plain: a waker writes its own, and a poll that it causes reads it */
};

/* Belongs to a joiner until it is registered, then to the task. Whoever uses it up frees it. */
struct waker {
    struct model_bell *bell;
};

/* What can be done wrong. */
struct protocol {
    bool (*notify)(struct lido__state *state, uint32_t flags);
    bool (*await)(struct lido__state *state, uint32_t flag);
    bool (*forgo)(struct lido__state *state);
    bool (*unref)(struct lido__state *state);
    uint32_t (*finish)(struct lido__state *state, bool keep);
    void (*receive)(struct task *task); /* from the inbox */
    void (*leave)(uint32_t was);        /* the worker, after finish */
};

struct plan {
    struct model_scenario scenario;
    unsigned wanted; /* the task ends when it has seen these events, or is cancelled */
    size_t least;    /* schedules */
};

enum { ALL = MODEL_ALL_INTERLEAVINGS };

/* Events that do not come: a task that waits for one must be cancelled. */
enum {
    NEVER = 4,
    OWN_CANCEL = 8, /* and its own worker does it */
};

static struct {
    const struct plan *plan;
    const struct protocol *protocol;
    struct task *task;
    struct lido__inbox inbox;
    struct model_bell bell;        /* the worker's */
    struct model_bell joiner_bell; /* of the one that joins as a task */
    struct model_futex futex;

    /* Written by the worker. */
    struct task *runnable;
    bool live;
    unsigned heard; /* events whose wake-ups have been taken */
    unsigned seen;

    /* Events whose notify has been made: written together with it, without a point in between. */
    unsigned notified;
} world;

/* --- the worker ---------------------------------------------------------------------------------*/

MODEL_UNSEEN static unsigned notified_so_far(void)
{
    return world.notified;
}

static void drop(struct task *task)
{
    if (world.protocol->unref(&task->state))
        model_free(task);
}

static void use_up(struct waker *waker)
{
    model_touch(waker);
    struct model_bell *bell = waker->bell;
    model_free(waker);
    model_bell_ring(bell);
}

static void tell(struct task *task, uint32_t was, bool keep)
{
    if (was & LIDO__JOINER) {
        model_touch(&task->joiner);
        use_up(task->joiner);
        if (!keep)
            drop(task);
    }
    if (was & LIDO__THREAD)
        model_futex_wake(&world.futex);
    if (!keep && !(was & LIDO__JOINER) && was / LIDO__REF == 1)
        model_free(task);
}

/* A wake-up that is under way needs the worker until it has arrived. */
static void leave(uint32_t was)
{
    if (!(was & LIDO__NOTIFIED))
        world.live = false;
}

static void end(struct task *task)
{
    bool keep = model_choose(2); /* its last poll woke it once more: the run queue holds it */
    model_touch(&task->result);
    task->result = RESULT;
    uint32_t was = world.protocol->finish(&task->state, keep);
    tell(task, was, keep);
    if (keep)
        drop(task);
    world.protocol->leave(was);
}

/* Sees the events of all wake-ups that were taken before. */
static void poll_and_maybe_end(struct task *task)
{
    for (unsigned i = 0; i < 2; i++) {
        if (!(world.heard & ~world.seen & 1u << i))
            continue;
        model_touch(&task->events[i]);
        model_assert(task->events[i] == 1);
        world.seen |= 1u << i;
    }
    if (world.plan->wanted & OWN_CANCEL)
        lido__state_cancel(&task->state);
    if ((world.seen & world.plan->wanted) == world.plan->wanted ||
        lido__state_cancelled(&task->state))
        end(task);
}

static void take(struct task *task)
{
    enum lido__taken taken = lido__state_take(&task->state);
    if (taken != LIDO__TAKEN_RUN)
        world.live = false;
    if (taken == LIDO__TAKEN_FREE)
        model_free(task);
    else if (taken == LIDO__TAKEN_RUN)
        world.runnable = task;
}

static void receive(struct task *task)
{
    take(task);
    world.heard = notified_so_far();
}

static void take_mail(void)
{
    struct lido__link *link = lido__inbox_take(&world.inbox);
    while (link) {
        struct task *task = lido__container_of(link, struct task, mail);
        link = link->next;
        world.protocol->receive(task);
    }
}

static void work(void *unused)
{
    (void)unused;
    while (world.live) {
        struct task *task = world.runnable;
        world.runnable = NULL;
        if (task)
            poll_and_maybe_end(task);
        else
            take_mail();
        if (world.live && !world.runnable && lido__inbox_park(&world.inbox))
            model_bell_wait(&world.bell);
    }
}

/* --- the others ---------------------------------------------------------------------------------*/

static int first = 0, second = 1;

static void mail(struct task *task)
{
    if (lido__inbox_push(&world.inbox, &task->mail))
        model_bell_ring(&world.bell);
}

/* The transition and the record of it, with no point in between. */
MODEL_UNSEEN static void note_notified(int event)
{
    world.notified |= 1u << event;
}

static void wake(struct task *task, int event)
{
    model_touch(&task->events[event]);
    task->events[event] = 1;
    bool told = world.protocol->notify(&task->state, 0);
    note_notified(event);
    if (told)
        mail(task);
}

static void wake_and_drop(void *event)
{
    wake(world.task, *(int *)event);
    drop(world.task);
}

static void clone_and_wake(void *event)
{
    struct task *task = world.task;
    lido__state_ref(&task->state);
    drop(task);
    wake(task, *(int *)event);
    drop(task);
}

static void cancel_and_drop(void *unused)
{
    struct task *task = world.task;
    (void)unused;
    if (world.protocol->notify(&task->state, LIDO__CANCELLED))
        mail(task);
    drop(task);
}

static void drop_only(void *unused)
{
    (void)unused;
    drop(world.task);
}

static void read_result(struct task *task)
{
    model_touch(&task->result);
    model_assert(task->result == RESULT);
}

static void join_as_thread(void *unused)
{
    struct task *task = world.task;
    (void)unused;
    if (world.protocol->await(&task->state, LIDO__THREAD)) {
        uint32_t word;
        while (!((word = lido__load(&task->state.word, LIDO__ACQUIRE)) & LIDO__DONE))
            model_futex_wait(&world.futex, &task->state.word, word);
    }
    read_result(task);
    drop(task);
}

/* True: registered, and the task owns the waker now. False: the result may be read. */
static bool register_joiner(struct task *task, struct waker **ret_waker)
{
    struct waker *waker = model_alloc(sizeof(*waker), "waker");
    waker->bell = &world.joiner_bell;
    task->joiner = waker;
    *ret_waker = waker;
    if (world.protocol->await(&task->state, LIDO__JOINER))
        return true;
    model_free(waker);
    return false;
}

static void join_as_task(void *unused)
{
    struct task *task = world.task;
    struct waker *waker;
    (void)unused;
    if (register_joiner(task, &waker))
        model_bell_wait(&world.joiner_bell);
    model_assert(lido__state_done(&task->state));
    read_result(task);
    drop(task);
}

/* Joins and thinks better of it, twice. */
static void join_briefly(void *unused)
{
    struct task *task = world.task;
    struct waker *waker;
    (void)unused;
    for (int i = 0; i < 2; i++) {
        if (!register_joiner(task, &waker) || !world.protocol->forgo(&task->state)) {
            read_result(task);
            break;
        }
        model_free(waker);
    }
    drop(task);
}

/* The first wake-up of a task is its birth: it comes with the inbox's reference. */
static void spawn_and_join(void *unused)
{
    struct task *task = model_alloc(sizeof(*task), "task");
    (void)unused;
    model_name(task->state);
    lido__state_init_notified(&task->state, 3); /* the worker's, the inbox's and the handle */
    world.task = task;
    mail(task);
    join_as_thread(NULL);
}

/* --- scenarios ----------------------------------------------------------------------------------*/

static void set_up(void)
{
    const struct model_thread *threads = world.plan->scenario.threads;
    uint32_t refs = 0;
    while (threads[refs].run)
        refs++; /* the worker's thread stands for the scheduler's */

    lido__inbox_init(&world.inbox);
    world.bell = world.joiner_bell = (struct model_bell){0};
    world.futex = (struct model_futex){0};
    world.task = NULL;
    world.live = true;
    world.heard = world.seen = world.notified = 0;
    if (threads[1].run != spawn_and_join) {
        world.task = model_alloc(sizeof(*world.task), "task");
        lido__state_init(&world.task->state, refs);
        model_name(world.task->state);
    }
    world.runnable = world.task;
    model_name(world.inbox.head);
    model_name_bell(world.bell);
    model_name_bell(world.joiner_bell);
    model_name(world.futex);
}

/* The memory is checked by the explorer. */
static void worker_left_nothing(void)
{
    model_assert(!world.live);
    model_assert(world.inbox.head == NULL);
}

#define PLAN(NAME, WANTED, PREEMPTIONS, LEAST, ...)                                                \
    {                                                                                              \
        .scenario = {.name = NAME,                                                                 \
                     .setup = set_up,                                                              \
                     .check = worker_left_nothing,                                                 \
                     .threads = {{"worker", work, NULL}, __VA_ARGS__},                             \
                     .preemptions = PREEMPTIONS},                                                  \
        .wanted = WANTED, .least = LEAST,                                                          \
    }

static const struct plan plans[] = {
    PLAN("one waker", 1, ALL, 1500, {"waker", wake_and_drop, &first}),
    PLAN("two wakers", 3, 3, 30000, {"waker 1", wake_and_drop, &first},
         {"waker 2", wake_and_drop, &second}),
    PLAN("two wakers, one is enough", 1, 3, 30000, {"waker 1", wake_and_drop, &first},
         {"waker 2", wake_and_drop, &second}),
    PLAN("two wakers, none is needed", 0, 3, 20000, {"waker 1", wake_and_drop, &first},
         {"waker 2", clone_and_wake, &second}),
    PLAN("cancel and end", 0, 3, 10000, {"canceller", cancel_and_drop, NULL},
         {"waker", wake_and_drop, &first}),
    PLAN("cancel or event", 1, 3, 20000, {"canceller", cancel_and_drop, NULL},
         {"waker", wake_and_drop, &first}),
    PLAN("only cancel ends it", NEVER, 3, 20000, {"canceller", cancel_and_drop, NULL},
         {"waker", wake_and_drop, &first}),
    PLAN("cancel twice", NEVER, 3, 15000, {"canceller 1", cancel_and_drop, NULL},
         {"canceller 2", cancel_and_drop, NULL}),
    PLAN("cancelled by its own worker", OWN_CANCEL, 3, 15000, {"canceller", cancel_and_drop, NULL},
         {"waker", wake_and_drop, &first}),
    PLAN("join as a task", 0, ALL, 300, {"joiner", join_as_task, NULL}),
    PLAN("join as a task that is woken", 1, 3, 10000, {"joiner", join_as_task, NULL},
         {"waker", wake_and_drop, &first}),
    PLAN("join as a thread", 0, ALL, 1000, {"joiner", join_as_thread, NULL}),
    PLAN("join as a thread while woken", 1, 3, 20000, {"joiner", join_as_thread, NULL},
         {"waker", wake_and_drop, &first}),
    PLAN("join as both", 0, 3, 15000, {"joiner", join_as_task, NULL},
         {"thread", join_as_thread, NULL}),
    PLAN("join as both while woken", 1, 2, 50000, {"joiner", join_as_task, NULL},
         {"thread", join_as_thread, NULL}, {"waker", wake_and_drop, &first}),
    PLAN("join briefly", 0, 4, 2000, {"joiner", join_briefly, NULL}),
    PLAN("join briefly while cancelled", NEVER, 3, 50000, {"joiner", join_briefly, NULL},
         {"canceller", cancel_and_drop, NULL}),
    PLAN("drop", 0, ALL, 1000, {"dropper 1", drop_only, NULL}, {"dropper 2", drop_only, NULL}),
    PLAN("drop, wake and join", 0, 2, 10000, {"dropper", drop_only, NULL},
         {"joiner", join_as_task, NULL}, {"waker", wake_and_drop, &first}),
    PLAN("spawn from afar", 0, 4, 1500, {"spawner", spawn_and_join, NULL}),
    PLAN("everything", 1, 1, 40000, {"waker", clone_and_wake, &first},
         {"canceller", cancel_and_drop, NULL}, {"thread", join_as_thread, NULL},
         {"joiner", join_briefly, NULL}),
};

/* --- wrong protocols ----------------------------------------------------------------------------*/

/* Clears NOTIFIED after it has looked: a wake-up in between is forgotten. */
static void receive_late(struct task *task)
{
    world.heard = notified_so_far();
    poll_and_maybe_end(task);
    take(task);
    world.runnable = NULL;
}

/* Drops the reference before the joiner is read. */
static uint32_t finish_dropping(struct lido__state *state, bool keep)
{
    uint32_t drop_too = keep ? 0 : LIDO__REF;
    return lido__fetch_add(&state->word, LIDO__DONE - drop_too, LIDO__ACQ_REL);
}

static uint32_t finish_in_two_steps(struct lido__state *state, bool keep)
{
    uint32_t was = lido__load(&state->word, LIDO__ACQUIRE);
    uint32_t drop_too = keep || was & LIDO__JOINER ? 0 : LIDO__REF;
    lido__fetch_add(&state->word, LIDO__DONE - drop_too, LIDO__ACQ_REL);
    return was;
}

static bool await_in_two_steps(struct lido__state *state, uint32_t flag)
{
    if (lido__state_done(state))
        return false;
    lido__fetch_or(&state->word, flag, LIDO__ACQ_REL);
    return true;
}

static bool unref_in_two_steps(struct lido__state *state)
{
    lido__fetch_sub(&state->word, LIDO__REF, LIDO__ACQ_REL);
    return lido__load(&state->word, LIDO__ACQUIRE) / LIDO__REF == 0;
}

static bool notify_without_ref(struct lido__state *state, uint32_t flags)
{
    uint32_t was = lido__fetch_or(&state->word, flags | LIDO__NOTIFIED, LIDO__ACQ_REL);
    return !(was & (LIDO__NOTIFIED | LIDO__DONE));
}

static bool notify_the_dead(struct lido__state *state, uint32_t flags)
{
    if (lido__fetch_or(&state->word, flags | LIDO__NOTIFIED, LIDO__ACQ_REL) & LIDO__NOTIFIED)
        return false;
    lido__state_ref(state);
    return true;
}

static bool forgo_blindly(struct lido__state *state)
{
    lido__fetch_and(&state->word, ~LIDO__JOINER, LIDO__ACQ_REL);
    return true;
}

/* Does not wait for the wake-up that is under way. */
static void leave_at_once(uint32_t was)
{
    (void)was;
    world.live = false;
}

/* --- the tests ----------------------------------------------------------------------------------*/

#define RIGHT                                                                                      \
    .notify = lido__state_notify, .await = lido__state_await, .forgo = lido__state_forgo,          \
    .unref = lido__state_unref, .finish = lido__state_finish, .receive = receive, .leave = leave

static void transitions_hold_against_each_other(void **state)
{
    static const struct protocol right = {RIGHT};
    (void)state;
    world.protocol = &right;
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
        world.plan = &plans[i];
        assert_in_range(model_holds(&plans[i].scenario), plans[i].least, SIZE_MAX);
    }
}

static bool caught(const char *name, struct protocol protocol, const char *plan, const char *how)
{
    world.plan = NULL;
    world.protocol = &protocol;
    for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
        if (strcmp(plans[i].scenario.name, plan) == 0)
            world.plan = &plans[i];
    assert_non_null(world.plan);
    struct model_scenario scenario = world.plan->scenario;
    scenario.name = name;
    return model_catches(&scenario, how) > 0;
}

static void wrong_transitions_are_caught(void **state)
{
    struct protocol late = {RIGHT}, dropping = {RIGHT}, finish2 = {RIGHT}, await2 = {RIGHT},
                    unref2 = {RIGHT}, noref = {RIGHT}, dead = {RIGHT}, blind = {RIGHT},
                    hasty = {RIGHT};
    (void)state;
    late.receive = receive_late;
    dropping.finish = finish_dropping;
    finish2.finish = finish_in_two_steps;
    await2.await = await_in_two_steps;
    unref2.unref = unref_in_two_steps;
    noref.notify = notify_without_ref;
    dead.notify = notify_the_dead;
    blind.forgo = forgo_blindly;
    hasty.leave = leave_at_once;
    assert_true(caught("take after the poll", late, "two wakers", "deadlock"));
    assert_true(caught("finish drops before telling", dropping, "join as a task", "freed"));
    assert_true(caught("finish in two steps", finish2, "join as a task", "deadlock"));
    assert_true(caught("await in two steps", await2, "join as a task", "deadlock"));
    assert_true(caught("unref in two steps", unref2, "drop", "freed"));
    assert_true(caught("notify without a reference", noref, "one waker", "freed"));
    assert_true(caught("notify of what is done", dead, "two wakers, none is needed", "head"));
    assert_true(caught("forgo that does not look", blind, "join briefly", "freed"));
    assert_true(caught("worker leaves too early", hasty, "two wakers, none is needed", "head"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transitions_hold_against_each_other),
        cmocka_unit_test(wrong_transitions_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
