/*
 * A worker: a run queue, a timer wheel and a reactor. One OS thread carries it; everything here
 * belongs to that thread, except what is marked as shared.
 *
 * The loop: take in the inbox, run what is runnable (a slice at most), look at the reactor and
 * the wheel; sleep in the reactor when there is nothing to run. Inside a worker nothing is atomic that
 * need not be: a wake-up from the worker's own thread sets a flag and links the task into the queue.
 * What of it is given to other workers goes through share.h.
 *
 * The gate: the thread is inside of it whenever it touches the queue, the wheel, the list of tasks or one of
 * its tasks that is not running; and outside while it runs a task's own code. So another thread can take
 * the work of a worker that does not come back (rescue.h), and the fast paths stay free of atomics. A
 * switch from fiber to fiber goes from inside to inside.
 *
 * Parking: the decision to sleep is one compare-and-swap on the inbox (base/inbox.h). Rejected: a flag
 * "asleep" beside the queue (two words to keep in step, a fence on each push), and an eventfd write
 * for each push (a system call for workers that are awake).
 */
#ifndef LIDO_SCHED_WORKER_H
#define LIDO_SCHED_WORKER_H

#include <lido.h>

#include "base/inbox.h"
#include "base/list.h"
#include "reactor/reactor.h"
#include "sched/gate.h"
#include "sched/linger.h"
#include "sched/pool.h"
#include "sched/ring.h"
#include "task/task.h"
#include "time/wheel.h"

/* worker->orders: what the pool wants of a worker, sent through its inbox. */
#define LIDO__ORDER_CANCEL 1u /* refuse spawns, cancel all tasks */
#define LIDO__ORDER_STOP 2u   /* leave the loop */
#define LIDO__ORDER_REPORT 4u /* call pool->runtime's reporter */
#define LIDO__ORDER_LOOK 8u   /* there may be work to share, or to search for */

/* How many tasks may run from the `hot` place before the queue has its turn. */
#define LIDO__HOT_MAX 3u

struct lido__worker {
    /* What others write who send something, or read on the way to that: one cache line. */
    struct lido__inbox inbox; /* of struct lido_task.mail, and `order` */
    lido__shared uint32_t orders;
    /* Tasks on their way here, of those that were placed by load or are movable. */
    lido__shared uint32_t incoming;
    lido__shared uint32_t wakes_done; /* of those that were owed; the waker's last touch */
    lido__shared uint32_t seated;     /* a thread carries it, or is on its way to */
    struct lido__link order;          /* in the inbox while orders are pending */

    struct lido__gate gate __attribute__((aligned(64)));
    struct lido__fifo queue; /* of struct lido_task.run */
    lido_task *hot;          /* runs before the queue: what the task that runs has just woken */
    lido__shared lido_task *current; /* whose poll is running; others only look */
    uint32_t budget; /* ops that the current task may still complete without a pause */
    uint32_t budget_full;
    lido__shared uint32_t
        slice_left; /* tasks to run before the clock is asked; others see it change */
    uint32_t slice;
    uint32_t hot_runs;             /* in a row */
    bool hurries;                  /* uses `hot` */
    bool searching;                /* counts as one that looks for work (idle.h) */
    lido__shared uint32_t live;    /* tasks; written here, read by placement */
    lido__shared uint32_t movable; /* those of them that are not pinned; written here */
    uint32_t stamp;                /* about now, for reports: see lido__stamp_of */
    uint32_t rested;     /* the stamp when pool->rest was last called though there was work */
    uint64_t now;        /* ns, as of the last look at the clock */
    uint64_t looked_at;  /* ns; 0: the last look did not read the clock */
    uint64_t cut_at;     /* ns, when the slice began; 0: not known */
    uint32_t wakes_owed; /* pushes that found this worker asleep, and so wake it */
    bool awaits_job;     /* has sent one to another thread since it last slept */
    struct lido__linger linger; /* for that */
    bool parked;                /* ASLEEP has been put into the inbox since the last take */
    struct lido__reactor *reactor;
    struct lido__pool *pool;
    void *fibers;  /* of the fiber room: struct lido__carrier */
    void *pipes;   /* of the io room: see pipes.h */
    void *watches; /* likewise: see watch.h */
    int *errno_address;
    uint64_t cancel_at; /* ns: when to cancel all tasks of the pool, or LIDO__NEVER */
    uint64_t tokens;    /* of the pool; at least one while there are live tasks */
    bool outdated;      /* tasks with deadlines have come, and `now` may be older than they are */
    bool refusing;      /* CANCEL has come: tasks that arrive are cancelled, spawns refused */
    bool stop;
    unsigned index;
    struct lido__fifo starved; /* fibers that wait for memory for a stack, and how many */
    uint32_t starving;
    struct lido__node tasks; /* all live tasks */
    struct lido__wheel wheel;
    void (*report)(struct lido__worker *worker); /* what ORDER_REPORT calls */

