/*
 * The scene of test_side.c: one handle, those who use it, and what lies below and above the code under
 * test. A part of that file.
 */
#ifndef LIDO_TESTS_MODEL_SIDE_SCENE_H
#define LIDO_TESTS_MODEL_SIDE_SCENE_H

#include "explorer.h"
#include "props.h"

#include "os/os.h"

/* The calls of those kinds of op that the scenarios do not use. */
#define lido__os_recv(...) receive_here(__VA_ARGS__)
#define lido__os_send(...) send_here(__VA_ARGS__)
#define lido__os_read(...) not_called(__VA_ARGS__)
#define lido__os_readv(...) not_called(__VA_ARGS__)
#define lido__os_recv_datagram(...) not_called(__VA_ARGS__)
#define lido__os_splice_in(...) not_called(__VA_ARGS__)
#define lido__os_splice_out(...) not_called(__VA_ARGS__)
#define lido__os_accept(...) not_called(__VA_ARGS__)
#define lido__os_write(...) not_called(__VA_ARGS__)
#define lido__os_writev(...) not_called(__VA_ARGS__)
#define lido__os_sendv(...) not_called(__VA_ARGS__)
#define lido__os_send_datagram(...) not_called(__VA_ARGS__)
#define lido__os_connect(...) not_called(__VA_ARGS__)
#define lido__os_poll(...) poll_here(__VA_ARGS__)

static int not_called(int fd, ...)
{
    (void)fd;
    model_fail("a call of another kind of op", __FILE__, __LINE__);
}

static ssize_t receive_here(int fd, void *buffer, size_t bytes, int flags);
static ssize_t send_here(int fd, const void *buffer, size_t bytes, int flags);
static int poll_here(int fd, short events);

/* The code under test, compiled here under the explorer's atomics. */
#include "../../src/reactor/ready.c"
#include "../../src/sched/wake.c"

enum { READ_SIZE = 2 };

/* NULL: the right one. */
struct protocol {
    bool (*submit)(struct lido__reactor *reactor, struct lido__op *op);
    bool (*cancel)(struct lido__reactor *reactor, struct lido__op *op, int reason);
    void (*event)(struct lido__handle *handle, unsigned side, uintptr_t what, uint16_t generation,
                  struct lido__fifo *handed);
    void (*take)(struct lido__handle *handle, struct lido__fifo *taken);
    void (*deliver)(struct lido__fifo *handed, enum lido__op_state state, ssize_t result);
};

/* A task with a worker of its own; it uses the handle. */
struct user {
    struct lido__worker worker;
    struct lido__reactor reactor;
    struct model_bell bell;
    lido_task *task;
    lido__shared bool over;
    ssize_t result; /* of its last op */
    unsigned got;   /* bytes, in all */
};

static struct {
    const struct protocol *protocol;
    const struct model_scenario *scenario;
    struct lido__handle handle;
    struct user users[2];
    lido_task *cancelled;

    /* The socket, as the system sees it. */
    unsigned incoming; /* bytes to be read */
    unsigned room;     /* bytes that can be written */
    bool ended;        /* by the peer */
    bool closed;       /* the descriptor is another's now */
    bool renewed;      /* the handle is another's, who uses it */
} scene;

/* --- what lies below ----------------------------------------------------------------------------*/

MODEL_UNSEEN static ssize_t receive_here(int fd, void *buffer, size_t bytes, int flags)
{
    (void)buffer, (void)flags;
    lido__model_point("recv", &scene.incoming);
    model_assert(!scene.closed && fd >= 0); /* so that the compiler has to read it */
    unsigned count = scene.incoming < bytes ? scene.incoming : (unsigned)bytes;
    scene.incoming -= count;
    return count || scene.ended ? (ssize_t)count : -EAGAIN;
}

MODEL_UNSEEN static ssize_t send_here(int fd, const void *buffer, size_t bytes, int flags)
{
    (void)buffer, (void)flags;
    lido__model_point("send", &scene.room);
    model_assert(!scene.closed && fd >= 0);
    unsigned count = scene.room < bytes ? scene.room : (unsigned)bytes;
    scene.room -= count;
    return count ? (ssize_t)count : -EAGAIN;
}

/* No connection dies here. */
void lido__handle_note(struct lido__handle *handle, ssize_t error)
{
    (void)handle;
    (void)error;
}

MODEL_UNSEEN static int poll_here(int fd, short events)
{
    (void)fd, (void)events;
    lido__model_point("poll", &scene.incoming);
    return scene.incoming ? POLLIN : 0;
}

void lido__thread_yield(void)
{
    model_yield();
}

