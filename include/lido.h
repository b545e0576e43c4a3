/*
 * lido: an asynchronous I/O runtime.
 *
 * A pool of threads that executes very many small I/O-bound tasks. Code is written straight down,
 * in fibers, or as poll-based futures where 200 bytes a connection matter; both kinds run on the
 * same workers and wait on the same operations.
 *
 * Conventions, true for all of this header:
 *
 *  - Errors are returned as negative errno values (see lido_strerror), never through errno. An error
 *    means that nothing was started, no ownership was taken and out-parameters are untouched.
 *  - A function that waits can also return -ECANCELED (its task was cancelled), -ETIMEDOUT (a
 *    deadline passed), -ENXIO (called outside a runtime) and -EDEADLK (called from the poll of
 *    a future, which must not wait). These four are not repeated below. If one of them is returned,
 *    the operation consumed nothing. They never come from the system: where that says ETIMEDOUT
 *    (TCP has given up a peer that does not answer), ENXIO, EDEADLK or ECANCELED, lido says
 *    -EHOSTDOWN, -ENODEV, -ENOLCK or -EIO.
 *  - "From any thread" is said where it holds. Everything else is called from a task of a runtime,
 *    and one object is used by one task at a time, unless said otherwise.
 *  - After fork, while a runtime lived in the parent, the child can do nothing with lido, and should exec or
 *    _exit: what needs the runtime of the caller returns -ENXIO, what is given a runtime or makes one
 *    -ENOTRECOVERABLE; what closes something closes its descriptor and no more; what tasks share cannot be
 *    relied on; and code of a task or hook must not return to lido, which aborts then. If no runtime lived,
 *    the child can use lido as it likes. The parent notices nothing.
 *  - Strings and options are copied, unless said otherwise. Durations are milliseconds, points in
 *    time are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef LIDO_H
#define LIDO_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LIDO_VERSION_MAJOR 0
#define LIDO_VERSION_MINOR 1
#define LIDO_VERSION_PATCH 0

#define LIDO_API __attribute__((visibility("default")))
#define LIDO_STRING_OF(x) #x
#define LIDO_STRING(x) LIDO_STRING_OF(x)
#define LIDO_JOINED(a, b) a##b
#define LIDO_UNIQUE(a, line) LIDO_JOINED(a, line)

/*
 * What LIDO_..._INIT stands for: a struct that knows its size, or one that is all zero. C++ has another spelling of
 * both, because its compilers warn of fields that are not named.
 */
#ifdef __cplusplus
extern "C++" {
template <typename T> inline T lido_private_sized()
{
    T zero = T();
    zero.size = sizeof(T);
    return zero;
}
}
#define LIDO_SIZED(type) lido_private_sized<type>()
#define LIDO_ZERO(...)                                                                             \
    {                                                                                              \
    }
#else
#define LIDO_SIZED(type)                                                                           \
    {                                                                                              \
        .size = sizeof(type)                                                                       \
    }
#define LIDO_ZERO(...)                                                                             \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#endif

/* Where a task is spawned, for reports: "file:line". */
#define LIDO_HERE __FILE__ ":" LIDO_STRING(__LINE__)

typedef struct lido_runtime lido_runtime;
typedef struct lido_task lido_task;
typedef struct lido_stream lido_stream;
typedef struct lido_listener lido_listener;
typedef struct lido_datagram lido_datagram;

/* The body of a fiber. What it returns is the task's result; INT_MIN is reserved. In C++ it may throw and catch,
   and wait meanwhile: exceptions belong to their fiber. None may leave a function that is given to lido. It must
   return: pthread_exit in it, or a pthread_cancel of its thread, aborts the process with the name of the task. */
typedef int (*lido_fn)(void *arg);

/* ---- Errors ---------------------------------------------------------------------------------- */

/* A text for an error, negative as returned or positive. Valid until the thread's next call at least.
   From any thread. */
LIDO_API const char *lido_strerror(int error);

/* "0.1.0". From any thread. */
LIDO_API const char *lido_version_string(void);

/*
 * glibc declares the address of errno constant, so that a compiler may keep it across a call in which
 * a fiber changes threads. lido's errno is the same variable, its address asked for each time.
 * A fiber finds errno after a wait as it was before.
 *
 * glibc declares pthread_self constant too, and compilers keep the addresses of thread-local variables in the same
 * way. After a wait both may be those of the thread before: see "Threads under a fiber" in docs/design.md. A task that
 * is not pinned, or that calls lido_blocking, asks for them in a function that is not inlined and does not wait
 * (gcc: __attribute__((noipa)); clang: noinline, with an empty asm statement that clobbers memory).
 */
LIDO_API int *lido_errno_address(void);
#undef errno
#define errno (*lido_errno_address())

/* ---- Configuration --------------------------------------------------------------------------- */

/* Which worker a new task goes to. */
typedef enum lido_placement {
    LIDO_PLACE_DEFAULT = 0,      /* a task's own spawns: LOCAL; all others: the runtime's policy */
    LIDO_PLACE_ROUND_ROBIN = 1,  /* each worker in turn */
    LIDO_PLACE_LEAST_LOADED = 2, /* the worker with the fewest live tasks */
    LIDO_PLACE_LOCAL = 3,        /* the worker that spawns it; from outside: as DEFAULT */
    LIDO_PLACE_WORKER = 4,       /* the worker whose index is given */
    LIDO_PLACE_REUSEPORT = 5     /* lido_serve only: one listener per worker, the kernel deals */
} lido_placement;

/* Whether a task may go to another worker than the one that it was placed on. A task that runs, one that
   waits, and a future that has a timer running stay where they are. */
typedef enum lido_mobility {
    LIDO_MOBILITY_DEFAULT =
        0,              /* of the scheduler: PINNED in an io-pool, STEALABLE in work-stealing */
    LIDO_PINNED = 1,    /* never: all of the tasks of one worker run one after the other */
    LIDO_RESCUABLE = 2, /* if its worker is stuck in another task while some worker is idle */
    LIDO_STEALABLE = 3  /* whenever some worker has nothing to do */
} lido_mobility;

/* What a fault report says; see lido_config.on_fault. */
typedef struct lido_fault {
    int signal;             /* SIGSEGV, SIGBUS, ... */
    bool stack_overflow;    /* the address lies in the guard below the fiber's stack */
    const void *address;    /* that was accessed */
    const char *task_name;  /* or NULL */
    const char *task_where; /* "file:line" of the spawn, or NULL outside a task */
} lido_fault;

/*
 * A sleep of the embedder's own, in place of the reactor's: for a program that has a loop of its own (of a
 * user interface, of a game) to be served while a worker has nothing to do.
 */
struct lido_stuck; /* see lido_shutdown */

typedef struct lido_park {
    /*
     * Sleeps until unpark is called for this worker, until `fd` is readable (the reactor's: all its sockets, and
     * everything that other threads want of the worker), or for `timeout_ns`, UINT64_MAX: without limit. May
     * return early; an unpark that came before must not be forgotten. On the worker's thread; no task runs, so
     * functions that wait return -ENXIO.
     */
    void (*park)(void *park_arg, unsigned worker, int fd, uint64_t timeout_ns);
    /* Ends that sleep, or the next one. From any thread, in the middle of a call that wakes a task: it must
       not call lido, nor wait for anybody who does. May be NULL if park looks at `fd`. */
    void (*unpark)(void *park_arg, unsigned worker);
    void *park_arg;
} lido_park;

/* A worker that has been in one poll for longer than lido_config.watch_ms. Valid during the call. */
typedef struct lido_watch_report {
    unsigned worker;
    const char *task_name;  /* its first 127 bytes, or NULL */
    const char *task_where; /* "file:line" of the spawn; NULL: its thread did not answer */
    int64_t ms;             /* how long, at least */
    bool blocking; /* it is in a blocking section, and there was no thread for the others */
    size_t frame_count;
    void *const *frames; /* where the thread is: return addresses, the innermost first */
} lido_watch_report;

/*
 * Start from LIDO_CONFIG_INIT and set what you need. A zero or NULL field means its default.
 * The environment of the process overrides LIDO_WORKERS, LIDO_SCHEDULER and LIDO_REACTOR.
 *
 * LIDO_DEBUG=1 in the environment alone makes the runtime say on stderr what a program does wrong: it switches on
 * report_faults and a watch of a second (watch_ms), and names the tasks that fail and that nobody joins, those that keep
 * lido_run from returning (see on_stuck), and, when the last runtime has ended, what has not been given back: streams,
 * listeners, datagram sockets, channels, handles of tasks. Without it and the hooks below lido says nothing.
 */
