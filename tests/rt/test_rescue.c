/*
 * What a task that computes delays: nothing that may leave its worker, as long as another one is idle.
 *
 * The one that computes does so until all others have done their part. So this is not a matter of time: if one
 * of them waited for it, the test would not end.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sched/worker.h"
#include "support/check.h"
#include "support/runtime.h"
#include "support/stress.h"

enum { QUEUED = 20 };

/* What has to happen while the worker is stuck: to tasks in its queue, next in line, in its inbox, ... */
enum part { QUEUE = 0, HOT = QUEUED, MAIL, TIMER, FUTURES_TIMER, DEADLINE, SOCKET, PARTS };

struct scene {
    lido_runtime *runtime;
    lido_mobility mobility; /* of the tasks */
    struct flag done[PARTS];
    struct flag stuck;
    lido_event event; /* on which HOT waits */
    int sockets[2];
    lido_task *tasks[PARTS];
    struct role {
        struct scene *scene;
        enum part part;
    } roles[PARTS];
    struct countdown {
        lido_future future;
        lido_timer timer;
        struct role *role;
        bool started;
    } countdown;
};

static int done(const struct role *role)
{
    flag_raise(&role->scene->done[role->part]);
    return 0;
}

static int do_part(void *arg)
{
    return done(arg);
}

static int await_event(void *arg)
{
    const struct role *role = arg;
    check_int(lido_event_wait(&role->scene->event), 0);
    return done(role);
}

static int sleep_shortly(void *arg)
{
    check_int(lido_sleep(5), 0);
    return done(arg);
}

static int count_down(lido_future *future, const lido_waker *waker)
{
    struct countdown *self = (struct countdown *)future;
    if (!self->started)
        lido_timer_start(&self->timer, 5);
    self->started = true;
    int r = lido_timer_poll(&self->timer, waker);
    return r == LIDO_PENDING ? r : done(self->role);
}

static int read_in_vain(void *arg)
{
    lido_stream *pair[2];
    char byte;
    check_int(lido_stream_pair(pair), 0);
    {
        lido_within(5);
        check_int(lido_read(pair[0], &byte, 1), -ETIMEDOUT);
    }
    lido_close(pair[0]);
    lido_close(pair[1]);
    return done(arg);
}

static int read_byte(void *arg)
{
    const struct role *role = arg;
    lido_stream *stream;
    char byte;
    check_int(lido_stream_from_fd(&stream, role->scene->sockets[0]), 0);
    check_int(lido_read(stream, &byte, 1), 1);
    check_int(byte, 'x');
    lido_close(stream);
    return done(role);
}

/* ---- The scene --------------------------------------------------------------------------------------- */

static void begin(struct scene *scene, enum part part, lido_fn fn, lido_runtime *runtime)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    struct role *role = &scene->roles[part];
    *role = (struct role){scene, part};
    options.placement = LIDO_PLACE_WORKER;
    options.mobility = scene->mobility;
    if (fn) {
        check_int(lido_spawn_at(runtime, &scene->tasks[part], fn, role, &options, LIDO_HERE), 0);
        return;
    }
    scene->countdown = (struct countdown){.future = {count_down}, .role = role};
    check_int(lido_spawn_future_at(runtime, &scene->tasks[part], &scene->countdown.future, &options,
                                   LIDO_HERE),
              0);
}

/* Fills the queue of its worker, and computes. */
static int compute(void *arg)
{
    struct scene *scene = arg;
    for (enum part part = QUEUE; part < HOT; part++)
        begin(scene, part, do_part, NULL);
    lido_event_notify_one(&scene->event);
    flag_raise(&scene->stuck);
    for (enum part part = 0; part < PARTS; part++)
        flag_await(&scene->done[part]);
    return 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Until those that were begun there have come to wait. */
static void let_them_begin(lido_runtime *runtime)
{
    lido_task *last = runtime_start_pinned(runtime, 0, nothing, NULL);
    check_int(lido_join(last, NULL), 0);
}

static void a_stuck_worker_delays_nothing_that_may_go(const char *scheduler, lido_mobility mobility)
{
    static struct scene scene;
    lido_runtime *runtime = runtime_by(scheduler, 2);
    scene = (struct scene){.mobility = mobility, .event = LIDO_EVENT_INIT};
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, scene.sockets), 0);
    begin(&scene, HOT, await_event, runtime);
    begin(&scene, SOCKET, read_byte, runtime);
    let_them_begin(runtime);
    begin(&scene, TIMER, sleep_shortly, runtime);
    begin(&scene, FUTURES_TIMER, NULL, runtime);
    begin(&scene, DEADLINE, read_in_vain, runtime);
    lido_task *computing = runtime_start_pinned(runtime, 0, compute, &scene);
    flag_await(&scene.stuck);
    begin(&scene, MAIL, do_part, runtime);
    check_int(write(scene.sockets[1], "x", 1), 1);
    check_int(lido_join(computing, NULL), 0);
    for (enum part part = 0; part < PARTS; part++)
        check_int(lido_join(scene.tasks[part], NULL), 0);
    close(scene.sockets[1]);
    runtime_end(runtime);
}