/* All events come to the threads of the scenario, wherever the handle is registered. */
static int watch(struct lido__reactor *reactor, const struct lido__op *op)
{
    model_assert(!scene.closed);
    lido__handle_register(op->handle, reactor, LIDO__BOTH_SIDES);
    return 0;
}

/* --- the worker ---------------------------------------------------------------------------------*/

/* Never set: all threads but a task's own are strangers to it. */
__thread struct lido__worker *lido__worker_of_thread;

void lido__worker_mail(struct lido__worker *worker, struct lido__link *link)
{
    lido__inbox_push(&worker->inbox, link);
    model_bell_ring(&lido__container_of(worker, struct user, worker)->bell);
}

void lido__task_free(lido_task *task)
{
    model_free(task);
}

/* Sleeps until there is mail, which can only be the task's own. */
static enum lido__taken take_mail(struct user *user)
{
    struct lido__link *link;
    do
        model_bell_wait(&user->bell);
    while (!(link = lido__inbox_take(&user->worker.inbox)));
    model_assert(link == &user->task->mail && !link->next);
    return lido__state_take(&user->task->state);
}

/* The protocol's own function, or the right one. */
#define CHOSEN(FIELD, RIGHT) (scene.protocol->FIELD ? scene.protocol->FIELD : (RIGHT))

static bool submit(struct lido__reactor *reactor, struct lido__op *op)
{
    return CHOSEN(submit, lido__ready_submit)(reactor, op);
}

static bool retry(struct lido__reactor *reactor, struct lido__op *op)
{
    return CHOSEN(submit, lido__ready_retry)(reactor, op);
}

static bool cancel(struct lido__reactor *reactor, struct lido__op *op, int reason)
{
    return CHOSEN(cancel, lido__ready_cancel)(reactor, op, reason);
}

static void deliver(struct lido__fifo *ops, enum lido__op_state state, ssize_t result)
{
    CHOSEN(deliver, lido__deliver)(ops, state, result);
}

static const struct lido__reactor_ops reactor_ops = {
    .submit = submit, .retry = retry, .cancel = cancel, .watch = watch};

/* --- tasks --------------------------------------------------------------------------------------*/

static struct lido__op *new_op(enum lido__op_kind kind, size_t size)
{
    struct lido__op *op = model_alloc(sizeof(*op), "op");
    lido__op_init(op, kind, &scene.handle, NULL, size);
    model_name_memory(&op->state, sizeof(op->state), "op->state");
    return op;
}

/* As lido__await: an op in the task's own memory, which is gone when it is settled. */
static ssize_t await(struct user *user, enum lido__op_kind kind, size_t size)
{
    struct lido__op *op = new_op(kind, size);
    while (!lido__op_advance(&user->worker, user->task, op))
        model_assert(take_mail(user) == LIDO__TAKEN_RUN);
    user->result = op->result;
    user->got += op->result > 0 ? (unsigned)op->result : 0;
    model_free(op);
    return user->result;
}

static void end_task(struct user *user)
{
    lido__store(&user->over, true, LIDO__RELEASE);
    uint32_t was = lido__state_finish(&user->task->state, false);
    bool last = was / LIDO__REF == 1;
    if (was & LIDO__NOTIFIED)
        last = take_mail(user) == LIDO__TAKEN_FREE;
    if (last)
        lido__task_free(user->task);
}

static void read_once(void *user)
{
    await(user, LIDO__OP_READ, READ_SIZE);
    end_task(user);
}

static void read_twice(void *arg)
{
    struct user *user = arg;
    while (user->got < 2)
        model_assert(await(user, LIDO__OP_READ, READ_SIZE) > 0);
    end_task(user);
}

static void read_to_the_end(void *user)
{
    while (await(user, LIDO__OP_READ, READ_SIZE) > 0)
        continue;
    end_task(user);
}

/* What cancelling has not consumed is still there, and no further event is needed to get it. */
static void read_again_if_cancelled(void *arg)
{
    struct user *user = arg;
    if (await(user, LIDO__OP_READ, READ_SIZE) == -ECANCELED) {
        user->task->flags |= LIDO__TASK_STOPPING;
        await(user, LIDO__OP_READ, READ_SIZE);
    }
    end_task(user);
}

MODEL_UNSEEN static bool is_renewed(const void *unused)
{
    (void)unused;
    return scene.renewed;
}

/* The next user of a handle, who is told that it is readable when it is. */
static void wait_for_input(void *user)
{
    model_block_until(is_renewed, &scene.handle);
    lido__load(&scene.handle.generation,
               LIDO__ACQUIRE); /* as the slab hands it from one to the other */
    await(user, LIDO__OP_READABLE, 0);
    model_assert(poll_here(0, 0));
    end_task(user);
}

