/*
 * The gate with real threads: what the explorer cannot see (tests/model/test_gate.c), that a store may
 * still be on its way while the thread already reads something else.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/atomic.h"
#include "os/os.h"
#include "sched/gate.h"

enum { SEIZURES = 10000 };

static struct {
    struct lido__gate gate;
    uint32_t started, over;
    /* Guarded by the gate: not atomic, so that one who is inside with another loses an addition. */
    uint64_t count;
    /* Written by the owner. */
    uint64_t entered;
    uint64_t intrusions;
    int errno_after;
} world;

static void add_as_owner(void)
{
    lido__gate_enter(&world.gate);
    world.count++;
    world.entered++;
    lido__gate_leave(&world.gate);
}

/* From inside, as what is called from both sides does. */
static void add_from_wherever(void)
{
    bool entered = lido__gate_enter_if_outside(&world.gate);
    world.count++;
    world.entered++;
    if (entered)
        lido__gate_leave(&world.gate);
}

static void add_as_nested_owner(void)
{
    lido__gate_enter(&world.gate);
    uint64_t before = world.count;
    add_from_wherever();
    world.intrusions += world.count != before + 1;
    lido__gate_leave(&world.gate);
}

static void own(void *unused)
{
    (void)unused;
    errno = ERANGE;
    lido__store(&world.started, 1, LIDO__RELEASE);
    while (!lido__load(&world.over, LIDO__ACQUIRE)) {
        add_as_owner();
        add_as_nested_owner();
    }
    world.errno_after = errno;
}

static uint64_t add_as_seizer(void)
{
    lido__gate_seize(&world.gate);
    world.count++;
    lido__gate_release(&world.gate);
    return 1;
}

static uint64_t try_to_add_as_seizer(void)
{
    if (!lido__gate_try_seize(&world.gate))
        return 0;
    world.count++;
    lido__gate_release(&world.gate);
    return 1;
}

static void nothing_is_lost(bool fenced)
{
    struct lido__thread owner;
    uint64_t seized = 0;

    lido__gate_init(&world.gate, fenced);
    world.started = world.over = 0;
    world.count = world.entered = world.intrusions = 0;
    assert_int_equal(lido__thread_start(&owner, NULL, own, NULL), 0);
    while (!lido__load(&world.started, LIDO__ACQUIRE))
        lido__thread_yield();
    for (int i = 0; i < SEIZURES; i++) {
        seized += add_as_seizer();
        seized += try_to_add_as_seizer();
    }
    lido__store(&world.over, 1, LIDO__RELEASE);
    assert_int_equal(lido__thread_join(&owner), 0);

    assert_true(seized >= SEIZURES);
    assert_int_equal(world.count, world.entered + seized);
    assert_int_equal(world.intrusions, 0);
    /* It is the fiber's, which may have come to the gate between two waits, and knows nothing of it. */
    assert_int_equal(world.errno_after, ERANGE);
}

static void a_seizer_keeps_out_an_owner_that_pays_nothing(void **state)
{
    (void)state;
    if (lido__barrier_init() < 0)
        skip();
    nothing_is_lost(false);
}

static void a_seizer_keeps_out_the_owner_without_a_barrier_to_all(void **state)
{
    (void)state;
    nothing_is_lost(true);
}

static void a_seizer_is_refused_while_the_owner_is_inside(void **state)
{
    (void)state;
    lido__gate_init(&world.gate, true);
    lido__gate_enter(&world.gate);
    assert_false(lido__gate_enter_if_outside(&world.gate));
    assert_false(lido__gate_try_seize(&world.gate));
    lido__gate_leave(&world.gate);
    assert_true(lido__gate_try_seize(&world.gate));
    lido__gate_release(&world.gate);
}

static void registering_for_barriers_twice_is_harmless(void **state)
{
    (void)state;
    if (lido__barrier_init() < 0)
        skip();
    assert_int_equal(lido__barrier_init(), 0);
    lido__barrier_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seizer_keeps_out_an_owner_that_pays_nothing),
        cmocka_unit_test(a_seizer_keeps_out_the_owner_without_a_barrier_to_all),
        cmocka_unit_test(a_seizer_is_refused_while_the_owner_is_inside),
        cmocka_unit_test(registering_for_barriers_twice_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
