/*
 * The lifeguard where the system refuses threads: it rescues although a section goes on that cannot be given away. And
 * called by a worker while its runtime comes to its end: it is not left behind.
 */
#include <errno.h>

#include "base/fault.h"
#include "os/os.h"
#include "rt/runtime.h"
#include "support/gate.h"
#include "support/runtime.h"

static lido_config watched(void)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.scheduler =
        "io-pool"; /* its workers come with the runtime, and each wants to be watched */
    config.workers = 2;
    config.watch_ms = 1000;
    return config;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Besides those of sanitizers, which come with the first thread. */
static unsigned threads_by_now(void)
{
    check_int(lido_run(NULL, nothing, NULL), 0);
    return threads_count();
}

/* One that has been joined may be listed a moment longer. */
static void check_threads(unsigned before)
{
    uint64_t until = lido_now() + 5000000000u;
    while (threads_count() > before && lido_now() < until)
        lido__thread_yield();
    check_int(threads_count(), before);
}

/* ---- Workers that are stuck for nothing ---------------------------------------------------------- */

enum { HOGS = 6, LOOKS_MS = 300 };

static int compute_for_long(void *arg)
{
    (void)arg;
    for (uint64_t until = lido_now() + LOOKS_MS * (uint64_t)1000000; lido_now() < until;) {}
    return 0;
}

static int sleep_meanwhile(void *arg)
{
    (void)arg;
    return lido_sleep(10 * LOOKS_MS);
}

/* Barriers while some workers compute, each with a movable task behind it that sleeps. */
static uint64_t barriers_of(const char *scheduler)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_runtime *runtime = runtime_by(scheduler, HOGS + 2);
    lido_task *hogs[HOGS], *sleepers[HOGS];
    options.placement = LIDO_PLACE_WORKER;
    options.mobility = LIDO_RESCUABLE;
    for (options.worker = 0; options.worker < HOGS; options.worker++)
        check_int(lido_runtime_spawn_with(runtime, &sleepers[options.worker], sleep_meanwhile, NULL,
                                          &options),
                  0);
    lido__fault_plan("membarrier", 0, 0);
    for (unsigned i = 0; i < HOGS; i++)
        hogs[i] = runtime_start_pinned(runtime, i, compute_for_long, NULL);
    for (unsigned i = 0; i < HOGS; i++)
        check_int(lido_join(hogs[i], NULL), 0);
    uint64_t barriers = lido__fault_count();
    lido__fault_clear();
    for (unsigned i = 0; i < HOGS; i++) {
        lido_cancel(sleepers[i]);
        check_int(lido_join(sleepers[i], NULL), 0);
    }
    runtime_end(runtime);
    return barriers;
}

/* One for each worker, and a few that the test's own mail is the reason of; not one for each worker and millisecond. */
static void a_worker_that_had_nothing_to_move_is_left_alone(void **state)
{
    (void)state;
    check(barriers_of("io-pool") <= 5 * HOGS);
    check(barriers_of("work-stealing") <= 5 * HOGS);
}

/* ---- A runtime that is not built ----------------------------------------------------------------- */

static void carry_after_failure(void *arg, unsigned worker, void (*go_on)(void *run_arg),
                                void *run_arg)
{
    (void)arg;
    (void)worker;
    while (!lido__fault_hit())
        lido__thread_yield();
    go_on(run_arg);
}

static void a_runtime_that_is_not_built_leaves_no_lifeguard(void **state)
{
    lido_config config = watched();
    lido_runtime *runtime;
    unsigned before = threads_by_now();
    (void)state;
    config.around_worker = carry_after_failure;
    lido__fault_plan("pthread_create", 2, -EAGAIN); /* the second worker's */
    check_int(lido_runtime_new(&runtime, &config), -EAGAIN);
    lido__fault_clear();
    check_threads(before);
}

/* ---- A runtime that has ended -------------------------------------------------------------------- */

static lido__shared lido_runtime *ended;

