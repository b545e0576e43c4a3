/*
 * The gate: the owner and the seizer are never inside together, and neither waits for one that is gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "explorer.h"
#include "props.h"

#include "../../src/sched/gate.c"

/* The functions of gate.h, so that a broken one can take the place of each. */
struct protocol {
    void (*enter)(struct lido__gate *gate);
    void (*leave)(struct lido__gate *gate);
    void (*seize)(struct lido__gate *gate);
    bool (*try_seize)(struct lido__gate *gate);
    void (*release)(struct lido__gate *gate);
};

static struct {
    const struct protocol *protocol;
    bool fenced;
    bool refusing; /* the system lets no barrier pass */

    struct lido__gate gate;
    struct model_futex futex;
    uint32_t handed_over; /* from the first owner to the second */

    /* Plain, and guarded by the gate. */
    int entered;
    /* Plain, and what the guard promises: who is inside. Not looked at by TSan. */
    int present;
    /* What the seizers got. Not looked at by TSan. */
    int seized;
    int refused;
    int expected; /* entries of the owner */
} world;

/* --- the system ---------------------------------------------------------------------------------*/

int lido__futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    (void)timeout_ns;
    model_futex_wait(&world.futex, word, expected);
    return 0;
}

int lido__futex_wake(uint32_t *word, int count)
{
    (void)word;
    (void)count;
    model_futex_wake(&world.futex);
    return 0;
}

/* If it is refused it waits, and then says so. */
static lido__shared uint32_t barrier_refused;

void lido__barrier_all(void)
{
    model_barrier_all();
    if (world.refusing)
        lido__store(&barrier_refused, 1, LIDO__RELAXED);
}

bool lido__barrier_refused(void)
{
    return lido__load(&barrier_refused, LIDO__RELAXED);
}

void lido__thread_yield(void)
{
    model_yield();
}

/* --- the threads --------------------------------------------------------------------------------*/

static void set_up(void)
{
    lido__gate_init(&world.gate, world.fenced);
    world.futex = (struct model_futex){0};
    barrier_refused = 0;
    world.handed_over = 0;
    world.entered = world.present = world.seized = world.refused = world.expected = 0;
    model_name(world.gate.inside);
    model_name(world.gate.wanted);
    model_name(world.entered);
}

MODEL_UNSEEN static void come(void)
{
    model_assert(world.present == 0);
    world.present++;
}

MODEL_UNSEEN static void go(void)
{
    world.present--;
}

static void work_inside(void)
{
    come();
    int before = world.entered;
    model_touch(&world.entered);
    world.entered = before + 1;
    go();
}

static void work_as_owner(void)
{
    world.protocol->enter(&world.gate);
    work_inside();
    world.protocol->leave(&world.gate);
}

static void own(void *unused)
{
    (void)unused;
    world.expected = 2;
    work_as_owner();
    work_as_owner();
}

/* The inner leave must not let anybody in. */
static void own_nested(void *unused)
{
    (void)unused;
    world.expected = 3;
    world.protocol->enter(&world.gate);
    work_inside();
    if (lido__gate_enter_if_outside(&world.gate))
        model_fail("it was inside", __FILE__, __LINE__);
    work_inside();
    work_inside();
    world.protocol->leave(&world.gate);
}

static void own_and_hand_over(void *unused)
{
    (void)unused;
    world.expected = 2;
    work_as_owner();
    lido__store(&world.handed_over, 1, LIDO__RELEASE);
}

static void own_after_another(void *unused)
{
    (void)unused;
    while (!lido__load(&world.handed_over, LIDO__ACQUIRE))
        model_yield();
    work_as_owner();
}

MODEL_UNSEEN static void note(int *what)
{
    (*what)++;
}

static void seize_once(void)
{
    world.protocol->seize(&world.gate);
    work_inside();
    note(&world.seized);
    world.protocol->release(&world.gate);
}

