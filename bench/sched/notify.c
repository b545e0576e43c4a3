/*
 * Notifications that come through the reactor: tokio-reactor's notify_many, with a pipe for each task
 * in place of a registration that needs no system call.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "sched/sched.h"

#define TASKS_PER_CORE 100
#define NOTIFICATIONS 500
#define ITERATIONS 1

static unsigned tasks_in_all;

/* What was written is read whole at each notification, which a short read proves: so the next one is
   waited for without trying in vain first. */
static int notify_itself(void *arg)
{
    char buffer[64];
    lido_stream *reader;
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        bench_die("pipe");
    sched_check("stream", lido_stream_from_fd(&reader, fds[0]));
    for (unsigned i = 0; i < NOTIFICATIONS; i++)
        if (write(fds[1], "", 1) != 1 || lido_read(reader, buffer, sizeof(buffer)) != 1)
            bench_die("notification");
    lido_close(reader);
    close(fds[1]);
    sched_countdown_one(arg);
    return 0;
}

static void spawn_all(void)
{
    struct sched_countdown tasks;
    sched_countdown_init(&tasks, tasks_in_all);
    for (unsigned i = 0; i < tasks_in_all; i++)
        sched_check("spawn", lido_spawn(NULL, notify_itself, &tasks));
    sched_countdown_await(&tasks);
}

static double notify_many(lido_runtime *runtime)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof(cores), &cores) < 0)
        bench_die("sched_getaffinity");
    tasks_in_all = TASKS_PER_CORE * (unsigned)CPU_COUNT(&cores);
    return sched_on_root(runtime, ITERATIONS, tasks_in_all * NOTIFICATIONS, spawn_all);
}

const struct sched_job sched_notify_many = {"notify_many", notify_many};