static void carry_after_end(void *arg, unsigned worker, void (*go_on)(void *run_arg), void *run_arg)
{
    const lido_runtime *runtime;
    (void)arg;
    (void)worker;
    while (!(runtime = lido__load(&ended, LIDO__ACQUIRE)))
        lido__thread_yield();
    while (!lido__load(&runtime->pool.stopped, LIDO__ACQUIRE))
        lido__thread_yield();
    go_on(run_arg);
}

static void a_runtime_that_ends_at_once_leaves_no_lifeguard(void **state)
{
    lido_config config = watched();
    unsigned before = threads_by_now();
    (void)state;
    config.around_worker = carry_after_end;
    for (int i = 0; i < 50; i++) {
        lido_runtime *runtime;
        lido__store(&ended, NULL, LIDO__RELAXED);
        check_int(lido_runtime_new(&runtime, &config), 0);
        lido__store(&ended, runtime, LIDO__RELEASE);
        check_int(lido_runtime_free(runtime), 0);
        check_threads(before);
    }
}

/* ---- A section that is seen at each look --------------------------------------------------------- */

struct scene {
    struct gate gate; /* of the section */
    struct flag rescued;
};

static int pass(void *arg)
{
    gate_pass(&((struct scene *)arg)->gate);
    return 0;
}

static int block(void *arg)
{
    return lido_blocking(pass, arg);
}

static int raise_rescued(void *arg)
{
    flag_raise(&((struct scene *)arg)->rescued);
    return 0;
}

/* Five seconds: on a machine that is busy the lifeguard may be late, but it is not off. */
static int compute_until_rescued(void *arg)
{
    const struct scene *scene = arg;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    uint64_t until = lido_now() + 5000000000u;
    options.placement = LIDO_PLACE_LOCAL;
    options.mobility = LIDO_RESCUABLE;
    check_int(lido_spawn_with(NULL, raise_rescued, arg, &options), 0);
    while (!flag_is_up(&scene->rescued) && lido_now() < until) {}
    check(flag_is_up(&scene->rescued));
    return 0;
}

/* So that tasks are shared, and nobody is awake any more for the lifeguard to look at. */
static void share_and_sleep(lido_runtime *runtime)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    options.mobility = LIDO_RESCUABLE;
    check_int(lido_runtime_spawn_with(runtime, &task, nothing, NULL, &options), 0);
    check_int(lido_join(task, NULL), 0);
    while (!lido__load(&runtime->pool.unwatched, LIDO__ACQUIRE))
        lido__thread_yield();
}

/* The section keeps its worker, for there is no other thread to carry that. */
static void rescue_beside_a_section(bool shared_before)
{
    struct scene scene = {0};
    lido_runtime *runtime = runtime_by("io-pool", 3);
    if (shared_before)
        share_and_sleep(runtime);
    /* The lifeguard's own comes first, if it has not come. */
    lido__fault_plan_from("pthread_create", shared_before ? 1 : 2, -EAGAIN);
    lido_task *blocked = runtime_start_pinned(runtime, 2, block, &scene);
    while (!lido__fault_hit())
        lido__thread_yield();
    lido_task *computing = runtime_start_pinned(runtime, 0, compute_until_rescued, &scene);
    check_int(lido_join(computing, NULL), 0);
    gate_open(&scene.gate);
    check_int(lido_join(blocked, NULL), 0);
    lido__fault_clear();
    runtime_end(runtime);
}

static void sections_do_not_keep_the_lifeguard_from_rescuing(void **state)
{
    (void)state;
    rescue_beside_a_section(false);
    rescue_beside_a_section(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_do_not_keep_the_lifeguard_from_rescuing),
        cmocka_unit_test(a_worker_that_had_nothing_to_move_is_left_alone),
        cmocka_unit_test(a_runtime_that_is_not_built_leaves_no_lifeguard),
        cmocka_unit_test(a_runtime_that_ends_at_once_leaves_no_lifeguard),
    };
    unsetenv("LIDO_SCHEDULER"); /* see watched() */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
