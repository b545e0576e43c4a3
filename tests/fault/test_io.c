/*
 * Each call of copying, of waiting for a foreign descriptor and of waiting for a signal fails once, at
 * every place: the caller is told, what was transferred is counted exactly, and no signal is lost.
 */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault/sweep.h"
#include "io/pipes.h"

/* ---- Copying -------------------------------------------------------------------------------------- */

/* More than the buffers of two sockets hold, so there are waits on both sides; and enough for splicing. */
#define LENGTH (1 << 20)

static char pattern[LENGTH]; /* no two stretches of which are alike nearby */

static int make_pattern(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH; i++)
        pattern[i] = (char)(i * 31 + (i >> 8));
    return 0;
}

/* All of the pattern, unless the copy ends before. */
static int feed(void *stream)
{
    size_t done = 0;
    while (done < LENGTH) {
        ssize_t n = lido_write(stream, pattern + done, LENGTH - done);
        if (n == -EPIPE)
            break;
        done += failed(n) ? 0 : (size_t)n;
    }
    lido_close(stream);
    return 0;
}

/* Takes what comes until the end; returns how much it was. */
static int drain(void *stream)
{
    char buffer[15000];
    size_t total = 0;
    int64_t n;
    while ((n = retried(lido_read(stream, buffer, sizeof(buffer)))) > 0) {
        check(total + (size_t)n <= LENGTH);
        check_bytes(buffer, pattern + total, (size_t)n);
        total += (size_t)n;
    }
    lido_close(stream);
    return (int)total;
}

static void stream_pair(lido_stream *pair[2])
{
    pair[0] = pair[1] = NULL;
    int r = lido_stream_pair(pair);
    if (failed(r)) {
        check(!pair[0] && !pair[1]);
        check_int(lido_stream_pair(pair), 0);
    }
}

static void copy(void)
{
    lido_stream *in[2], *out[2];
    uint64_t done = 4711;
    stream_pair(in);
    stream_pair(out);
    /* Less than is read at once, so that writes are short. */
    check_int(retried(lido_stream_set(out[0], LIDO_OPTION_SEND_BUFFER, 20000)), 0);
    lido_task *feeder = begin(feed, in[0]);
    lido_task *drainer = begin(drain, out[1]);
    ssize_t copied = lido_copy(out[0], in[1], &done);
    if (!failed(copied)) {
        check_int(copied, LENGTH);
        check_int(done, LENGTH);
    }
    lido_close(in[1]);
    lido_close(out[0]);
    check_int(finish(drainer), done);
    check_int(finish(feeder), 0);
    lido__pipes_fini(lido__worker_current()); /* what is kept for the next copy is not left over */
}

/* Without a pipe it copies; without memory for what is put aside it takes a pipe. */
static bool has_other_ways(const char *name)
{
    return !strcmp(name, "pipe") || !strcmp(name, "fcntl") || !strcmp(name, "malloc") ||
           concerns_nobody(name);
}

static void a_copy_that_fails_has_counted_what_went_through(void **state)
{
    static const int errors[] = {-ENOMEM, -EMFILE, -EPROTOTYPE};
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++)
        sweep_on(1, (struct sweep_plan){copy, NULL, errors[i], 100, has_other_ways});
    sweep_on(1, (struct sweep_plan){copy, "splice", -EPROTOTYPE, 2, NULL});
    sweep_on(1, (struct sweep_plan){copy, "splice", -EINTR, 2, all_are_silent});
    sweep_interrupted(copy);
}

/* ---- Descriptors of others ------------------------------------------------------------------------- */

struct poll_job {
    int fd, events;
};

static int poll_job(void *arg)
{
    struct poll_job *job = arg;
    return (int)retried(lido_poll_fd(job->fd, job->events));
}

static void poll_for(int fd, int events, int peer)
{
    struct poll_job job = {fd, events};
    char byte = 'x';
    lido_task *task = begin(poll_job, &job);
    check_int(lido_yield(), 0);
    check_int(write(peer, &byte, 1), 1);
    check_int(finish(task), LIDO_READABLE);
    check_int(read(fd, &byte, 1), 1);
}

/* Fills the descriptor, which is not blocking; returns how much it took. */
static size_t fill(int fd)
{
    static const char zeros[4096];
    size_t total = 0;
    ssize_t n;
    while ((n = write(fd, zeros, sizeof(zeros))) > 0)
        total += (size_t)n;
    return total;
}

static void poll_foreign(void)
{
    int fds[2];
    check_int(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    poll_for(fds[0], LIDO_READABLE, fds[1]);
    check_int(retried(lido_poll_fd(fds[0], LIDO_WRITABLE)), LIDO_WRITABLE);
    check(fill(fds[0]) > 0);
    poll_for(fds[0], LIDO_READABLE | LIDO_WRITABLE, fds[1]);
    close(fds[0]);
    close(fds[1]);
}

static void each_failure_of_polling_is_told_and_can_be_repeated(void **state)
{
    (void)state;
    sweep_all(poll_foreign, 12);
    sweep_interrupted(poll_foreign);
}

/* ---- Signals --------------------------------------------------------------------------------------- */

static int await_signal(void *arg)
{
    (void)arg;
    return (int)retried(lido_signal(SIGUSR1));
}

/* Its end of the pipe is there, and so it waits. */
static bool has_handles(void *count)
{
    return handle_count() == *(const int32_t *)count;
}

/* One that finds somebody who waits, and one that is kept. */
static void signals_are_told(void)
{
    int32_t waiting = handle_count() + 1;
    lido_task *task = begin(await_signal, NULL);
    await_that(has_handles, &waiting);
    raise(SIGUSR1);
    check_int(finish(task), SIGUSR1);
    raise(SIGUSR1);
    check_int(await_signal(NULL), SIGUSR1);
    lido_within(-1);
    check_int(lido_signal(SIGUSR1), -ETIMEDOUT); /* and none that was told twice */
}

/* A task that has been told of a signal says so, also if it could not read the byte about it. */
static bool is_read(const char *name)
{
    return !strcmp(name, "read") || concerns_nobody(name);
}

static void each_signal_is_told_once_whatever_fails(void **state)
{
    static const int errors[] = {-ENOMEM, -EMFILE, -EPROTOTYPE};
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++)
        sweep_on(1, (struct sweep_plan){signals_are_told, NULL, errors[i], 12, is_read});
    sweep_interrupted(signals_are_told);
}

static int ask_for_a_refused_signal(void *arg)
{
    struct sigaction action;
    unsigned descriptors = descriptor_count();
    (void)arg;
    lido__fault_plan("sigaction", 1, -EINVAL);
    check_int(lido_signal(SIGUSR2), -EINVAL);
    check_string(lido__fault_hit(), "sigaction");
    lido__fault_clear();
    check_int(sigaction(SIGUSR2, NULL, &action), 0);
    check(action.sa_handler == SIG_DFL);
    check_int(descriptor_count(), descriptors);
    return 0;
}

static void a_signal_that_cannot_be_caught_keeps_its_effect(void **state)
{
    (void)state;
    run(ask_for_a_refused_signal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_that_fails_has_counted_what_went_through),
        cmocka_unit_test(each_failure_of_polling_is_told_and_can_be_repeated),
        cmocka_unit_test(each_signal_is_told_once_whatever_fails),
        cmocka_unit_test(a_signal_that_cannot_be_caught_keeps_its_effect),
    };
    return cmocka_run_group_tests(tests, make_pattern, NULL);
}
