/*
 * The memories of the explorer: what each allows and what none does, by the litmus tests of the literature
 * (J. Alglave, L. Maranget, M. Tautschnig, "Herding Cats", TOPLAS 2014, has their names).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explorer.h"

static struct {
    int store, load; /* orders */
    bool fenced, barred;
    uint32_t x, y;
    int plain;
    uint32_t seen[4];
} litmus;

static void set_up(void)
{
    litmus.x = litmus.y = 0;
    litmus.plain = 0;
    for (int i = 0; i < 4; i++)
        litmus.seen[i] = 9;
    model_name(litmus.x);
    model_name(litmus.y);
}

MODEL_UNSEEN static void see(int index, uint32_t value)
{
    litmus.seen[index] = value;
}

/* The orders of the tests are variables, so each is spelled. */
static void put(uint32_t *where)
{
    if (litmus.store == LIDO__SEQ_CST)
        lido__store(where, 1, LIDO__SEQ_CST);
    else if (litmus.store == LIDO__RELEASE)
        lido__store(where, 1, LIDO__RELEASE);
    else
        lido__store(where, 1, LIDO__RELAXED);
}

static uint32_t get(const uint32_t *where)
{
    if (litmus.load == LIDO__SEQ_CST)
        return lido__load(where, LIDO__SEQ_CST);
    if (litmus.load == LIDO__ACQUIRE)
        return lido__load(where, LIDO__ACQUIRE);
    return lido__load(where, LIDO__RELAXED);
}

static void fence(bool heavy)
{
    if (litmus.fenced)
        lido__fence_seq_cst();
    else if (litmus.barred && heavy)
        model_barrier_all();
}

#define NEITHER(A, A_IS, B, B_IS) model_assert(!(litmus.seen[A] == A_IS && litmus.seen[B] == B_IS))

/* --- SB: each stores, and loads what the other stores -------------------------------------------*/

static void store_x_load_y(void *unused)
{
    (void)unused;
    put(&litmus.x);
    fence(false);
    see(0, get(&litmus.y));
}

static void store_y_load_x(void *unused)
{
    (void)unused;
    put(&litmus.y);
    fence(true);
    see(1, get(&litmus.x));
}

static void one_sees_the_other(void)
{
    NEITHER(0, 0, 1, 0);
}

