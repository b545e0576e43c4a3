/*
 * The threads of a runtime: a worker always has one, whichever of them could not be started, a job is run once, and a thread
 * that is called comes; and after the end nobody touches what is gone.
 *
 * The code is that of rt/crew.c and rt/start.c. The monitor here is the one of rt/lifeguard.c in small: it takes a
 * worker from the section that it sees. Threads, mutexes and futexes are the explorer's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crew_world.h"

/* ---- A worker --------------------------------------------------------------------------------------- */

MODEL_UNSEEN static void note_has(void)
{
    model_assert(scene.carriers == 0);
    scene.carriers++;
}

MODEL_UNSEEN static void note_has_not(void)
{
    model_assert(scene.carriers == 1);
    scene.carriers--;
}

/* Plain memory of the worker: the next thread finds it as this one has left it. */
static void use_worker(struct lido__worker *worker)
{
    note_has();
    worker->now++;
    model_touch(worker);
    worker->now++;
    note_has_not();
}

MODEL_UNSEEN static void note_stopped(void)
{
    scene.stopped++;
}

/* Its first task blocks; then it does what there is until it is told to stop. */
bool lido__worker_loop(struct lido__worker *worker)
{
    lido__worker_of_thread = worker;
    use_worker(worker);
    if (lido__fetch_add(&scene.loops, 1, LIDO__ACQ_REL) == 0) {
        uint64_t ticket = lido__section_enter(worker);
        if (!lido__section_leave(worker, ticket))
            return false;
        use_worker(worker);
    }
    model_block_until(is_set, &scene.stop);
    lido__load(&scene.stop, LIDO__ACQUIRE);
    use_worker(worker);
    note_stopped();
    lido__worker_of_thread = NULL;
    return true;
}

static void run_model_job(struct lido__job *job)
{
    struct model_job *self = lido__container_of(job, struct model_job, job);
    self->runs++;
    lido__store(&self->begun, 1, LIDO__RELEASE);
    if (scene.meet)
        model_block_until(is_set, &scene.jobs[self == scene.jobs].begun);
    lido__store(&self->done, 1, LIDO__RELEASE);
}

/* ---- The threads ------------------------------------------------------------------------------------- */

static void set_up_crew(unsigned refusals)
{
    enum wrong wrong = scene.wrong;
    memset(&scene, 0, sizeof(scene));
    scene.wrong = wrong;
    scene.refusals = refusals;
    scene.now = 1;
    settings = (lido_config)LIDO_CONFIG_INIT;
    settings.workers = 1;
    settings.max_blocking = settings.max_fs = settings.max_dns = 1;
    settings.name_prefix = "";
    settings.keep_alive_ms = -1;
    struct lido_runtime *runtime = model_alloc(sizeof(*runtime), "runtime");
    scene.runtime = runtime;
    runtime->seats = model_alloc(sizeof(struct lido__seat), "seats");
    scene.worker = model_alloc(sizeof(*scene.worker), "worker");
    runtime->pool.runtime = runtime;
    scene.worker->pool = &runtime->pool;
    runtime->seats[0].cpu = LIDO__CPU_ANY;
    model_assert(lido__crew_init(&runtime->crew, &settings, false) == 0);
    model_name(scene.stop);
    model_name_memory(&runtime->crew.lock, sizeof(uint32_t), "lock");
    model_name_memory(&runtime->crew.alive, sizeof(uint32_t), "alive");
    model_name_memory(&scene.worker->section, sizeof(uint64_t), "section");
}

static void tear_down(void)
{
    lido__crew_fini(&scene.runtime->crew);
    model_free(scene.worker);
    model_free(scene.runtime->seats);
    model_free(scene.runtime);
    lido__store(&scene.over, 1, LIDO__RELEASE);
}

MODEL_UNSEEN static bool is_wanted(const void *slot)
{
    return ((const struct thread_slot *)slot)->started || scene.over;
}