typedef struct lido_config {
    size_t size;             /* sizeof(lido_config): keeps the ABI open */
    unsigned workers;        /* 1..32768; default: the cores that the process may use */
    const char *scheduler;   /* "io-pool" (default), "work-stealing" or "current-thread" */
    const char *reactor;     /* "epoll" (default) */
    const char *name_prefix; /* threads are called prefix1, prefix2, ...; default "lido-" */
    /*
     * Bytes per fiber, 16 KiB..1 GiB, default 128 KiB (more under sanitizers). They are addresses: memory is only what
     * has been touched, a page at least, and 8 bytes of page tables for each 4 KiB of the stack and of the 64 KiB of
     * guard below it. A frame larger than the guard can skip it, unless it is compiled with
     * -fstack-clash-protection, which pkg-config and CMake hand out.
     */
    size_t stack_size;
    unsigned budget;          /* operations that a task may complete without a pause, 1..1000000;
                                default 128: then it lets its neighbours run */
    bool pin_cpus;            /* worker i stays on the i-th cpu of the process */
    lido_placement placement; /* for spawns from outside and from a root; ROUND_ROBIN (default)
                                 or LEAST_LOADED */

    /*
     * A stack is used by one fiber after another, and the next one can read what the last one has left there: a task
     * that holds secrets wipes them (explicit_bzero), or this wipes each stack when its fiber has ended, for a system
     * call and a page fault per fiber. It does not wipe the stacks of threads, on which blocking code runs.
     */
    bool clear_stacks;

    int64_t grace_ms; /* lido_run: how long tasks may go on after the root has returned, until they
                         are cancelled; 0: as long as they take (default), negative: no time at all */

    /* How many may run at once; further ones wait, as tasks; see lido_blocking, lido_spawn_blocking. */
    unsigned max_blocking; /* blocking sections and USER jobs together, 1..32768; default 100 */
    unsigned max_fs;       /* FS jobs, likewise; default 32 */
    unsigned max_dns;      /* DNS jobs and name lookups, likewise; default 16 */
    int64_t
        keep_alive_ms; /* how long a thread beyond the workers' waits for something to do before it
                              ends; default 10 000; negative: as long as the runtime lasts */

    /*
     * Called on each thread of the runtime, after it has started and before it ends. `thread` counts
     * them from 0 as they start (the caller of lido_run is 0); the first ones are the workers', in
     * their order, those that are started because others block come after them. A thread that is still in a
     * name lookup when the runtime has ended is left behind, and does not call before_stop.
     */
    void (*after_start)(void *hook_arg, unsigned thread);
    void (*before_stop)(void *hook_arg, unsigned thread);
    /*
     * Called on a thread that begins to carry a worker, and must call run(run_arg), once, which returns
     * when the worker has stopped, or has gone on to another thread while this one was in a blocking
     * section (where this is then called too, and may still be when this one returns). If it does not
     * call it, lido does after it has returned: a worker is not left without a thread.
     */
    void (*around_worker)(void *hook_arg, unsigned worker, void (*run)(void *run_arg),
                          void *run_arg);
    void *hook_arg;

    const lido_park
        *park; /* how workers sleep; default: in the reactor. Lives as long as the runtime */

    /*
     * Report a worker that has been in one poll for longer than so many milliseconds, once for each
     * poll: to on_watch, which is called on a thread that is no worker's, and must return soon; and to
     * stderr, if the environment has LIDO_DEBUG=1. At most 3 600 000; 0 (default): nobody watches. Installs a
     * handler for SIGURG, with which the thread is asked where it is; this may cut a sleep of it short.
     */
    unsigned watch_ms;
    void (*on_watch)(void *hook_arg, const lido_watch_report *report);

    /* Report a fault (an overflown fiber stack, a bad pointer) with the task's name and spawn place
       before the process dies of it: to stderr, and to on_fault, which runs in a signal handler.
       Installs handlers for SIGSEGV and SIGBUS, which then pass on to those before them. */
    bool report_faults;
    void (*on_fault)(const lido_fault *fault);

    /*
     * Called when a task that nobody joins returns an error (a negative result): a detached one, but not one of a
     * scope, nor one that was cancelled and returns -ECANCELED. On the thread of its worker; must return soon and not
     * wait. `name` may be NULL. A handle that is detached only after the task has ended comes too late for this.
     */
    void (*on_task_error)(void *hook_arg, const char *name, const char *where, int result);
    /*
     * lido_run only: called for each task that is still there so long after the tasks were cancelled at the end of
     * grace_ms. lido_run waits on: the tasks' code and stacks cannot be taken from under them. Also called for all
     * tasks of any runtime when nothing has happened for a second and all of them wait for each other (mutexes,
     * events, channels, joins, ...): only a thread that is not lido's could still help. On a thread of its own, which
     * may wait.
     */
    void (*on_stuck)(void *hook_arg, const struct lido_stuck *stuck);
    int64_t after_cancel_ms; /* default 1000 */
} lido_config;

#define LIDO_CONFIG_INIT LIDO_SIZED(lido_config)

/*
 * Says whether a runtime can be built from `config` (NULL: all defaults) and the environment, by trying what it needs
 * of the system. 0, or an error with a text in `problem` (may be NULL). -EINVAL: names the field, its value and its
 * range. -ENOSYS: the system (a seccomp filter) refuses a system call without which there is no runtime, and names it;
 * docs/sandbox.md lists them. -EAGAIN, -ENOMEM, -EMFILE: no threads, memory, descriptors. From any thread.
 */
LIDO_API int lido_config_check(const lido_config *config, char *problem, size_t problem_size);

/* ---- Runtime --------------------------------------------------------------------------------- */

/*
 * The whole bootstrap: starts a runtime, runs `fn` as its root fiber (the calling thread is a worker
 * too), waits until the runtime is idle (see grace_ms), tears it down and returns fn's result. Spawns made by the
 * root are dealt over the whole pool; spawns made by tasks on the pool stay on their worker.
 *
 * -EINVAL, -ENOSYS: see lido_config_check. -EDEADLK: called from a task. -EAGAIN, -ENOMEM, -EMFILE: no more
 * threads, memory, descriptors. -EPERM: pin_cpus is refused. From a plain thread.
 */
LIDO_API int lido_run(const lido_config *config, lido_fn fn, void *arg);

/*
 * Starts a runtime whose workers are all threads of its own. Errors as lido_run. From any thread.
 * The handle may be used from all threads at once; the call of lido_shutdown* or lido_runtime_free that ends the runtime
 * gives it back. A thread that may use the runtime while or after another one ends it needs a handle of its own.
 */
LIDO_API int lido_runtime_new(lido_runtime **runtime, const lido_config *config);

/*
 * One handle more: for a thread, or another runtime's task, that may outlive the runtime. Returns `runtime`. A handle
 * does not keep the runtime from ending, but as long as there is one, whatever is asked of it after its end is
 * -ESHUTDOWN: spawns, lido_block_on, lido_shutdown*. That holds for the runtime of a lido_run too. From any thread.
 */
LIDO_API lido_runtime *lido_runtime_ref(lido_runtime *runtime);

/*
 * Gives a handle back. Each is given back once: by this, or by a call of lido_shutdown* or lido_runtime_free that
 * returned 0. The last one of a runtime that nobody has ended is not given back in this way: that aborts, as does a
 * handle that is given back twice. NULL is ignored. Never waits. From any thread.
 */
LIDO_API void lido_runtime_unref(lido_runtime *runtime);

/* The runtime of the calling task, or NULL outside a task. Without a handle: valid while the task runs, and for
   longer if it takes one (lido_runtime_ref). */
LIDO_API lido_runtime *lido_runtime_current(void);

/*
 * Runs `fn` as a root fiber on a worker of `runtime`, waits for it and returns its result.
 * -EDEADLK: called from a task or worker. -ESHUTDOWN: the runtime is shutting down. From a plain thread.
 */
LIDO_API int lido_block_on(lido_runtime *runtime, lido_fn fn, void *arg);