static void with_work_stealing_tasks_do_not_wait_for_one_that_computes(void **state)
{
    (void)state;
    a_stuck_worker_delays_nothing_that_may_go("work-stealing", LIDO_STEALABLE);
}

static void rescuable_tasks_do_not_wait_for_one_that_computes(void **state)
{
    (void)state;
    a_stuck_worker_delays_nothing_that_may_go("work-stealing", LIDO_RESCUABLE);
    a_stuck_worker_delays_nothing_that_may_go("io-pool", LIDO_RESCUABLE);
}

static void stealable_tasks_of_an_io_pool_do_not_either(void **state)
{
    (void)state;
    a_stuck_worker_delays_nothing_that_may_go("io-pool", LIDO_STEALABLE);
}

/* ---- A slice that takes too long ------------------------------------------------------------------------ */

enum { BURDENS = 240, BURDENS_LEAST = 32, BURDEN_NS = 800000, YIELDS = 20000 };

struct load {
    unsigned burdens;
    uint32_t borne; /* by the first worker, before another one has come */
    uint32_t moved; /* another one has */
};

static int bear(void *arg)
{
    struct load *load = arg;
    while (lido_worker_index() == 0 && !lido__load(&load->moved, LIDO__RELAXED)) {
        for (uint64_t until = lido_now() + BURDEN_NS; lido_now() < until;) {}
        lido__fetch_add(&load->borne, 1, LIDO__RELAXED);
        check_int(lido_yield(), 0);
    }
    lido__store(&load->moved, 1, LIDO__RELAXED);
    return 0;
}

/* Yields to nobody, which costs so little that a slice is long, and begins with a new one. How many fit into it. */
static unsigned prolong_slice(void)
{
    const struct lido__worker *worker = lido__worker_current();
    for (unsigned i = 0; i < YIELDS && worker->slice_left < BURDENS; i++)
        check_int(lido_yield(), 0);
    while (worker->slice_left < worker->slice - 1)
        check_int(lido_yield(), 0);
    return worker->slice_left < BURDENS ? worker->slice_left : BURDENS;
}