static void be_thread(void *arg)
{
    struct thread_slot *slot = &scene.slots[*(const int *)arg];
    model_block_until(is_wanted, slot);
    if (!lido__load(&slot->started, LIDO__ACQUIRE))
        return;
    slot->run(slot->arg);
    lido__store(&slot->ended, 1, LIDO__RELEASE);
}

static const int numbers[THREADS] = {0, 1, 2};

#define THREAD(number)                                                                             \
    {                                                                                              \
        "thread " #number, be_thread, (void *)&numbers[(number)-1]                                 \
    }

/* ---- A worker is handed over ------------------------------------------------------------------------- */

MODEL_UNSEEN static bool is_in_section(const void *worker)
{
    return ((const struct lido__worker *)worker)->section & 1 || scene.loops > 1 ||
           ((const struct lido__worker *)worker)->section >= 2;
}

/* As the monitor hands a worker over. */
static void hand_over(struct lido__crew *crew, uint64_t ticket)
{
    struct lido__member *member;
    bool taken = scene.wrong == RETAKE_FIRST && lido__section_retake(scene.worker, ticket);
    if (lido__crew_take(crew, LIDO__CPU_ANY, &member) < 0)
        return;
    if (scene.wrong != RETAKE_FIRST)
        taken = lido__section_retake(scene.worker, ticket);
    lido__crew_send(member, taken || scene.wrong == SEND_REGARDLESS ? scene.worker : NULL);
}

static void watch(void *unused)
{
    (void)unused;
    model_block_until(is_in_section, scene.worker);
    uint64_t ticket = lido__section_seen(scene.worker);
    if (ticket)
        hand_over(&scene.runtime->crew, ticket);
    lido__store(&scene.monitor_done, 1, LIDO__RELEASE);
}

/* The worker's first thread, tried again when it was refused; the end, after that of the monitor. */
static void carry_and_end(void *unused)
{
    struct lido__crew *crew = &scene.runtime->crew;
    (void)unused;
    while (lido__crew_carry(crew, scene.worker, true) < 0) {}
    model_block_until(is_set, &scene.monitor_done);
    lido__load(&scene.monitor_done, LIDO__ACQUIRE);
    lido__store(&scene.stop, 1, LIDO__RELEASE);
    tear_down();
}

static void set_up_hand_over(void)
{
    set_up_crew(1);
}

/* It is not left without a thread, whatever that of the monitor has come to. */
static void worker_was_carried(void)
{
    model_assert(scene.carriers == 0 && scene.stopped == 1);
}

static const struct model_scenario handing_over = {
    .name = "a worker is handed over while its thread comes back",
    .setup = set_up_hand_over,
    .check = worker_was_carried,
    .threads = {{"main", carry_and_end, NULL}, {"monitor", watch, NULL}, THREAD(1), THREAD(2)},
    .preemptions = 3,
};

/* ---- Jobs -------------------------------------------------------------------------------------------- */

static const int first = 0, second = 1;

/* A task that has its job done; it ends when that is, unless it is loose, or it was refused. */
static void have_done(void *number)
{
    struct model_job *self = &scene.jobs[*(const int *)number];
    self->job.run = run_model_job;
    self->result = lido__crew_run(&scene.runtime->crew, &self->job);
    if (self->result == 0 && !self->job.loose) {
        model_block_until(is_set, &self->done);
        lido__load(&self->done, LIDO__ACQUIRE);
    }
    lido__fetch_add(&scene.callers, 1, LIDO__RELEASE);
}

MODEL_UNSEEN static bool have_ended(const void *callers)
{
    return *(const uint32_t *)callers == JOBS;
}

static void end_after_both(void *unused)
{
    (void)unused;
    model_block_until(have_ended, &scene.callers);
    lido__load(&scene.callers, LIDO__ACQUIRE);
    tear_down();
}

static void set_up_jobs(void)
{
    set_up_crew(1);
}

/* So each needs a thread of its own. */
static void set_up_meeting(void)
{
    set_up_crew(0);
    scene.meet = true;
}

