/*
 * The monitor beside sections, rescue, a report, and the watch.
 *
 * A worker: its thread enters its gate, leaves it for a section, and comes back or has lost the worker to another
 * thread. Meanwhile the monitor takes it from the section, and seizes its gate, as does whoever makes a report. At most one is
 * inside at a time, and a mark in the gate says that nobody has been since the one who left it.
 *
 * The watch: two runtimes ask two threads, with one place for a question. A thread answers what it was asked and nothing
 * else, and its handler finds alive what it reads, however late it comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explorer.h"
#include "props.h"

#include "../../src/sched/gate.c"
#include "rt/question.h"
#include "sched/section.h"

__thread struct lido__worker *lido__worker_of_thread;

static enum wrong {
    NOTHING,
    CARRY_OUTSIDE, /* who is given the worker does not enter its gate */
    RESCUE_BESIDE, /* the gate is taken for seized */
    MARK_ALWAYS,   /* the mark is left also by one who was refused */
    NO_NUMBER,     /* questions look like each other */
    LEAVE_AT_ONCE, /* the asker does not wait for a handler that has begun */
    TAKE_BACK      /* a question is withdrawn though it is being answered */
} wrong;

/* --- the system ---------------------------------------------------------------------------------*/

static struct model_futex futex;

int lido__futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    (void)timeout_ns;
    model_futex_wait(&futex, word, expected);
    return 0;
}

int lido__futex_wake(uint32_t *word, int count)
{
    (void)word;
    (void)count;
    model_futex_wake(&futex);
    return 0;
}

void lido__barrier_all(void)
{
    model_barrier_all();
}

bool lido__barrier_refused(void)
{
    return false;
}

/* --- a worker -----------------------------------------------------------------------------------*/

enum visitor { NOBODY, OWNER, SEIZER };

static struct {
    struct lido__worker worker;
    uint32_t seated; /* the second thread may carry the worker */
    unsigned over;   /* threads of the worker that are */
    unsigned lost;
    unsigned present; /* inside the gate */
    enum visitor last;
} scene;

MODEL_UNSEEN static void come(enum visitor visitor)
{
    model_assert(scene.present == 0);
    scene.present++;
    scene.last = visitor;
}

MODEL_UNSEEN static void go(void)
{
    scene.present--;
}

/* What it finds there is plain. */
static void work_as(enum visitor visitor)
{
    come(visitor);
    scene.worker.now++;
    model_touch(&scene.worker);
    go();
}

MODEL_UNSEEN static void note_over(bool lost)
{
    scene.over++;
    scene.lost += lost;
}

/* A turn of the loop, a task that blocks, and a turn. */
static void carry(void)
{
    struct lido__worker *worker = &scene.worker;
    lido__gate_enter(&worker->gate);
    work_as(OWNER);
    lido__gate_leave(&worker->gate);
    uint64_t ticket = lido__section_enter(worker);
    if (!lido__section_leave(worker, ticket)) {
        note_over(true);
        return;
    }
    lido__gate_enter(&worker->gate);
    work_as(OWNER);
    lido__gate_leave(&worker->gate);
    note_over(false);
}

static void be_first(void *unused)
{
    (void)unused;
    carry();
}

MODEL_UNSEEN static bool is_seated(const void *unused)
{
    (void)unused;
    return scene.seated || scene.over > scene.lost;
}

static void be_second(void *unused)
{
    (void)unused;
    model_block_until(is_seated, NULL);
    if (!lido__load(&scene.seated, LIDO__ACQUIRE))
        return;
    if (wrong != CARRY_OUTSIDE)
        lido__gate_enter(&scene.worker.gate);
    work_as(OWNER);
    if (wrong != CARRY_OUTSIDE)
        lido__gate_leave(&scene.worker.gate);
    note_over(false);
}

static void retake(void)
{
    uint64_t ticket = lido__section_seen(&scene.worker);
    if (ticket && lido__section_retake(&scene.worker, ticket))
        lido__store(&scene.seated, 1, LIDO__RELEASE);
}

static bool seize(struct lido__gate *gate)
{
    if (wrong == RESCUE_BESIDE)
        return true;
    if (!lido__gate_claim(gate))
        return false;
    lido__gate_barrier();
    if (lido__gate_confirm(gate))
        return true;
    if (wrong == MARK_ALWAYS)
        lido__fetch_or(&gate->wanted, LIDO__GATE_MARKED, LIDO__RELAXED);
    return false;
}

static void look_and_rescue(void *unused)
{
    struct lido__gate *gate = &scene.worker.gate;
    (void)unused;
    retake();
    if (!seize(gate))
        return;
    work_as(SEIZER);
    lido__gate_release_marked(gate);
}

static void report(void *unused)
{
    struct lido__gate *gate = &scene.worker.gate;
    (void)unused;
    if (!seize(gate))
        return;
    work_as(NOBODY); /* which a mark is not left by */
    lido__gate_release(gate);
}

static void set_up_worker(void)
{
    scene.worker = (struct lido__worker){0};
    lido__gate_init(&scene.worker.gate, false);
    scene.seated = scene.over = scene.lost = scene.present = 0;
    scene.last = NOBODY;
    futex = (struct model_futex){0};
    model_name(scene.worker.gate.inside);
    model_name(scene.worker.gate.wanted);
    model_name(scene.worker.section);
}

