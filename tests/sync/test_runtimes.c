/* Two runtimes in one process, and plain threads, wait for each other and pass each other things. */
#include <errno.h>
#include <sched.h>

#include "base/atomic.h"
#include "support/runtime.h"

static lido_runtime *one, *other;

static int start_runtimes(void **state)
{
    (void)state;
    one = runtime_of(2);
    other = runtime_of(1);
    return 0;
}

static int end_runtimes(void **state)
{
    (void)state;
    runtime_end(one);
    runtime_end(other);
    return 0;
}

/* In a plain thread. */
static int outcome(lido_task *task)
{
    int result;
    check_int(lido_join(task, &result), 0);
    return result;
}

/* ---- Channels ------------------------------------------------------------------------------------------ */

enum { MESSAGES = 5000 };

struct pipe {
    lido_channel *in;
    lido_channel *out;
};

/* Passes each number on, one more. */
static int pass_on(void *arg)
{
    struct pipe *pipe = arg;
    int value, r;
    while ((r = lido_channel_recv(pipe->in, &value)) == 0) {
        value++;
        check_int(lido_channel_send(pipe->out, &value), 0);
    }
    check_int(r, -EPIPE);
    lido_channel_close(pipe->out);
    return 0;
}

static int send_numbers(void *arg)
{
    for (int i = 0; i < MESSAGES; i++)
        check_int(lido_channel_send(arg, &i), 0);
    lido_channel_close(arg);
    return 0;
}

static int expect_numbers(void *arg)
{
    int value;
    for (int i = 0; i < MESSAGES; i++) {
        check_int(lido_channel_recv(arg, &value), 0);
        check_int(value, i + 2);
    }
    check_int(lido_channel_recv(arg, &value), -EPIPE);
    return 0;
}

static void messages_go_from_runtime_to_runtime(void **state)
{
    lido_channel *channels[3];
    (void)state;
    for (size_t i = 0; i < COUNT(channels); i++)
        assert_int_equal(lido_channel_new(&channels[i], sizeof(int), 1 + 7 * i), 0);
    struct pipe to = {channels[0], channels[1]}, back = {channels[1], channels[2]};
    lido_task *tasks[] = {
        runtime_start(one, send_numbers, channels[0]),
        runtime_start(other, pass_on, &to),
        runtime_start(one, pass_on, &back),
        runtime_start(other, expect_numbers, channels[2]),
    };
    for (size_t i = 0; i < COUNT(tasks); i++)
        assert_int_equal(outcome(tasks[i]), 0);
    for (size_t i = 0; i < COUNT(channels); i++)
        lido_channel_drop(channels[i]);
}

static void *send_from_thread(void *arg)
{
    for (int i = 0; i < MESSAGES; i++)
        while (lido_channel_try_send(arg, &i) == -EAGAIN)
            sched_yield();
    lido_channel_close(arg);
    return NULL;
}

static int add_up(void *arg)
{
    int value, sum = 0;
    while (lido_channel_recv(arg, &value) == 0)
        sum += value;
    return sum;
}

static void a_plain_thread_feeds_both(void **state)
{
    lido_channel *channel;
    (void)state;
    assert_int_equal(lido_channel_new(&channel, sizeof(int), 10), 0);
    lido_task *first = runtime_start(one, add_up, channel);
    lido_task *second = runtime_start(other, add_up, channel);
    thread_join(thread_start(send_from_thread, channel));
    assert_int_equal(outcome(first) + outcome(second), MESSAGES * (MESSAGES - 1) / 2);
    lido_channel_drop(channel);
}

/* ---- Mutexes, events, one-shots ---------------------------------------------------------------------------- */

static struct {
    lido_mutex mutex;
    lido_event event;
    unsigned count;
} shared;

static int count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        check_int(lido_mutex_lock(&shared.mutex), 0);
        shared.count++;
        if (i % 10 == 0)
            lido_yield();
        check_int(lido_mutex_unlock(&shared.mutex), 0);
    }
    lido_event_notify_one(&shared.event);
    return 0;
}

static int await_events(void *arg)
{
    (void)arg;
    while (true) {
        check_int(lido_mutex_lock(&shared.mutex), 0);
        bool all = shared.count == 6000;
        check_int(lido_mutex_unlock(&shared.mutex), 0);
        if (all)
            return 0;
        check_int(lido_event_wait(&shared.event), 0);
    }
}

static void a_mutex_and_an_event_hold_across_runtimes(void **state)
{
    lido_task *tasks[7];
    (void)state;
    memset(&shared, 0, sizeof(shared));
    for (size_t i = 0; i < 6; i++)
        tasks[i] = runtime_start(i % 2 ? one : other, count_up, NULL);
    tasks[6] = runtime_start(other, await_events, NULL);
    for (size_t i = 0; i < COUNT(tasks); i++)
        assert_int_equal(outcome(tasks[i]), 0);
}

struct exchange {
    lido_oneshot question;
    lido_oneshot answer;
};

static int answer(void *arg)
{
    struct exchange *exchange = arg;
    void *value;
    check_int(lido_oneshot_recv(&exchange->question, &value), 0);
    return lido_oneshot_send(&exchange->answer, value);
}

static int ask_other(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        struct exchange exchange = {LIDO_ONESHOT_INIT, LIDO_ONESHOT_INIT};
        lido_task *task = runtime_start(other, answer, &exchange);
        void *value;
        check_int(lido_oneshot_send(&exchange.question, &exchange), 0);
        check_int(lido_oneshot_recv(&exchange.answer, &value), 0);
        check(value == &exchange);
        check_int(finish(task), 0);
    }
    return 0;
}

static void questions_are_answered_across_runtimes(void **state)
{
    (void)state;
    assert_int_equal(lido_block_on(one, ask_other, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_go_from_runtime_to_runtime, start_runtimes,
                                        end_runtimes),
        cmocka_unit_test_setup_teardown(a_plain_thread_feeds_both, start_runtimes, end_runtimes),
        cmocka_unit_test_setup_teardown(a_mutex_and_an_event_hold_across_runtimes, start_runtimes,
                                        end_runtimes),
        cmocka_unit_test_setup_teardown(questions_are_answered_across_runtimes, start_runtimes,
                                        end_runtimes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
