#include "fiber/suspend.h"

#include <errno.h>

#include "base/assert.h"
#include "base/fork.h"
#include "os/os.h"
#include "sched/section.h"
#include "sched/spawn.h"

/* Free stacks that a worker keeps while it sleeps, besides as many as it has tasks. */
#define REST_STACKS 8u

static int fiber_poll(lido_future *future, const lido_waker *waker);
static void fiber_main(void *value);

/* A task that has not started has this fiber from now on. */
static inline __attribute__((always_inline)) void move_in(struct lido__fiber *fiber,
                                                          lido_task *task)
{
    fiber->entry = task->entry;
    fiber->arg = task->arg;
    fiber->awaits = "start";
    task->future = &fiber->future;
    task->extra = &fiber->extra;
    task->flags &= ~LIDO__TASK_UNSTARTED;
}

int lido__fiber_start(struct lido__worker *worker, lido_task *task)
{
    struct lido__fiber *fiber = lido__stack_take(worker);
    if (!fiber)
        return -ENOMEM;
    fiber->future.poll = fiber_poll;
    fiber->exceptions = (struct lido__exceptions){NULL, 0};
    lido__annotate_begin(&fiber->annotation);
    lido__context_init(&fiber->context, fiber, fiber_main);
    move_in(fiber, task);
    return 0;
}

static __attribute__((noinline)) uint64_t give_back(struct lido__worker *worker)
{
    struct lido__stack_cache *stacks = &lido__carrier_of(worker)->stacks;
    unsigned keep = REST_STACKS + worker->live;
    if (stacks->count > keep)
        lido__stack_cache_trim(stacks, keep);
    return lido__stack_depot_rest(stacks->depot, worker->stamp);
}

/* A worker that serves one connection comes here with each request: mostly there is nothing to give back. */
uint64_t lido__fiber_rest(struct lido__worker *worker)
{
    const struct lido__stack_cache *stacks = &lido__carrier_of(worker)->stacks;
    bool calm = stacks->count <= REST_STACKS + worker->live &&
                lido__load(&stacks->depot->warm, LIDO__RELAXED) == 0;
    return __builtin_expect(calm, 1) ? UINT64_MAX : give_back(worker);
}

/* From the loop of the worker to a fiber, and back from any; from inside the gate to inside. */
static inline void visit(struct lido__worker *worker, struct lido__fiber *fiber)
{
    struct lido__carrier *carrier = lido__carrier_of(worker);
    lido__annotate_leave(&carrier->annotation, &fiber->annotation, 0);
    lido__switch(&carrier->loop, &fiber->context, worker);
    lido__annotate_arrive(&carrier->annotation);
    lido__fiber_bury(worker, true);
}

__attribute__((noinline)) void lido__fiber_exchange(struct lido__worker *worker, bool loop)
{
    struct lido__exchange *exchange = &lido__carrier_of(worker)->exchange;
    lido__exchange_to(exchange,
                      loop ? &exchange->loop : &lido__fiber_of(worker->current)->exceptions);
}

/*
 * The section that the fiber which came back is in, on the thread's own stack. True: it has ended, and the
 * worker is still this thread's. False: the fiber will go on where its worker is, and is told.
 */
static bool run_section(struct lido__worker *worker, struct lido__carrier *carrier)
{
    struct lido__section *section = carrier->section;
    carrier->section = NULL;
    lido__worker_leave(worker);
    uint64_t ticket = lido__section_enter(worker);
    if (section->entered)
        section->entered(worker);
    const lido_task *outer = lido__task_blocking; /* if this is a runtime within a section */
    lido__task_blocking = section->task;
    section->result = section->fn(section->arg);
    lido__task_blocking = outer;
    LIDO__ASSERT(!lido__forked); /* the child of a fork must not come back */
    if (lido__section_leave(worker, ticket)) {
        section->done = 1;
        lido__worker_enter(worker);
        return true;
    }
    /* The reference first: once it is `done` the fiber may be seen to go on, and be gone. Release: it
       sees what fn did. */
    lido_waker waker = lido__waker_own(section->task);
    lido__store(&section->done, 1, LIDO__RELEASE);
    lido__wake_consume(waker);
    return false;
}

/* The poll of a fiber's future. */
static int fiber_poll(lido_future *future, const lido_waker *waker)
{
    struct lido__worker *worker = lido__worker_current();
    struct lido__carrier *carrier = lido__carrier_of(worker);
    (void)waker;
    visit(worker, lido__container_of(future, struct lido__fiber, future));
    while (__builtin_expect(carrier->section != NULL, 0) && run_section(worker, carrier))
        visit(worker, lido__fiber_of(worker->current));
    return LIDO_PENDING;
}

/* The code of the current task, which ends. Returns the worker on which it does; inside its gate. */
static inline __attribute__((always_inline)) struct lido__worker *run_to_end(
    struct lido__worker *worker, struct lido__fiber *self)
{
    lido__worker_leave(worker);
    int result = self->entry(self->arg);
    if (result == LIDO_PENDING)
        result = -EINVAL; /* reserved: it would mean that the task has not ended */
    worker = lido__worker_current();
    LIDO__ASSERT(worker); /* the child of a fork has none, and must not come back */
    lido__extra_end(worker->current);
    worker = lido__worker_current();
    if (__builtin_expect(result < 0, 0))
        lido__worker_note_error(worker, result);
    worker = lido__worker_current();
    lido__worker_enter(worker);
    lido__worker_finish(worker, worker->current, result);
    return worker;
}

/* The next task must find nothing on its stack, so it gets another one. */
static bool clears_stacks(struct lido__worker *worker)
{
    return lido__carrier_of(worker)->stacks.clears;
}