static const struct model_scenario store_buffering = {
    .name = "store buffering",
    .setup = set_up,
    .check = one_sees_the_other,
    .threads = {{"x then y", store_x_load_y, NULL}, {"y then x", store_y_load_x, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
    .delays = 3,
};

/* --- MP: data, then a flag ----------------------------------------------------------------------*/

static void store_both(void *unused)
{
    (void)unused;
    lido__store(&litmus.x, 1, LIDO__RELAXED);
    put(&litmus.y);
}

static void load_both(void *unused)
{
    (void)unused;
    see(0, get(&litmus.y));
    see(1, lido__load(&litmus.x, LIDO__RELAXED));
}

static void data_come_with_the_flag(void)
{
    NEITHER(0, 1, 1, 0);
}

static const struct model_scenario message_passing = {
    .name = "message passing",
    .setup = set_up,
    .check = data_come_with_the_flag,
    .threads = {{"sender", store_both, NULL}, {"receiver", load_both, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
    .delays = 3,
};

/* --- IRIW: two readers see two writes in one order ------------------------------------------------*/

static void store_x(void *unused)
{
    (void)unused;
    put(&litmus.x);
}

static void store_y(void *unused)
{
    (void)unused;
    put(&litmus.y);
}

static void load_x_y(void *unused)
{
    (void)unused;
    see(0, get(&litmus.x));
    see(1, get(&litmus.y));
}

static void load_y_x(void *unused)
{
    (void)unused;
    see(2, get(&litmus.y));
    see(3, get(&litmus.x));
}

static void readers_agree(void)
{
    model_assert(!(litmus.seen[0] == 1 && litmus.seen[1] == 0 && litmus.seen[2] == 1 &&
                   litmus.seen[3] == 0));
}

static const struct model_scenario readers_of_two_writes = {
    .name = "two readers of two writes",
    .setup = set_up,
    .check = readers_agree,
    .threads = {{"x", store_x, NULL},
                {"y", store_y, NULL},
                {"x y", load_x_y, NULL},
                {"y x", load_y_x, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
    .delays = 3,
};

/* --- CoRR: a place does not go back -----------------------------------------------------------------*/

static void load_x_twice(void *unused)
{
    (void)unused;
    see(0, get(&litmus.x));
    see(1, get(&litmus.x));
}

static const struct model_scenario coherence = {
    .name = "coherence",
    .setup = set_up,
    .check = data_come_with_the_flag,
    .threads = {{"writer", store_x, NULL}, {"reader", load_x_twice, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
    .delays = 3,
};

/* --- a plain word behind a read-modify-write that is relaxed ------------------------------------------*/

static void write_and_release(void *unused)
{
    (void)unused;
    litmus.plain = 1;
    put(&litmus.x);
}

static void add_relaxed(void *unused)
{
    (void)unused;
    if (lido__load(&litmus.x, LIDO__RELAXED) == 1)
        lido__fetch_add(&litmus.x, 1, LIDO__RELAXED);
}

static void read_behind_two(void *unused)
{
    (void)unused;
    if (get(&litmus.x) == 2)
        model_assert(litmus.plain == 1);
}

static const struct model_scenario release_sequence = {
    .name = "release sequence",
    .setup = set_up,
    .threads = {{"writer", write_and_release, NULL},
                {"adder", add_relaxed, NULL},
                {"reader", read_behind_two, NULL}},
    .preemptions = MODEL_ALL_INTERLEAVINGS,
};

/* --- the tests ----------------------------------------------------------------------------------*/

static void use(int store, int load)
{
    litmus.store = store;
    litmus.load = load;
    litmus.fenced = litmus.barred = false;
}

static void store_buffers_need_fences(void **state)
{
    (void)state;
    use(LIDO__RELEASE, LIDO__ACQUIRE);
    assert_true(model_catches_weak(&store_buffering, MODEL_TSO, "seen"));
    assert_true(model_catches_weak(&store_buffering, MODEL_C11, "seen"));
    litmus.fenced = true;
    assert_true(model_holds(&store_buffering) > 0);
    use(LIDO__SEQ_CST, LIDO__SEQ_CST);
    assert_true(model_holds(&store_buffering) > 0);
}

static void one_barrier_to_all_is_as_good(void **state)
{
    (void)state;
    use(LIDO__RELAXED, LIDO__RELAXED);
    litmus.barred = true;
    assert_true(model_holds(&store_buffering) > 0);
}

static void messages_need_release_and_acquire(void **state)
{
    (void)state;
    use(LIDO__RELEASE, LIDO__ACQUIRE);
    assert_true(model_holds(&message_passing) > 0);
    use(LIDO__RELAXED, LIDO__ACQUIRE);
    assert_true(model_catches_weak(&message_passing, MODEL_C11, "seen"));
    use(LIDO__RELEASE, LIDO__RELAXED);
    assert_true(model_catches_weak(&message_passing, MODEL_C11, "seen"));
}

static void only_seq_cst_makes_readers_agree(void **state)
{
    (void)state;
    use(LIDO__RELEASE, LIDO__ACQUIRE);
    assert_true(model_catches_weak(&readers_of_two_writes, MODEL_C11, "seen"));
    use(LIDO__SEQ_CST, LIDO__SEQ_CST);
    assert_true(model_holds(&readers_of_two_writes) > 0);
}

static void a_place_never_goes_back(void **state)
{
    (void)state;
    use(LIDO__RELAXED, LIDO__RELAXED);
    assert_true(model_holds(&coherence) > 0);
}

static void what_is_replaced_hands_on_its_release(void **state)
{
    (void)state;
    use(LIDO__RELEASE, LIDO__ACQUIRE);
    assert_true(model_holds(&release_sequence) > 0);
    use(LIDO__RELAXED, LIDO__ACQUIRE);
    assert_true(model_catches_race(&release_sequence));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_buffers_need_fences),
        cmocka_unit_test(one_barrier_to_all_is_as_good),
        cmocka_unit_test(messages_need_release_and_acquire),
        cmocka_unit_test(only_seq_cst_makes_readers_agree),
        cmocka_unit_test(a_place_never_goes_back),
        cmocka_unit_test(what_is_replaced_hands_on_its_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
