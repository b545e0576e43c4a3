/* Serving: an accept loop that makes each connection a task, on the worker that a policy chooses. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fault.h"
#include "fiber/fiber.h"
#include "net/addr.h"
#include "net/net.h"
#include "net/pause.h"
#include "net/sibling.h"
#include "net/socket.h"
#include "os/os.h"
#include "sched/spawn.h"

/* What one accept loop works with. */
struct serving {
    lido_listener *listener;
    lido_stream *stream; /* accepted, not yet a task's */
    lido_fn fn;          /* a fiber for each connection; or */
    lido_future *(*make)(void *arg, lido_stream *stream);
    void *arg;
    lido_spawn_options options;
    const char *where;
};

/* ---- A connection becomes a task ---------------------------------------------------------------- */

/*
 * A future that becomes another: `make` is called by the new task and not by the acceptor. For once
 * there is a future somebody must run it to its end, and whether there will be a task is only known
 * after the spawn, which can fail.
 */
struct birth {
    lido_future future;
    lido_future *(*make)(void *arg, lido_stream *stream);
    void *arg;
    lido_stream *stream;
};

static int birth_poll(lido_future *self, const lido_waker *waker)
{
    struct birth birth = *lido__container_of(self, struct birth, future);
    free(self);
    lido_future *future = birth.make(birth.arg, birth.stream);
    if (!future) {
        lido_close(birth.stream);
        return -ENOMEM;
    }
    lido__worker_current()->current->future = future;
    return future->poll(future, waker);
}

static int start_future(const struct serving *serving)
{
    struct birth *birth = lido__fault("malloc") < 0 ? NULL : malloc(sizeof(*birth));
    if (!birth)
        return -ENOMEM;
    *birth = (struct birth){{birth_poll}, serving->make, serving->arg, serving->stream};
    int r = lido_spawn_future_at(NULL, NULL, &birth->future, &serving->options, serving->where);
    if (r < 0)
        free(birth);
    return r;
}

static int start_task(struct serving *serving)
{
    if (serving->make)
        return start_future(serving);
    return lido_spawn_at(NULL, NULL, serving->fn, serving->stream, &serving->options,
                         serving->where);
}

/* ---- The loop ---------------------------------------------------------------------------------- */

static int accept_one(struct serving *serving)
{
    return lido_accept(serving->listener, &serving->stream, NULL);
}

/* Whether an accept that failed so may work again later. Those that cannot, and those of lido, end
   the server; a code of which nothing is known is no reason to turn everybody away. */
static bool accept_goes_on(int error)
{
    switch (error) {
    case 0:
    case -EBADF:
    case -EFAULT:
    case -EINVAL:
    case -ENOTSOCK:
    case -EBUSY:
    case -ECANCELED:
    case -EDEADLK:
    case -ENOTRECOVERABLE:
    case -ENXIO:
    case -ETIMEDOUT: return false;
    default: return true;
    }
}

/* Pauses for as long as `helps` says so of the error: something has run out that may be free again.
   */
static int patiently(int (*attempt)(struct serving *serving), bool (*helps)(int error),
                     struct serving *serving)
{
    struct lido__pause pause;
    int r = attempt(serving);
    if (!helps(r))
        return r;
    lido__pause_enter(&pause);
    while (helps(r = attempt(serving))) {
        int reason = lido__pause_wait(&pause);
        if (reason) {
            r = reason;
            break;
        }
    }
    lido__pause_leave(&pause);
    return r;
}

static int accept_all(struct serving *serving)
{
    int r;
    while ((r = patiently(accept_one, accept_goes_on, serving)) == 0) {
        r = patiently(start_task, lido__pause_helps, serving);
        if (r < 0) {
            lido_close(serving->stream);
            break;
        }
    }
    return r;
}

/* ---- One listener per worker ------------------------------------------------------------------- */

struct group;

struct acceptor {
    struct serving serving;
    struct group *group;
    lido_task *task;
};

/* The acceptors of all workers, children of the task that serves. Worker `first` is its own, and has the first. */
struct group {
    lido_task *parent;
    const struct serving *serving;
    unsigned first;
    lido__shared int32_t failed; /* the error that ended one of them, or 0 */
    lido__shared uint32_t stops; /* the server was stopped, and has not failed */
    unsigned missing;            /* that have not been started, as their workers have no thread */
    unsigned count;
    struct acceptor acceptors[];
};

