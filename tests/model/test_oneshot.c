/*
 * One-shots in all interleavings: the value arrives or the sender learns that it is not wanted, and of
 * the two who give up or are through, exactly the second frees the memory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "waiting.h"

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/sync/oneshot.c"
#include "../../src/sync/waitq.c"

static struct {
    int (*send)(lido_oneshot *oneshot, void *value);
    lido_oneshot *oneshot;
    struct model_fiber *receiver;
    int payload; /* plain: the one-shot passes it on */
} scene;

static void set_up(void)
{
    scene.oneshot = model_alloc(sizeof(*scene.oneshot), "one-shot");
    scene.receiver = model_fiber_new(1, "receiver");
    scene.payload = 0;
}

static void receive(void *arg)
{
    void *value;
    (void)arg;
    model_fiber_begin(scene.receiver, 0);
    int r = lido_oneshot_recv(scene.oneshot, &value);
    if (r == 0)
        model_assert(value == &scene.payload && scene.payload == 7);
    else
        model_assert(r == -ECANCELED || r == -EPIPE);
    if (r != -ECANCELED || lido_oneshot_close_receiver(scene.oneshot) == -EALREADY)
        model_free(scene.oneshot);
    model_fiber_end(scene.receiver);
}

/* A future that gives up when nothing has come yet. */
static void poll_and_forgo(void *arg)
{
    lido_wait wait = LIDO_WAIT_INIT;
    void *value;
    (void)arg;
    model_fiber_begin(scene.receiver, 0);
    lido_waker waker = lido__waker_borrow(&scene.receiver->task);
    int r = lido_oneshot_recv_poll(scene.oneshot, &value, &wait, &waker);
    if (r == LIDO_PENDING)
        lido_wait_forgo(&wait);
    if (r == 0 || lido_oneshot_close_receiver(scene.oneshot) == -EALREADY)
        model_free(scene.oneshot);
    model_fiber_end(scene.receiver);
}

static void send_value(void *arg)
{
    (void)arg;
    scene.payload = 7;
    if (scene.send(scene.oneshot, &scene.payload) == -EPIPE)
        model_free(scene.oneshot);
}

static void hang_up(void *arg)
{
    (void)arg;
    if (lido_oneshot_close_sender(scene.oneshot) == -EPIPE)
        model_free(scene.oneshot);
}

static void cancel(void *arg)
{
    (void)arg;
    model_fiber_cancel(scene.receiver);
}

static struct model_scenario exchange(int (*sends)(lido_oneshot *oneshot, void *value))
{
    scene.send = sends;
    return (struct model_scenario){
        .name = "a value, and a receiver that may be cancelled",
        .setup = set_up,
        .threads = {{"receiver", receive, NULL},
                    {"sender", send_value, NULL},
                    {"canceler", cancel, NULL}},
        .per_thread = &lido__worker_of_thread,
    };
}

static void the_second_to_be_through_frees_it(void **state)
{
    struct model_scenario scenario = exchange(lido_oneshot_send);
    (void)state;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
    scenario.name = "no value, and a receiver that may be cancelled";
    scenario.threads[1].run = hang_up;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
    scenario.name = "a value, and a future that gives up";
    scenario.threads[1].run = send_value;
    scenario.threads[0].run = poll_and_forgo;
    assert_in_range(model_holds(&scenario), 1000, SIZE_MAX);
}

/* ---- Broken ---------------------------------------------------------------------------------------------- */

/* Says that the value is there, and then wakes who waits, who may be gone. */
static int send_and_wake(lido_oneshot *public, void *value)
{
    struct oneshot *oneshot = oneshot_of(public);
    struct lido__wakes wakes;
    lido__wakes_init(&wakes);
    oneshot->value = value;
    uint32_t word = lido__word_settled(&oneshot->word);
    while (!(word & GONE))
        if (lido__cas(&oneshot->word, &word, SENT, LIDO__RELEASE, LIDO__ACQUIRE)) {
            if (word & LIDO__WAITERS)
                lido__waitq_grant(&oneshot->queue, oneshot->queue.first, &wakes);
            lido__wakes_send(&wakes);
            return 0;
        } else if (word & LIDO__BUSY) {
            word = lido__word_settled(&oneshot->word);
        }
    return -EPIPE;
}

/* Looks, and then writes. */
static int send_in_two_steps(lido_oneshot *public, void *value)
{
    struct oneshot *oneshot = oneshot_of(public);
    oneshot->value = value;
    uint32_t word = lido__word_settled(&oneshot->word);
    if (word)
        return conclude(oneshot, SENT);
    lido__store(&oneshot->word, SENT, LIDO__RELEASE);
    return 0;
}

/* Does not pass on what it has written. */
static int send_relaxed(lido_oneshot *public, void *value)
{
    struct oneshot *oneshot = oneshot_of(public);
    uint32_t word = 0;
    oneshot->value = value;
    if (lido__cas(&oneshot->word, &word, SENT, LIDO__RELAXED, LIDO__RELAXED))
        return 0;
    return conclude(oneshot, SENT);
}

static void broken_sending_is_caught(void **state)
{
    (void)state;
    struct model_scenario scenario = exchange(send_and_wake);
    assert_true(model_catches(&scenario, "freed") > 0);
    scenario = exchange(send_in_two_steps);
    assert_true(model_catches(&scenario, "never freed") > 0);
    scenario = exchange(send_relaxed);
    assert_true(model_catches_race(&scenario));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_to_be_through_frees_it),
        cmocka_unit_test(broken_sending_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
