/*
 * The side of a handle: what a task that uses it, the thread of the reactor, and whoever closes or cancels
 * make of one word (reactor/handle.h).
 *
 * The code is reactor/ready.c and sched/wake.c themselves. Replaced are the system's calls, here those of
 * one socket in memory, and the worker, here a bell that mail rings. So an event that is lost is a deadlock;
 * an op that is touched after its owner has it back, and a task that is touched after its end, are memory
 * that is used after it was freed; and a descriptor that is used after its close fails the assertion in
 * the calls below, for by then it may be another connection's.
 */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "no_gate.h"
#include "side_scenarios.h"

/* --- wrong protocols ----------------------------------------------------------------------------*/

/* A submit or a retry, as it should be. */
static bool submit_right(struct lido__reactor *reactor, struct lido__op *op)
{
    return lido__op_state(op) == LIDO__OP_IDLE ? lido__ready_submit(reactor, op)
                                               : lido__ready_retry(reactor, op);
}

/* Tries, and says afterwards that the side is drained: what came in between is forgotten. */
static bool submit_drains_late(struct lido__reactor *reactor, struct lido__op *op)
{
    do {
        ssize_t result = try_op(reactor, op);
        lido__store(side_of(op), LIDO__SIDE_DRAINED, LIDO__RELAXED);
        if (result != -EAGAIN)
            return settled(op, result);
    } while (!arm(op, side_of(op), false, waiting(op)));
    return false;
}

/* Takes the op off the side for the time of the try. */
static bool submit_tries_unseen(struct lido__reactor *reactor, struct lido__op *op)
{
    uintptr_t *side = side_of(op);
    for (;;) {
        bool fresh = lido__op_state(op) == LIDO__OP_IDLE;
        uintptr_t word = lido__load(side, LIDO__ACQUIRE);
        if (lido__side_op(word) != (fresh ? NULL : op))
            return fresh && settled(op, -EBUSY);
        if (word != LIDO__SIDE_DRAINED) {
            if (!lido__cas(side, &word, LIDO__SIDE_DRAINED, LIDO__ACQUIRE, LIDO__RELAXED))
                continue;
            ssize_t result = try_op(reactor, op);
            word = LIDO__SIDE_DRAINED;
            if (result != -EAGAIN) {
                lido__cas(side, &word, LIDO__SIDE_READY, LIDO__RELAXED, LIDO__RELAXED);
                return settled(op, result);
            }
        }
        if (arm(op, side, false, waiting(op)))
            return false;
    }
}

/* A write that was handed back goes the short way of a new one. */
static bool submit_writes_through(struct lido__reactor *reactor, struct lido__op *op)
{
    uintptr_t word = lido__load(side_of(op), LIDO__RELAXED);
    return write_through(reactor, op, try_op, word, submit_right);
}

/* Takes the side back for a retry, whatever has happened there since the op was handed back. */
static bool submit_reclaims_blindly(struct lido__reactor *reactor, struct lido__op *op)
{
    if (lido__op_state(op) != LIDO__OP_READY)
        return submit_right(reactor, op);
    lido__store(side_of(op), trying(op), LIDO__RELAXED);
    return try_claimed(reactor, op, side_of(op), LIDO__SIDE_READY) ||
           try_until_armed(reactor, op, true);
}

/* Takes an op whose handle was closed for a new one. */
static bool submit_forgets_its_state(struct lido__reactor *reactor, struct lido__op *op)
{
    if (lido__op_state(op) == LIDO__OP_SETTLED)
        op->state = LIDO__OP_IDLE;
    return submit_right(reactor, op);
}

/* Says that it is armed when it is, and the event has come by then. */
static bool submit_says_armed_late(struct lido__reactor *reactor, struct lido__op *op)
{
    uintptr_t was = claim(op, side_of(op));
    if (was != LIDO__SIDE_DRAINED && try_claimed(reactor, op, side_of(op), was))
        return true;
    uintptr_t expected = was == LIDO__SIDE_DRAINED ? was : trying(op);
    if (!lido__cas(side_of(op), &expected, (uintptr_t)op, LIDO__RELEASE, LIDO__RELAXED))
        return submit_right(reactor, op);
    lido__store(&op->state, LIDO__OP_ARMED, LIDO__RELAXED);
    return false;
}

/* Puts back what it knew, whatever has come since. */
static bool submit_overwrites(struct lido__reactor *reactor, struct lido__op *op)
{
    uintptr_t was = claim(op, side_of(op));
    if (was == LIDO__SIDE_READY || was == LIDO__SIDE_HUNG) {
        ssize_t result = try_op(reactor, op);
        if (result != -EAGAIN) {
            op->result = result;
            uintptr_t known = drained(op) ? LIDO__SIDE_DRAINED : was;
            lido__store(side_of(op), known, LIDO__RELEASE);
            return settled(op, result);
        }
        let_go(op, side_of(op), LIDO__SIDE_DRAINED);
    }
    return submit_right(reactor, op);
}