static void seize(void *unused)
{
    (void)unused;
    seize_once();
    seize_once();
}

static void try_to_seize_once(void)
{
    if (!world.protocol->try_seize(&world.gate)) {
        note(&world.refused);
        return;
    }
    work_inside();
    note(&world.seized);
    world.protocol->release(&world.gate);
}

static void try_to_seize(void *unused)
{
    (void)unused;
    try_to_seize_once();
    try_to_seize_once();
}

static void seize_alone(void *unused)
{
    (void)unused;
    seize_once();
}

static void try_to_seize_alone(void *unused)
{
    (void)unused;
    try_to_seize_once();
}

static void nobody_was_inside_with_another(void)
{
    model_assert(world.entered == world.expected + world.seized);
    model_assert(world.seized + world.refused == 2);
    model_assert(world.gate.inside == 0);
    model_assert(world.gate.wanted == (world.fenced || barrier_refused ? LIDO__GATE_FENCED : 0));
}

#define SCENARIO(NAME, PREEMPTIONS, ...)                                                           \
    {                                                                                              \
        .name = NAME, .setup = set_up, .check = nobody_was_inside_with_another,                    \
        .threads = {__VA_ARGS__}, .preemptions = PREEMPTIONS,                                      \
    }

static const struct model_scenario seized =
    SCENARIO("gate: seized", 5, {"owner", own, NULL}, {"seizer", seize, NULL});

static const struct model_scenario nested = SCENARIO(
    "gate: seized from a nested owner", 5, {"owner", own_nested, NULL}, {"seizer", seize, NULL});

static const struct model_scenario tried =
    SCENARIO("gate: tried", 5, {"owner", own, NULL}, {"seizer", try_to_seize, NULL});

static const struct model_scenario tried_nested = SCENARIO("gate: tried on a nested owner", 6,
                                                           {"owner", own_nested, NULL},
                                                           {"seizer", try_to_seize, NULL});

static const struct model_scenario handed_over =
    SCENARIO("gate: two owners in turn", 3, {"owner", own_and_hand_over, NULL},
             {"owner 2", own_after_another, NULL}, {"seizer", seize, NULL});

static const struct model_scenario contended =
    SCENARIO("gate: two seizers", 3, {"owner", own, NULL}, {"seizer", seize_alone, NULL},
             {"seizer 2", try_to_seize_alone, NULL});

/* --- wrong protocols ----------------------------------------------------------------------------*/

static void enter_blindly(struct lido__gate *gate)
{
    lido__store(&gate->inside, gate->inside + 1, LIDO__RELAXED);
}

/* Asks before it says that it is coming. */
static void enter_asking_first(struct lido__gate *gate)
{
    if (lido__load(&gate->wanted, LIDO__ACQUIRE))
        lido__gate_enter_slowly(gate);
    else
        lido__store(&gate->inside, 1, LIDO__RELAXED);
}

/* Waits where it stands. */
static void enter_without_stepping_back(struct lido__gate *gate)
{
    lido__store(&gate->inside, 1, LIDO__RELAXED);
    if (lido__load(&gate->wanted, LIDO__ACQUIRE) & LIDO__GATE_WANTED)
        wait_for_release(gate);
}

/* Believes that whoever has waited may go in. */
static void enter_after_one_wait(struct lido__gate *gate)
{
    lido__store(&gate->inside, 1, LIDO__RELAXED);
    if (!(lido__load(&gate->wanted, LIDO__ACQUIRE) & LIDO__GATE_WANTED))
        return;
    step_back(gate);
    wait_for_release(gate);
    lido__store(&gate->inside, 1, LIDO__RELAXED);
}

/* Leaves though it was inside already. */
static void own_carelessly(void *unused)
{
    (void)unused;
    world.expected = 2;
    world.protocol->enter(&world.gate);
    work_inside();
    lido__gate_enter_if_outside(&world.gate);
    world.protocol->leave(&world.gate);
    work_inside();
    world.protocol->leave(&world.gate);
}

