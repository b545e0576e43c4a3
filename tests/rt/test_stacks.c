/* The memory of stacks: what a burst has taken goes back, limits are lived with, and nothing of one task is left to the
   next if that is asked for. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/sanitize.h"
#include "os/os.h"
#include "support/death.h"
#include "support/runtime.h"

#ifdef LIDO__ASAN
#define SANITIZED 1
#else
#define SANITIZED UNDER_TSAN
#endif

static size_t statm(int field)
{
    size_t pages[2];
    FILE *file = fopen("/proc/self/statm", "r");
    check(file && fscanf(file, "%zu %zu", &pages[0], &pages[1]) == 2);
    fclose(file);
    return pages[field] * lido__page_size();
}

/* ---- After a burst ------------------------------------------------------------------------------ */

enum { FIBERS = 4000, STAY = 64, DEPTH = 48 << 10 };

struct burst {
    lido_event leave;
    lido_event end;
    size_t most; /* bytes that may be resident after it */
};

static void touch(void)
{
    volatile char frame[DEPTH];
    for (size_t i = 0; i < sizeof(frame); i += 512)
        frame[i] = 1;
}

static struct burst burst;

static int dive(void *arg)
{
    const uintptr_t *number = arg;
    touch();
    check_int(lido_event_wait(&burst.leave), 0);
    return *number % STAY == 0 ? lido_event_wait(&burst.end) : 0;
}

static bool has_gone_back(void *arg)
{
    return statm(1) < *(size_t *)arg;
}

static int burst_and_look(void *arg)
{
    static uintptr_t numbers[FIBERS];
    static lido_task *tasks[FIBERS];
    (void)arg;
    size_t before = statm(1);
    for (uintptr_t i = 0; i < FIBERS; i++) {
        numbers[i] = i;
        check_int(lido_spawn(&tasks[i], dive, &numbers[i]), 0);
    }
    for (size_t i = 0; i < FIBERS; i++)
        check_int(lido_yield(), 0);
    size_t peak = statm(1) - before;
    check(peak > (size_t)FIBERS * DEPTH);
    lido_event_notify_all(&burst.leave);
    /* One in 64 keeps its chunk. A tenth of the burst is more than they have, and what a worker keeps. */
    burst.most = before + peak / 10;
    await_that(has_gone_back, &burst.most);
    lido_event_notify_all(&burst.end);
    for (size_t i = 0; i < FIBERS; i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void the_pages_of_free_stacks_go_back_after_a_burst(void **state)
{
    (void)state;
    if (SANITIZED)
        skip(); /* shadow memory and quarantine are most of what is resident */
    run_on(1, burst_and_look, NULL);
}

/* ---- Limits ------------------------------------------------------------------------------------- */

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_a_little(void *arg)
{
    (void)arg;
    return lido_sleep(1);
}

static int run_eight(void *arg)
{
    lido_task *tasks[8];
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(lido_spawn(&tasks[i], sleep_a_little, NULL), 0);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

/* Room for a dozen stacks of a MiB, and not for 64. */
static void run_in_little_room(void *arg)
{
    lido_config config = LIDO_CONFIG_INIT;
    (void)arg;
    config.workers = 1;
    config.stack_size = 1 << 20;
    check_int(lido_run(&config, nothing, NULL), 0); /* what is made once and kept */
    rlim_t room = statm(0) + (20u << 20);
    const struct rlimit limit = {room, room};
    check_int(setrlimit(RLIMIT_AS, &limit), 0);
    check_int(lido_run(&config, run_eight, NULL), 0);
}

static void where_there_is_no_room_for_many_stacks_there_is_for_few(void **state)
{
    struct death death;
    (void)state;
    if (SANITIZED)
        skip(); /* their shadow needs more room than any limit leaves */
    death_of(run_in_little_room, NULL, &death);
    if (death.status)
        fail_msg("it ended with %#x: %s", (unsigned)death.status, death.told);
}

/* ---- What is left on a stack -------------------------------------------------------------------- */

#define SECRET 0x5ec2e7a11a57f00dull
#define WORDS 256

static size_t left; /* of the secret, in the frame of a later task */

/* Called at the same depth as the next, and not inlined: so both have the same frame. */
static __attribute__((noinline)) void keep_a_secret(void)
{
    volatile uint64_t frame[WORDS];
    for (size_t i = 0; i < WORDS; i++)
        frame[i] = SECRET;
    __asm__ volatile("" : : "r"(frame) : "memory");
}

static __attribute__((noinline)) void look_for_it(void)
{
    volatile uint64_t frame[WORDS];
    __asm__ volatile("" : : "r"(frame) : "memory"); /* as if it had been written to */
    for (size_t i = 0; i < WORDS; i++)
        left += frame[i] == SECRET;
}

static int have_a_secret(void *arg)
{
    keep_a_secret();
    return arg ? lido_yield() : 0;
}

static int spy(void *arg)
{
    look_for_it();
    return arg ? lido_yield() : 0;
}

/* One after the other on the same stack; `arg`: which is left and taken again in between, or not. */
static int spy_on_others(void *arg)
{
    lido_task *tasks[2];
    left = 0;
    check_int(lido_spawn(&tasks[0], have_a_secret, arg), 0);
    if (arg)
        check_int(finish(tasks[0]), 0);
    check_int(lido_spawn(&tasks[1], spy, arg), 0);
    if (!arg)
        check_int(finish(tasks[0]), 0);
    check_int(finish(tasks[1]), 0);
    return 0;
}

static size_t left_with(bool clear, void *arg)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 1;
    config.clear_stacks = clear;
    assert_int_equal(lido_run(&config, spy_on_others, arg), 0);
    return left;
}

static void nothing_is_left_on_a_stack_that_is_cleared(void **state)
{
    static int given_back;
    (void)state;
    assert_int_equal(left_with(true, NULL), 0);
    assert_int_equal(left_with(true, &given_back), 0);
    /* Without that there is: so the frames lie over each other, and the zeroes above say something. */
    if (SANITIZED)
        skip(); /* their frames do not */
    assert_true(left_with(false, NULL) > WORDS / 2);
    assert_true(left_with(false, &given_back) > WORDS / 2);
}

/* ---- Pointers into stacks that are gone --------------------------------------------------------- */

#ifdef LIDO__ASAN
static bool is_poisoned(const void *address)
{
    return __asan_address_is_poisoned(address);
}
#else
static bool is_poisoned(const void *address)
{
    (void)address;
    return true;
}
#endif

static int leave_its_address(void *arg)
{
    char frame[64];
    *(char **)arg = (char *)__builtin_frame_address(0) - sizeof(frame);
    return 0;
}

static int keep_an_address(void *arg)
{
    char *address = NULL;
    (void)arg;
    lido_task *task = start(leave_its_address, &address);
    check_int(finish(task), 0);
    check(address && is_poisoned(address));
    return 0;
}

static void a_stack_that_is_given_back_is_poisoned(void **state)
{
    (void)state;
#ifndef LIDO__ASAN
    skip(); /* only AddressSanitizer tells */
#endif
    run(keep_an_address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_there_is_no_room_for_many_stacks_there_is_for_few),
        cmocka_unit_test(the_pages_of_free_stacks_go_back_after_a_burst),
        cmocka_unit_test(nothing_is_left_on_a_stack_that_is_cleared),
        cmocka_unit_test(a_stack_that_is_given_back_is_poisoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