    /* Of share.h: */
    lido__shared uint32_t awake; /* not asleep in the reactor; for the lifeguard */
    lido__shared uint32_t
        turns; /* of the loop; with slice_left it tells others whether it gets on */
    uint32_t random;
    uint32_t evened;     /* the stamp when it last looked whether it has more tasks than others */
    uint64_t vain_until; /* ns: nothing to offer was found shortly before */
    bool waited; /* the last slice has left something in the queue, or it came from others */
    bool offers; /* counted in pool->offers */
    bool idles;  /* has counted itself among the idle ones, and not taken that back */
    struct lido__idler idler;
    struct lido__ring ring;

    /* Odd while the thread that carries the worker is in a blocking section; see section.h. */
    lido__shared uint64_t section __attribute__((aligned(64)));
} __attribute__((aligned(64)));

/* What others write or read when they send something lies apart from what the worker writes at each
   turn. */
_Static_assert(LIDO__APART(struct lido__worker, order, gate) &&
                   LIDO__APART(struct lido__worker, seated, turns),
               "as said");

/*
 * Since when a task waits is told by 32 bits of the time, which cost its switches one store: to 17 ms, and over two
 * years. A worker sets its stamp about once in each turn of its loop.
 */
#define LIDO__STAMP_SHIFT 24

static inline uint32_t lido__stamp_of(uint64_t ns)
{
    return (uint32_t)(ns >> LIDO__STAMP_SHIFT);
}

/* How long ago, in ns. */
static inline uint64_t lido__stamp_age(uint32_t stamp, uint64_t now)
{
    return (uint64_t)(lido__stamp_of(now) - stamp) << LIDO__STAMP_SHIFT;
}

/*
 * The thread's worker, or NULL. A fiber may go on in another thread after each wait, and must ask again. The
 * TLS model makes each access one relative to the thread register, where others have an address to
 * keep, which a compiler may do across a switch; tools/check-tls looks at the result.
 */
extern __thread struct lido__worker *lido__worker_of_thread
    __attribute__((tls_model("initial-exec")));

/* ThreadSanitizer would be told the address, and it would be kept: not instrumented, it is a function of its own
   there. */
static inline __attribute__((no_sanitize("thread"))) struct lido__worker *lido__worker_current(void)
{
    return lido__worker_of_thread;
}

/* -ENOMEM, -EMFILE, ...: of the reactor. The memory of the struct is the caller's. */
int lido__worker_init(struct lido__worker *worker, struct lido__pool *pool, unsigned index,
                      const struct lido__reactor_ops *reactor);
void lido__worker_fini(struct lido__worker *worker);

/* Sees to it that a thread carries the worker, now or soon: pool->seat. -EAGAIN, -ENOMEM. Any thread. */
static inline int lido__worker_seat(struct lido__worker *worker, bool insist)
{
    return lido__load(&worker->seated, LIDO__ACQUIRE) ? 0 : worker->pool->seat(worker, insist);
}

/*
 * Carries the worker on the calling thread. True: it was ordered to stop, and has. False: it was taken
 * from this thread in a blocking section, and another thread may carry it: nothing of it may be touched.
 */
