/*
 * Whoever is granted something is woken when the word of the object is free: others spin on it, and a
 * wake-up is a system call. The workers sleep as the test has it, so it is called in the middle of each
 * wake-up.
 */
#include <errno.h>
#include <poll.h>

#include "support/runtime.h"
#include "sync/biased.h"
#include "sync/semaphore.h"

#define WAITERS 3u /* each on a worker of its own */

static struct {
    lido_park park;
    lido_runtime *runtime;
    uint32_t *word;           /* of the object */
    uint32_t waits[WAITERS];  /* the task of that worker has come to its wait */
    uint32_t asleep[WAITERS]; /* and the worker sleeps since */
    uint32_t unparks;
    uint32_t held; /* so many of them while somebody had the word */
    int results[WAITERS];
} scene;

/* ---- The workers' sleep -------------------------------------------------------------------------- */

static void park(void *arg, unsigned worker, int fd, uint64_t timeout_ns)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    (void)arg;
    if (lido__load(&scene.waits[worker], LIDO__RELAXED))
        lido__store(&scene.asleep[worker], 1, LIDO__RELEASE);
    poll(&pollfd, 1, timeout_ns == UINT64_MAX ? -1 : (int)(timeout_ns / 1000000 + 1));
}

static void unpark(void *arg, unsigned worker)
{
    (void)arg;
    if (!lido__load(&scene.asleep[worker], LIDO__ACQUIRE))
        return;
    lido__fetch_add(&scene.unparks, 1, LIDO__RELAXED);
    if (lido__load(scene.word, LIDO__RELAXED) & LIDO__BUSY)
        lido__fetch_add(&scene.held, 1, LIDO__RELAXED);
}

static bool all_sleep(void)
{
    for (unsigned i = 0; i < WAITERS; i++)
        if (!lido__load(&scene.asleep[i], LIDO__ACQUIRE))
            return false;
    return true;
}

/* ---- The scene ----------------------------------------------------------------------------------- */

static void begin(void *word)
{
    lido_config config = LIDO_CONFIG_INIT;
    memset(&scene, 0, sizeof(scene));
    scene.park = (lido_park){park, unpark, NULL};
    scene.word = word;
    config.workers = WAITERS;
    config.park = &scene.park;
    check_int(lido_runtime_new(&scene.runtime, &config), 0);
}

static void come_to_wait(const int *result)
{
    lido__store(&scene.waits[result - scene.results], 1, LIDO__RELAXED);
}

/* Tasks that wait, one on each worker; returns when all workers sleep. */
static void start_waiters(lido_task *tasks[WAITERS], lido_fn fn)
{
    for (unsigned i = 0; i < WAITERS; i++)
        tasks[i] = runtime_start_pinned(scene.runtime, i, fn, &scene.results[i]);
    while (!all_sleep())
        lido__thread_yield();
}

/* All of them are woken, at a time when nobody has the word. */
static void end(lido_task **tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_int(finish(tasks[i]), 0);
    runtime_end(scene.runtime);
    assert_true(lido__load(&scene.unparks, LIDO__RELAXED) >= WAITERS);
    assert_int_equal(lido__load(&scene.held, LIDO__RELAXED), 0);
}

/* ---- Events -------------------------------------------------------------------------------------- */

static lido_event event;

static int await_event_here(void *arg)
{
    come_to_wait(arg);
    return lido_event_wait(&event);
}

static void an_event_is_free_when_all_are_woken(void **state)
{
    lido_task *tasks[WAITERS];
    (void)state;
    event = (lido_event)LIDO_EVENT_INIT;
    begin(&event);
    start_waiters(tasks, await_event_here);
    lido_event_notify_all(&event);
    end(tasks, WAITERS);
}

static void an_event_is_free_when_one_is_woken(void **state)
{
    lido_task *tasks[WAITERS];
    (void)state;
    event = (lido_event)LIDO_EVENT_INIT;
    begin(&event);
    start_waiters(tasks, await_event_here);
    for (unsigned i = 0; i < WAITERS; i++)
        lido_event_notify_one(&event);
    end(tasks, WAITERS);
}

/* ---- Channels ------------------------------------------------------------------------------------ */

static lido_channel *channel;

static int receive_nothing(void *arg)
{
    int value;
    come_to_wait(arg);
    return lido_channel_recv(channel, &value) == -EPIPE ? 0 : -EINVAL;
}

static int receive_something(void *arg)
{
    int value;
    come_to_wait(arg);
    return lido_channel_recv(channel, &value);
}

static int send_to_nobody(void *arg)
{
    int value = 0;
    come_to_wait(arg);
    return lido_channel_send(channel, &value) == -EPIPE ? 0 : -EINVAL;
}

static void begin_channel(void)
{
    check_int(lido_channel_new(&channel, sizeof(int), 1), 0);
    begin(&((struct lido__biased *)channel)->word);
}

static void a_channel_is_free_when_its_receivers_are_woken_by_its_end(void **state)
{
    lido_task *tasks[WAITERS];
    (void)state;
    begin_channel();
    start_waiters(tasks, receive_nothing);
    lido_channel_close(channel);
    end(tasks, WAITERS);
    lido_channel_drop(channel);
}