/* Also out of the hands of the thread that hands it back. */
static bool cancel_at_any_time(struct lido__reactor *reactor, struct lido__op *op, int reason)
{
    (void)reactor;
    uintptr_t word = lido__load(side_of(op), LIDO__RELAXED);
    do
        if (lido__op_state(op) != LIDO__OP_IDLE && lido__side_op(word) != op)
            return false;
    while (!lido__cas(side_of(op), &word, word & LIDO__SIDE_WHAT, LIDO__RELAXED, LIDO__RELAXED));
    return settled(op, reason);
}

/* Takes the event along with the op. */
static bool cancel_consumes(struct lido__reactor *reactor, struct lido__op *op, int reason)
{
    if (!lido__ready_cancel(reactor, op, reason))
        return false;
    lido__store(side_of(op), LIDO__SIDE_DRAINED, LIDO__RELAXED);
    return true;
}

/* The op leaves the side when it is handed back: a close does not find it. */
static void event_takes_the_op(struct lido__handle *handle, unsigned side, uintptr_t what,
                               uint16_t generation, struct lido__fifo *handed)
{
    (void)generation;
    uintptr_t word = lido__load(&handle->side[side], LIDO__RELAXED);
    while (!lido__cas(&handle->side[side], &word,
                      word & LIDO__SIDE_TRYING ? word | LIDO__SIDE_READY : what, LIDO__ACQ_REL,
                      LIDO__RELAXED))
        continue;
    if (!lido__side_op(word) || word & LIDO__SIDE_TRYING)
        return;
    lido__fifo_push(handed, &lido__side_op(word)->link);
}

/* The claim that goes with it: an op that was handed back is on no side. */
static bool submit_takes_anything(struct lido__reactor *reactor, struct lido__op *op)
{
    if (lido__op_state(op) == LIDO__OP_READY)
        lido__store(&op->state, LIDO__OP_IDLE, LIDO__RELAXED);
    return submit_right(reactor, op);
}

/* Does not see that it has been handed back already. */
static void event_hands_back_again(struct lido__handle *handle, unsigned side, uintptr_t what,
                                   uint16_t generation, struct lido__fifo *handed)
{
    (void)generation;
    uintptr_t word = lido__fetch_or(&handle->side[side], what, LIDO__ACQ_REL);
    if (!lido__side_op(word) || word & LIDO__SIDE_TRYING)
        return;
    lido__fifo_push(handed, &lido__side_op(word)->link);
}

/* Looks at the generation before it has the op, and not again. */
static void event_is_believed(struct lido__handle *handle, unsigned side, uintptr_t what,
                              uint16_t generation, struct lido__fifo *handed)
{
    lido__ready_event(handle, side, what, generation, handed);
    if (!lido__fifo_empty(handed))
        lido__op_from_link(handed->head)->told = true;
}

/* The task tries it, and it is handed back all the same. */
static void event_ignores_a_try(struct lido__handle *handle, unsigned side, uintptr_t what,
                                uint16_t generation, struct lido__fifo *handed)
{
    (void)generation;
    uintptr_t word = lido__fetch_or(&handle->side[side], what, LIDO__ACQ_REL);
    if (!lido__side_op(word) || word & LIDO__SIDE_WHAT)
        return;
    lido__fifo_push(handed, &lido__side_op(word)->link);
}

/* Does not wait for anybody. */
static void take_at_once(struct lido__handle *handle, struct lido__fifo *taken)
{
    for (int side = 0; side < 2; side++) {
        uintptr_t word = lido__exchange(&handle->side[side], LIDO__SIDE_HUNG, LIDO__ACQ_REL);
        if (lido__side_op(word))
            lido__fifo_push(taken, &lido__side_op(word)->link);
    }
}

/* Waits for the end of a try, but not for that of a handing back. */
static void take_from_a_list(struct lido__handle *handle, struct lido__fifo *taken)
{
    uintptr_t word = lido__load(&handle->side[0], LIDO__ACQUIRE);
    while (word & LIDO__SIDE_TRYING ||
           !lido__cas(&handle->side[0], &word, LIDO__SIDE_HUNG, LIDO__ACQ_REL, LIDO__ACQUIRE)) {
        model_yield();
        word = lido__load(&handle->side[0], LIDO__ACQUIRE);
    }
    if (lido__side_op(word))
        lido__fifo_push(taken, &lido__side_op(word)->link);
}

