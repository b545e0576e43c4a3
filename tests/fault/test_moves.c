/*
 * A handle whose two sides are used from two reactors moves between them. Whatever the system refuses of that, a task
 * that waits on the other side is told; and a registration that is gone is made again.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "base/fault.h"
#include "reactor/ready.h"
#include "support/reactor.h"
#include "support/runtime.h"

/* Reads one byte at a time from the first of two reactors, and writes with the second. */
struct scene {
    struct lido__reactor *first, *second;
    struct lido__handle *handle;
    int peer;
    size_t filled; /* bytes in front of the writer */
    char got, sent;
    struct lido__op reader, writer;
};

static void set_up(struct scene *scene, const struct lido__reactor_ops *ops)
{
    scene->first = reactor_open(ops);
    scene->second = reactor_open(ops);
    scene->handle = reactor_pair(&scene->peer);
    scene->filled = handle_fill(scene->handle);
    scene->sent = 's';
    lido__op_init(&scene->reader, LIDO__OP_READ, scene->handle, &scene->got, 1);
    lido__op_init(&scene->writer, LIDO__OP_WRITE, scene->handle, &scene->sent, 1);
}

static void tear_down(struct scene *scene)
{
    reactor_close_handle(scene->handle);
    check_int(lido__os_close(scene->peer), 0);
    reactor_close(scene->first);
    reactor_close(scene->second);
}

/* Registered with the first reactor, of which the read side has been drained and nobody waits. */
static void register_reader(struct scene *scene)
{
    reactor_arm(scene->first, &scene->reader);
    reactor_disarm(scene->first, &scene->reader);
    lido__op_rewind(&scene->reader);
}

/* The last step of an arming that looked at the registration some time ago. */
static void arm_at_last(struct scene *scene)
{
    uintptr_t drained = LIDO__SIDE_DRAINED;
    lido__store(&scene->reader.state, LIDO__OP_ARMED, LIDO__RELAXED);
    scene->reader.waker.lido_private = (uintptr_t)scene->first;
    check(lido__cas(&scene->handle->side[0], &drained, (uintptr_t)&scene->reader, LIDO__RELEASE,
                    LIDO__RELAXED));
}

/* What has happened is in the instances: neither wait sleeps. */
static void wait_both(struct scene *scene)
{
    reactor_wait(scene->first, 0);
    reactor_wait(scene->second, 0);
}

static void the_reader_is_told(struct scene *scene)
{
    peer_say(scene->peer, "x");
    wait_both(scene);
    check_int(lido__op_state(&scene->reader), LIDO__OP_READY);
    check_int(reactor_settle(scene->first, &scene->reader), 1);
    check_int(scene->got, 'x');
}

static void the_writer_is_told(struct scene *scene)
{
    peer_drain(scene->peer, scene->filled);
    wait_both(scene);
    check_int(lido__op_state(&scene->writer), LIDO__OP_READY);
    check_int(reactor_settle(scene->second, &scene->writer), 1);
}

typedef void plan_function(const char *name, uint64_t nth, int error);

struct outcome {
    bool reached; /* the refusal was */
    bool refused; /* the writer was told of it */
};

/* The writer moves the registration, or would; the reader has looked before, and arms after that. */
static struct outcome move_under_a_reader(struct scene *scene, plan_function *plan, uint64_t nth,
                                          int error)
{
    struct outcome outcome;
    register_reader(scene);
    plan("epoll_ctl", nth, error);
    outcome.refused = reactor_submit(scene->second, &scene->writer);
    outcome.reached = lido__fault_hit();
    lido__fault_clear();
    if (outcome.refused)
        check_int(scene->writer.result, error);
    arm_at_last(scene);
    the_reader_is_told(scene);
    if (!outcome.refused)
        the_writer_is_told(scene);
    return outcome;
}

/* Refuses the nth call, for each n up to the last that is made. Returns how many writers were told of it. */
static unsigned refuse_each(const struct lido__reactor_ops *ops, plan_function *plan, int error)
{
    struct outcome outcome = {.reached = true};
    unsigned refused = 0;
    for (uint64_t n = 1; outcome.reached; n++) {
        struct scene scene;
        set_up(&scene, ops);
        outcome = move_under_a_reader(&scene, plan, n, error);
        refused += outcome.refused;
        tear_down(&scene);
    }
    return refused;
}