bool lido__worker_loop(struct lido__worker *worker);

/* What a look at the reactor finds, without waiting, and the timers that are due, but no more than a few ticks of them;
   into the queue and the inbox. Inside the gate, or by who has seized it. */
void lido__worker_peek(struct lido__worker *worker, uint64_t now);

/* Takes in what has been sent to the worker. Inside the gate, or by who has seized it. */
void lido__worker_take_mail(struct lido__worker *worker);

/* A live task less. Inside the gate. */
static inline void lido__worker_uncount(struct lido__worker *worker)
{
    lido__store(&worker->live, worker->live - 1, LIDO__RELAXED);
}

/* A task is on the list of live ones from now on; and not any more. Inside the gate. */
static inline void lido__worker_list(struct lido__worker *worker, lido_task *task)
{
    uint32_t movable = (task->flags & LIDO__TASK_MOVABLE) != 0;
    lido__list_push(&worker->tasks, &task->live);
    lido__store(&worker->movable, worker->movable + movable, LIDO__RELAXED);
}

static inline void lido__worker_unlist(struct lido__worker *worker, lido_task *task)
{
    uint32_t movable = (task->flags & LIDO__TASK_MOVABLE) != 0;
    lido__list_remove(&task->live);
    lido__store(&worker->movable, worker->movable - movable, LIDO__RELAXED);
}

/* Waits for whoever is still about to wake the worker, at its end. */
void lido__worker_settle_wakes(struct lido__worker *worker);

/* Any thread. */
void lido__worker_order(struct lido__worker *worker, uint32_t orders);

/* Puts a link into a worker's inbox, and wakes it if it sleeps. Any thread. */
void lido__worker_mail(struct lido__worker *worker, struct lido__link *link);

/* ---- For the current worker's thread ---------------------------------------------------------- */

static inline void lido__worker_enter(struct lido__worker *worker)
{
    lido__gate_enter(&worker->gate);
}

static inline void lido__worker_leave(struct lido__worker *worker)
{
    lido__gate_leave(&worker->gate);
}

/* In `hot`, from where it displaces another: see LIDO__HOT_MAX. */
static inline void lido__worker_hurry(struct lido__worker *worker, lido_task *task)
{
    if (worker->hot)
        lido__fifo_push(&worker->queue, &worker->hot->run);
    worker->hot = task;
}

/* Makes a task of this worker runnable, if it is not, after the others. Inside the gate, or by who has
   seized it: the task may be running, and look at its flags. */
static inline void lido__worker_queue(struct lido__worker *worker, lido_task *task)
{
    uint32_t flags = task->flags;
    if (flags & LIDO__TASK_QUEUED)
        return;
    lido__store(&task->flags, flags | LIDO__TASK_QUEUED, LIDO__RELAXED);
    lido__fifo_push(&worker->queue, &task->run);
}

/* The same for one that is woken: next, if it is by the current task, and the scheduler hurries. */
static inline void lido__worker_ready(struct lido__worker *worker, lido_task *task)
{
    if (task->flags & LIDO__TASK_QUEUED)
        return;
    task->flags |= LIDO__TASK_QUEUED;
    if (worker->hurries && worker->current && worker->current != task)
        lido__worker_hurry(worker, task);
    else
        lido__fifo_push(&worker->queue, &task->run);
}

/* The current task will run again, after the others. */
static inline void lido__worker_requeue(struct lido__worker *worker)
{
    lido__worker_enter(worker);
    lido__worker_queue(worker, worker->current);
    lido__worker_leave(worker);
}

/* Sets and clears flags of the current task, for its own code. Outside the gate. */
static inline void lido__worker_mark(struct lido__worker *worker, uint32_t set, uint32_t clear)
{
    lido__worker_enter(worker);
    worker->current->flags = (worker->current->flags & ~clear) | set;
    lido__worker_leave(worker);
}

static inline bool lido__worker_has_work(const struct lido__worker *worker)
{
    return worker->queue.head || worker->hot;
}