/*
 * The ways to end a runtime, each harder than the one before. A spawn that is refused returns -ESHUTDOWN, and
 * what was to be spawned remains the caller's.
 */
typedef enum lido_shutdown_how {
    LIDO_SHUTDOWN_ON_IDLE, /* everything goes on until no task is left in the whole pool */
    /* Refuse spawns from outside: from plain threads, blocking code and other runtimes. The tasks go on to
       their ends, and what they spawn for that is theirs. Stop first what brings in new work by itself,
       such as lido_serve. */
    LIDO_SHUTDOWN_DRAIN,
    LIDO_SHUTDOWN_NOW /* refuse all spawns, and cancel all tasks */
} lido_shutdown_how;

/* A task that has not ended in time. Valid while it is reported. */
typedef struct lido_stuck {
    unsigned worker;
    const char *name;  /* or NULL */
    const char *where; /* "file:line" of the spawn */
    const char *
        awaits; /* the call that it is in: "read", "join", "yield", ...; "blocking": it runs blocking
                           code; "running": its code does not come back; "start": it has not begun;
                           "future": one that is pending */
    int64_t waited_ms; /* for how long, to some 20 ms; yields do not count as an end of waiting */
    bool runnable;     /* it would go on, if its worker came to it */
} lido_stuck;

/*
 * Ends a runtime: waits for its tasks as `how` says, then stops its threads, frees what it owns, and gives the caller's
 * handle back: 0. On an error the caller still has its handle.
 *
 * After `timeout_ms` (negative: no limit) returns -ETIMEDOUT instead and, if `report` is not NULL, calls it for each
 * task that is left. That can take 100 ms more, if a worker does not answer. The runtime goes on, but
 * what was refused remains refused: call again, with the harder rung. Errors leave it like that too.
 *
 * From a plain thread, which blocks; from a fiber of another runtime, which waits like in all else: the wait also
 * ends with its cancellation or deadline. -EDEADLK: called from a task of this runtime, or the poll of a
 * future. -EBUSY: another call waits already. -ESHUTDOWN: it has ended; the handle is given back by
 * lido_runtime_unref or _free. -EPERM: it is the runtime of a lido_run, which ends it. Code in a
 * blocking section, a blocking task or a hook of the runtime is part of what it would wait for: never call it there.
 */
LIDO_API int lido_shutdown(lido_runtime *runtime, lido_shutdown_how how, int64_t timeout_ms,
                           void (*report)(void *report_arg, const lido_stuck *stuck),
                           void *report_arg);

/* The ladder in one call: drains for `drain_ms`; if that was not enough, cancels, and waits for
   `cancel_ms`; if that was not, -ETIMEDOUT. All else as lido_shutdown. */
LIDO_API int lido_shutdown_within(lido_runtime *runtime, int64_t drain_ms, int64_t cancel_ms,
                                  void (*report)(void *report_arg, const lido_stuck *stuck),
                                  void *report_arg);

/*
 * The destructor: lido_shutdown with LIDO_SHUTDOWN_NOW, as long as it takes, also if the caller is cancelled or
 * its deadline passes. If the runtime has ended through another handle, gives this one back: 0. NULL is ignored. Errors
 * as lido_shutdown; mostly the caller knows that there are none.
 */
LIDO_API int lido_runtime_free(lido_runtime *runtime);

/* Index of the worker that runs the caller, from 0; -ENXIO outside a runtime. */
LIDO_API int lido_worker_index(void);

/* Number of workers of the current runtime; -ENXIO outside one. */
LIDO_API int lido_worker_count(void);

/* Name of the reactor that the current runtime waits with, such as "epoll"; NULL outside one. */
LIDO_API const char *lido_reactor_name(void);

/* ---- Tasks ----------------------------------------------------------------------------------- */

typedef struct lido_spawn_options {
    size_t size;              /* sizeof(lido_spawn_options) */
    const char *name;         /* for reports; not copied: lives as long as the task */
    lido_placement placement; /* default: a task's own spawns stay on its worker */
    unsigned worker;          /* for LIDO_PLACE_WORKER */
    lido_mobility mobility;   /* default: as the scheduler has it */
} lido_spawn_options;

#define LIDO_SPAWN_OPTIONS_INIT LIDO_SIZED(lido_spawn_options)

/*
 * Starts a fiber that runs fn(arg). If `task` is not NULL it receives a handle, which the caller
 * must give back through exactly one of lido_join, lido_stop or lido_detach; what uses a handle that was given back
 * aborts with a text, as long as its memory is not that of another task. The new task inherits
 * the deadline of the one that spawns it. It never runs before the caller's next wait, if it was
 * placed on the caller's worker. If there is no memory for a stack when it is to start, it waits for some;
 * if all tasks of its worker wait like that, it ends with -ENOMEM.
 *
 * Which cores it uses: in an io-pool, the default scheduler, what a task spawns stays on that
 * task's worker, so a task that fans out 20 computations keeps one core busy and no more. (What
 * the root of lido_run or lido_block_on spawns, or a plain thread, is dealt over all workers.)
 * One word spreads it: with lido_spawn_options.placement = LIDO_PLACE_ROUND_ROBIN the new task
 * goes to the next worker; with .mobility = LIDO_STEALABLE whichever worker is idle takes it.
 * With lido_config.scheduler = "work-stealing" tasks are stealable by default.
 *
 * With work-stealing a worker's thread is started when it is first needed. If that fails (a limit of the user or of a
 * container), a worker that has a thread takes the place of the one whose turn it is, and the missing thread is
 * tried again later, after 16 ms at most. So -EAGAIN comes only if LIDO_PLACE_WORKER names a worker that has no
 * thread, or if no worker has one yet, as before the first spawn into a runtime of lido_runtime_new: then nothing was
 * started, and the same call may succeed later.
 *
 * -ENOMEM. -EAGAIN: see above. -ESHUTDOWN: the runtime is shutting down. -EINVAL: a bad option. -ENXIO
 * outside a runtime.
 */
#define lido_spawn(task, fn, arg) lido_spawn_at(NULL, (task), (fn), (arg), NULL, LIDO_HERE)
#define lido_spawn_with(task, fn, arg, options)                                                    \
    lido_spawn_at(NULL, (task), (fn), (arg), (options), LIDO_HERE)

/* The same from any thread, into `runtime`. */
#define lido_runtime_spawn(runtime, task, fn, arg)                                                 \
    lido_spawn_at((runtime), (task), (fn), (arg), NULL, LIDO_HERE)
#define lido_runtime_spawn_with(runtime, task, fn, arg, options)                                   \
    lido_spawn_at((runtime), (task), (fn), (arg), (options), LIDO_HERE)

/* What the macros above call: runtime NULL is the current one, options NULL are the defaults. */
LIDO_API int lido_spawn_at(lido_runtime *runtime, lido_task **task, lido_fn fn, void *arg,
                           const lido_spawn_options *options, const char *where);

/*
 * Waits for the end of `task`, stores its result (if `result` is not NULL) and gives the handle
 * back. On an error the caller still has the handle.
 * From a task of any runtime or from a plain thread (which then blocks). The runtime of `task` may have ended.
 * -EBUSY: somebody else waits. -EDEADLK: also for the calling task itself.
 */
LIDO_API int lido_join(lido_task *task, int *result);

/*
 * Cancels `task`, waits for its end whatever happens to the caller (its own cancellation and deadline
 * do not cut this wait short), and gives the handle back: the destructor of running work. NULL is
 * ignored. From where lido_join may be called.
 */
LIDO_API int lido_stop(lido_task *task, int *result);

/*
 * Asks `task` to stop: what it awaits, and everything it awaits from then on, returns -ECANCELED.
 * The task cleans up and returns. From any thread.
 */
LIDO_API void lido_cancel(lido_task *task);

/* Gives the handle back; the task goes on by itself. NULL is ignored. From any thread. */
LIDO_API void lido_detach(lido_task *task);

/* True once the task has returned its result. From any thread. */
LIDO_API bool lido_task_is_done(const lido_task *task);

/* The calling task, without a reference, or NULL outside a task. */
LIDO_API lido_task *lido_self(void);

/* The name given at its spawn, or NULL. From any thread. */
LIDO_API const char *lido_task_name(const lido_task *task);

/* Lets the other runnable tasks of this worker go first. */
LIDO_API int lido_yield(void);

/* True if the calling task has been cancelled; for long computations. */
LIDO_API bool lido_is_cancelled(void);