static void a_channel_is_free_when_its_senders_are_woken_by_its_end(void **state)
{
    lido_task *tasks[WAITERS];
    int value = 0;
    (void)state;
    begin_channel();
    check_int(lido_channel_try_send(channel, &value), 0);
    start_waiters(tasks, send_to_nobody);
    lido_channel_close(channel);
    end(tasks, WAITERS);
    lido_channel_drop(channel);
}

static void a_channel_is_free_when_a_message_wakes_its_receiver(void **state)
{
    lido_task *tasks[WAITERS];
    (void)state;
    begin_channel();
    start_waiters(tasks, receive_something);
    for (int i = 0; i < (int)WAITERS; i++)
        while (lido_channel_try_send(channel, &i) == -EAGAIN)
            lido__thread_yield();
    end(tasks, WAITERS);
    lido_channel_drop(channel);
}

/* ---- Mutexes and semaphores ---------------------------------------------------------------------- */

static lido_mutex mutex;

static int lock_and_unlock(void *arg)
{
    come_to_wait(arg);
    int r = lido_mutex_lock(&mutex);
    return r < 0 ? r : lido_mutex_unlock(&mutex);
}

static void a_mutex_is_free_when_the_next_is_woken(void **state)
{
    lido_task *tasks[WAITERS];
    (void)state;
    mutex = (lido_mutex)LIDO_MUTEX_INIT;
    begin(&mutex);
    check_int(lido_mutex_try_lock(&mutex), 0);
    start_waiters(tasks, lock_and_unlock);
    check_int(lido_mutex_unlock(&mutex), 0);
    end(tasks, WAITERS);
}

static struct lido__semaphore semaphore;

static int acquire_one(void *arg)
{
    come_to_wait(arg);
    return lido__semaphore_acquire(&semaphore, 1);
}

static void a_semaphore_is_free_when_many_are_woken(void **state)
{
    lido_task *tasks[WAITERS];
    (void)state;
    lido__semaphore_init(&semaphore, 0, "permit");
    begin(&semaphore.word);
    start_waiters(tasks, acquire_one);
    lido__semaphore_release(&semaphore, WAITERS);
    end(tasks, WAITERS);
}

/* ---- One-shots ----------------------------------------------------------------------------------- */

static lido_oneshot oneshots[WAITERS];

static int receive_once(void *arg)
{
    void *value;
    come_to_wait(arg);
    return lido_oneshot_recv(&oneshots[(int *)arg - scene.results], &value);
}

static void a_one_shot_is_free_when_its_receiver_is_woken(void **state)
{
    lido_task *tasks[WAITERS];
    (void)state;
    for (unsigned i = 0; i < WAITERS; i++)
        oneshots[i] = (lido_oneshot)LIDO_ONESHOT_INIT;
    begin(&oneshots[0]);
    start_waiters(tasks, receive_once);
    for (unsigned i = 0; i < WAITERS; i++) {
        scene.word = (uint32_t *)&oneshots[i];
        check_int(lido_oneshot_send(&oneshots[i], NULL), 0);
    }
    end(tasks, WAITERS);
}

/* ---- Scopes -------------------------------------------------------------------------------------- */

static lido_scope scope;

static int wait_in_scope(void *arg)
{
    come_to_wait(arg);
    return lido_sleep(1000000);
}

/* It waits for the others on the first worker, where one of them waits, too. */
static int own_scope(void *arg)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    (void)arg;
    options.placement = LIDO_PLACE_WORKER;
    options.mobility = LIDO_PINNED;
    for (options.worker = 0; options.worker < WAITERS; options.worker++)
        check_int(lido_scope_spawn_with(&scope, NULL, wait_in_scope, &scene.results[options.worker],
                                        &options),
                  0);
    return lido_scope_wait(&scope) == -ECANCELED ? 0 : -EINVAL;
}

static void a_scope_is_free_when_its_tasks_are_cancelled(void **state)
{
    (void)state;
    scope = (lido_scope)LIDO_SCOPE_INIT;
    begin((uint32_t *)(void *)&scope + 1); /* after `cancel_on_error` */
    lido_task *owner = runtime_start_pinned(scene.runtime, 0, own_scope, NULL);
    while (!all_sleep())
        lido__thread_yield();
    lido_scope_cancel(&scope);
    end(&owner, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_free_when_all_are_woken),
        cmocka_unit_test(an_event_is_free_when_one_is_woken),
        cmocka_unit_test(a_channel_is_free_when_its_receivers_are_woken_by_its_end),
        cmocka_unit_test(a_channel_is_free_when_its_senders_are_woken_by_its_end),
        cmocka_unit_test(a_channel_is_free_when_a_message_wakes_its_receiver),
        cmocka_unit_test(a_mutex_is_free_when_the_next_is_woken),
        cmocka_unit_test(a_semaphore_is_free_when_many_are_woken),
        cmocka_unit_test(a_one_shot_is_free_when_its_receiver_is_woken),
        cmocka_unit_test(a_scope_is_free_when_its_tasks_are_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
