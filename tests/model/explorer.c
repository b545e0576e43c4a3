/*
 * The explorer: see explorer.h for what it does.
 *
 * One schedule is one run of the scenario. `main` below is the context that calls model_holds; it
 * starts each simulated thread in turn and lets it come to its first point, then lets one of them
 * go on. From there the threads decide among themselves: at each point the one that runs asks
 * next_thread who makes the next step, and switches only if that is another. Control comes back
 * to `main` when nobody can run or the schedule has failed.
 *
 * Stopping all threads at their first point makes "whose turn is it" the only kind of choice, so
 * that the number of schedules is the number of interleavings of the points, and no schedule is
 * walked twice.
 */
#define MODEL_EXPLORER
#include "explorer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"
#include "memory.h"
#include "os/backoff.h"
#include "report.h"

/* --- points -------------------------------------------------------------------------------------*/

MODEL_UNSEEN void model_block_until(bool (*predicate)(const void *arg), const void *arg)
{
    struct thread *self = &world.threads[world.current];
    if (world.current == OFFSTAGE)
        misuse("setup and check cannot sleep");
    model_system_call();
    self->progress = ASLEEP;
    self->predicate = predicate;
    self->predicate_arg = arg;
    if (!world.starting && !can_run(self))
        record("sleep", arg);
    give_way();
    self->progress = READY;
    catch_up();
    record("awake", arg);
}

MODEL_UNSEEN void model_yield(void)
{
    if (world.current == OFFSTAGE)
        return;
    switch_to(world.starting ? NOBODY : next_thread_after_yield(world.current));
    record("yield", NULL);
}

/* Every wait for another thread. */
MODEL_UNSEEN void lido__backoff(struct lido__backoff *backoff)
{
    (void)backoff;
    model_yield();
}

MODEL_UNSEEN unsigned model_choose(unsigned options)
{
    static const char *const taken[] = {"choose 0", "choose 1", "choose 2", "choose 3"};
    if (!options)
        misuse("a choice between nothing");
    unsigned choice = choose(options);
    if (world.current != OFFSTAGE)
        record(choice < 4 ? taken[choice] : "choose more", NULL);
    return choice;
}

MODEL_UNSEEN void model_note(const char *text)
{
    if (world.current != NOBODY && world.current != OFFSTAGE)
        record(text, NULL);
}

/* --- memory -------------------------------------------------------------------------------------*/

/* Seen by TSan, as malloc and free are: what the caller writes must be ordered with other uses. */
void *model_alloc(size_t size, const char *name)
{
    char *memory = block_new(size, name);
    if (!memory)
        misuse("too much model_alloc in one schedule");
    return memset(memory, 0, size);
}

/* The block of what is to be freed. */
MODEL_UNSEEN static struct region *block_alive(void *memory)
{
    struct region *block = block_at(memory);
    if (!block)
        misuse("model_free of what model_alloc has not given");
    if (block->freed)
        fail_at("memory is freed twice", NULL, 0);
    block->freed = true;
    return block;
}

void model_free(void *memory)
{
    point("free", memory);
    struct region *block = block_at(memory);
    if (block && !block->freed)
        check_free(memory, block->size);
    block = block_alive(memory);
    memset(memory, 0xdd, block->size);
    sanitized_poison(memory, block->size);
}

MODEL_UNSEEN void model_name_memory(const void *memory, size_t size, const char *name)
{
    if (!name_add(memory, size, name))
        misuse("too many names");
}

MODEL_UNSEEN static void check_leaks(void)
{
    if (block_any_alive())
        fail_at("memory is never freed", NULL, 0);
}

/* --- one schedule -------------------------------------------------------------------------------*/

/* Runs once per schedule, so that a stack is made once per scenario. */
MODEL_UNSEEN static void thread_main(int index)
{
    struct thread *self = &world.threads[index];
    coroutine_begin(&self->coroutine);
    for (;;) {
        sanitized_acquire(&world);
        self->run(self->arg);
        sanitized_release(&world);
        self->progress = ENDED;
        bool alone = world.starting || index == OFFSTAGE;
        switch_to(alone ? NOBODY : next_thread(NOBODY));
    }
}

MODEL_UNSEEN static void run_offstage(void *unused)
{
    (void)unused;
    world.offstage();
}

MODEL_UNSEEN static void run_alone(void (*fn)(void))
{
    if (!fn || world.failure)
        return;
    world.offstage = fn;
    sanitized_release(&world);
    switch_to(OFFSTAGE);
    sanitized_acquire(&world);
}

