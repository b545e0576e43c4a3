/*
 * A sandbox that comes after the start may refuse the barrier in all threads, on which gates and biased locks
 * rely by then: they keep their promises, and from then on do without it.
 */
#include <errno.h>

#include "base/fault.h"
#include "os/os.h"
#include "sched/gate.h"
#include "support/death.h"
#include "support/runtime.h"
#include "sync/biased.h"

enum { SEIZURES = 2000, LOCKINGS = 5000 };

/* What is refused once stays so: each test has a process of its own. */
static void in_child(void (*fn)(void *arg))
{
    struct death death;
    death_of(fn, NULL, &death);
    assert_string_equal(death.told, "");
    assert_int_equal(death.status, 0);
}

static void refuse_from_now_on(void)
{
    lido__fault_plan_from("membarrier", 1, -EPERM);
}

/* ---- The gate ---------------------------------------------------------------------------------- */

static struct {
    struct lido__gate gate;
    uint32_t started, over;
    uint64_t count; /* guarded by the gate */
    uint64_t entered;
} world;

static void own(void *unused)
{
    (void)unused;
    lido__store(&world.started, 1, LIDO__RELEASE);
    while (!lido__load(&world.over, LIDO__ACQUIRE)) {
        lido__gate_enter(&world.gate);
        world.count++;
        world.entered++;
        lido__gate_leave(&world.gate);
    }
}

static void seize(void)
{
    lido__gate_seize(&world.gate);
    world.count++;
    lido__gate_release(&world.gate);
}

static void seize_a_gate(void *unused)
{
    struct lido__thread owner;
    (void)unused;
    check_int(lido__barrier_init(), 0);
    lido__gate_init(&world.gate, false);
    check_int(lido__thread_start(&owner, NULL, own, NULL), 0);
    while (!lido__load(&world.started, LIDO__ACQUIRE))
        lido__thread_yield();
    for (int i = 0; i < SEIZURES; i++) {
        if (i == SEIZURES / 2)
            refuse_from_now_on();
        seize();
    }
    lido__store(&world.over, 1, LIDO__RELEASE);
    check_int(lido__thread_join(&owner), 0);
    check_int(world.count, world.entered + SEIZURES);
    check(lido__barrier_refused());
    /* One has failed, and with it the attempt to register; after that nobody has tried. */
    check_int(lido__fault_count(), 2);
}

static void a_gate_excludes_also_when_the_barrier_is_refused(void **state)
{
    (void)state;
    in_child(seize_a_gate);
}

static void ask_again(void *unused)
{
    (void)unused;
    check_int(lido__barrier_init(), 0);
    refuse_from_now_on();
    lido__barrier_all();
    lido__fault_clear();
    check_int(lido__barrier_init(), -EPERM);
}

static void nobody_relies_on_a_barrier_that_was_refused_once(void **state)
{
    (void)state;
    in_child(ask_again);
}

/* ---- Biased locks ------------------------------------------------------------------------------ */

static struct lido__biased lock;
static uint64_t sum; /* guarded by it */

static int add(void *unused)
{
    (void)unused;
    for (int i = 0; i < LOCKINGS; i++) {
        bool favourite = lido__biased_lock(&lock, lido__worker_current());
        sum++;
        lido__biased_unlock(&lock, favourite);
    }
    return 0;
}

static int lock_and_refuse(void *unused)
{
    (void)unused;
    finish(start_pinned(0, add, NULL));
    check(lock.favourite != NULL);
    refuse_from_now_on();
    lido_task *here = start_pinned(0, add, NULL), *there = start_pinned(1, add, NULL);
    finish(here);
    finish(there);
    finish(start_pinned(1, add, NULL));
    check_int(sum, 4 * LOCKINGS);
    check(!lock.favourite);
    lido__fault_clear();
    return 0;
}

static void lock_in_runtime(void *unused)
{
    (void)unused;
    run_pinned_on(2, lock_and_refuse, NULL);
}

static void a_biased_lock_excludes_also_when_the_barrier_is_refused(void **state)
{
    (void)state;
    in_child(lock_in_runtime);
}

/* ---- Work that is rescued ---------------------------------------------------------------------- */

static int nothing(void *unused)
{
    (void)unused;
    return 0;
}

static int compute(void *unused)
{
    lido_task *behind;
    (void)unused;
    refuse_from_now_on();
    check_int(lido_spawn(&behind, nothing, NULL), 0);
    /* It is behind this one, which does not wait; so somebody has taken it away. */
    uint64_t until = lido_now() + 20000000000u;
    while (!lido_task_is_done(behind) && lido_now() < until) {}
    check(lido_task_is_done(behind));
    return finish(behind);
}

static void get_rescued(void *unused)
{
    (void)unused;
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    check_int(lido_block_on(runtime, compute, NULL), 0);
    lido__fault_clear();
    runtime_end(runtime);
}

static void a_stuck_worker_is_rescued_also_when_the_barrier_is_refused(void **state)
{
    (void)state;
    in_child(get_rescued);
}

int main(void)
{
    if (lido__barrier_init() < 0)
        return 77; /* the system has none */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gate_excludes_also_when_the_barrier_is_refused),
        cmocka_unit_test(nobody_relies_on_a_barrier_that_was_refused_once),
        cmocka_unit_test(a_biased_lock_excludes_also_when_the_barrier_is_refused),
        cmocka_unit_test(a_stuck_worker_is_rescued_also_when_the_barrier_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
