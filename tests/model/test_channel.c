/*
 * Channels in all interleavings: each message that was sent is received once, though receivers and senders
 * that have been granted something are cancelled, and closing ends all waits.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "waiting.h"

#define malloc(size) model_alloc(size, "channel")
#define free(memory) model_free(memory)

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sync/biased.c"
#include "../../src/sync/channel.c"
#include "../../src/sync/waitq.c"

enum { FICKLE, SENDER, RECEIVER, FIBERS };

static struct {
    void (*undo)(struct lido__wait *wait);
    lido_channel *channel;
    struct model_fiber *fibers[FIBERS];
    uint32_t open;         /* senders that have not ended */
    unsigned sent[FIBERS]; /* by each of them */
    unsigned received[FIBERS];
} scene;

static void set_up(void)
{
    static const char *const names[] = {"fickle", "sender", "receiver"};
    model_assert(lido_channel_new(&scene.channel, sizeof(int), 1) == 0);
    /* The sender may become the favourite of its lock, and be deposed. */
    scene.channel->lock.last = &model_workers[SENDER];
    scene.channel->lock.streak = STREAK_FIRST - 1;
    scene.open = 1;
    memset(scene.sent, 0, sizeof(scene.sent));
    memset(scene.received, 0, sizeof(scene.received));
    for (int i = 0; i < FIBERS; i++)
        scene.fibers[i] = model_fiber_new(i == FICKLE, names[i]);
}

static void send_until(int place, int messages)
{
    for (int i = 0; i < messages; i++) {
        int r = lido_channel_send(scene.channel, &i);
        model_assert(r == 0 || (r == -ECANCELED && place == FICKLE));
        scene.sent[place] += r == 0;
    }
    if (lido__fetch_sub(&scene.open, 1, LIDO__ACQ_REL) == 1)
        lido_channel_close(scene.channel);
}

/* ---- Fibers ---------------------------------------------------------------------------------------------- */

static void send_two(void *arg)
{
    (void)arg;
    model_fiber_begin(scene.fibers[SENDER], SENDER);
    send_until(SENDER, 2);
    model_fiber_end(scene.fibers[SENDER]);
}

static void receive_all(void *arg)
{
    int value, r;
    (void)arg;
    model_fiber_begin(scene.fibers[RECEIVER], RECEIVER);
    while ((r = lido_channel_recv(scene.channel, &value)) == 0)
        scene.received[RECEIVER]++;
    model_assert(r == -EPIPE);
    model_fiber_end(scene.fibers[RECEIVER]);
}

/* Receives one, unless it is cancelled. */
static void receive_one(void *arg)
{
    int value;
    (void)arg;
    model_fiber_begin(scene.fibers[FICKLE], FICKLE);
    int r = lido_channel_recv(scene.channel, &value);
    model_assert(r == 0 || r == -EPIPE || r == -ECANCELED);
    scene.received[FICKLE] += r == 0;
    model_fiber_end(scene.fibers[FICKLE]);
}

/* Sends one, unless it is cancelled. */
static void send_one(void *arg)
{
    (void)arg;
    model_fiber_begin(scene.fibers[FICKLE], FICKLE);
    send_until(FICKLE, 1);
    model_fiber_end(scene.fibers[FICKLE]);
}

/* As lido_wait_forgo, with the scene's undo. */
static void forgo(struct lido__wait *wait)
{
    if (lido__wait_state(wait) != LIDO__WAIT_IDLE && !lido__wait_withdraw(wait))
        scene.undo(wait);
}

/* A future that gives up when nothing is there. */
static void receive_or_forgo(void *arg)
{
    lido_wait wait = LIDO_WAIT_INIT;
    int value;
    (void)arg;
    model_fiber_begin(scene.fibers[FICKLE], FICKLE);
    lido_waker waker = lido__waker_borrow(&scene.fibers[FICKLE]->task);
    int r = lido_channel_recv_poll(scene.channel, &value, &wait, &waker);
    scene.received[FICKLE] += r == 0;
    if (r == LIDO_PENDING)
        forgo(lido__wait_of(&wait));
    model_fiber_end(scene.fibers[FICKLE]);
}

static void cancel_fickle(void *arg)
{
    (void)arg;
    model_fiber_cancel(scene.fibers[FICKLE]);
}

/* ---- Scenarios ------------------------------------------------------------------------------------------- */

static void all_is_received(void)
{
    unsigned sent = scene.sent[FICKLE] + scene.sent[SENDER];
    model_assert(sent >= 2 && scene.received[FICKLE] + scene.received[RECEIVER] == sent);
    model_assert(scene.channel->reserved == 0 && scene.channel->promised == 0);
    model_assert(scene.channel->count == 0);
    model_assert(!scene.channel->receivers.first && !scene.channel->senders.first);
    lido_channel_drop(scene.channel);
}

static struct model_scenario passing(void (*fickle)(void *arg))
{
    scene.undo = undo_receive;
    return (struct model_scenario){
        .name = "two messages, and a second receiver that may be cancelled",
        .setup = set_up,
        .check = all_is_received,
        .threads = {{"fickle", fickle, NULL},
                    {"sender", send_two, NULL},
                    {"receiver", receive_all, NULL},
                    {"canceler", cancel_fickle, NULL}},
        .preemptions = 1, /* with all the switches that are free, these are many */
        .per_thread = &lido__worker_of_thread,
    };
}

static void set_up_two_senders(void)
{
    set_up();
    scene.open = 2;
}

static void each_message_is_received_once(void **state)
{
    struct model_scenario scenario = passing(receive_one);
    (void)state;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
    scenario = passing(receive_or_forgo);
    scenario.name = "two messages, and a second receiver that gives up";
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
    scenario = passing(send_one);
    scenario.name = "two senders, of whom one may be cancelled";
    scenario.setup = set_up_two_senders;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

/* The right to a message ends with the one who had it. */
static void undo_nothing(struct lido__wait *wait)
{
    (void)wait;
}

/* It is free for newcomers, but those who wait are not told. */
static void undo_in_silence(struct lido__wait *wait)
{
    struct lido_channel *channel = channel_of(wait);
    bool token = lock(channel);
    channel->reserved--;
    lido__biased_unlock(&channel->lock, token);
}

static void a_right_that_is_not_passed_on_is_caught(void **state)
{
    struct model_scenario scenario = passing(receive_or_forgo);
    (void)state;
    scene.undo = undo_nothing;
    assert_true(model_catches(&scenario, "") > 0);
    scene.undo = undo_in_silence;
    assert_true(model_catches(&scenario, "deadlock") > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_is_received_once),
        cmocka_unit_test(a_right_that_is_not_passed_on_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