static void write_once(void *user)
{
    await(user, LIDO__OP_WRITE, 1);
    end_task(user);
}

static void try_to_write_twice(void *arg)
{
    struct user *user = arg;
    for (int i = 0; i < 2; i++) {
        struct lido__op *op = new_op(LIDO__OP_WRITE, 1);
        lido__op_try(&user->worker, user->task, op);
        model_assert(op->result == 1 || op->result == -EAGAIN);
        user->got += op->result == 1;
        model_free(op);
    }
    end_task(user);
}

/* --- the others ---------------------------------------------------------------------------------*/

/* As reactors do. */
static void any_event(struct lido__handle *handle, unsigned side, uintptr_t what,
                      uint16_t generation, struct lido__fifo *handed)
{
    if (side == 0 && what == LIDO__SIDE_READY)
        lido__ready_input(handle, generation, handed);
    else
        lido__ready_event(handle, side, what, generation, handed);
}

/* An event that the system gave out when the handle had that generation. */
static void tell_of(unsigned side, uintptr_t what, uint16_t generation)
{
    struct lido__fifo handed;
    lido__fifo_init(&handed);
    if (lido__handle_is_current(&scene.handle, generation))
        CHOSEN(event, any_event)(&scene.handle, side, what, generation, &handed);
    deliver(&handed, LIDO__OP_READY, 0);
}

static void tell(unsigned side, uintptr_t what)
{
    tell_of(side, what, lido__load(&scene.handle.generation, LIDO__RELAXED));
}

MODEL_UNSEEN static void bring(unsigned bytes, bool end)
{
    lido__model_point("bring", &scene.incoming);
    scene.incoming += bytes;
    scene.ended = end;
}

static void bring_a_byte(void *unused)
{
    (void)unused;
    bring(1, false);
    tell(0, LIDO__SIDE_READY);
}

static void bring_two_bytes(void *unused)
{
    bring_a_byte(unused);
    bring_a_byte(unused);
}

static void bring_four_bytes(void *unused)
{
    (void)unused;
    bring(4, false);
    tell(0, LIDO__SIDE_READY);
}

static void bring_three_bytes_and_the_end(void *unused)
{
    (void)unused;
    bring(3, true);
    tell(0, LIDO__SIDE_HUNG);
}

/* Of another reactor, or of another time. */
static void tell_late(void *unused)
{
    (void)unused;
    tell(0, LIDO__SIDE_READY);
}

/* An event of the handle that it was. */
static void tell_of_the_first(void *unused)
{
    (void)unused;
    tell_of(0, LIDO__SIDE_READY, 0);
}

MODEL_UNSEEN static void say_renewed(void)
{
    scene.renewed = true;
}

/* As lido__net_close and lido__handle_new: nobody waits, and the memory becomes another's handle. */
static void renew_handle(void *unused)
{
    struct lido__fifo taken;
    (void)unused;
    lido__fifo_init(&taken);
    lido__ready_take(&scene.handle, &taken);
    lido__fetch_add(&scene.handle.generation, 1, LIDO__RELAXED);
    lido__store(&scene.handle.side[0], LIDO__SIDE_READY, LIDO__RELAXED);
    lido__store(&scene.handle.side[1], LIDO__SIDE_READY, LIDO__RELAXED);
    lido__fetch_add(&scene.handle.generation, 0, LIDO__RELEASE);
    say_renewed();
}

/* Of the handle that it has become. */
static void bring_a_byte_to_the_next(void *unused)
{
    model_block_until(is_renewed, &scene.handle);
    bring_a_byte(unused);
}

MODEL_UNSEEN static void make_room(void)
{
    lido__model_point("make room", &scene.room);
    scene.room++;
}

static void bring_room(void *unused)
{
    (void)unused;
    make_room();
    tell(1, LIDO__SIDE_READY);
}

MODEL_UNSEEN static bool is_used(const struct lido__handle *handle)
{
    return lido__side_op(handle->side[0]) || lido__side_op(handle->side[1]);
}

MODEL_UNSEEN static bool may_be_closed(const void *handle)
{
    return is_used(handle) || scene.users[0].over;
}

MODEL_UNSEEN static void close_descriptor(void)
{
    lido__model_point("close", &scene.closed);
    scene.closed = true;
}

