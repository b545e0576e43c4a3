/*
 * Hand-over of a worker: from the thread that is in a blocking section, to another one, by the lifeguard. At each
 * moment one thread has the worker, and finds it as the one before has left it; and the lifeguard does not
 * sleep while there is a section.
 *
 * The lifeguard here is the one of rt/lifeguard.c in small: it looks twice, and takes the worker from the section
 * that it has seen both times.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explorer.h"
#include "no_gate.h"
#include "props.h"
#include "sched/section.h"

__thread struct lido__worker *lido__worker_of_thread;

enum { SECTIONS = 2 };
enum { AWAKE, ASLEEP };

struct protocol {
    uint64_t (*enter)(struct lido__worker *worker);
    bool (*leave)(struct lido__worker *worker, uint64_t ticket);
    bool (*retake)(struct lido__worker *worker, uint64_t ticket);
    bool (*doze)(void); /* the lifeguard falls asleep; false: there is a section */
};

static struct {
    const struct protocol *protocol;
    struct lido__worker worker;
    uint32_t watch;
    struct model_futex futex;
    uint32_t seated;  /* hand-overs that a thread may take up */
    unsigned threads; /* that have the worker; not a point in between */
    unsigned lost;    /* times that a thread has lost it */
    unsigned ended;   /* threads that will begin no section any more */
} scene;

/* --- what must hold -----------------------------------------------------------------------------*/

MODEL_UNSEEN static void note_has(void)
{
    model_assert(scene.threads == 0);
    scene.threads++;
}

MODEL_UNSEEN static void note_has_not(void)
{
    model_assert(scene.threads == 1);
    scene.threads--;
}

MODEL_UNSEEN static void note_lost(void)
{
    scene.lost++;
}

MODEL_UNSEEN static void note_ended(void)
{
    scene.ended++;
}

/* Plain memory of the worker: with ThreadSanitizer, who comes next must see it. */
static void use_worker(void)
{
    note_has();
    scene.worker.now++;
    model_touch(&scene.worker);
    scene.worker.now++;
    note_has_not();
}

/* --- the threads --------------------------------------------------------------------------------*/

static void call_lifeguard(void)
{
    uint32_t expected = ASLEEP;
    if (lido__load(&scene.watch, LIDO__SEQ_CST) == AWAKE)
        return;
    if (lido__cas(&scene.watch, &expected, AWAKE, LIDO__SEQ_CST, LIDO__SEQ_CST))
        model_futex_wake(&scene.futex);
}

/* Carries the worker; its task, which nothing but its address is known of, blocks now and then. */
static void carry(lido_task *task)
{
    struct lido__worker *worker = &scene.worker;
    lido__worker_of_thread = worker;
    for (int i = 0; i < SECTIONS; i++) {
        use_worker();
        worker->current = task;
        uint64_t ticket = scene.protocol->enter(worker);
        model_assert(!lido__worker_current());
        call_lifeguard();
        if (!scene.protocol->leave(worker, ticket)) {
            model_assert(!lido__worker_current());
            note_lost();
            return;
        }
        model_assert(lido__worker_current() == worker);
        model_assert(worker->current == task); /* it goes on in the middle of that one */
    }
    use_worker();
}

static lido_task tasks[2];

static void have_from_the_beginning(void *unused)
{
    (void)unused;
    carry(&tasks[0]);
    note_ended();
}

MODEL_UNSEEN static bool is_seated(const void *unused)
{
    (void)unused;
    return scene.seated > 0 || scene.ended > scene.lost;
}

static void have_later(void *unused)
{
    (void)unused;
    model_block_until(is_seated, NULL);
    if (!lido__load(&scene.seated, LIDO__ACQUIRE))
        return;
    lido__fetch_sub(&scene.seated, 1, LIDO__RELAXED);
    carry(&tasks[1]);
    note_ended();
}

/* --- the lifeguard ------------------------------------------------------------------------------*/

static bool doze(void)
{
    lido__exchange(&scene.watch, ASLEEP, LIDO__SEQ_CST);
    return !lido__section_seen(&scene.worker);
}

static void hand_over(uint64_t ticket)
{
    if (scene.protocol->retake(&scene.worker, ticket))
        lido__fetch_add(&scene.seated, 1, LIDO__RELEASE);
}

/* Looks twice. */
static void guard(void *unused)
{
    (void)unused;
    uint64_t seen = lido__section_seen(&scene.worker);
    uint64_t again = lido__section_seen(&scene.worker);
    if (seen && seen == again)
        hand_over(seen);
}

MODEL_UNSEEN static bool sleeps(void)
{
    return scene.watch == ASLEEP;
}

/* Sleeps, until a section of which it is then told. The threads end, so it is left asleep at the end. */
static void guard_asleep(void *unused)
{
    (void)unused;
    bool slept = scene.protocol->doze();
    if (!slept)
        lido__exchange(&scene.watch, AWAKE, LIDO__SEQ_CST);
    model_futex_wait(&scene.futex, &scene.watch, ASLEEP);
    model_assert(!sleeps());
}

static void begin_one_section(void *unused)
{
    (void)unused;
    scene.protocol->enter(&scene.worker);
    call_lifeguard();
}

/* --- scenarios ----------------------------------------------------------------------------------*/

static void set_up(void)
{
    const struct protocol *protocol = scene.protocol;
    scene.worker = (struct lido__worker){0};
    scene.protocol = protocol;
    scene.watch = AWAKE;
    scene.futex = (struct model_futex){0};
    scene.seated = scene.threads = scene.lost = scene.ended = 0;
    model_name(scene.worker.section);
    model_name(scene.watch);
    model_name(scene.seated);
}