/* A key for task-local values: a static variable; `destroy` (or NULL) is called with a value that
   is not NULL when its task ends. */
typedef struct lido_local {
    void (*destroy)(void *value);
} lido_local;

/* -ENOMEM. A previous value is not destroyed. */
LIDO_API int lido_local_set(const lido_local *key, void *value);
/* The value set by this task, or NULL. */
LIDO_API void *lido_local_get(const lido_local *key);

/* ---- Time ------------------------------------------------------------------------------------ */

/* Now, in ns of CLOCK_MONOTONIC. From any thread. */
LIDO_API uint64_t lido_now(void);

/*
 * Never wakes early. A negative duration, or a time that has passed, is a yield. One that a deadline comes before
 * fails with -ETIMEDOUT, even if both have passed when the task comes to run again.
 */
LIDO_API int lido_sleep(int64_t ms);
LIDO_API int lido_sleep_until(uint64_t ns);

/* What an interval does when ticks were missed because its task was late. */
typedef enum lido_missed {
    LIDO_MISSED_BURST, /* catch up: as many immediate ticks as were missed */
    LIDO_MISSED_DELAY, /* the next tick is one period after this one */
    LIDO_MISSED_SKIP   /* the next tick is the next multiple of the period */
} lido_missed;

typedef struct lido_interval {
    uint64_t next;   /* ns, when the next tick is due */
    uint64_t period; /* ns */
    lido_missed missed;
} lido_interval;

/* The first tick is due one period from now. -EINVAL: a period that is not positive. */
LIDO_API int lido_interval_init(lido_interval *interval, int64_t period_ms, lido_missed missed);
/* Waits for the next tick. */
LIDO_API int lido_interval_tick(lido_interval *interval);

/*
 * Every wait until the end of the enclosing block fails with -ETIMEDOUT once `ms` milliseconds have
 * passed, however deep it is called, also in tasks that are spawned from the block. Scopes nest; the
 * earlier deadline wins. Costs a clock read and a few stores: no timer is touched unless the task
 * waits, and then at most once in a while, not once per wait. The clock that deadlines are held against
 * is read between tasks, at least every millisecond: what does not have to wait may still succeed
 * for that long.
 * Idea of the scoped variable: systemd's SD_FIBER_TIMEOUT.
 */
#define lido_within(ms)                                                                            \
    lido_deadline LIDO_UNIQUE(lido_deadline_, __LINE__)                                            \
        __attribute__((cleanup(lido_deadline_pop), unused)) = lido_deadline_push(ms)

typedef struct lido_deadline {
    uint64_t outer;
} lido_deadline;

/* The two halves of lido_within, for where a block does not fit; they nest strictly. */
LIDO_API lido_deadline lido_deadline_push(int64_t ms);
LIDO_API void lido_deadline_pop(lido_deadline *deadline);

/* ---- Messages between tasks -------------------------------------------------------------------- */

/*
 * What tasks wait for in each other, on whatever worker or runtime they are; what does not wait can be
 * used from any thread. Those who wait are served in the order in which they came. A wait that ends with an
 * error consumed nothing: a message or a permit that was meant for it goes to the next. -EPIPE
 * says that the other side has closed.
 *
 * A one-shot, event, mutex or scope is embedded by the caller, begins as all zero (LIDO_..._INIT), and
 * needs no end; it stays where it is while somebody uses it.
 */
typedef struct lido_waker lido_waker;
typedef struct lido_future lido_future;

/*
 * A wait in a future: embedded in it, LIDO_WAIT_INIT before the first poll. The functions called lido_*_poll
 * are for futures; they return LIDO_PENDING, or as the function of the same name. Until one has returned
 * something other than LIDO_PENDING, or lido_wait_forgo was called, the wait and what it waits for stay
 * where they are, and the same task polls it. Then the wait may be used again.
 */
typedef struct lido_wait {
    uint64_t lido_private[6];
} lido_wait;

#define LIDO_WAIT_INIT LIDO_ZERO({0})

/* Gives up. What it has been given in the meantime, unseen, goes to the next that waits, unless all were
   told (lido_event_notify_all); nothing is lost. One that waits for nothing is left alone. From any thread. */
LIDO_API void lido_wait_forgo(lido_wait *wait);

/*
 * A one-shot: one value, from one sender to one receiver. Each of them ends its use of it with one call that
 * succeeds: send or close_sender; recv or close_receiver. Whoever comes second owns the memory then:
 * the receiver mostly; but when send or close_sender returns -EPIPE, the sender.
 */
typedef struct lido_oneshot {
    uint64_t lido_private[4];
} lido_oneshot;

#define LIDO_ONESHOT_INIT LIDO_ZERO({0})

/* Never waits. -EPIPE: the receiver has closed, and `value` is still the caller's. From any thread. */
LIDO_API int lido_oneshot_send(lido_oneshot *oneshot, void *value);
/* Sends nothing: the receiver gets -EPIPE. -EPIPE: the receiver has closed. From any thread. */
LIDO_API int lido_oneshot_close_sender(lido_oneshot *oneshot);
/* Waits for the value. -EPIPE: there will be none. */
LIDO_API int lido_oneshot_recv(lido_oneshot *oneshot, void **value);
LIDO_API int lido_oneshot_recv_poll(lido_oneshot *oneshot, void **value, lido_wait *wait,
                                    const lido_waker *waker);
/* The same without waiting. -EAGAIN: nothing has come. From any thread. */
LIDO_API int lido_oneshot_try_recv(lido_oneshot *oneshot, void **value);
/* Does not want the value any more: the sender will get -EPIPE. -EALREADY: it was faster, and try_recv says
   what it has done. -EBUSY: somebody waits for the value. From any thread. */
LIDO_API int lido_oneshot_close_receiver(lido_oneshot *oneshot);

/*
 * A channel: a queue of at most `capacity` elements of `size` bytes, which are copied in and out. Any number of
 * tasks send and receive. What one task has sent is received in that order.
 */
typedef struct lido_channel lido_channel;

/* One handle. -EINVAL: a capacity of 0. -ENOMEM. From any thread. */
LIDO_API int lido_channel_new(lido_channel **channel, size_t size, size_t capacity);
/* One handle more, of the same channel: for another task, that may outlive this one. Returns `channel`. From any
   thread. */
LIDO_API lido_channel *lido_channel_share(lido_channel *channel);
/* Gives a handle back; the last one frees the channel, and what was not received. This does not close it:
   those who have the other handles go on. NULL is ignored. From any thread. */
LIDO_API void lido_channel_drop(lido_channel *channel);
/* From now on nothing can be sent. What has been sent can be received. Any number of times, from any
   thread. */
LIDO_API void lido_channel_close(lido_channel *channel);

/* Waits while the channel is full. -EPIPE: it is closed. */
LIDO_API int lido_channel_send(lido_channel *channel, const void *element);
LIDO_API int lido_channel_send_poll(lido_channel *channel, const void *element, lido_wait *wait,
                                    const lido_waker *waker);
/* The same without waiting. -EAGAIN: it is full. From any thread. */
LIDO_API int lido_channel_try_send(lido_channel *channel, const void *element);
/* Waits while the channel is empty. -EPIPE: it is closed, and all has been received. */
LIDO_API int lido_channel_recv(lido_channel *channel, void *element);
LIDO_API int lido_channel_recv_poll(lido_channel *channel, void *element, lido_wait *wait,
                                    const lido_waker *waker);
/* The same without waiting. -EAGAIN: it is empty. From any thread. */
LIDO_API int lido_channel_try_recv(lido_channel *channel, void *element);

/*
 * An event: tells tasks that something has changed. A notification that finds nobody waiting is kept for
 * the next one who comes; one, however many there were.
 */
typedef struct lido_event {
    uint64_t lido_private[4];
} lido_event;

#define LIDO_EVENT_INIT LIDO_ZERO({0})

LIDO_API int lido_event_wait(lido_event *event);
LIDO_API int lido_event_wait_poll(lido_event *event, lido_wait *wait, const lido_waker *waker);
/* Wakes the task that has waited longest, or is kept. From any thread. */
LIDO_API void lido_event_notify_one(lido_event *event);
/* Wakes all tasks that wait at this moment. It is not kept: who comes later waits. From any thread. */
LIDO_API void lido_event_notify_all(lido_event *event);