/* The second of two may be left by its task. */
static void set_up_loose(void)
{
    set_up_crew(0);
    scene.jobs[1].job.loose = true;
}

/* A thread that was not called for long ends: also when it is called at that moment. */
static void set_up_short_lived(void)
{
    set_up_crew(1);
    settings.keep_alive_ms = 1;
    scene.expires = true;
}

static void each_has_run_or_was_refused(void)
{
    for (int i = 0; i < JOBS; i++)
        model_assert(scene.jobs[i].runs == (scene.jobs[i].result == 0));
}

#define JOB_SCENARIO(NAME, SETUP, PREEMPTIONS)                                                     \
    {                                                                                              \
        .name = NAME, .setup = SETUP, .check = each_has_run_or_was_refused,                        \
        .threads = {{"main", end_after_both, NULL},                                                \
                    {"task 1", have_done, (void *)&first},                                         \
                    {"task 2", have_done, (void *)&second},                                        \
                    THREAD(1),                                                                     \
                    THREAD(2)},                                                                    \
        .preemptions = PREEMPTIONS,                                                                \
    }

static const struct model_scenario jobs =
    JOB_SCENARIO("two jobs, and a refused thread", set_up_jobs, 1);
static const struct model_scenario meeting = JOB_SCENARIO("two jobs that meet", set_up_meeting, 1);
static const struct model_scenario loose = JOB_SCENARIO("a job that is loose", set_up_loose, 2);
static const struct model_scenario short_lived =
    JOB_SCENARIO("threads that do not stay", set_up_short_lived, 1);

/* ---- The tests ------------------------------------------------------------------------------------- */

static size_t holds(const struct model_scenario *right)
{
    struct model_scenario scenario = *right;
    scenario.per_thread = &lido__worker_of_thread;
    scene.wrong = NOTHING;
    return model_holds(&scenario);
}

static void a_worker_has_one_thread_at_a_time(void **state)
{
    (void)state;
    assert_in_range(holds(&handing_over), 1000, SIZE_MAX);
}

static void a_job_is_run_once_or_refused(void **state)
{
    (void)state;
    assert_in_range(holds(&jobs), 1000, SIZE_MAX);
    assert_in_range(holds(&meeting), 1000, SIZE_MAX);
    assert_in_range(holds(&short_lived), 1000, SIZE_MAX);
}

static void a_thread_that_was_cast_off_touches_nothing(void **state)
{
    (void)state;
    assert_in_range(holds(&loose), 1000, SIZE_MAX);
}

static bool caught(enum wrong wrong, const struct model_scenario *right, const char *name,
                   const char *how)
{
    struct model_scenario scenario = *right;
    scenario.name = name;
    scenario.per_thread = &lido__worker_of_thread;
    scene.wrong = wrong;
    return model_catches(&scenario, how) > 0;
}

static void wrong_protocols_are_caught(void **state)
{
    (void)state;
    assert_true(caught(CALL_IN_SILENCE, &jobs, "one that sleeps is not woken", "deadlock"));
    assert_true(caught(SLEEP_REGARDLESS, &jobs, "one that was called goes to sleep", "deadlock"));
    assert_true(caught(MOOR_REGARDLESS, &loose, "one that was cast off comes back", "freed"));
    assert_true(caught(RETAKE_FIRST, &handing_over, "a worker is taken, and there is no thread",
                       "scene.stopped"));
    assert_true(
        caught(SEND_REGARDLESS, &handing_over, "a worker is given away twice", "scene.carriers"));
    assert_true(
        caught(FORGET_THE_WAITING, &meeting, "a job behind another is forgotten", "deadlock"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_worker_has_one_thread_at_a_time),
        cmocka_unit_test(a_job_is_run_once_or_refused),
        cmocka_unit_test(a_thread_that_was_cast_off_touches_nothing),
        cmocka_unit_test(wrong_protocols_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