/* As lido__net_close, once a task waits on the handle (or has done so). It is at once another's. */
static void close_handle(void *unused)
{
    struct lido__fifo taken;
    (void)unused;
    model_block_until(may_be_closed, &scene.handle);
    lido__fifo_init(&taken);
    lido__load(&scene.users[0].over, LIDO__ACQUIRE); /* as a join, if it has not waited */
    CHOSEN(take, lido__ready_take)(&scene.handle, &taken);
    close_descriptor();
    scene.handle.fd = 1; /* plain: a try that is not over by now is a data race */
    lido__store(&scene.handle.side[0], LIDO__SIDE_READY, LIDO__RELAXED);
    lido__store(&scene.handle.side[1], LIDO__SIDE_READY, LIDO__RELAXED);
    deliver(&taken, LIDO__OP_SETTLED, -ECANCELED);
}

/* Holds a reference of its own. */
static void cancel_task(void *unused)
{
    (void)unused;
    lido_cancel(scene.cancelled);
    lido__task_unref(scene.cancelled);
}

/* --- scenarios ----------------------------------------------------------------------------------*/

static struct user *const user_1 = &scene.users[0], *const user_2 = &scene.users[1];

static bool has_thread(void (*run)(void *arg), const void *arg)
{
    for (int i = 0; i < MODEL_MAX_THREADS; i++)
        if (scene.scenario->threads[i].run == run && scene.scenario->threads[i].arg == arg)
            return true;
    return false;
}

static void set_up_user(struct user *user, uint32_t refs)
{
    user->reactor.ops = &reactor_ops;
    user->worker.reactor = &user->reactor;
    lido__inbox_init(&user->worker.inbox);
    user->bell = (struct model_bell){0};
    user->over = false;
    user->got = 0;
    user->result = 0;
    user->task = model_alloc(sizeof(*user->task), "task");
    lido__state_init(&user->task->state, refs);
    user->task->worker = &user->worker;
    user->task->deadline = LIDO__NEVER;
    model_name_memory(&user->task->state, sizeof(user->task->state), "task->state");
    model_name_bell(user->bell);
    model_name_memory(&user->worker.inbox, sizeof(user->worker.inbox), "inbox");
}

static void set_up(void)
{
    bool cancels = has_thread(cancel_task, NULL);
    scene.handle = (struct lido__handle){
        .registration = (uintptr_t)&user_1->reactor | LIDO__BOTH_SIDES,
        .side = {LIDO__SIDE_READY, LIDO__SIDE_READY},
        .kind = LIDO__HANDLE_TCP,
    };
    model_name_memory(&scene.handle.side[0], sizeof(uintptr_t), "side[0]");
    model_name_memory(&scene.handle.side[1], sizeof(uintptr_t), "side[1]");
    model_name(scene.incoming);
    model_name(scene.room);
    scene.incoming = scene.room = 0;
    scene.ended = scene.closed = scene.renewed = false;
    set_up_user(user_1, 1 + cancels);
    scene.cancelled = user_1->task;
    if (has_thread(read_once, user_2))
        set_up_user(user_2, 1);
}

/* Nobody is left on the handle, unless it is another's. */
static void check_sides(void)
{
    model_assert(!is_used(&scene.handle));
    model_assert(!(scene.handle.side[0] & LIDO__SIDE_TRYING));
}

static void told_in_the_end(void)
{
    check_sides();
    model_assert(user_1->result == 0);
}

static void all_was_read(void)
{
    check_sides();
    model_assert(user_1->got == 2);
}

/* It was, or it was not; and the task has been told so. */
static void read_or_cancelled(void)
{
    check_sides();
    model_assert(user_1->result == (user_1->got ? 1 : -ECANCELED));
}

static void read_after_all(void)
{
    check_sides();
    model_assert(user_1->got == 1);
}

/* Two tasks on one side are told so, and whoever waits is not forgotten. */
static void read_or_busy(void)
{
    ssize_t first = user_1->result, second = user_2->result;
    check_sides();
    model_assert(first == READ_SIZE || first == -EBUSY);
    model_assert(second == READ_SIZE || second == -EBUSY);
    model_assert(first == READ_SIZE || second == READ_SIZE);
}

static void read_to_its_end(void)
{
    check_sides();
    model_assert(user_1->got == 3);
    model_assert(user_1->result == 0);
}

static void written_or_cancelled(void)
{
    check_sides();
    model_assert(user_1->result == (user_1->got ? 1 : -ECANCELED));
}

static void written_once_at_most(void)
{
    check_sides();
    model_assert(user_1->got + scene.room == 1);
}

#define TASK(RUN)                                                                                  \
    {                                                                                              \
        "task", RUN, &scene.users[0]                                                               \
    }
#define SECOND_TASK                                                                                \
    {                                                                                              \
        "second task", read_once, &scene.users[1]                                                  \
    }

#endif