static void start_accepted(struct serving *serving, int fd)
{
    struct lido__handle *handle;
    if (lido__net_adopt(&handle, fd, LIDO__HANDLE_SOCKET) < 0)
        return;
    lido__accept_into(handle, &serving->listener->handle, fd);
    serving->stream = (lido_stream *)handle;
    if (start_task(serving) < 0)
        lido_close(serving->stream);
}

/* What has been dealt to a listener that will be closed nobody else can accept. */
static void accept_rest(struct serving *serving, bool shut)
{
    unsigned passed_over = 0;
    for (;;) {
        int fd = lido__os_accept(serving->listener->handle.fd, NULL, NULL);
        if (lido__accept_passes_over(fd, &passed_over))
            continue;
        if (fd < 0)
            return;
        passed_over = 0;
        if (shut)
            lido__door_forget(fd);
        start_accepted(serving, fd);
    }
}

/*
 * Leaves nobody behind: whoever comes from now on goes to another listener, this process's or that
 * of a server which takes over. Nothing cuts this short.
 */
static void leave_group(struct serving *serving)
{
    bool shut = lido__door_shut(serving->listener);
    accept_rest(serving, shut);
    if (!shut)
        return;
    uint32_t before = lido__task_shield();
    (void)lido_sleep(lido__handshakes_ms);
    lido__task_unshield(before);
    accept_rest(serving, true);
}

static int acceptor_main(void *arg)
{
    struct acceptor *acceptor = arg;
    struct group *group = acceptor->group;
    int r = accept_all(&acceptor->serving);
    int32_t none = 0;
    /* The parent does not end before its children: it can be woken. */
    if (!lido_is_cancelled() && lido__cas(&group->failed, &none, r, LIDO__RELEASE, LIDO__RELAXED))
        lido__wake(group->parent);
    /* The first is the caller's, who may serve again when this has failed. A sibling is closed
       here, where it was emptied. Acquire: pairs with the release in end_group. */
    bool first = acceptor == &group->acceptors[0];
    if (!first || lido__load(&group->stops, LIDO__ACQUIRE))
        leave_group(&acceptor->serving);
    if (!first)
        lido_listener_close(acceptor->serving.listener);
    return r;
}

/* 1, 0 or an error. */
static int has_option(const lido_listener *listener, int level, int name)
{
    int value = 0;
    socklen_t length = sizeof(value);
    int r = lido__os_getsockopt(listener->handle.fd, level, name, &value, &length);
    return r < 0 ? r : value != 0;
}

static unsigned worker_of(const struct group *group, unsigned i)
{
    return (group->first + i) % group->count;
}

static int start_acceptor(struct group *group, unsigned i)
{
    const struct serving *like = group->serving;
    struct acceptor *acceptor = &group->acceptors[i];
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    options.name = "acceptor";
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker_of(group, i);
    options.mobility = LIDO_PINNED; /* one for each worker, whatever the scheduler */
    acceptor->serving = *like;
    acceptor->group = group;
    int r = i > 0 ? lido__sibling_open(&acceptor->serving.listener, like->listener) : 0;
    if (r < 0)
        return r;
    r = lido_spawn_at(NULL, &acceptor->task, acceptor_main, acceptor, &options, like->where);
    if (r < 0 && i > 0) {
        leave_group(&acceptor->serving);
        lido_listener_close(acceptor->serving.listener);
    }
    return r;
}

/*
 * Those that have not been started. A worker without a thread gets no listener, for the system would deal connections to
 * it at once; the thread is asked for before.
 */
static int start_acceptors(struct group *group)
{
    struct lido__worker *workers = lido__worker_current()->pool->workers;
    group->missing = 0;
    for (unsigned i = 0; i < group->count; i++) {
        if (group->acceptors[i].task)
            continue;
        if (lido__worker_seat(&workers[worker_of(group, i)], false) < 0) {
            group->missing++;
            continue;
        }
        int r = start_acceptor(group, i);
        if (r < 0)
            return r;
    }
    return 0;
}

/* How long until the threads that are missing are asked for again. */
#define MISSING_FIRST_MS 20
#define MISSING_LAST_MS 1000

/* When that is due. An error is one more reason to try later: the others serve. */
static void retry_missing(struct lido__worker *worker, struct group *group,
                          struct lido__alarm *alarm, int64_t *patience)
{
    if (group->missing == 0 || lido__alarm_is_armed(alarm))
        return;
    if (*patience > 0 && start_acceptors(group) < 0)
        group->missing++;
    *patience = *patience == 0 ? MISSING_FIRST_MS : 2 * *patience;
    if (*patience > MISSING_LAST_MS)
        *patience = MISSING_LAST_MS;
    if (group->missing)
        lido__alarm_set(worker, alarm, lido__time_after(lido_now(), *patience));
}