/*
 * A mutex that tasks may hold while they wait for something else. It is had in the order of coming, but for
 * this: a task that comes when the mutex is free takes it, though others may be on their way to it. One that
 * finds it taken when it gets there has it next, so it is overtaken in this way once.
 */
typedef struct lido_mutex {
    uint64_t lido_private[3];
} lido_mutex;

#define LIDO_MUTEX_INIT LIDO_ZERO({0})

LIDO_API int lido_mutex_lock(lido_mutex *mutex);
LIDO_API int lido_mutex_lock_poll(lido_mutex *mutex, lido_wait *wait, const lido_waker *waker);
/* For cleaning up: neither cancellation nor deadline keep the task from it or end the wait. So it only fails
   with -ENXIO or -EDEADLK, outside a fiber. */
LIDO_API int lido_mutex_lock_anyway(lido_mutex *mutex);
/* Without waiting. -EAGAIN: somebody has it. From any thread. */
LIDO_API int lido_mutex_try_lock(lido_mutex *mutex);
/* By any task or thread for the one that has it. -EPERM: nobody has it. From any thread. */
LIDO_API int lido_mutex_unlock(lido_mutex *mutex);

/*
 * A scope: owns tasks, and does not end before they have. Its owner initialises it (all zero, or what follows),
 * spawns into it and waits; its tasks may spawn into it too. They have no handles and are not joined: their
 * results are the scope's.
 *
 *     lido_scoped(parts);
 *     lido_scope_spawn(&parts, fetch, &left);
 *     lido_scope_spawn(&parts, fetch, &right);
 *     return lido_scope_wait(&parts);
 */
typedef struct lido_scope {
    bool
        cancel_on_error; /* the first task that returns an error (a negative result) cancels the others */
    uint64_t lido_private[5];
} lido_scope;

#define LIDO_SCOPE_INIT LIDO_ZERO(.cancel_on_error = false)

/* Declares a scope that ends with the block: however that is left, what still runs in the scope is stopped. */
#define lido_scoped(name)                                                                          \
    lido_scope name __attribute__((cleanup(lido_scope_stop))) = LIDO_SCOPE_INIT

/*
 * As lido_spawn*. `result` (or NULL) receives the result of the task before the scope ends. -ECANCELED: the
 * scope has been cancelled.
 */
#define lido_scope_spawn(scope, fn, arg)                                                           \
    lido_scope_spawn_at((scope), NULL, (fn), (arg), NULL, LIDO_HERE)
#define lido_scope_spawn_with(scope, result, fn, arg, options)                                     \
    lido_scope_spawn_at((scope), (result), (fn), (arg), (options), LIDO_HERE)
LIDO_API int lido_scope_spawn_at(lido_scope *scope, int *result, lido_fn fn, void *arg,
                                 const lido_spawn_options *options, const char *where);
/* The same with a future, which lives until the scope has ended. */
#define lido_scope_spawn_future(scope, future)                                                     \
    lido_scope_spawn_future_at((scope), NULL, (future), NULL, LIDO_HERE)
LIDO_API int lido_scope_spawn_future_at(lido_scope *scope, int *result, lido_future *future,
                                        const lido_spawn_options *options, const char *where);

/*
 * Waits until all tasks of the scope have ended, and returns the first error that one of them returned, or 0.
 * If the caller is cancelled or its deadline passes, the tasks are cancelled, it goes on waiting, and that is
 * an error like those of the tasks (-ECANCELED, -ETIMEDOUT). -EBUSY: another task waits. After any other return
 * the scope is empty, and as new.
 */
LIDO_API int lido_scope_wait(lido_scope *scope);
LIDO_API int lido_scope_wait_poll(lido_scope *scope, lido_wait *wait, const lido_waker *waker);
/* Cancels all tasks of the scope, also those that it would get later. From any thread. */
LIDO_API void lido_scope_cancel(lido_scope *scope);
/* Both: cancels, then waits. Nothing cuts this short. Errors as lido_scope_wait. */
LIDO_API int lido_scope_stop(lido_scope *scope);

/* ---- Blocking code ---------------------------------------------------------------------------- */

/*
 * Runs fn(arg), which may block (a file, a library's lock, a long computation), and returns its result.
 * It runs at once, on the calling thread and its full-size stack; if it takes longer than some 20 us, the
 * other tasks of the worker go on on another thread, and the calling fiber returns to its worker when
 * fn has returned. A section that ends soon costs no thread, no switch between threads and no lock.
 * If no thread can be had they wait until there is one, or fn has returned.
 *
 * At most lido_config.max_blocking run at once. Further ones wait, as tasks, in the order in which they came, and
 * that wait can fail with -ECANCELED or -ETIMEDOUT; then fn was not run. Once fn runs, neither
 * cancellation nor deadline ends it.
 *
 * Within fn the caller is a plain thread: what must be called from a task fails with -ENXIO, and lido_run,
 * lido_block_on and lido_join work, also with this runtime. A nested lido_blocking just runs its fn, and
 * so does one outside a runtime. lido_shutdown of this runtime would wait for itself.
 */
LIDO_API int lido_blocking(lido_fn fn, void *arg);

/* Whose limit counts; each pool has its own, so that slow names do not keep files waiting. */
typedef enum lido_blocking_pool {
    LIDO_POOL_USER = 0, /* lido_config.max_blocking, shared with lido_blocking */
    LIDO_POOL_FS = 1,   /* max_fs */
    LIDO_POOL_DNS = 2   /* max_dns, shared with lido_resolve */
} lido_blocking_pool;

typedef struct lido_blocking_options {
    size_t size;             /* sizeof(lido_blocking_options) */
    const char *name;        /* of the task; not copied: lives as long as it */
    lido_blocking_pool pool; /* default: USER */
} lido_blocking_options;

#define LIDO_BLOCKING_OPTIONS_INIT LIDO_SIZED(lido_blocking_options)

/*
 * Starts a task that runs fn(arg) on a thread that is no worker's, for work that nobody waits for in
 * place; within fn the caller is a plain thread, as in a section. The task is joined, cancelled and
 * inherits a deadline like any other (see lido_spawn). Cancellation and deadline end it, with
 * -ECANCELED or -ETIMEDOUT, as long as it waits for its turn; once fn runs, its result is the task's.
 * If no thread can be started for it, and there is none that it could wait for, the result is -EAGAIN or
 * -ENOMEM.
 *
 * -ENOMEM. -ESHUTDOWN: the runtime is shutting down. -EINVAL: a bad option. -ENXIO outside a runtime.
 */
#define lido_spawn_blocking(task, fn, arg)                                                         \
    lido_spawn_blocking_at(NULL, (task), (fn), (arg), NULL, LIDO_HERE)
#define lido_spawn_blocking_with(task, fn, arg, options)                                           \
    lido_spawn_blocking_at(NULL, (task), (fn), (arg), (options), LIDO_HERE)

/* The same from any thread, into `runtime`. */
#define lido_runtime_spawn_blocking(runtime, task, fn, arg)                                        \
    lido_spawn_blocking_at((runtime), (task), (fn), (arg), NULL, LIDO_HERE)
#define lido_runtime_spawn_blocking_with(runtime, task, fn, arg, options)                          \
    lido_spawn_blocking_at((runtime), (task), (fn), (arg), (options), LIDO_HERE)

/* What the macros above call: runtime NULL is the current one, options NULL are the defaults. */
LIDO_API int lido_spawn_blocking_at(lido_runtime *runtime, lido_task **task, lido_fn fn, void *arg,
                                    const lido_blocking_options *options, const char *where);

/* ---- Addresses ------------------------------------------------------------------------------- */

/* An IPv4, IPv6 or Unix socket address. A value; holds a struct sockaddr of the system. */
typedef struct lido_address {
    uint32_t length; /* of the sockaddr; 0: no address */
    uint32_t lido_reserved;
    uint64_t lido_private[16];
} lido_address;

/* Room for lido_address_format's text, with its end. */
#define LIDO_ADDRESS_TEXT 128

/*
 * "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "*:80" (any, both families), ":80" (likewise).
 * Behind '%' stands the name of an interface, or else its number; 0: none.
 * Numeric only, never waits. -EINVAL: no such form, a port out of 0..65535. From any thread.
 */