MODEL_UNSEEN static void reset_schedule(void)
{
    world.preemptions = 0;
    world.delays = 0;
    places_reset();
    for (int i = 0; i < ALL_THREADS; i++)
        world.threads[i].per_thread = NULL;
    choices_begin();
    trace_reset();
    regions_reset();
}

MODEL_UNSEEN static void bring_to_first_points(void)
{
    world.starting = true;
    sanitized_release(&world);
    for (int i = 0; i < world.count && !world.failure; i++) {
        world.threads[i].progress = READY;
        switch_to(i);
    }
    world.starting = false;
}

MODEL_UNSEEN static void check_all_ended(void)
{
    for (int i = 0; i < world.count; i++)
        if (world.threads[i].progress != ENDED)
            fail_at("deadlock: nobody can run", NULL, 0);
}

MODEL_UNSEEN static void run_schedule(void)
{
    reset_schedule();
    run_alone(world.scenario->setup);
    bring_to_first_points();
    if (!world.failure)
        switch_to(next_thread(NOBODY));
    sanitized_acquire(&world);
    if (world.raced)
        fail_at("data race, says ThreadSanitizer", NULL, 0);
    if (!world.failure)
        check_all_ended();
    run_alone(world.scenario->check);
    if (!world.failure)
        check_leaks();
    if (trace_length() > world.longest)
        world.longest = trace_length();
}

/* --- all schedules ------------------------------------------------------------------------------*/

/* What the environment wants, if it is more. */
MODEL_UNSEEN static int at_least(const char *variable, int bound)
{
    const char *wanted = getenv(variable);
    return bound && wanted && atoi(wanted) > bound ? atoi(wanted) : bound;
}

/* What a scenario gives as a bound: 0 is the default, and a negative number is none. */
MODEL_UNSEEN static int bound_of(int given, int by_default)
{
    if (given == 0)
        return by_default;
    return given < 0 ? 0 : given;
}

/* Delays multiply the schedules, so that there are fewer preemptions, but where all are walked. */
MODEL_UNSEEN static int weak_bound(int preemptions)
{
    if (preemptions == MODEL_ALL_INTERLEAVINGS || preemptions == 0)
        return preemptions;
    return preemptions > 2 ? 2 : preemptions - 1;
}

MODEL_UNSEEN static void set_bounds(const struct model_scenario *scenario)
{
    int preemptions = bound_of(scenario->preemptions, 3);
    if (world.memory != MODEL_SC)
        preemptions = bound_of(scenario->weak_preemptions, weak_bound(preemptions));
    world.preemption_bound = at_least("LIDO_MODEL_PREEMPTIONS", preemptions);
    world.delay_bound =
        world.memory == MODEL_SC ? 0 : at_least("LIDO_MODEL_DELAYS", bound_of(scenario->delays, 1));
}

MODEL_UNSEEN static void open_thread(int index, const struct model_thread *from)
{
    struct thread *thread = &world.threads[index];
    thread->name = from->name;
    thread->run = from->run;
    thread->arg = from->arg;
    thread->progress = ENDED;
    coroutine_init(&thread->coroutine, thread_main, index);
}

MODEL_UNSEEN static void open_world(const struct model_scenario *scenario, enum model_memory on)
{
    static const struct model_thread offstage = {"check", run_offstage, NULL};
    world.scenario = scenario;
    world.memory = on;
    set_bounds(scenario);
    size_t max_points = scenario->max_points ? scenario->max_points : 1000;
    if (!trace_init(max_points) || !choices_init(2 * max_points)) /* falling asleep is two */
        misuse("out of memory");
    world.current = NOBODY;
    world.longest = 0;
    world.failure = NULL;
    world.raced = false;

    coroutine_adopt(&world.main);
    open_thread(OFFSTAGE, &offstage);
    for (world.count = 0; world.count < MODEL_MAX_THREADS; world.count++) {
        const struct model_thread *thread = &scenario->threads[world.count];
        if (!thread->run)
            break;
        open_thread(world.count, thread);
    }
    if (scenario->per_thread)
        sanitized_per_thread(scenario->per_thread);
    crash_watch(print_last_words);
}

/* For what an abandoned thread has done to be over before what comes next, in TSan's eyes. */
MODEL_UNSEEN static void close_thread(struct thread *thread)
{
    void *self = sanitized_impersonate(&thread->coroutine.sanitized);
    sanitized_release(&world);
    sanitized_be_oneself(self);
    sanitized_acquire(&world);
    coroutine_fini(&thread->coroutine);
}

MODEL_UNSEEN static void close_world(void)
{
    for (int i = 0; i < world.count; i++)
        close_thread(&world.threads[i]);
    close_thread(&world.threads[OFFSTAGE]);
    reset_schedule();
    crash_unwatch();
    choices_fini();
    trace_fini();
    world.scenario = NULL;
}