static void a_mark_is_true(void)
{
    model_assert(scene.over == scene.lost + 1);
    model_assert(scene.worker.gate.inside == 0);
    model_assert(!(scene.worker.gate.wanted & LIDO__GATE_WANTED));
    if (lido__gate_is_marked(&scene.worker.gate))
        model_assert(scene.last != OWNER);
}

static struct model_scenario looked_after = {
    .name = "monitor: section, rescue and report",
    .setup = set_up_worker,
    .check = a_mark_is_true,
    .threads = {{"first", be_first, NULL},
                {"second", be_second, NULL},
                {"monitor", look_and_rescue, NULL},
                {"reporter", report, NULL}},
    .preemptions = 3,
};

/* --- the watch ----------------------------------------------------------------------------------*/

enum { ASKERS = 2 };

static struct {
    struct lido__question question;
    unsigned *runtime[ASKERS]; /* what a handler reads, of the asker's */
    unsigned asker;            /* of the question, as the next; plain */
    unsigned answer;
} watch;

static const unsigned indices[ASKERS] = {0, 1};

static pthread_t thread_of(unsigned index)
{
    return (pthread_t)(index + 1);
}

static bool withdraw(struct lido__question *question)
{
    if (wrong != TAKE_BACK)
        return lido__question_withdraw(question);
    lido__question_free(question);
    return true;
}

MODEL_UNSEEN static bool is_settled(const void *question)
{
    return lido__question_phase(((const struct lido__question *)question)->state) !=
           LIDO__QUESTION_ANSWERING;
}

static void put(unsigned index)
{
    lido__question_put(&watch.question, thread_of(index));
    if (wrong == NO_NUMBER)
        lido__fetch_sub(&watch.question.state, LIDO__QUESTION_NUMBER, LIDO__RELAXED);
}

/* Unless the question can be withdrawn. After that its place may be another's already. */
static void await_answer(unsigned index)
{
    if (!lido__question_answered(&watch.question)) {
        if (withdraw(&watch.question) || wrong == LEAVE_AT_ONCE)
            return;
        model_block_until(is_settled, &watch.question);
        model_assert(lido__question_answered(&watch.question));
    }
    model_assert(watch.answer == index + 1);
    lido__question_free(&watch.question);
}

/* Asks, looks once for an answer, and ends. */
static void ask(void *arg)
{
    unsigned index = *(const unsigned *)arg;
    if (lido__question_claim(&watch.question)) {
        watch.asker = index;
        put(index);
        await_answer(index);
    }
    model_free(watch.runtime[index]);
}

/* On the first thread; the signal has come now, whatever it was sent for. */
static void handle(void *arg)
{
    unsigned index = *(const unsigned *)arg;
    if (!lido__question_take(&watch.question, thread_of(index)))
        return;
    model_touch(watch.runtime[watch.asker]);
    model_assert(watch.asker == index);
    watch.answer = *watch.runtime[watch.asker];
    lido__question_answer(&watch.question);
}

static void set_up_watch(void)
{
    watch.question = (struct lido__question){0};
    watch.asker = watch.answer = 0;
    for (unsigned i = 0; i < ASKERS; i++) {
        watch.runtime[i] = model_alloc(sizeof(unsigned), "runtime");
        *watch.runtime[i] = i + 1;
    }
    model_name(watch.question.state);
}

static struct model_scenario asked = {
    .name = "monitor: the watch of two runtimes",
    .setup = set_up_watch,
    .threads = {{"asker 1", ask, (void *)&indices[0]},
                {"asker 2", ask, (void *)&indices[1]},
                {"handler 1", handle, (void *)&indices[0]},
                {"handler 1 again", handle, (void *)&indices[0]}},
    .preemptions = 4,
};

/* --- the tests ----------------------------------------------------------------------------------*/

static int name_threads_own(void **state)
{
    (void)state;
    looked_after.per_thread = &lido__worker_of_thread;
    return 0;
}

static void one_at_a_time_is_inside_and_a_mark_is_true(void **state)
{
    (void)state;
    assert_in_range(model_holds(&looked_after), 10000, SIZE_MAX);
}

static void a_late_handler_answers_its_own_question_or_none(void **state)
{
    (void)state;
    assert_in_range(model_holds(&asked), 1000, SIZE_MAX);
}

static bool caught(const struct model_scenario *scenario, enum wrong what, const char *how)
{
    wrong = what;
    bool found = model_catches(scenario, how) > 0;
    wrong = NOTHING;
    return found;
}

static void wrong_workers_and_monitors_are_caught(void **state)
{
    (void)state;
    assert_true(caught(&looked_after, CARRY_OUTSIDE, "scene.present == 0"));
    assert_true(caught(&looked_after, RESCUE_BESIDE, "scene.present == 0"));
    assert_true(caught(&looked_after, MARK_ALWAYS, "scene.last != OWNER"));
}

static void wrong_questions_are_caught(void **state)
{
    (void)state;
    assert_true(caught(&asked, NO_NUMBER, ""));
    assert_true(caught(&asked, LEAVE_AT_ONCE, ""));
    assert_true(caught(&asked, TAKE_BACK, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time_is_inside_and_a_mark_is_true),
        cmocka_unit_test(a_late_handler_answers_its_own_question_or_none),
        cmocka_unit_test(wrong_workers_and_monitors_are_caught),
        cmocka_unit_test(wrong_questions_are_caught),
    };
    return cmocka_run_group_tests(tests, name_threads_own, NULL);
}