static void a_move_that_is_refused_once_is_done_without(const struct lido__reactor_ops *ops)
{
    check_int(refuse_each(ops, lido__fault_plan, -ENOSPC), 0);
    check_int(refuse_each(ops, lido__fault_plan, -ENOMEM), 0);
    check_int(refuse_each(ops, lido__fault_plan, -EPERM), 0);
}

static void a_refusal_that_lasts_is_told_and_nobody_else_hangs(const struct lido__reactor_ops *ops)
{
    check_int(refuse_each(ops, lido__fault_plan_from, -ENOSPC), 1);
    check_int(refuse_each(ops, lido__fault_plan_from, -ENOMEM), 1);
    check_int(refuse_each(ops, lido__fault_plan_from, -EPERM), 1);
}

/* As a close of the number removes it, behind the back of the stream that has this number again. */
static void a_registration_that_is_gone_is_made_again(const struct lido__reactor_ops *ops)
{
    struct scene scene;
    set_up(&scene, ops);
    register_reader(&scene);
    struct epoll_event none = {0};
    check_int(epoll_ctl(ops->descriptor(scene.first), EPOLL_CTL_DEL, scene.handle->fd, &none), 0);
    reactor_arm(scene.first, &scene.writer);
    reactor_arm(scene.first, &scene.reader);
    the_reader_is_told(&scene);
    peer_drain(scene.peer, scene.filled);
    reactor_wait(scene.first, 0);
    check_int(reactor_settle(scene.first, &scene.writer), 1);
    tear_down(&scene);
}

/* ---- Two threads ----------------------------------------------------------------------------------- */

enum { ROUNDS = 400 };

struct worker {
    struct lido__reactor *reactor, *other;
    struct lido__handle *handle;
    enum lido__op_kind kind;
    uint32_t *ended;
};

/* One byte; again, if it was refused: by then the system has come to its senses. */
static void transfer(const struct worker *worker)
{
    struct lido__op op;
    char byte = 'b';
    ssize_t n;
    do {
        lido__op_init(&op, worker->kind, worker->handle, &byte, 1);
        n = reactor_finish(worker->reactor, &op);
        lido__fault_clear();
    } while (n == -ENOSPC);
    check_int(n, 1);
}

/* What comes to this reactor may be for the other side, up to its end. */
static void *transfer_and_serve(void *arg)
{
    struct worker *worker = arg;
    transfer(worker);
    lido__fetch_add(worker->ended, 1, LIDO__RELEASE);
    worker->other->ops->wake(worker->other);
    while (lido__load(worker->ended, LIDO__ACQUIRE) < 2)
        reactor_wait(worker->reactor, FOREVER);
    return NULL;
}

static void arm_in_two_threads(struct scene *scene)
{
    uint32_t ended = 0;
    struct worker reader = {scene->first, scene->second, scene->handle, LIDO__OP_READ, &ended};
    struct worker writer = {scene->second, scene->first, scene->handle, LIDO__OP_WRITE, &ended};
    pthread_t threads[] = {thread_start(transfer_and_serve, &reader),
                           thread_start(transfer_and_serve, &writer)};
    peer_say(scene->peer, "x");
    peer_drain(scene->peer, scene->filled);
    for (size_t i = 0; i < COUNT(threads); i++)
        thread_join(threads[i]);
}

static void two_threads_that_are_refused_end(const struct lido__reactor_ops *ops)
{
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct scene scene;
        set_up(&scene, ops);
        if (round & 1)
            register_reader(&scene);
        (round & 2 ? lido__fault_plan : lido__fault_plan_from)("epoll_ctl", 1 + round / 4 % 4,
                                                               -ENOSPC);
        arm_in_two_threads(&scene);
        tear_down(&scene);
        lido__fault_clear();
    }
}

int main(void)
{
    static const struct reactor_test tests[] = {
        reactor_test(a_move_that_is_refused_once_is_done_without),
        reactor_test(a_refusal_that_lasts_is_told_and_nobody_else_hangs),
        reactor_test(a_registration_that_is_gone_is_made_again),
        reactor_test(two_threads_that_are_refused_end),
    };
    return reactor_run_tests(tests, COUNT(tests));
}