/* The number of schedules up to the end or the first that fails. */
MODEL_UNSEEN static size_t walk(void)
{
    size_t schedules = 0;
    do {
        run_schedule();
        schedules++;
    } while (!world.failure && choices_advance());
    return schedules;
}

MODEL_UNSEEN static size_t holds_on(const struct model_scenario *scenario, enum model_memory memory)
{
    open_world(scenario, memory);
    size_t schedules = walk();
    if (world.failure) {
        print_failure(schedules);
        print_interleaving();
        schedules = 0;
    } else {
        print_success(schedules);
    }
    close_world();
    return schedules;
}

/* Whether it makes a difference which memory it is. */
MODEL_UNSEEN static bool has_atomics(void)
{
    return !MODEL_TSAN && places.most_places > 0;
}

MODEL_UNSEEN static bool is_wanted(enum model_memory memory)
{
    const char *only = getenv("LIDO_MODEL_MEMORY");
    return !only || !strcmp(only, memory_name(memory));
}

MODEL_UNSEEN size_t model_holds(const struct model_scenario *scenario)
{
    places.most_places = 0;
    size_t schedules = holds_on(scenario, MODEL_SC);
    for (int weak = MODEL_TSO; schedules && has_atomics() && weak <= MODEL_C11; weak++)
        if (is_wanted(weak) && !holds_on(scenario, weak))
            return 0;
    return schedules;
}

MODEL_UNSEEN static size_t catches(const struct model_scenario *scenario, const char *how)
{
    size_t schedules = walk();
    bool as_expected = world.failure && strstr(world.failure, how);
    if (!world.failure)
        fprintf(stderr, "model: %s: not caught in %zu schedules, but it is broken: %s\n",
                scenario->name, schedules, how);
    else
        print_failure(schedules);
    if (world.failure && (!as_expected || getenv("LIDO_MODEL_VERBOSE")))
        print_interleaving();
    if (world.failure && !as_expected)
        fprintf(stderr, "model: that is not what was to be caught: %s\n", how);
    return as_expected ? schedules : 0;
}

/* What is broken on purpose often has data races too, which are not what it is here for. */
MODEL_UNSEEN static void ignore_accesses_everywhere(bool begin)
{
    world.races_are_ignored = begin;
    for (int i = 0; i < ALL_THREADS; i++) {
        if (i >= world.count && i != OFFSTAGE)
            continue;
        void *self = sanitized_impersonate(&world.threads[i].coroutine.sanitized);
        sanitized_ignore_accesses(begin);
        sanitized_be_oneself(self);
    }
}

MODEL_UNSEEN static size_t catches_on(const struct model_scenario *scenario,
                                      enum model_memory memory, const char *how)
{
    open_world(scenario, memory);
    ignore_accesses_everywhere(true);
    size_t schedules = catches(scenario, how);
    ignore_accesses_everywhere(false);
    close_world();
    return schedules;
}

MODEL_UNSEEN size_t model_catches(const struct model_scenario *scenario, const char *how)
{
    return catches_on(scenario, MODEL_SC, how);
}

MODEL_UNSEEN bool model_catches_weak(const struct model_scenario *scenario,
                                     enum model_memory memory, const char *how)
{
    if (MODEL_TSAN) {
        fprintf(stderr, "model: %s: left to builds without TSan\n", scenario->name);
        return true;
    }
    return holds_on(scenario, MODEL_SC) && catches_on(scenario, memory, how);
}

#if !MODEL_TSAN

MODEL_UNSEEN bool model_catches_race(const struct model_scenario *scenario)
{
    open_world(scenario, MODEL_SC);
    bool caught = catches(scenario, "data race") > 0;
    close_world();
    return caught;
}

#else

/*
 * In a child process, because TSan's report cannot be had without being printed, and may end the
 * process; the hook below ends it first.
 */
MODEL_UNSEEN bool model_catches_race(const struct model_scenario *scenario)
{
    pid_t child = fork();
    if (child < 0)
        misuse("cannot fork");
    if (child == 0) {
        world.race_is_expected = true;
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        open_world(scenario, MODEL_SC);
        walk();
        _exit(1);
    }
    int status;
    bool caught = waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                  WEXITSTATUS(status) == 0;
    fprintf(stderr, "model: %s: data race %s\n", scenario->name, caught ? "caught" : "not caught");
    return caught;
}

void __tsan_on_report(void *report);

/* Called by TSan, after it has printed a report. */
MODEL_UNSEEN void __tsan_on_report(void *report)
{
    (void)report;
    if (world.race_is_expected)
        _exit(0);
    world.raced = true;
}
#endif
