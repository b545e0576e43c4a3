/*
 * A task: a future that has been spawned. This is the thing that is scheduled, woken, joined and
 * cancelled; the scheduler knows nothing of what the future does (law 1).
 *
 * Ownership: reference counted (state.h). The memory is a slab's and 104 bytes, for at a million
 * connections each byte counts.
 *
 * Threads: a task belongs to one worker at a time, and a pinned one to the same from its spawn to its
 * end. Fields without a remark are written before anyone else knows the task, or by that worker's thread only.
 * Another thread may touch `state`, read `worker`, and use `mail` when state says so.
 *
 * A task that is not pinned can be given away while it is runnable and has no anchors: its worker sets SHARED,
 * and the one that claims it writes `worker` and then clears SHARED. So a worker that reads its own
 * address there, and SHARED not set, may treat the task as its own.
 */
#ifndef LIDO_TASK_TASK_H
#define LIDO_TASK_TASK_H

#include <lido.h>

#include "base/assert.h"
#include "base/fault.h"
#include "base/list.h"
#include "base/slab.h"
#include "task/state.h"

struct lido__worker;
struct lido__extra;

/* task->flags */
#define LIDO__TASK_QUEUED 1u     /* in its worker's run queue */
#define LIDO__TASK_ROOT 2u       /* its spawns are dealt over the pool */
#define LIDO__TASK_FIBER 4u      /* its future is a fiber */
#define LIDO__TASK_UNSTARTED 8u  /* a fiber that has no stack yet: `entry` and `arg` are valid */
#define LIDO__TASK_STOPPING 16u  /* in lido_stop: neither cancellation nor deadline end the wait */
#define LIDO__TASK_COUNTED 32u   /* counted in its worker's `incoming` */
#define LIDO__TASK_EXTRA 64u     /* `extra` is in use */
#define LIDO__TASK_JOINED 512u   /* `joiner` is a borrowed waker, of a task of the same worker */
#define LIDO__TASK_ARRIVING 128u /* new, on its way to its worker */
#define LIDO__TASK_ENDED 256u    /* done, but still in the run queue, which holds the reference */
#define LIDO__TASK_RESCUABLE 1024u /* may be given away when its worker stalls */
#define LIDO__TASK_STEALABLE 2048u /* may be given away whenever another worker has nothing to do */
#define LIDO__TASK_CHILD 4096u     /* `joiner` is the address of its lido__parent */
#define LIDO__TASK_MOVABLE (LIDO__TASK_RESCUABLE | LIDO__TASK_STEALABLE)

/* May be given away at all. */
#define LIDO__TASK_MOVABLE (LIDO__TASK_RESCUABLE | LIDO__TASK_STEALABLE)

/*
 * Is told of the end of a task that nobody joins: a scope. Its part for one task, which lives until it has
 * been told.
 */
struct lido__parent {
    /* By the worker of the task, whose last code has run. */
    void (*ended)(struct lido__parent *parent, int result);
    lido_task *task; /* written before the task can run */
};

/* What a switch from task to task touches comes first, and lies together. */
struct lido_task {
    union {
        lido_future *future;
        lido_fn entry; /* a fiber that has not started */
    };
    struct lido__link run; /* in the run queue */
    uint64_t deadline;     /* ns; LIDO__NEVER */
    struct lido__state state;
    uint32_t flags; /* of the running task: see lido__task_flags */
    lido__shared struct lido__worker *worker;
    union {
        struct lido__extra *extra; /* a fiber: room for it; others: valid with EXTRA */
        void *arg;                 /* a fiber that has not started */
    };
    /* Of whoever joins, or 0. With JOINED or CHILD; or written before JOINER is set in state, read after
       DONE is. Atomic, so that others can see that there is one. */
    lido_waker joiner;
    union {
        int result; /* valid when DONE */
        uint32_t
            since; /* before: its worker's stamp when it went to sleep, or came to the worker */
    };
    uint32_t anchors; /* what holds it on its worker: timers that are armed, joins that borrow */
    struct lido__link mail; /* in the inbox */
    struct lido__node live; /* in the worker's list of live tasks */
    const char *name;
    const char *where;
};