static const struct model_scenario careless = SCENARIO("gate: seized from a careless owner", 5,
                                                       {"owner", own_carelessly, NULL},
                                                       {"seizer", seize, NULL});

static void seize_without_waiting(struct lido__gate *gate)
{
    want(gate);
}

/* Does not look whether there is another. */
static void seize_regardless(struct lido__gate *gate)
{
    lido__store(&gate->wanted, LIDO__GATE_WANTED, LIDO__RELAXED);
    lido__barrier_all();
    while (!is_out(gate))
        lido__thread_yield();
}

/* Looks whether the owner is out before it keeps it out. */
static bool try_looking_first(struct lido__gate *gate)
{
    if (!is_out(gate))
        return false;
    want(gate);
    return true;
}

/* Gives up, and lets the owner wait for a release. */
static bool try_without_withdrawing(struct lido__gate *gate)
{
    want(gate);
    return is_out(gate);
}

static void release_silently(struct lido__gate *gate)
{
    lido__store(&gate->wanted, unwanted(gate), LIDO__RELEASE);
}

/* Right in each interleaving, but the owner's store of `inside` may still be on its way. */
static void seize_without_barrier(struct lido__gate *gate)
{
    uint32_t unwanted = 0;
    while (!lido__cas(&gate->wanted, &unwanted, LIDO__GATE_WANTED, LIDO__SEQ_CST, LIDO__RELAXED)) {
        unwanted = 0;
        lido__thread_yield();
    }
    while (!is_out(gate))
        lido__thread_yield();
}

/* Right in each interleaving, but what is guarded is not passed on. */

static void enter_relaxed(struct lido__gate *gate)
{
    lido__store(&gate->inside, 1, LIDO__RELAXED);
    if (lido__load(&gate->wanted, LIDO__RELAXED))
        lido__gate_enter_slowly(gate);
}

static void leave_relaxed(struct lido__gate *gate)
{
    lido__store(&gate->inside, 0, LIDO__RELAXED);
}

static void seize_relaxed(struct lido__gate *gate)
{
    want(gate);
    while (lido__load(&gate->inside, LIDO__RELAXED))
        lido__thread_yield();
}

static void release_relaxed(struct lido__gate *gate)
{
    lido__store(&gate->wanted, unwanted(gate), LIDO__RELAXED);
    lido__futex_wake(&gate->wanted, 1);
}

/* --- the tests ----------------------------------------------------------------------------------*/

static const struct protocol right = {
    .enter = lido__gate_enter,
    .leave = lido__gate_leave,
    .seize = lido__gate_seize,
    .try_seize = lido__gate_try_seize,
    .release = lido__gate_release,
};

static void enter_by_trying(struct lido__gate *gate)
{
    while (!lido__gate_try_enter(gate))
        model_yield();
}

static const struct protocol trying = {
    .enter = enter_by_trying,
    .leave = lido__gate_leave,
    .seize = lido__gate_seize,
    .try_seize = lido__gate_try_seize,
    .release = lido__gate_release,
};

static void use(const struct protocol *protocol, bool fenced)
{
    world.protocol = protocol;
    world.fenced = fenced;
}

static void all_hold(bool fenced)
{
    use(&right, fenced);
    assert_in_range(model_holds(&seized), 20000, SIZE_MAX);
    assert_in_range(model_holds(&nested), 10000, SIZE_MAX);
    assert_in_range(model_holds(&tried), 10000, SIZE_MAX);
    assert_in_range(model_holds(&tried_nested), 5000, SIZE_MAX);
    assert_in_range(model_holds(&handed_over), 20000, SIZE_MAX);
    assert_in_range(model_holds(&contended), 10000, SIZE_MAX);
    use(&trying, fenced);
    assert_in_range(model_holds(&tried), 5000, SIZE_MAX);
}

static void owner_and_seizer_are_never_inside_together(void **state)
{
    (void)state;
    all_hold(false);
}