static void nothing_is_lost(void)
{
    model_assert(scene.threads == 0);
    model_assert(scene.seated == 0);
    /* Each thread that lost the worker has a successor, and the last one has used it to the end. */
    model_assert(scene.worker.now % 2 == 0);
    model_assert(scene.ended == scene.lost + 1);
}

static struct model_scenario handed = {
    .name = "section: handed over",
    .setup = set_up,
    .check = nothing_is_lost,
    .threads = {{"first", have_from_the_beginning, NULL},
                {"second", have_later, NULL},
                {"lifeguard", guard, NULL}},
    .preemptions = 5,
};

static struct model_scenario dozing = {
    .name = "section: the lifeguard falls asleep",
    .setup = set_up,
    .threads = {{"thread", begin_one_section, NULL}, {"lifeguard", guard_asleep, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
};

/* What each thread has of its own is at an address that is known only here. */
static int name_threads_own(void **state)
{
    (void)state;
    handed.per_thread = dozing.per_thread = &lido__worker_of_thread;
    return 0;
}

static const struct protocol right = {lido__section_enter, lido__section_leave,
                                      lido__section_retake, doze};

static void a_worker_has_one_thread_at_a_time(void **state)
{
    (void)state;
    scene.protocol = &right;
    assert_in_range(model_holds(&handed), 100, SIZE_MAX);
}

static void the_lifeguard_does_not_sleep_through_a_section(void **state)
{
    (void)state;
    scene.protocol = &right;
    assert_in_range(model_holds(&dozing), 5, SIZE_MAX);
}

/* --- wrong protocols ----------------------------------------------------------------------------*/

static bool leave_without_asking(struct lido__worker *worker, uint64_t ticket)
{
    lido__exchange(&worker->section, ticket + 1, LIDO__ACQ_REL);
    lido__worker_of_thread = worker;
    return true;
}

static void a_thread_that_does_not_ask_shares_the_worker(void **state)
{
    static const struct protocol wrong = {lido__section_enter, leave_without_asking,
                                          lido__section_retake, doze};
    (void)state;
    scene.protocol = &wrong;
    assert_int_not_equal(model_catches(&handed, "assertion failed"), 0);
}

/* A flag: the section of the thread that was given the worker looks like that of the one that lost it. */
static uint64_t enter_same(struct lido__worker *worker)
{
    lido__worker_of_thread = NULL;
    lido__exchange(&worker->section, 1, LIDO__SEQ_CST);
    return 1;
}

static bool leave_same(struct lido__worker *worker, uint64_t ticket)
{
    if (!lido__cas(&worker->section, &ticket, 0, LIDO__ACQ_REL, LIDO__RELAXED))
        return false;
    lido__worker_of_thread = worker;
    return true;
}

static bool retake_same(struct lido__worker *worker, uint64_t ticket)
{
    return lido__cas(&worker->section, &ticket, 0, LIDO__ACQ_REL, LIDO__RELAXED);
}

static void sections_without_numbers_are_mistaken_for_each_other(void **state)
{
    static const struct protocol wrong = {enter_same, leave_same, retake_same, doze};
    (void)state;
    scene.protocol = &wrong;
    assert_int_not_equal(model_catches(&handed, "worker->current == task"), 0);
}

/* Takes the worker without looking whether its thread is back. */
static bool retake_blindly(struct lido__worker *worker, uint64_t ticket)
{
    lido__exchange(&worker->section, ticket + 1, LIDO__ACQ_REL);
    return true;
}

static void a_lifeguard_that_does_not_ask_gives_the_worker_away_twice(void **state)
{
    static const struct protocol wrong = {lido__section_enter, lido__section_leave, retake_blindly,
                                          doze};
    (void)state;
    scene.protocol = &wrong;
    assert_int_not_equal(model_catches(&handed, "assertion failed"), 0);
}

static bool look_and_doze(void)
{
    bool none = !lido__section_seen(&scene.worker);
    lido__exchange(&scene.watch, none ? ASLEEP : AWAKE, LIDO__SEQ_CST);
    return none;
}

static void a_lifeguard_that_looks_before_it_says_that_it_sleeps_misses_a_section(void **state)
{
    static const struct protocol wrong = {lido__section_enter, lido__section_leave,
                                          lido__section_retake, look_and_doze};
    (void)state;
    scene.protocol = &wrong;
    assert_int_not_equal(model_catches(&dozing, "deadlock"), 0);
}

static uint64_t enter_relaxed(struct lido__worker *worker)
{
    uint64_t ticket = lido__load(&worker->section, LIDO__RELAXED) + 1;
    lido__worker_of_thread = NULL;
    lido__exchange(&worker->section, ticket, LIDO__RELAXED);
    return ticket;
}

static void a_section_that_releases_nothing_races_with_the_next_thread(void **state)
{
    static const struct protocol wrong = {enter_relaxed, lido__section_leave, lido__section_retake,
                                          doze};
    (void)state;
    scene.protocol = &wrong;
    assert_true(model_catches_race(&handed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_has_one_thread_at_a_time),
        cmocka_unit_test(the_lifeguard_does_not_sleep_through_a_section),
        cmocka_unit_test(a_thread_that_does_not_ask_shares_the_worker),
        cmocka_unit_test(sections_without_numbers_are_mistaken_for_each_other),
        cmocka_unit_test(a_lifeguard_that_does_not_ask_gives_the_worker_away_twice),
        cmocka_unit_test(a_lifeguard_that_looks_before_it_says_that_it_sleeps_misses_a_section),
        cmocka_unit_test(a_section_that_releases_nothing_races_with_the_next_thread),
    };
    return cmocka_run_group_tests(tests, name_threads_own, NULL);
}