LIDO_API int lido_address_parse(lido_address *address, const char *text);
/* A path, or "@name" in the abstract namespace; up to 108 bytes. -ENAMETOOLONG, -EINVAL when empty.
   From any thread. */
LIDO_API int lido_address_unix(lido_address *address, const char *path);
/* "127.0.0.1:80", "[::1]:80", "/path", "@name", "" (unnamed). -ENOSPC. From any thread. */
LIDO_API int lido_address_format(const lido_address *address, char *text, size_t size);
/* The port, 0 for Unix addresses. From any thread. */
LIDO_API unsigned lido_address_port(const lido_address *address);
/* To and from the system's struct sockaddr. -EINVAL: too long. From any thread. */
LIDO_API int lido_address_from_sockaddr(lido_address *address, const void *sockaddr, size_t length);
LIDO_API const void *lido_address_sockaddr(const lido_address *address, size_t *length);
/*
 * Resolves "host:port" (names too; a service name may stand for the port) into at most `capacity`
 * addresses, in the order of preference of the system; returns how many. A name is looked up on a thread
 * of the DNS pool (see lido_spawn_blocking); the calling task waits, first for its turn. A lookup that
 * nobody waits for any more does not hold up the end of the runtime. -EINVAL: no port. -ENOENT: no such
 * name. -EMFILE, -ENFILE: no descriptors for a lookup. -EAGAIN: the name server did not answer, or
 * no thread could be started.
 */
LIDO_API int lido_resolve(const char *host_port, lido_address *addresses, size_t capacity);

/* ---- Byte streams: TCP, Unix sockets ---------------------------------------------------------- */

typedef struct lido_slice {
    void *base;
    size_t length;
} lido_slice; /* laid out as struct iovec */

/*
 * Connects to "host:port". The addresses of a name are tried one after the other; the next attempt begins when one
 * has failed, or after 250 ms beside those that have not answered yet, and the first that connects is taken (RFC
 * 8305). -ECONNREFUSED (also of a socket that the system would connect to itself), -ENETUNREACH,
 * -EADDRNOTAVAIL, ... of the attempt that failed last; -EMFILE; errors of lido_resolve.
 */
LIDO_API int lido_connect_tcp(lido_stream **stream, const char *host_port);
/* The same, from a given local address ("127.0.0.1:0"). */
LIDO_API int lido_connect_tcp_from(lido_stream **stream, const char *host_port, const char *source);
/* Connects to an address of any family. */
LIDO_API int lido_connect(lido_stream **stream, const lido_address *address);
/* Connects to a Unix socket; "@name" is abstract. -ENOENT, -ECONNREFUSED, -ENAMETOOLONG. */
LIDO_API int lido_connect_unix(lido_stream **stream, const char *path);
/* Two connected streams within the process (a Unix socket pair). */
LIDO_API int lido_stream_pair(lido_stream *pair[2]);
/*
 * Takes over a connected stream socket, a pipe end or a terminal, and makes it non-blocking. -EBADF, -EINVAL.
 * Whether reads end at boundaries of its own is found out here: what makes records of a TCP connection (kTLS) is
 * set on the descriptor before it is taken over.
 */
LIDO_API int lido_stream_from_fd(lido_stream **stream, int fd);
/* Gives the descriptor (non-blocking) to the caller and frees the stream. -EBUSY: a task waits on it. */
LIDO_API int lido_stream_into_fd(lido_stream *stream);
/*
 * The descriptor, still owned by the stream: it must not be closed by its number. The stream would go on with
 * whatever has the number next; and its own close would then close that one, and stop the waits of another stream
 * of the same worker that has got the number.
 */
LIDO_API int lido_stream_fd(const lido_stream *stream);

/*
 * A stream may be used by two tasks at once, one that reads and one that writes. A second task on one
 * side gets -EBUSY. Closing a stream on which another task waits ends that wait with -ECANCELED; a task
 * that only begins to use it then uses freed memory, as with close(2) and threads.
 * A stream belongs to the runtime whose task last waited on it: close it before that runtime ends.
 *
 * lido_read returns the number of bytes read, at most `size`, as soon as there are any; 0 at the
 * end of the stream. lido_write returns the number of bytes written, at least 1 unless size is 0.
 * -ECONNRESET, -EPIPE (never SIGPIPE), -EHOSTDOWN, ... Once an error has said that the connection
 * is dead, no read says that the stream has ended: when what had come before has been read, the
 * error comes again.
 *
 * A transfer of no bytes (a size of 0, no slices, slices that are all empty) is 0 at once: it does
 * not wait, does not look at the stream, and says neither that it has ended nor that it has failed.
 */
LIDO_API ssize_t lido_read(lido_stream *stream, void *buffer, size_t size);
LIDO_API ssize_t lido_write(lido_stream *stream, const void *buffer, size_t size);
/* At most 1024 slices. */
LIDO_API ssize_t lido_readv(lido_stream *stream, const lido_slice *slices, size_t count);
LIDO_API ssize_t lido_writev(lido_stream *stream, const lido_slice *slices, size_t count);
/*
 * All `size` bytes, in as many steps as it takes. Returns size; read_all less at the end of the
 * stream. An error after a part was transferred is returned as such; `*done` (may be NULL) receives how
 * many bytes were transferred, in every case.
 */
LIDO_API ssize_t lido_read_all(lido_stream *stream, void *buffer, size_t size, size_t *done);
LIDO_API ssize_t lido_write_all(lido_stream *stream, const void *buffer, size_t size, size_t *done);
/* As lido_read, and leaves the bytes in the stream. -ENOTSOCK on a pipe. */
LIDO_API ssize_t lido_peek(lido_stream *stream, void *buffer, size_t size);

typedef enum lido_side { LIDO_SIDE_READ, LIDO_SIDE_WRITE, LIDO_SIDE_BOTH } lido_side;

/* Ends a direction: the peer reads the end of the stream after LIDO_SIDE_WRITE. -ENOTCONN. Never waits. */
LIDO_API int lido_shutdown_stream(lido_stream *stream, lido_side side);
/* Closes and frees. NULL is ignored. Never waits. Also from a plain thread. A second close of the
   same stream (listener, datagram socket) aborts the process with a text, as long as it is not
   another one by then. */
LIDO_API void lido_close(lido_stream *stream);

/*
 * Copies until the end of `source`; returns the bytes copied, or the error that ended it (`*done`,
 * which may be NULL, receives the bytes copied in every case). The two may be the same stream. Holds no buffer
 * while it waits for input: an idle connection costs its fiber and nothing else.
 *
 * Bulk transfers between two sockets pass through a pipe without being copied, if the system has one to spare:
 * two descriptors for each copy whose destination is slow, 64 pipes in a process at most, a few of which the
 * workers keep.
 *
 * An error ends it when it happens: what `source` had given by then and `destination` had not taken is lost, at
 * most 512 KiB; `*done` counts what `destination` has taken. While it waits for input it holds nothing back. -ENOMEM:
 * there was neither memory nor a pipe for what `destination` did not take at once.
 */
LIDO_API ssize_t lido_copy(lido_stream *destination, lido_stream *source, uint64_t *done);

LIDO_API int lido_stream_local_address(const lido_stream *stream, lido_address *address);
LIDO_API int lido_stream_peer_address(const lido_stream *stream, lido_address *address);

/* Who is at the other end of a Unix socket, as of its connect. -ENOTSUP elsewhere. */
typedef struct lido_credentials {
    int64_t pid; /* -1: unknown */
    uint32_t uid;
    uint32_t gid;
} lido_credentials;
LIDO_API int lido_stream_peer_credentials(const lido_stream *stream, lido_credentials *credentials);

/* ---- Socket options --------------------------------------------------------------------------- */

typedef enum lido_option {
    LIDO_OPTION_NODELAY = 1,       /* bool: small segments at once (TCP_NODELAY) */
    LIDO_OPTION_KEEPALIVE,         /* seconds of silence before the first probe; 0: off */
    LIDO_OPTION_LINGER,            /* seconds that close may go on sending; 0 resets; -1: off */
    LIDO_OPTION_TTL,               /* 1..255, hop limit on IPv6 */
    LIDO_OPTION_SEND_BUFFER,       /* bytes; the system may round and double */
    LIDO_OPTION_RECV_BUFFER,       /* bytes; likewise */
    LIDO_OPTION_BROADCAST,         /* bool */
    LIDO_OPTION_MULTICAST_LOOP_V4, /* bool */
    LIDO_OPTION_MULTICAST_LOOP_V6, /* bool */
    LIDO_OPTION_MULTICAST_TTL_V4,  /* 0..255 */
    LIDO_OPTION_MULTICAST_HOPS_V6, /* 0..255 */
    /* Get only: the pending error as a negative errno, cleared. What a stream died of is told by
       its reads all the same. */
    LIDO_OPTION_ERROR
} lido_option;