/* Until one of the acceptors fails, or the calling task has to stop. */
static int await_failure(struct group *group)
{
    struct lido__alarm alarm;
    int64_t patience = 0;
    int r;
    lido__timer_init(&alarm.timer);
    for (;;) {
        struct lido__worker *worker = lido__worker_current();
        if ((r = lido__task_interrupted(worker, group->parent)) != 0)
            break;
        if ((r = lido__load(&group->failed, LIDO__ACQUIRE)) != 0)
            break;
        retry_missing(worker, group, &alarm, &patience);
        lido__fiber_suspend(worker, "serve");
    }
    lido__alarm_stop(&alarm);
    return r;
}

/* All of them leave at the same time. */
static void end_group(struct group *group, int reason)
{
    /* Release: seen by whoever has seen the cancellation. */
    lido__store(&group->stops, reason == -ECANCELED || reason == -ETIMEDOUT, LIDO__RELEASE);
    for (unsigned i = 0; i < group->count; i++)
        if (group->acceptors[i].task)
            lido_cancel(group->acceptors[i].task);
    for (unsigned i = 0; i < group->count; i++)
        if (group->acceptors[i].task)
            lido_stop(group->acceptors[i].task, NULL);
    free(group);
}

static int serve_reuseport(const struct serving *serving, struct lido__worker *worker)
{
    unsigned workers = worker->pool->count;
    int r = has_option(serving->listener, SOL_SOCKET, SO_REUSEPORT);
    if (r <= 0)
        return r < 0 ? r : -EINVAL;
    struct group *group = lido__fault("malloc") < 0
                              ? NULL
                              : calloc(1, sizeof(*group) + workers * sizeof(group->acceptors[0]));
    if (!group)
        return -ENOMEM;
    group->parent = worker->current;
    group->serving = serving;
    group->first = worker->index;
    group->count = workers;
    /* Before the siblings, which would have its filter, too. */
    lido__door_open(serving->listener);
    r = start_acceptors(group);
    if (r == 0)
        r = await_failure(group);
    end_group(group, r);
    return r;
}

/* ---- The public face --------------------------------------------------------------------------- */

/* Reads no further than the caller's header knew. */
#define HAS(options, field)                                                                        \
    ((options) && (options)->size >= offsetof(lido_serve_options, field) + sizeof((options)->field))

static int serve(struct serving *serving, const lido_serve_options *options)
{
    int error;
    struct lido__worker *worker = lido__fiber_worker(&error);
    if (!worker)
        return error;
    lido_placement placement = HAS(options, placement) ? options->placement : LIDO_PLACE_DEFAULT;
    serving->options = (lido_spawn_options)LIDO_SPAWN_OPTIONS_INIT;
    serving->options.name = HAS(options, name) ? options->name : NULL;
    serving->options.placement = placement;
    serving->options.mobility = HAS(options, mobility) ? options->mobility : LIDO_MOBILITY_DEFAULT;
    if ((unsigned)serving->options.mobility > LIDO_STEALABLE)
        return -EINVAL; /* before a connection is accepted */
    switch (placement) {
    case LIDO_PLACE_DEFAULT:
        /* Not a spawn's default: connections are dealt even when it is not a root that serves. */
        serving->options.placement = worker->pool->placement;
        return accept_all(serving);
    case LIDO_PLACE_ROUND_ROBIN:
    case LIDO_PLACE_LEAST_LOADED:
    case LIDO_PLACE_LOCAL: return accept_all(serving);
    case LIDO_PLACE_REUSEPORT:
        serving->options.placement = LIDO_PLACE_LOCAL;
        return serve_reuseport(serving, worker);
    default: return -EINVAL;
    }
}

int lido_serve_at(lido_listener *listener, lido_fn fn, const lido_serve_options *options,
                  const char *where)
{
    struct serving serving = {.listener = listener, .fn = fn, .where = where};
    return serve(&serving, options);
}

int lido_serve_futures_at(lido_listener *listener,
                          lido_future *(*make)(void *arg, lido_stream *stream), void *arg,
                          const lido_serve_options *options, const char *where)
{
    struct serving serving = {.listener = listener, .make = make, .arg = arg, .where = where};
    return serve(&serving, options);
}