_Static_assert(sizeof(lido_task) == 104, "memory per connection is a headline number");

extern struct lido__slab lido__tasks;

/* A task with `refs` references, that belongs to no worker yet; NULL when out of memory. Any thread. */
static inline lido_task *lido__task_new(uint32_t refs, uint32_t flags, const char *name,
                                        const char *where)
{
    lido_task *task = lido__fault("task") < 0 ? NULL : lido__slab_alloc(&lido__tasks);
    if (__builtin_expect(!task, 0))
        return NULL;
    lido__state_init(&task->state, refs);
    task->flags = flags;
    task->deadline = UINT64_MAX;
    task->joiner.lido_private = 0;
    task->anchors = 0;
    task->name = name;
    task->where = where;
    return task;
}

static inline struct lido__worker *lido__task_worker(const lido_task *task)
{
    return lido__load(&task->worker, LIDO__RELAXED);
}

/*
 * The flags of the task that runs, asked by its own code. Whoever has seized its worker (gate.h) may make it
 * runnable meanwhile, which is one of them (QUEUED). So its own code changes flags inside the gate.
 */
static inline uint32_t lido__task_flags(const lido_task *task)
{
    return lido__load(&task->flags, LIDO__RELAXED);
}

/*
 * Whether the task is the worker's own, asked on the worker's thread: the answer holds until that thread, or
 * one that has seized the worker (gate.h), gives it away. `word`: of the state, loaded with acquire: if
 * somebody has claimed the task, his address is seen.
 */
static inline bool lido__task_belongs(const lido_task *task, const struct lido__worker *worker,
                                      uint32_t word)
{
    return !(word & LIDO__SHARED) && lido__task_worker(task) == worker;
}

/*
 * Whether a task or a thread waits for the end of this one. A handle is used by one at a time, so this
 * need not be one step with what follows from it: it tells a second user of the mistake.
 */
static inline bool lido__task_is_joined(const lido_task *task)
{
    return lido__load(&task->joiner.lido_private, LIDO__RELAXED) ||
           lido__load(&task->state.word, LIDO__RELAXED) & LIDO__THREAD;
}

/* Gives the memory back: only after a state transition has said that this was the last reference. */
void lido__task_free(lido_task *task);

static inline void lido__task_unref(lido_task *task)
{
    if (lido__state_unref(&task->state))
        lido__task_free(task);
}

#define LIDO__HANDLE_GONE                                                                          \
    "the handle of this task was given back already (lido_join, lido_stop, lido_detach)"

/* The caller is about to use the handle of the task. Any thread. */
static inline void lido__task_require_handle(const lido_task *task)
{
    LIDO__REQUIRE(lido__state_has_handle(&task->state), LIDO__HANDLE_GONE);
}

/* The same where a task may be named that has no handle: the current one. */
static inline void lido__task_require_alive(const lido_task *task)
{
    LIDO__REQUIRE(lido__state_is_alive(&task->state), LIDO__HANDLE_GONE);
}

static inline void lido__task_give_back(lido_task *task)
{
    uint32_t was = lido__state_give_back(&task->state);
    LIDO__REQUIRE(was & LIDO__HANDLE, LIDO__HANDLE_GONE);
    if (was / LIDO__REF == 1)
        lido__task_free(task);
}

/* A waker is the address of its task; the lowest bit says whether it holds a reference. */
#define LIDO__WAKER_OWNED ((uintptr_t)1)

static inline lido_waker lido__waker_borrow(lido_task *task)
{
    return (lido_waker){(uintptr_t)task};
}

static inline lido_waker lido__waker_own(lido_task *task)
{
    lido__state_ref(&task->state);
    return (lido_waker){(uintptr_t)task | LIDO__WAKER_OWNED};
}

static inline lido_task *lido__waker_task(lido_waker waker)
{
    return (lido_task *)(waker.lido_private & ~LIDO__WAKER_OWNED);
}

static inline bool lido__waker_owned(lido_waker waker)
{
    return waker.lido_private & LIDO__WAKER_OWNED;
}

#endif