/* The task may be gone when the reference is taken. */
static void deliver_without_reference(struct lido__fifo *handed, enum lido__op_state state,
                                      ssize_t result)
{
    struct lido__link *link;
    while ((link = lido__fifo_pop(handed))) {
        struct lido__op *op = lido__op_from_link(link);
        lido_task *task = lido__waker_task(op->waker);
        op->result = result;
        lido__store(&op->state, (uint8_t)state, LIDO__RELEASE);
        lido__wake_consume(lido__waker_own(task));
    }
}

/* Pops after it has said that the op is the task's again. */
static void deliver_from_the_list(struct lido__fifo *handed, enum lido__op_state state,
                                  ssize_t result)
{
    while (handed->head) {
        struct lido__op *op = lido__op_from_link(handed->head);
        lido_waker waker = lido__waker_own(lido__waker_task(op->waker));
        op->result = result;
        lido__store(&op->state, (uint8_t)state, LIDO__RELEASE);
        model_touch(&op->link);
        lido__fifo_pop(handed);
        lido__wake_consume(waker);
    }
}

/* Right in each interleaving, but the op is not published with its address, .. */
static bool submit_arms_relaxed(struct lido__reactor *reactor, struct lido__op *op)
{
    uintptr_t *side = side_of(op);
    for (;;) {
        uintptr_t was = claim(op, side);
        if (was != LIDO__SIDE_DRAINED && try_claimed(reactor, op, side, was))
            return true;
        uintptr_t expected = was == LIDO__SIDE_DRAINED ? was : trying(op);
        lido__store(&op->state, LIDO__OP_ARMED, LIDO__RELAXED);
        if (lido__cas(side, &expected, (uintptr_t)op, LIDO__RELAXED, LIDO__RELAXED))
            return false;
        lido__store(&op->state, LIDO__OP_IDLE, LIDO__RELAXED);
    }
}

/* .. or the end of a try not with the side, .. */
static bool submit_lets_go_relaxed(struct lido__reactor *reactor, struct lido__op *op)
{
    uintptr_t was = claim(op, side_of(op));
    if (was != LIDO__SIDE_READY)
        return was != CLAIM_GONE && submit_right(reactor, op);
    uintptr_t word = trying(op);
    ssize_t result = try_op(reactor, op);
    if (result == -EAGAIN) {
        let_go(op, side_of(op), LIDO__SIDE_DRAINED);
        return submit_right(reactor, op);
    }
    while (!lido__cas(side_of(op), &word, LIDO__SIDE_READY, LIDO__RELAXED, LIDO__RELAXED))
        continue;
    return settled(op, result);
}

/* .. or the result not with the state. */
static void deliver_relaxed(struct lido__fifo *handed, enum lido__op_state state, ssize_t result)
{
    struct lido__link *link;
    while ((link = lido__fifo_pop(handed))) {
        struct lido__op *op = lido__op_from_link(link);
        lido_waker waker = lido__waker_own(lido__waker_task(op->waker));
        op->result = result;
        lido__store(&op->state, (uint8_t)state, LIDO__RELAXED);
        lido__wake_consume(waker);
    }
}

/* --- the tests ----------------------------------------------------------------------------------*/

static size_t holds(const struct model_scenario *scenario)
{
    scene.protocol = &(struct protocol){0};
    scene.scenario = scenario;
    return model_holds(scenario);
}

static bool caught(const struct model_scenario *like, const char *name,
                   const struct protocol *protocol, const char *how)
{
    struct model_scenario scenario = *like;
    scenario.name = name;
    scene.protocol = protocol;
    scene.scenario = &scenario;
    return model_catches(&scenario, how) > 0;
}

#define WITH(FIELD, FUNCTION) (&(struct protocol){.FIELD = FUNCTION})

static void no_event_is_lost(void **state)
{
    (void)state;
    assert_in_range(holds(&events), 1000, SIZE_MAX);
    assert_in_range(holds(&two_reactors), 1000, SIZE_MAX);
    assert_in_range(holds(&end_of_stream), 1000, SIZE_MAX);
    assert_in_range(holds(&without_waiting), 1000, SIZE_MAX);
}

static void an_event_of_the_handle_that_was_is_not_believed(void **state)
{
    (void)state;
    assert_in_range(holds(&recycled), 1000, SIZE_MAX);
    assert_true(caught(&recycled, "side: a stale event that is believed",
                       WITH(event, event_is_believed), "poll_here"));
}

