#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "spawn.h"

static int complain(const char *what, const char *which, int error)
{
    fprintf(stderr, "lido-load: %s %s: %s\n", what, which, lido_strerror(error));
    return error;
}

/* The address, as the user knows it. */
static int complain_address(const char *address, const char *problem, int error)
{
    if (error == -EINVAL || error == -ENAMETOOLONG)
        problem = "must be HOST:PORT, [IPV6]:PORT, unix:PATH or udp:HOST:PORT";
    else if (error == -ENOENT)
        problem = "there is no such name";
    else
        return complain(problem, address, error);
    fprintf(stderr, "lido-load: %s: %s\n", address, problem);
    return error;
}

/* ---- Lanes ------------------------------------------------------------------------------------- */

static int make_lanes(struct run *run)
{
    unsigned count = (unsigned)lido_worker_count();
    if (count > run->options->connections)
        count = run->options->connections;
    if (count > PACE_WORKERS)
        count = PACE_WORKERS;
    run->tasks = calloc(count, sizeof(lido_task *));
    run->lanes = calloc(count, sizeof(struct lane));
    int r = run->lanes && run->tasks ? 0 : -ENOMEM;
    for (unsigned i = 0; i < count && r == 0; i++) {
        r = lane_init(&run->lanes[i], run->options, &run->protocol, &run->target, i, count);
        run->lane_count++;
    }
    return r;
}

/* In all lanes at the same time. Returns the first error. */
static int in_lanes(struct run *run, lido_fn fn)
{
    int error = 0;
    for (unsigned i = 0; i < run->lane_count && error == 0; i++)
        error = spawn_on(&run->tasks[i], i, fn, &run->lanes[i]);
    for (unsigned i = 0; i < run->lane_count; i++) {
        int result = 0;
        if (!run->tasks[i])
            continue;
        if (error < 0)
            lido_cancel(run->tasks[i]);
        lido_join(run->tasks[i], &result);
        run->tasks[i] = NULL;
        error = error < 0 ? error : result;
    }
    return error;
}

static int add_figures(void *arg)
{
    void **pair = arg;
    figures_merge(pair[0], &((struct lane *)pair[1])->figures);
    return 0;
}

/* By a task on each worker, one after the other. */
int run_collect(struct run *run, struct figures *figures)
{
    for (unsigned i = 0; i < run->lane_count; i++) {
        lido_task *task;
        void *pair[2] = {figures, &run->lanes[i]};
        int r = spawn_on(&task, i, add_figures, pair);
        if (r == 0 && (r = lido_join(task, NULL)) < 0)
            lido_stop(task, NULL);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- Signals ----------------------------------------------------------------------------------- */

/* The first ends the run, the next the process. On the worker of the root, which it meets in a wait. */
static int watch_signals(void *arg)
{
    static const int signals[] = {SIGINT, SIGTERM};
    struct run *run = arg;
    int r = lido_signal_any(signals, 2);
    if (r < 0)
        return r;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    run->signal = r;
    if (run->lane_count == 0)
        lido_cancel(run->root); /* it still looks for the server */
    for (unsigned i = 0; i < run->lane_count; i++)
        if (run->tasks[i])
            lido_cancel(run->tasks[i]);
    return 0;
}

/* ---- Connecting -------------------------------------------------------------------------------- */

static void explain_descriptors(const struct run *run, unsigned opened)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    fprintf(stderr,
            "lido-load: no descriptors left after %u of %u connections. A process may have %llu "
            "here; raise the hard limit (ulimit -Hn, LimitNOFILE=) or ask for fewer\n",
            opened, run->options->connections, (unsigned long long)limit.rlim_cur);
}

static void explain_connect(const struct run *run, int error)
{
    unsigned opened = 0;
    for (unsigned i = 0; i < run->lane_count; i++)
        opened += (unsigned)run->lanes[i].figures.connections;
    if (error == -EMFILE) {
        explain_descriptors(run, opened);
        return;
    }
    complain("cannot connect to", run->options->address, error);
    if (opened)
        fprintf(stderr, "lido-load: that was after %u of %u connections%s\n", opened,
                run->options->connections,
                error == -EADDRNOTAVAIL ? "; there are no more local ports for this address" : "");
}

/* A signal that comes before the lanes have started something has nobody to cancel. */
static int connect_all(struct run *run)
{
    int r = run->signal ? -ECANCELED : in_lanes(run, lane_connect);
    if (run->signal)
        return -ECANCELED;
    if (r < 0)
        explain_connect(run, r);
    return r;
}

/* ---- The run ----------------------------------------------------------------------------------- */

static void sum_up(struct run *run)
{
    const struct lane *lane = &run->lanes[0];
    for (unsigned i = 0; i < run->lane_count; i++)
        figures_merge(&run->total, &run->lanes[i].figures);
    /* Answers may come after the end; without an end the last answer is it; and a run may be cut short. */
    uint64_t last = run->total.last_answer;
    uint64_t end = run->stopped;
    if (lane->end != UINT64_MAX)
        end = last > lane->end ? last : lane->end;
    else if (last > lane->begin && run->total.unanswered == 0)
        end = last;
    end = end > run->stopped ? run->stopped : end;
    run->elapsed = end > lane->begin ? (double)(end - lane->begin) / 1e9 : 0;
}

static int load(struct run *run)
{
    lido_task *line = NULL;
    int r = run->options->progress ? spawn_here(&line, progress, run) : 0;
    if (r == 0) {
        run->start = lido_now();
        for (unsigned i = 0; i < run->lane_count; i++)
            lane_plan(&run->lanes[i], run->start);
        r = in_lanes(run, lane_run);
    }
    lido_stop(line, NULL);
    if (r < 0)
        return complain("cannot run", "", r);
    run->stopped = lido_now();
    sum_up(run);
    return 0;
}

static int connect_and_load(struct run *run)
{
    const char *problem;
    int r = target_init(&run->target, run->options, &problem);
    if (run->signal)
        return -ECANCELED;
    if (r < 0)
        return complain_address(run->options->address, problem, r);
    r = make_lanes(run);
    if (r < 0)
        return complain("cannot start", "", r);
    r = connect_all(run);
    return r < 0 ? r : load(run);
}

int run_load(void *arg)
{
    struct run *run = arg;
    lido_task *watch;
    struct protocol_plan plan = {
        .kind = run->options->protocol,
        .size = run->options->size,
        .host = run->options->transport == TRANSPORT_UNIX ? "localhost" : run->options->place,
        .path = run->options->path,
    };
    run->begun = true;
    run->root = lido_self();
    int r = protocol_init(&run->protocol, &plan);
    if (r == 0)
        r = spawn_here(&watch, watch_signals, run);
    if (r < 0)
        return complain("cannot start", "", r);
    r = connect_and_load(run);
    lido_stop(watch, NULL);
    for (unsigned i = 0; i < run->lane_count; i++)
        lane_fini(&run->lanes[i]);
    target_fini(&run->target);
    return r;
}

void run_fini(struct run *run)
{
    protocol_fini(&run->protocol);
    free(run->lanes);
    free(run->tasks);
}