/* -EINVAL: a value out of range; -ENOPROTOOPT, -EOPNOTSUPP: not for this kind of socket. */
LIDO_API int lido_stream_set(lido_stream *stream, lido_option option, int value);
LIDO_API int lido_stream_get(const lido_stream *stream, lido_option option, int *value);
LIDO_API int lido_listener_set(lido_listener *listener, lido_option option, int value);
LIDO_API int lido_listener_get(const lido_listener *listener, lido_option option, int *value);
LIDO_API int lido_datagram_set(lido_datagram *socket, lido_option option, int value);
LIDO_API int lido_datagram_get(const lido_datagram *socket, lido_option option, int *value);

/* ---- Listeners -------------------------------------------------------------------------------- */

typedef struct lido_listen_options {
    size_t size;     /* sizeof(lido_listen_options) */
    int backlog;     /* default 4096; the system's limit applies */
    bool reuse_port; /* share the port with other listeners (SO_REUSEPORT) */
    bool v6_only;    /* an IPv6 listener takes no IPv4 connections */
} lido_listen_options;

#define LIDO_LISTEN_OPTIONS_INIT LIDO_SIZED(lido_listen_options)

/*
 * Listens on "host:port", "[::1]:0", "*:80"; port 0 lets the system choose (see
 * lido_listener_local_address). SO_REUSEADDR is set. -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -EMFILE;
 * errors of lido_resolve.
 */
LIDO_API int lido_listen_tcp(lido_listener **listener, const char *host_port);
LIDO_API int lido_listen_tcp_with(lido_listener **listener, const char *host_port,
                                  const lido_listen_options *options);
/* A Unix socket; "@name" is abstract. When the listener is closed the path is removed, unless
   another socket stands there by then; a later chdir does not matter. -EADDRINUSE: it exists.
   -ENAMETOOLONG. */
LIDO_API int lido_listen_unix(lido_listener **listener, const char *path);
/* The path of a Unix socket is left where it is when the listener is closed: another process goes
   on listening there. */
LIDO_API void lido_listener_keep_path(lido_listener *listener);
/* Takes over a listening socket (socket activation), and makes it non-blocking and closed on exec.
   Its path is never removed. -EBADF, -EINVAL. */
LIDO_API int lido_listener_from_fd(lido_listener **listener, int fd);
LIDO_API int lido_listener_fd(const lido_listener *listener);
LIDO_API int lido_listener_local_address(const lido_listener *listener, lido_address *address);
/* Closes and frees; a task that accepts on it gets -ECANCELED. NULL is ignored. */
LIDO_API void lido_listener_close(lido_listener *listener);

/*
 * Waits for a connection. `peer` may be NULL. Connections that died in the backlog are passed over
 * (-ECONNABORTED, -ECONNRESET, -EPROTO, -EHOSTDOWN, -ENETDOWN and the like, -EPERM of a firewall),
 * unless such a code comes 17 times in a row, which says that it is no single connection's.
 * -EMFILE, -ENFILE, -ENOMEM, -ENOBUFS: nothing was accepted, the connection waits in the backlog.
 * -EBADF, -EINVAL, -ENOTSOCK, -EFAULT: the descriptor is no listener any more. After any other
 * error the listener is as good as before; who tries again pauses first.
 */
LIDO_API int lido_accept(lido_listener *listener, lido_stream **stream, lido_address *peer);

typedef struct lido_serve_options {
    size_t size;              /* sizeof(lido_serve_options) */
    const char *name;         /* of the connections' tasks; lives as long as they */
    lido_placement placement; /* default: the runtime's policy */
    lido_mobility mobility;   /* of the connections' tasks; default: as the scheduler has it */
} lido_serve_options;

#define LIDO_SERVE_OPTIONS_INIT LIDO_SIZED(lido_serve_options)

/*
 * Accepts connections and starts a fiber fn(stream) for each, on a worker that the policy chooses;
 * the fiber owns the stream. Goes on until the calling task is cancelled or the listener fails;
 * never returns 0. The listener stays the caller's, its connections go on.
 * Out of descriptors or memory: accepting pauses until some are free, nobody is turned away. Out of
 * threads (work-stealing): connections go to the workers that have one, as the spawns of tasks do.
 * Of what accept(2) says only EBADF, EINVAL, ENOTSOCK and EFAULT end the call; after any other code
 * it pauses, for 10 ms to 1 s.
 *
 * LIDO_PLACE_REUSEPORT opens a listener for each worker, as long as the call lasts, and leaves it to
 * the system to deal; a worker whose thread cannot be started gets its listener when that can, and
 * is tried again within a second. Each has the options that the first has when it is opened, also
 * those that were set on its descriptor. When the call is stopped they let no connection begin any
 * more, wait 100 ms for those that have begun, and start their tasks: with another listener on the
 * address (a server that takes over) none is lost, and one that begins then may be delayed by a
 * second. That holds for the first too, until somebody accepts on it again; if its descriptor was
 * asked for (lido_listener_fd) or taken over, it only starts what it finds.
 *
 * -EINVAL: the listener was not opened with reuse_port; a placement that makes no sense here; no
 * such mobility.
 */
#define lido_serve(listener, fn) lido_serve_at((listener), (fn), NULL, LIDO_HERE)
#define lido_serve_with(listener, fn, options) lido_serve_at((listener), (fn), (options), LIDO_HERE)
LIDO_API int lido_serve_at(lido_listener *listener, lido_fn fn, const lido_serve_options *options,
                           const char *where);

/* ---- Datagrams: UDP, Unix --------------------------------------------------------------------- */

/* Binds a UDP socket to "host:port". Errors as lido_listen_tcp. */
LIDO_API int lido_bind_udp(lido_datagram **socket, const char *host_port);
/* A Unix datagram socket; path NULL: unnamed. The path is removed as that of lido_listen_unix. */
LIDO_API int lido_bind_unix_datagram(lido_datagram **socket, const char *path);
LIDO_API void lido_datagram_keep_path(lido_datagram *socket);
LIDO_API int lido_datagram_pair(lido_datagram *pair[2]);
LIDO_API int lido_datagram_from_fd(lido_datagram **socket, int fd);
LIDO_API int lido_datagram_fd(const lido_datagram *socket);
/* Sets the peer of lido_send and lido_recv. Never waits. */
LIDO_API int lido_datagram_connect(lido_datagram *socket, const lido_address *peer);
LIDO_API int lido_datagram_local_address(const lido_datagram *socket, lido_address *address);
LIDO_API int lido_datagram_peer_address(const lido_datagram *socket, lido_address *address);
LIDO_API void lido_datagram_close(lido_datagram *socket);
/*
 * One datagram each. A receive tells through `truncated` (may be NULL) that the datagram was longer
 * than the buffer and its rest is lost. -EMSGSIZE: too long to send. -ECONNREFUSED: nobody was there
 * for an earlier one. One task may send while another receives. A size of 0 is a datagram like
 * others: it is sent, and a receive into no bytes takes one.
 */
LIDO_API ssize_t lido_send(lido_datagram *socket, const void *buffer, size_t size);
LIDO_API ssize_t lido_recv(lido_datagram *socket, void *buffer, size_t size, bool *truncated);
LIDO_API ssize_t lido_send_to(lido_datagram *socket, const void *buffer, size_t size,
                              const lido_address *to);
LIDO_API ssize_t lido_recv_from(lido_datagram *socket, void *buffer, size_t size,
                                lido_address *from, bool *truncated);
/* `group` is an IPv4 or IPv6 multicast address (its port is ignored); `interface_index` 0: the
   system's choice. -EINVAL: not multicast. */
LIDO_API int lido_multicast_join(lido_datagram *socket, const lido_address *group,
                                 unsigned interface_index);
LIDO_API int lido_multicast_leave(lido_datagram *socket, const lido_address *group,
                                  unsigned interface_index);

/* ---- Foreign descriptors and signals ---------------------------------------------------------- */