static void a_close_ends_the_wait_and_no_try_comes_after(void **state)
{
    (void)state;
    assert_in_range(holds(&closing), 1000, SIZE_MAX);
    assert_in_range(holds(&closing_early), 1000, SIZE_MAX);
    assert_in_range(holds(&closing_writer), 1000, SIZE_MAX);
}

static void a_cancelled_op_has_consumed_nothing(void **state)
{
    (void)state;
    assert_in_range(holds(&cancelling), 1000, SIZE_MAX);
    assert_in_range(holds(&cancel_and_close), 1000, SIZE_MAX);
}

static void a_second_task_is_told_and_the_first_is_not_forgotten(void **state)
{
    (void)state;
    assert_in_range(holds(&two_tasks), 1000, SIZE_MAX);
}

#define FREED "used after it was freed"

static void wrong_submits_are_caught(void **state)
{
    (void)state;
    assert_true(caught(&events, "side: DRAINED after the try", WITH(submit, submit_drains_late),
                       "deadlock"));
    assert_true(caught(&events, "side: ARMED after arming", WITH(submit, submit_says_armed_late),
                       "deadlock"));
    assert_true(caught(&end_of_stream, "side: put back by a store", WITH(submit, submit_overwrites),
                       "deadlock"));
    assert_true(caught(&closing, "side: a try that nobody sees", WITH(submit, submit_tries_unseen),
                       "!scene.closed"));
    assert_true(caught(&two_tasks, "side: a try that the second task does not see",
                       WITH(submit, submit_tries_unseen), "deadlock"));
    assert_true(caught(&closing_writer, "side: a late write through",
                       WITH(submit, submit_writes_through), "!scene.closed"));
    assert_true(caught(&closing, "side: a retry that does not look",
                       WITH(submit, submit_reclaims_blindly), "!scene.closed"));
    assert_true(caught(&closing, "side: an op of a closed handle that seems new",
                       WITH(submit, submit_forgets_its_state), "!scene.closed"));
}

static void wrong_cancels_are_caught(void **state)
{
    (void)state;
    assert_true(caught(&cancelling, "side: cancelled in the hands of another",
                       WITH(cancel, cancel_at_any_time), FREED));
    assert_true(caught(&cancelling, "side: a cancel that takes the event along",
                       WITH(cancel, cancel_consumes), "deadlock"));
}

static void wrong_events_are_caught(void **state)
{
    struct protocol taken = {.submit = submit_takes_anything, .event = event_takes_the_op};
    (void)state;
    assert_true(caught(&closing, "side: off at the handing back", &taken, "!scene.closed"));
    assert_true(
        caught(&two_reactors, "side: handed back twice", WITH(event, event_hands_back_again), ""));
    assert_true(
        caught(&two_reactors, "side: handed back in a try", WITH(event, event_ignores_a_try), ""));
}

static void wrong_closes_are_caught(void **state)
{
    (void)state;
    assert_true(
        caught(&closing, "side: a close in the middle of a try", WITH(take, take_at_once), FREED));
    assert_true(caught(&closing, "side: a close in the middle of a handing back",
                       WITH(take, take_from_a_list), FREED));
}

static void wrong_deliveries_are_caught(void **state)
{
    (void)state;
    assert_true(caught(&closing, "side: READY before the reference",
                       WITH(deliver, deliver_without_reference), FREED));
    assert_true(caught(&cancelling, "side: READY before it leaves the list",
                       WITH(deliver, deliver_from_the_list), FREED));
}

static bool races(const char *name, const struct protocol *protocol)
{
    struct model_scenario scenario = closing;
    scenario.name = name;
    scene.protocol = protocol;
    scene.scenario = &scenario;
    return model_catches_race(&scenario);
}

static void missing_orderings_are_caught_by_tsan(void **state)
{
    (void)state;
    assert_true(races("side: arming without release", WITH(submit, submit_arms_relaxed)));
    assert_true(races("side: a try's end without release", WITH(submit, submit_lets_go_relaxed)));
    assert_true(races("side: settling without release", WITH(deliver, deliver_relaxed)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_event_is_lost),
        cmocka_unit_test(an_event_of_the_handle_that_was_is_not_believed),
        cmocka_unit_test(a_close_ends_the_wait_and_no_try_comes_after),
        cmocka_unit_test(a_cancelled_op_has_consumed_nothing),
        cmocka_unit_test(a_second_task_is_told_and_the_first_is_not_forgotten),
        cmocka_unit_test(wrong_submits_are_caught),
        cmocka_unit_test(wrong_cancels_are_caught),
        cmocka_unit_test(wrong_events_are_caught),
        cmocka_unit_test(wrong_closes_are_caught),
        cmocka_unit_test(wrong_deliveries_are_caught),
        cmocka_unit_test(missing_orderings_are_caught_by_tsan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