/* What goes on after the end of a fiber: `next`, the current task now, or NULL. NULL: the loop does. */
static struct lido__fiber *successor(struct lido__worker *worker, lido_task *next)
{
    if (!next)
        return NULL;
    if (!(next->flags & LIDO__TASK_UNSTARTED) || lido__fiber_start(worker, next) == 0)
        return lido__fiber_of(next);
    lido__worker_starve(worker, next);
    return lido__fiber_next(worker);
}

/*
 * The bottom of each fiber's stack. When a task has ended, and the next one has not started, that one has this
 * stack, the warmest there is, without a switch. So tasks that end before they first wait run one after the other
 * in one place.
 */
static void fiber_main(void *value)
{
    LIDO__STACK_BOTTOM();
    struct lido__worker *worker = value;
    struct lido__fiber *self = lido__fiber_of(worker->current);
    lido_task *next;
    lido__annotate_arrive(&self->annotation);
    lido__fiber_bury(worker, false);
    for (;;) {
        worker = run_to_end(worker, self);
        next = lido__worker_next(worker, LIDO__FIBER_MASK, LIDO__TASK_FIBER);
        if (!next || !(next->flags & LIDO__TASK_UNSTARTED) || clears_stacks(worker))
            break;
        move_in(self, next);
    }
    lido__carrier_of(worker)->after |= (uintptr_t)self;
    lido__fiber_foresee(worker);
    struct lido__fiber *fiber = successor(worker, next);
    if (!fiber)
        lido__worker_set_current(worker, NULL);
    lido__fiber_go_to(worker, self, fiber, true);
    LIDO__ASSERT(!"a fiber goes on after its end");
}

void lido__fiber_suspend(struct lido__worker *worker, const char *awaits)
{
    lido__fiber_sleep(worker, awaits, false);
}

struct lido__worker *lido__fiber_pause(struct lido__worker *worker)
{
    return lido__fiber_sleep(worker, "budget", true);
}

ssize_t lido__await(struct lido__op *op)
{
    int error;
    struct lido__worker *worker = lido__fiber_worker(&error);
    return worker ? lido__fiber_await(worker, op, lido__op_names[op->kind]) : error;
}

/* To the thread's stack, past whatever could run next. */
static void leave_for_section(struct lido__worker *worker, struct lido__fiber *self,
                              struct lido__section *section)
{
    struct lido__carrier *carrier = lido__carrier_of(worker);
    lido__worker_enter(worker);
    worker->current->since = worker->stamp;
    carrier->section = section;
    worker = lido__fiber_switch(worker, self, &carrier->loop, &carrier->annotation, false);
    lido__worker_leave(worker);
}

int lido__fiber_section(struct lido__worker *worker, struct lido__section *section)
{
    struct lido__fiber *self = lido__fiber_of(worker->current);
    int saved_errno = *worker->errno_address;
    section->task = worker->current;
    section->done = 0;
    self->awaits = "blocking";
    leave_for_section(worker, self, section);
    worker = lido__worker_current();
    /* Acquire: pairs with the release of the thread that it was left to. */
    while (!lido__load(&section->done, LIDO__ACQUIRE))
        worker = lido__fiber_sleep(worker, "blocking", false);
    *worker->errno_address = saved_errno;
    return section->result;
}

int lido_yield(void)
{
    int error;
    struct lido__worker *worker = lido__fiber_worker(&error);
    if (!worker)
        return error;
    worker = lido__fiber_sleep(worker, "yield", true);
    return lido__task_interrupted(worker, worker->current);
}

static inline struct lido__spawn spawn_of(lido_runtime *runtime, lido_fn fn, void *arg,
                                          const lido_spawn_options *options, const char *where)
{
    return (struct lido__spawn){
        .pool = (struct lido__pool *)runtime, /* a runtime begins with its pool */
        .options = options,
        .where = where,
        .flags = LIDO__TASK_FIBER | LIDO__TASK_UNSTARTED,
        .entry = fn,
        .arg = arg,
    };
}

static __attribute__((noinline)) int spawn_elsewhere(lido_runtime *runtime, lido_task **task,
                                                     lido_fn fn, void *arg,
                                                     const lido_spawn_options *options,
                                                     const char *where)
{
    struct lido__spawn spawn = spawn_of(runtime, fn, arg, options, where);
    return lido__spawn_elsewhere(&spawn, lido__worker_current(), task);
}

int lido_spawn_at(lido_runtime *runtime, lido_task **task, lido_fn fn, void *arg,
                  const lido_spawn_options *options, const char *where)
{
    struct lido__worker *self = lido__worker_current();
    struct lido__spawn spawn = spawn_of(runtime, fn, arg, options, where);
    return lido__spawn_is_plain(&spawn, self)
               ? lido__spawn_here(&spawn, self, task)
               : spawn_elsewhere(runtime, task, fn, arg, options, where);
}

void lido__carrier_init(struct lido__carrier *carrier, struct lido__worker *worker,
                        struct lido__stack_depot *depot)
{
    lido__stack_cache_init(&carrier->stacks, depot);
    lido__exceptions_find();
    carrier->after = 0;
    carrier->section = NULL;
    worker->fibers = carrier;
}

void lido__carrier_seat(struct lido__carrier *carrier, const void *stack_low, size_t stack_size)
{
    lido__annotate_thread(&carrier->annotation, stack_low, stack_size);
    carrier->after = lido__exchange_seat(&carrier->exchange) ? LIDO__EXCHANGES : 0;
}

void lido__carrier_fini(struct lido__carrier *carrier)
{
    lido__stack_cache_fini(&carrier->stacks);
}
