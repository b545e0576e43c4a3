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
#include "explorer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "choices.h"
#include "crash.h"
#include "os/backoff.h"
#include "regions.h"
#include "report.h"
#include "trace.h"
#include "world.h"

/* --- switching ----------------------------------------------------------------------------------*/

MODEL_UNSEEN static struct coroutine *coroutine_of(int thread)
{
    return thread == NOBODY ? &world.main : &world.threads[thread].coroutine;
}

MODEL_UNSEEN static void change_per_thread(int from, int to)
{
    void *variable = world.scenario->per_thread;
    if (!variable)
        return;
    if (from != NOBODY)
        memcpy(&world.threads[from].per_thread, variable, sizeof(void *));
    if (to != NOBODY)
        memcpy(variable, &world.threads[to].per_thread, sizeof(void *));
}

MODEL_UNSEEN static void switch_to(int next)
{
    int self = world.current;
    if (next == self)
        return;
    change_per_thread(self, next);
    world.current = next;
    coroutine_switch(coroutine_of(self), coroutine_of(next));
}

/* `file` NULL: found by the explorer and not by an assertion. Comes back only in `main`. */
MODEL_UNSEEN static void fail_at(const char *what, const char *file, int line)
{
    if (!world.failure) {
        world.failure = what;
        world.failure_file = file;
        world.failure_line = line;
        world.failure_thread = world.current;
    }
    switch_to(NOBODY);
}

MODEL_UNSEEN void model_fail(const char *what, const char *file, int line)
{
    fail_at(what, file, line);
    fprintf(stderr, "model: %s:%d: %s, outside of a scenario\n", file, line, what);
    abort();
}

/* For mistakes in the scenario or in the explorer, which no schedule is to blame for. */
__attribute__((noreturn)) MODEL_UNSEEN static void misuse(const char *what)
{
    fprintf(stderr, "model: %s: %s\n", world.scenario ? world.scenario->name : "no scenario", what);
    abort();
}

/* --- choosing -----------------------------------------------------------------------------------*/

MODEL_UNSEEN static unsigned choose(unsigned options)
{
    unsigned taken = 0;
    const char *why_not = choices_make(options, &taken);
    if (why_not)
        misuse(why_not);
    return taken;
}

MODEL_UNSEEN static bool can_run(const struct thread *thread)
{
    if (thread->progress != ASLEEP)
        return thread->progress == READY;

    world.quiet = true;
    sanitized_ignore_accesses(true);
    sanitized_ignore_sync(true);
    bool awake = thread->predicate(thread->predicate_arg);
    sanitized_ignore_sync(false);
    sanitized_ignore_accesses(false);
    world.quiet = false;
    return awake;
}

/* The threads beside `self` that can run, in a ring after it. */
MODEL_UNSEEN static int others_than(int self, int *others)
{
    int count = 0;
    for (int i = 1; i <= world.count; i++) {
        int thread = (self + i) % world.count;
        if (thread != self && can_run(&world.threads[thread]))
            others[count++] = thread;
    }
    return count;
}

/* Who makes the next step, at a point of `self`; NOBODY if `self` is, and cannot go on. */
MODEL_UNSEEN static int next_thread(int self)
{
    int options[MODEL_MAX_THREADS + 1];
    int count = 0;
    bool may_stay = self != NOBODY && can_run(&world.threads[self]);

    if (may_stay) {
        if (world.preemptions >= world.preemption_bound)
            return self;
        options[count++] = self;
    }
    count += others_than(self, options + count);
    if (!count)
        return NOBODY;
    int next = options[choose((unsigned)count)];
    if (may_stay && next != self)
        world.preemptions++;
    return next;
}

MODEL_UNSEEN static int next_thread_after_yield(int self)
{
    int options[MODEL_MAX_THREADS];
    int count = others_than(self, options);
    if (!count)
        return self;
    if (world.preemptions >= world.preemption_bound)
        count = 1;
    unsigned taken = choose((unsigned)count);
    if (taken)
        world.preemptions++;
    return options[taken];
}

