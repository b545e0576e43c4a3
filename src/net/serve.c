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

/* Pauses for as long as something has run out that may be free again. */
static int patiently(int (*attempt)(struct serving *serving), struct serving *serving)
{
    struct lido__pause pause;
    int r = attempt(serving);
    if (!lido__pause_helps(r))
        return r;
    lido__pause_enter(&pause);
    while (lido__pause_helps(r = attempt(serving))) {
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
    while ((r = patiently(accept_one, serving)) == 0) {
        r = patiently(start_task, serving);
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
    unsigned missing;            /* that have not been started, as their workers have no thread */
    unsigned count;
    struct acceptor acceptors[];
};

/* Has a connection been dealt to a listener that will be closed, nobody else can accept it. */
static void accept_rest(struct serving *serving)
{
    struct lido__handle *handle;
    for (;;) {
        int fd = lido__os_accept(lido_listener_fd(serving->listener), NULL, NULL);
        if (lido__accept_passes_over(fd))
            continue;
        if (fd < 0)
            return;
        if (lido__net_adopt(&handle, fd, LIDO__HANDLE_SOCKET) < 0)
            continue;
        lido__accept_into(handle, &serving->listener->handle, fd);
        serving->stream = (lido_stream *)handle;
        if (start_task(serving) < 0)
            lido_close(serving->stream);
    }
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
    if (acceptor != &group->acceptors[0])
        accept_rest(&acceptor->serving);
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

/* Another listener on the address of the first, for another worker. */
static int open_sibling(lido_listener **listener, const lido_listener *first)
{
    lido_listen_options options = LIDO_LISTEN_OPTIONS_INIT;
    char text[LIDO_ADDRESS_TEXT];
    lido_address address;
    int r = lido_listener_local_address(first, &address);
    if (r == 0)
        r = lido_address_format(&address, text, sizeof(text));
    if (r < 0)
        return r;
    options.reuse_port = true;
    if (lido__address_family(&address) == AF_INET6) {
        r = has_option(first, IPPROTO_IPV6, IPV6_V6ONLY);
        if (r < 0)
            return r;
        options.v6_only = r;
    }
    return lido_listen_tcp_with(listener, text, &options);
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
    int r = i > 0 ? open_sibling(&acceptor->serving.listener, like->listener) : 0;
    if (r < 0)
        return r;
    r = lido_spawn_at(NULL, &acceptor->task, acceptor_main, acceptor, &options, like->where);
    if (r < 0 && i > 0)
        lido_listener_close(acceptor->serving.listener);
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

static void end_group(struct group *group)
{
    for (unsigned i = group->count; i-- > 0;) {
        if (!group->acceptors[i].task)
            continue;
        lido_stop(group->acceptors[i].task, NULL);
        if (i > 0)
            lido_listener_close(group->acceptors[i].serving.listener);
    }
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
    r = start_acceptors(group);
    if (r == 0)
        r = await_failure(group);
    end_group(group);
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