static inline void lido__worker_set_current(struct lido__worker *worker, lido_task *task)
{
    lido__store(&worker->current, task, LIDO__RELAXED);
}

/* The hot task, if it may be run now: not after so many in a row. Then it goes to the end of the queue. */
static inline lido_task *lido__worker_hot(struct lido__worker *worker)
{
    if (__builtin_expect(!worker->hot, 1))
        return NULL;
    if (worker->hot_runs < LIDO__HOT_MAX)
        return worker->hot;
    lido__fifo_push(&worker->queue, &worker->hot->run);
    worker->hot = NULL;
    return NULL;
}

/*
 * The next task to run, now the current one; NULL if there is none or it is time to look at the
 * reactor. Only one whose flags, cut to `mask`, are `flags`: a fiber that goes to sleep can switch to
 * another fiber, and leaves everything else to the loop. Inside the gate.
 */
static inline lido_task *lido__worker_next(struct lido__worker *worker, uint32_t mask,
                                           uint32_t flags)
{
    uint32_t left = lido__load(&worker->slice_left, LIDO__RELAXED);
    if (left == 0)
        return NULL;
    lido_task *hot = lido__worker_hot(worker);
    if (!hot && !worker->queue.head)
        return NULL;
    lido_task *task = hot ? hot : lido__container_of(worker->queue.head, lido_task, run);
    if ((task->flags & mask) != flags)
        return NULL;
    if (hot)
        worker->hot = NULL;
    else
        lido__fifo_pop(&worker->queue);
    worker->hot_runs = hot ? worker->hot_runs + 1 : 0;
    task->flags &= ~LIDO__TASK_QUEUED;
    lido__store(&worker->slice_left, left - 1, LIDO__RELAXED);
    lido__worker_set_current(worker, task);
    worker->budget = worker->budget_full;
    return task;
}

/*
 * There is no memory for the stack of a fiber. It waits: until another task of the worker ends, or for a
 * while, for the others may be waiting for it. If all others wait like this it fails with -ENOMEM: nobody
 * gives memory back.
 */
void lido__worker_starve(struct lido__worker *worker, lido_task *task);

/* The current task goes to sleep: its deadline gets a timer, if it has one. Inside the gate. */
void lido__worker_arm_deadline(struct lido__worker *worker, lido_task *task);

static inline void lido__worker_suspend(struct lido__worker *worker, lido_task *task)
{
    if (__builtin_expect(task->deadline != LIDO__NEVER, 0))
        lido__worker_arm_deadline(worker, task);
}

/* The current task's future has returned an error: tells, if somebody wants to know, and nobody joins the
   task. Outside the gate: others' code is called. */
void lido__worker_note_error(struct lido__worker *worker, int result);

/* The future of the task has returned `result`, and lido__extra_end has been called: tells whoever waits for
   it. Inside the gate. */
void lido__worker_finish(struct lido__worker *worker, lido_task *task, int result);

/* A task joins this worker: it is listed, and counted. Inside the gate. */
static inline void lido__worker_adopt(struct lido__worker *worker, lido_task *task)
{
    lido__worker_list(worker, task);
    lido__store(&worker->live, worker->live + 1, LIDO__RELAXED);
    task->since = worker->stamp;
}

/* The same for one that comes from elsewhere. */
static inline void lido__worker_admit(struct lido__worker *worker, lido_task *task)
{
    lido__worker_adopt(worker, task);
    worker->outdated |= task->deadline != LIDO__NEVER;
}

/* Why the current wait of a task must end: -ECANCELED, -ETIMEDOUT or 0. */
static inline int lido__task_interrupted(const struct lido__worker *worker, const lido_task *task)
{
    if (__builtin_expect(lido__state_cancelled(&task->state), 0))
        return lido__task_flags(task) & LIDO__TASK_STOPPING ? 0 : -ECANCELED;
    if (__builtin_expect(task->deadline <= worker->now, 0))
        return lido__task_flags(task) & LIDO__TASK_STOPPING ? 0 : -ETIMEDOUT;
    return 0;
}

#endif