/* --- points -------------------------------------------------------------------------------------*/

MODEL_UNSEEN static void record(const char *what, const void *where)
{
    if (!trace_add(world.current, what, where))
        fail_at("livelock: too many points", NULL, 0);
}

/* Gives way to whoever is to make the next step, until that is the caller again. */
MODEL_UNSEEN static void give_way(void)
{
    switch_to(world.starting ? NOBODY : next_thread(world.current));
}

MODEL_UNSEEN static void point(const char *what, const void *where)
{
    if (world.current == OFFSTAGE)
        return;
    give_way();
    record(what, where);
    trace_remember_held();
}

MODEL_UNSEEN void lido__model_point(const char *what, const void *where)
{
    if (world.current == NOBODY || world.quiet)
        return;
    point(what, where);
    if (block_is_freed(where))
        fail_at("memory is used after it was freed", NULL, 0);
    if (world.raced)
        fail_at("data race, says ThreadSanitizer", NULL, 0);
}

MODEL_UNSEEN void model_block_until(bool (*predicate)(const void *arg), const void *arg)
{
    struct thread *self = &world.threads[world.current];
    if (world.current == OFFSTAGE)
        misuse("setup and check cannot sleep");
    self->progress = ASLEEP;
    self->predicate = predicate;
    self->predicate_arg = arg;
    if (!world.starting && !can_run(self))
        record("sleep", arg);
    give_way();
    self->progress = READY;
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
    struct region *block = block_alive(memory);
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

MODEL_UNSEEN static void set_bound(const struct model_scenario *scenario)
{
    const char *wanted = getenv("LIDO_MODEL_PREEMPTIONS");
    int bound = scenario->preemptions;
    if (bound == MODEL_DEFAULT_PREEMPTIONS)
        bound = 3;
    else if (bound == MODEL_NO_PREEMPTION)
        bound = 0;
    if (bound && wanted && atoi(wanted) > bound)
        bound = atoi(wanted);
    world.preemption_bound = bound;
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

MODEL_UNSEEN static void open_world(const struct model_scenario *scenario)
{
    static const struct model_thread offstage = {"check", run_offstage, NULL};
    world.scenario = scenario;
    set_bound(scenario);
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

MODEL_UNSEEN size_t model_holds(const struct model_scenario *scenario)
{
    open_world(scenario);
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
    for (int i = 0; i < ALL_THREADS; i++) {
        if (i >= world.count && i != OFFSTAGE)
            continue;
        void *self = sanitized_impersonate(&world.threads[i].coroutine.sanitized);
        sanitized_ignore_accesses(begin);
        sanitized_be_oneself(self);
    }
}

MODEL_UNSEEN size_t model_catches(const struct model_scenario *scenario, const char *how)
{
    open_world(scenario);
    ignore_accesses_everywhere(true);
    size_t schedules = catches(scenario, how);
    ignore_accesses_everywhere(false);
    close_world();
    return schedules;
}

/*
 * In a child process, because TSan's report cannot be had without being printed, and may end the
 * process; the hook below ends it first.
 */
MODEL_UNSEEN bool model_catches_race(const struct model_scenario *scenario)
{
    if (!MODEL_TSAN) {
        fprintf(stderr, "model: %s: left to the TSan build\n", scenario->name);
        return true;
    }
    pid_t child = fork();
    if (child < 0)
        misuse("cannot fork");
    if (child == 0) {
        world.race_is_expected = true;
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        open_world(scenario);
        walk();
        _exit(1);
    }
    int status;
    bool caught = waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                  WEXITSTATUS(status) == 0;
    fprintf(stderr, "model: %s: data race %s\n", scenario->name, caught ? "caught" : "not caught");
    return caught;
}

#if MODEL_TSAN
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