static void the_same_without_a_barrier_to_all(void **state)
{
    (void)state;
    all_hold(true);
}

static void the_same_when_the_barrier_is_refused_from_some_time_on(void **state)
{
    (void)state;
    world.refusing = true;
    all_hold(false);
    world.refusing = false;
}

static bool caught(const struct model_scenario *right_one, const char *name, struct protocol wrong,
                   const char *how)
{
    struct model_scenario scenario = *right_one;
    scenario.name = name;
    use(&wrong, false);
    return model_catches(&scenario, how) > 0;
}

/* The right protocol but for one function. */
#define BUT(FUNCTION, WRONG)                                                                       \
    ({                                                                                             \
        struct protocol but_ = right;                                                              \
        but_.FUNCTION = (WRONG);                                                                   \
        but_;                                                                                      \
    })

static void wrong_owners_are_caught(void **state)
{
    static const char together[] = "world.present == 0";
    (void)state;
    assert_true(caught(&seized, "an owner that does not ask", BUT(enter, enter_blindly), together));
    assert_true(
        caught(&seized, "an owner that asks too early", BUT(enter, enter_asking_first), together));
    assert_true(
        caught(&seized, "an owner that asks once", BUT(enter, enter_after_one_wait), together));
    assert_true(caught(&seized, "an owner that waits inside",
                       BUT(enter, enter_without_stepping_back), "livelock"));
    assert_true(caught(&careless, "an owner that leaves what it was in before", right, together));
}

static void wrong_seizers_are_caught(void **state)
{
    static const char together[] = "world.present == 0";
    (void)state;
    assert_true(caught(&seized, "a seizer that does not wait", BUT(seize, seize_without_waiting),
                       together));
    assert_true(caught(&tried, "a seizer that looks too early", BUT(try_seize, try_looking_first),
                       together));
    assert_true(caught(&tried, "a seizer that does not withdraw",
                       BUT(try_seize, try_without_withdrawing), "world.gate.wanted"));
    assert_true(caught(&contended, "a seizer that does not see the other",
                       BUT(seize, seize_regardless), together));
    assert_true(
        caught(&seized, "a release that wakes nobody", BUT(release, release_silently), "deadlock"));
}

static void a_seizer_needs_the_barrier_to_all(void **state)
{
    (void)state;
    static const struct protocol wrong = {
        .enter = lido__gate_enter,
        .leave = lido__gate_leave,
        .seize = seize_without_barrier,
        .try_seize = lido__gate_try_seize,
        .release = lido__gate_release,
    };
    struct model_scenario scenario = seized;
    scenario.name = "a seizer without the barrier";
    use(&wrong, false);
    assert_true(model_catches_weak(&scenario, MODEL_TSO, "world.present == 0"));
    assert_true(model_catches_weak(&scenario, MODEL_C11, "world.present == 0"));
}

static bool races(const char *name, struct protocol wrong)
{
    struct model_scenario scenario = seized;
    scenario.name = name;
    use(&wrong, false);
    return model_catches_race(&scenario);
}

static void missing_orderings_are_caught_by_tsan(void **state)
{
    (void)state;
    assert_true(races("enter without acquire", BUT(enter, enter_relaxed)));
    assert_true(races("leave without release", BUT(leave, leave_relaxed)));
    assert_true(races("seize without acquire", BUT(seize, seize_relaxed)));
    assert_true(races("release without release", BUT(release, release_relaxed)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owner_and_seizer_are_never_inside_together),
        cmocka_unit_test(the_same_without_a_barrier_to_all),
        cmocka_unit_test(the_same_when_the_barrier_is_refused_from_some_time_on),
        cmocka_unit_test(wrong_owners_are_caught),
        cmocka_unit_test(wrong_seizers_are_caught),
        cmocka_unit_test(a_seizer_needs_the_barrier_to_all),
        cmocka_unit_test(missing_orderings_are_caught_by_tsan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