#define LIDO_READABLE 1
#define LIDO_WRITABLE 2

/*
 * Waits until a descriptor that lido does not own (a C library's socket) is ready for one of
 * `events`; returns those that hold. Errors and hang-ups count as ready. The descriptor stays its owner's, who may
 * close it at any time: a wait for it then goes on until its deadline or its cancellation. Any number of tasks may
 * poll one. For fibers. -EBADF. -EINVAL: no such events. -EPERM: the system cannot poll it (a regular file, a
 * folder). -EMFILE, -ENFILE, -ENOMEM: a poll takes a descriptor of lido's. -ECANCELED, -ETIMEDOUT.
 */
LIDO_API int lido_poll_fd(int fd, int events);

/*
 * A watch: for a descriptor of others that is waited for again and again. The file is registered once; a wait is no
 * epoll_ctl and no poll. The watch does not keep the file open. Closed by its owner, the descriptor tells nothing
 * more, and the watch remains to be closed: before or after that, but before the runtime ends.
 */
typedef struct lido_watch lido_watch;

/* Watches the file that `fd` is of now for `events`. Each takes a descriptor. Errors as lido_poll_fd. */
LIDO_API int lido_watch_open(lido_watch **watch, int fd, int events);
/*
 * Waits until one of the watch's events holds, and returns those that do. It is not spent by that: what the caller
 * does not take is told again. Somebody else who uses the file may be quicker than the caller; so use it non-blocking.
 * -EBUSY: another task waits on this watch; open one for each. -ECANCELED (also when it is closed), -ETIMEDOUT.
 */
LIDO_API int lido_watch_wait(lido_watch *watch);
/*
 * Says that a call on the descriptor would have had to wait (EAGAIN), or that all was taken: since the last wait has
 * returned. The next one then sleeps without asking the system first. What has come since is not forgotten. Optional.
 */
LIDO_API void lido_watch_drained(lido_watch *watch);
/* Ends the watch; the descriptor is left alone. NULL is ignored. Never waits. Also from a plain thread. */
LIDO_API void lido_watch_close(lido_watch *watch);

/*
 * Waits for a signal and returns its number. The first call for a signal installs a handler, which
 * stays: from then on the signal no longer has its default effect. One that arrives while nobody
 * waits is kept (once) for the next caller; one that arrives while several wait wakes them all.
 * -EINVAL: not a signal, one that cannot be caught, or one by which the processor reports a fault
 * (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS; see lido_config.report_faults). -EMFILE,
 * -ENFILE, -ENOMEM: no descriptors for it.
 */
LIDO_API int lido_signal(int signal);
LIDO_API int lido_signal_any(const int *signals, size_t count);

/* ---- Futures ---------------------------------------------------------------------------------- */

/* A task's wake-up, to be kept by whoever will make it run again. */
typedef struct lido_waker {
    uintptr_t lido_private;
} lido_waker;

/* What a poll returns while it has no result. */
#define LIDO_PENDING (-2147483647 - 1)

/*
 * A state machine. `poll` goes on from where it was, starts or asks operations, hands them `waker`, and
 * returns LIDO_PENDING, or its result. It must not wait. It is called by one thread at a time (not always the same,
 * unless the task is pinned), again after each wake-up (also without one). The runtime does not touch the future after poll has returned
 * a result, so poll's last act may be to free it.
 */
struct lido_future {
    int (*poll)(lido_future *self, const lido_waker *waker);
};

/* As lido_spawn*; the future is the caller's and must live until it has returned its result. */
#define lido_spawn_future(task, future)                                                            \
    lido_spawn_future_at(NULL, (task), (future), NULL, LIDO_HERE)
#define lido_spawn_future_with(task, future, options)                                              \
    lido_spawn_future_at(NULL, (task), (future), (options), LIDO_HERE)
#define lido_runtime_spawn_future(runtime, task, future)                                           \
    lido_spawn_future_at((runtime), (task), (future), NULL, LIDO_HERE)
LIDO_API int lido_spawn_future_at(lido_runtime *runtime, lido_task **task, lido_future *future,
                                  const lido_spawn_options *options, const char *where);

/* As lido_serve, with a future for each connection: `make` takes the stream over and returns the
   future, or NULL when out of memory (the stream is then lido's again, and closed). It is called by the
   connection's task, on its worker. */
#define lido_serve_futures(listener, make, arg, options)                                           \
    lido_serve_futures_at((listener), (make), (arg), (options), LIDO_HERE)
LIDO_API int lido_serve_futures_at(lido_listener *listener,
                                   lido_future *(*make)(void *arg, lido_stream *stream), void *arg,
                                   const lido_serve_options *options, const char *where);

/* A waker of one's own, from a borrowed one (which is valid during poll only). From any thread. */
LIDO_API lido_waker lido_waker_clone(const lido_waker *waker);
/* Makes the task run again; a task that is done is left alone. Any number of times, from any thread. */
LIDO_API void lido_waker_wake(const lido_waker *waker);
/* Gives a cloned waker back. From any thread. */
LIDO_API void lido_waker_drop(lido_waker *waker);

/*
 * One operation, embedded in the future that awaits it: start it with lido_op_read etc., then poll.
 * Until lido_op_poll has returned something other than LIDO_PENDING, the op, its buffer and its
 * stream stay where they are. An op that has not been started may be thrown away.
 */
typedef struct lido_op {
    uint64_t lido_private[7];
} lido_op;

/*
 * Starting only fills in the op; the work begins with the first poll. A read with buffer NULL lends one
 * (64 KiB) when there is something to read: lido_op_lent gives it, valid until poll returns. A size
 * of 0 (of a read with a buffer) is as in lido_read.
 */
LIDO_API void lido_op_read(lido_op *op, lido_stream *stream, void *buffer, size_t size);
LIDO_API const void *lido_op_lent(const lido_op *op);
LIDO_API void lido_op_write(lido_op *op, lido_stream *stream, const void *buffer, size_t size);
/* Waits until a read or write would not have to wait, and transfers nothing; result 0. */
LIDO_API void lido_op_readable(lido_op *op, lido_stream *stream);
LIDO_API void lido_op_writable(lido_op *op, lido_stream *stream);
/* Result 0; the connection is in *stream. */
LIDO_API void lido_op_accept(lido_op *op, lido_listener *listener, lido_stream **stream);

/* LIDO_PENDING (the waker will be used), or the result, as of the function of the same name. */
LIDO_API ssize_t lido_op_poll(lido_op *op, const lido_waker *waker);

/*
 * The same, and never LIDO_PENDING: the op does what it can at once, or its result is -EAGAIN. Then it is
 * over, and the waker will not be used. So what lido_op_lent gave can be written where it lies, and only
 * what does not go through at once must be kept.
 */
LIDO_API ssize_t lido_op_try(lido_op *op, const lido_waker *waker);

/* A timer, embedded in the future that awaits it. lido_timer_stop must be called before it is thrown away
   if lido_timer_poll has returned LIDO_PENDING last. */
typedef struct lido_timer {
    uint64_t lido_private[6];
} lido_timer;

LIDO_API void lido_timer_start(lido_timer *timer, int64_t ms);
LIDO_API void lido_timer_start_at(lido_timer *timer, uint64_t ns);
/* LIDO_PENDING, or 0 once the time has come. */
LIDO_API int lido_timer_poll(lido_timer *timer, const lido_waker *waker);
LIDO_API void lido_timer_stop(lido_timer *timer);

/* As lido_join, for a future: LIDO_PENDING, or as lido_join. Polled to its end, or given up with
   lido_join_forgo, after which the handle is still the caller's. */
LIDO_API int lido_join_poll(lido_task *task, int *result, const lido_waker *waker);
LIDO_API void lido_join_forgo(lido_task *task);

/*
 * As lido_shutdown, for a future of another runtime: LIDO_PENDING, or as lido_shutdown. Polled to its end, with the
 * same arguments, or given up with lido_shutdown_forgo, after which the handle is still the caller's. The
 * last poll joins the threads of the runtime, which have nothing left to do.
 */
LIDO_API int lido_shutdown_poll(lido_runtime *runtime, lido_shutdown_how how, lido_wait *wait,
                                const lido_waker *waker);
LIDO_API void lido_shutdown_forgo(lido_runtime *runtime, lido_wait *wait);

#ifdef __cplusplus
}
#endif

#endif