static int lay_on(void *arg)
{
    struct load *load = arg;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *tasks[BURDENS];
    options.mobility = LIDO_STEALABLE;
    options.placement = LIDO_PLACE_LOCAL;
    load->burdens = prolong_slice();
    for (unsigned i = 0; i < load->burdens; i++)
        check_int(lido_spawn_with(&tasks[i], bear, arg, &options), 0);
    for (unsigned i = 0; i < load->burdens; i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void tasks_do_not_wait_for_a_slice_that_was_measured_by_cheaper_ones(void **state)
{
    struct load load = {0};
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    (void)state;
    check_int(finish(runtime_start_pinned(runtime, 0, lay_on, &load)), 0);
    if (load.burdens < BURDENS_LEAST)
        say("a slice has only %u tasks here: they would soon be shared anyhow", load.burdens);
    else
        check(load.borne < load.burdens * 3 / 4);
    runtime_end(runtime);
}

/* ---- More than is moved at once ------------------------------------------------------------------------ */

enum { CROWD = 5000 };

struct crowd {
    struct flag woken;
    lido_event event;
    lido__shared uint32_t passed;
};

static int pass_in_crowd(void *arg)
{
    lido__fetch_add(&((struct crowd *)arg)->passed, 1, LIDO__RELAXED);
    return 0;
}

static int wait_in_crowd(void *arg)
{
    struct crowd *crowd = arg;
    check_int(lido_event_wait(&crowd->event), 0);
    flag_raise(&crowd->woken);
    return 0;
}

static void await_crowd(struct crowd *crowd)
{
    while (lido__load(&crowd->passed, LIDO__RELAXED) < CROWD) {}
}

static int compute_before_crowd(void *arg)
{
    struct crowd *crowd = arg;
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.placement = LIDO_PLACE_LOCAL;
    options.mobility = LIDO_PINNED;
    for (unsigned i = 0; i < CROWD; i++)
        check_int(lido_spawn_with(NULL, nothing, NULL, &options), 0);
    options.mobility = LIDO_RESCUABLE;
    for (unsigned i = 0; i < CROWD; i++)
        check_int(lido_spawn_with(NULL, pass_in_crowd, arg, &options), 0);
    await_crowd(crowd);
    /* Nothing is left to move, and the worker has been left alone; a task that wakes one says by that that there is. */
    usleep(20000);
    lido_event_notify_one(&crowd->event);
    flag_await(&crowd->woken);
    return 0;
}

static void a_crowd_is_rescued_in_parts_and_what_is_woken_later_too(void **state)
{
    static struct crowd crowd = {.event = LIDO_EVENT_INIT};
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_runtime *runtime = runtime_by("io-pool", 2);
    lido_task *waiting;
    (void)state;
    options.placement = LIDO_PLACE_WORKER;
    options.mobility = LIDO_RESCUABLE;
    check_int(lido_runtime_spawn_with(runtime, &waiting, wait_in_crowd, &crowd, &options), 0);
    let_them_begin(runtime);
    check_int(finish(runtime_start_pinned(runtime, 0, compute_before_crowd, &crowd)), 0);
    check_int(lido_join(waiting, NULL), 0);
    runtime_end(runtime);
}

/* ---- Pinned ones do ---------------------------------------------------------------------------------- */

struct order {
    struct flag stuck;
    struct flag over;
    struct flag ran;
};

static int compute_until_over(void *arg)
{
    struct order *order = arg;
    flag_raise(&order->stuck);
    flag_await(&order->over);
    check(!flag_is_up(&order->ran));
    return 0;
}

static int run_after(void *arg)
{
    flag_raise(&((struct order *)arg)->ran);
    return 0;
}

/* The rescue of those that may go is under way; the pinned one, before them in the queue, stays. */
static void a_pinned_task_waits_for_its_worker(void **state)
{
    struct order order = {0};
    struct order other = {0};
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_runtime *runtime = runtime_by("io-pool", 2);
    (void)state;
    lido_task *computing = runtime_start_pinned(runtime, 0, compute_until_over, &order);
    flag_await(&order.stuck);
    lido_task *pinned = runtime_start_pinned(runtime, 0, run_after, &order);
    options.placement = LIDO_PLACE_WORKER;
    options.mobility = LIDO_RESCUABLE;
    check_int(lido_runtime_spawn_with(runtime, NULL, run_after, &other, &options), 0);
    flag_await(&other.ran);
    flag_raise(&order.over);
    check_int(lido_join(computing, NULL), 0);
    check_int(lido_join(pinned, NULL), 0);
    runtime_end(runtime);
}

/* Three threads, two of which compute: the pool is as wide as was asked for, and nobody is idle. */
static void all_workers_may_be_stuck(void **state)
{
    struct order orders[2] = {0};
    lido_runtime *runtime = runtime_by("work-stealing", 2);
    lido_task *tasks[2];
    struct order last = {0};
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        tasks[i] = runtime_start_pinned(runtime, i, compute_until_over, &orders[i]);
    flag_await(&orders[0].stuck);
    flag_await(&orders[1].stuck);
    check_int(lido_runtime_spawn(runtime, NULL, run_after, &last), 0);
    flag_raise(&orders[0].over);
    flag_await(&last.ran); /* by the one that is free again */
    flag_raise(&orders[1].over);
    check_int(lido_join(tasks[0], NULL), 0);
    check_int(lido_join(tasks[1], NULL), 0);
    runtime_end(runtime);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_work_stealing_tasks_do_not_wait_for_one_that_computes),
        cmocka_unit_test(rescuable_tasks_do_not_wait_for_one_that_computes),
        cmocka_unit_test(stealable_tasks_of_an_io_pool_do_not_either),
        cmocka_unit_test(tasks_do_not_wait_for_a_slice_that_was_measured_by_cheaper_ones),
        cmocka_unit_test(a_crowd_is_rescued_in_parts_and_what_is_woken_later_too),
        cmocka_unit_test(a_pinned_task_waits_for_its_worker),
        cmocka_unit_test(all_workers_may_be_stuck),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
