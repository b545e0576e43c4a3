/* Threads that spawn into a runtime while another one ends it: what was accepted ends, all else is refused. */
#include <errno.h>
#include <sched.h>

#include "support/runtime.h"
#include "support/stress.h"

enum { SPAWNERS = 4, ROUNDS = 60 };

static uint32_t accepted, ended, refused;

static int one(void *arg)
{
    (void)arg;
    lido_yield();
    lido__fetch_add(&ended, 1, LIDO__RELAXED);
    return 0;
}

static int one_future(lido_future *self, const lido_waker *waker)
{
    (void)waker;
    free(self);
    lido__fetch_add(&ended, 1, LIDO__RELAXED);
    return 0;
}

static int spawn_future(lido_runtime *runtime)
{
    lido_future *future = malloc(sizeof(*future));
    check(future != NULL);
    future->poll = one_future;
    int r = lido_runtime_spawn_future(runtime, NULL, future);
    if (r < 0)
        free(future);
    return r;
}

static int spawn_at(lido_runtime *runtime, unsigned turn)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = turn % (LIDO_PLACE_WORKER + 1);
    options.mobility = turn / 5 % (LIDO_STEALABLE + 1);
    return lido_runtime_spawn_with(runtime, NULL, one, NULL, &options);
}

/* A blocking task that is cancelled as it waits does not run: it is not counted, and joined. */
static int spawn_blocking(lido_runtime *runtime)
{
    lido_task *task;
    int r = lido_runtime_spawn_blocking(runtime, &task, one, NULL);
    if (r == 0) {
        int result;
        check_int(lido_join(task, &result), 0);
        check(result == 0 || result == -ECANCELED);
        if (result < 0)
            lido__fetch_add(&ended, 1, LIDO__RELAXED);
    }
    return r;
}

static int spawn_one(lido_runtime *runtime, unsigned turn)
{
    switch (turn % 8) {
    case 0: return spawn_future(runtime);
    case 1: return spawn_blocking(runtime);
    default: return spawn_at(runtime, turn / 8);
    }
}

/* Each has a handle of its own, and goes on for a while after the end. */
static void *spawn_until_the_end(void *arg)
{
    lido_runtime *runtime = arg;
    unsigned late = 0;
    for (unsigned turn = 0; late < 20; turn++) {
        int r = spawn_one(runtime, turn);
        check(r == 0 || r == -ESHUTDOWN);
        lido__fetch_add(r == 0 ? &accepted : &refused, 1, LIDO__RELAXED);
        late += r < 0;
        if (turn % 16 == 0)
            sched_yield();
    }
    lido_runtime_unref(runtime);
    return NULL;
}

static void end_it(lido_runtime *runtime, unsigned round)
{
    switch (round % 3) {
    case 0: check_int(lido_runtime_free(runtime), 0); break;
    case 1: check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_DRAIN, -1, NULL, NULL), 0); break;
    default: check_int(lido_shutdown_within(runtime, 1, -1, NULL, NULL), 0);
    }
}

static void play(const char *scheduler, unsigned round)
{
    pthread_t spawners[SPAWNERS];
    lido_runtime *runtime = runtime_by(scheduler, 1 + round % 3);
    accepted = ended = refused = 0;
    for (int i = 0; i < SPAWNERS; i++)
        spawners[i] = thread_start(spawn_until_the_end, lido_runtime_ref(runtime));
    while (lido__load(&accepted, LIDO__RELAXED) < 10 * round)
        sched_yield();
    end_it(runtime, round);
    for (int i = 0; i < SPAWNERS; i++)
        thread_join(spawners[i]);
    check_int(ended, accepted);
    check_int(refused, 20 * SPAWNERS);
}

static void what_is_accepted_ends_and_what_comes_late_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(schedulers); i++)
        for (unsigned round = 0; round < ROUNDS; round++)
            play(schedulers[i], round);
}

/* Two that end it at once: one of them does, the other one is told so, and each gives its own handle back. */
static void *end_or_be_told(void *arg)
{
    lido_runtime *runtime = arg;
    int r;
    while ((r = lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL)) == -EBUSY)
        sched_yield();
    check(r == 0 || r == -ESHUTDOWN);
    if (r < 0)
        lido_runtime_unref(runtime);
    lido__fetch_add(r == 0 ? &ended : &refused, 1, LIDO__RELAXED);
    return NULL;
}

static void of_those_who_end_a_runtime_one_does(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 4 * ROUNDS; round++) {
        pthread_t enders[SPAWNERS];
        lido_runtime *runtime = runtime_of(2);
        ended = refused = 0;
        for (int i = 0; i < SPAWNERS; i++)
            enders[i] = thread_start(end_or_be_told, lido_runtime_ref(runtime));
        lido_runtime_unref(runtime);
        for (int i = 0; i < SPAWNERS; i++)
            thread_join(enders[i]);
        check_int(ended, 1);
        check_int(refused, SPAWNERS - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_accepted_ends_and_what_comes_late_is_refused),
        cmocka_unit_test(of_those_who_end_a_runtime_one_does),
    };
    stress_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
