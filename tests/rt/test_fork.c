/*
 * fork: what a child can do with lido, and that the parent does not notice it.
 *
 * A child that waits for what is not there is ended by an alarm, and that fails the test.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/net.h"
#include "support/runtime.h"
#include "task/task.h"

#define CHILD_SECONDS 30

/* ---- Children ----------------------------------------------------------------------------------- */

/* How a child ended that has called fn(arg), and then _exit. */
static int status_of_child(void (*fn)(void *arg), void *arg)
{
    int status;
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        fn(arg);
        _exit(0);
    }
    check_int(waitpid(pid, &status, 0), pid);
    return status;
}

static void check_child(void (*fn)(void *arg), void *arg)
{
    check_int(status_of_child(fn, arg), 0);
}

/* ---- What the parent has ------------------------------------------------------------------------ */

struct parent {
    lido_runtime *runtime;
    lido_stream *pair[2];
    lido_listener *listener;
    lido_task *reader;  /* of pair[0] */
    lido_task *busy;    /* keeps a worker */
    lido_task *ended;   /* a handle whose task is done */
    lido_task *waiting; /* for the signal */
    struct flag told;   /* for the busy one */
    struct flag begun;
    char path[64];
    lido_channel *channel;
    lido_mutex mutex;
    lido_event event;
};

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int compute(void *arg)
{
    struct parent *parent = arg;
    flag_raise(&parent->begun);
    flag_await(&parent->told);
    return 0;
}

static int read_one(void *arg)
{
    char byte;
    return (int)lido_read(arg, &byte, 1);
}

static int await_signal(void *arg)
{
    (void)arg;
    return lido_signal(SIGUSR1);
}

static int fill(void *arg)
{
    struct parent *parent = arg;
    net_unix_pair(parent->pair);
    snprintf(parent->path, sizeof(parent->path), "/tmp/lido-test-fork-%d", (int)getpid());
    check_int(lido_listen_unix(&parent->listener, parent->path), 0);
    parent->reader = start_on(0, read_one, parent->pair[0]);
    parent->waiting = start_on(0, await_signal, NULL);
    parent->ended = start_on(0, nothing, NULL);
    net_await_reader(parent->pair[0]);
    while (!lido_task_is_done(parent->ended))
        check_int(lido_yield(), 0);
    return 0;
}

/* Two workers: the second computes, the first has all else. */
static void parent_begin(struct parent *parent)
{
    memset(parent, 0, sizeof(*parent));
    parent->runtime = runtime_of(2);
    check_int(lido_channel_new(&parent->channel, sizeof(int), 1), 0);
    check_int(lido_block_on(parent->runtime, fill, parent), 0);
    parent->busy = runtime_start_pinned(parent->runtime, 1, compute, parent);
    flag_await(&parent->begun);
}

static int empty(void *arg)
{
    struct parent *parent = arg;
    check(!lido_task_is_done(parent->reader));
    check(!lido_task_is_done(parent->waiting));
    net_say(parent->pair[1], "x");
    check_int(finish(parent->reader), 1);
    raise(SIGUSR1);
    check_int(finish(parent->waiting), SIGUSR1);
    net_close_pair(parent->pair);
    check_int(access(parent->path, F_OK), 0);
    lido_listener_close(parent->listener);
    check(access(parent->path, F_OK) < 0);
    lido_channel_drop(parent->channel);
    return 0;
}

/* In a fiber of the worker that is not busy. */
static void in_fiber(struct parent *parent, lido_fn fn)
{
    int result;
    check_int(lido_join(runtime_start_pinned(parent->runtime, 0, fn, parent), &result), 0);
    check_int(result, 0);
}

/* All of it still works. */
static void parent_end(struct parent *parent)
{
    flag_raise(&parent->told);
    check_int(lido_join(parent->busy, NULL), 0);
    check_int(lido_join(parent->ended, NULL), 0);
    check_int(lido_block_on(parent->runtime, empty, parent), 0);
    runtime_end(parent->runtime);
}

/* ---- What a child can do with it ------------------------------------------------------------------ */

static void try_what_needs_the_current_runtime(struct parent *parent)
{
    lido_stream *stream = NULL;
    lido_listener *listener;
    lido_datagram *datagram;
    lido_address address;
    static const lido_local key;
    char byte = 0;
    check(lido_self() == NULL);
    check(lido_runtime_current() == NULL);
    check(lido_reactor_name() == NULL);
    check_int(lido_worker_index(), -ENXIO);
    check_int(lido_worker_count(), -ENXIO);
    check_int(lido_yield(), -ENXIO);
    check_int(lido_sleep(1), -ENXIO);
    check_int(lido_spawn(NULL, nothing, NULL), -ENXIO);
    check_int(lido_spawn_blocking(NULL, nothing, NULL), -ENXIO);
    check_int(lido_local_set(&key, &byte), -ENXIO);
    check_int(lido_read(parent->pair[1], &byte, 1), -ENXIO);
    check_int(lido_write(parent->pair[1], &byte, 1), -ENXIO);
    check_int(lido_copy(parent->pair[1], parent->pair[1], NULL), -ENXIO);
    check_int(lido_accept(parent->listener, &stream, NULL), -ENXIO);
    check_int(lido_serve(parent->listener, nothing), -ENXIO);
    check_int(lido_listen_tcp(&listener, "127.0.0.1:0"), -ENXIO);
    check_int(lido_connect_tcp(&stream, "127.0.0.1:1"), -ENXIO);
    check_int(lido_bind_udp(&datagram, "127.0.0.1:0"), -ENXIO);
    check_int(lido_resolve("localhost:80", &address, 1), -ENXIO);
    check_int(lido_poll_fd(0, LIDO_READABLE), -ENXIO);
    check_int(lido_signal(SIGUSR2), -ENXIO);
    check_int(lido_mutex_lock(&parent->mutex), -ENXIO);
    check_int(lido_event_wait(&parent->event), -ENXIO);
    check_int(lido_channel_recv(parent->channel, &byte), -ENXIO);
}

static void try_what_needs_a_runtime(struct parent *parent)
{
    lido_runtime *another = NULL;
    lido_task *task = NULL;
    lido_future future = {0};
    check_int(lido_run(NULL, nothing, NULL), -ENOTRECOVERABLE);
    check_int(lido_runtime_new(&another, NULL), -ENOTRECOVERABLE);
    check_int(lido_runtime_spawn(parent->runtime, &task, nothing, NULL), -ENOTRECOVERABLE);
    check_int(lido_runtime_spawn_future(parent->runtime, &task, &future), -ENOTRECOVERABLE);
    check_int(lido_spawn_blocking_at(parent->runtime, &task, nothing, NULL, NULL, LIDO_HERE),
              -ENOTRECOVERABLE);
    check_int(lido_block_on(parent->runtime, nothing, NULL), -ENOTRECOVERABLE);
    check_int(lido_shutdown(parent->runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), -ENOTRECOVERABLE);
    check_int(lido_shutdown_within(parent->runtime, 0, 0, NULL, NULL), -ENOTRECOVERABLE);
    check_int(lido_runtime_free(parent->runtime), -ENOTRECOVERABLE);
    check_int(lido_join(parent->reader, NULL), -ENOTRECOVERABLE);
    check_int(lido_stop(parent->reader, NULL), -ENOTRECOVERABLE);
    check(another == NULL && task == NULL);
    check(strstr(lido_strerror(-ENOTRECOVERABLE), "fork"));
}

static void try_what_can_be_done(struct parent *parent)
{
    int element = 7;
    int fd = lido_stream_fd(parent->pair[0]);
    check(!lido_task_is_done(parent->busy));
    lido_cancel(parent->busy);
    lido_cancel(parent->reader);
    check_int(lido_join(parent->ended, NULL), 0);
    lido_detach(parent->busy);
    check_int(lido_channel_try_send(parent->channel, &element), 0);
    check_int(lido_channel_try_send(parent->channel, &element), -EAGAIN);
    lido_close(parent->pair[0]);
    check_int(fcntl(fd, F_GETFD), -1);
    lido_listener_close(parent->listener);
    check_int(lido_blocking(nothing, NULL), 0); /* outside of a runtime it just runs */
}

static void try_all(void *arg)
{
    struct parent *parent = arg;
    try_what_needs_the_current_runtime(parent);
    try_what_needs_a_runtime(parent);
    try_what_can_be_done(parent);
    raise(SIGUSR1); /* has lido's handler, and is nobody's here */
}

static void a_child_of_a_plain_thread_can_do_nothing_and_harms_nobody(void **state)
{
    struct parent parent;
    (void)state;
    parent_begin(&parent);
    for (int i = 0; i < 5; i++)
        check_child(try_all, &parent);
    parent_end(&parent);
}

static int fork_here(void *arg)
{
    check_child(try_all, arg);
    return lido_yield();
}

static void a_child_of_a_fiber_can_do_nothing_and_harms_nobody(void **state)
{
    struct parent parent;
    (void)state;
    parent_begin(&parent);
    for (int i = 0; i < 5; i++)
        in_fiber(&parent, fork_here);
    parent_end(&parent);
}

static int fork_and_check(void *arg)
{
    check_child(try_all, arg);
    return 0;
}

static int fork_in_a_section(void *arg)
{
    return lido_blocking(fork_and_check, arg);
}

static void a_child_of_blocking_code_can_do_nothing_and_harms_nobody(void **state)
{
    struct parent parent;
    (void)state;
    parent_begin(&parent);
    in_fiber(&parent, fork_in_a_section);
    parent_end(&parent);
}

static void fork_again(void *arg)
{
    check_child(try_all, arg);
}

static void nor_can_the_child_of_a_child(void **state)
{
    struct parent parent;
    (void)state;
    parent_begin(&parent);
    check_child(fork_again, &parent);
    parent_end(&parent);
}

/* ---- Workers that sleep --------------------------------------------------------------------------- */

struct parking {
    lido_park park;
    struct flag asleep;
    lido__shared uint32_t unparks;
    lido_task *task;
};

static void park(void *arg, unsigned worker, int fd, uint64_t timeout_ns)
{
    struct parking *parking = arg;
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    (void)worker;
    (void)timeout_ns;
    flag_raise(&parking->asleep);
    poll(&pollfd, 1, 1000);
}

static void unpark(void *arg, unsigned worker)
{
    struct parking *parking = arg;
    (void)worker;
    lido__fetch_add(&parking->unparks, 1, LIDO__RELAXED);
}

static int sleep_long(void *arg)
{
    (void)arg;
    return lido_sleep(3600000);
}

static void cancel_there(void *arg)
{
    struct parking *parking = arg;
    uint32_t before = lido__load(&parking->unparks, LIDO__RELAXED);
    lido_cancel(parking->task);
    check_int(lido__load(&parking->unparks, LIDO__RELAXED), before);
}

/* What the child had there to wake it by is the parent's. */
static void a_child_wakes_no_worker(void **state)
{
    struct parking parking = {.park = {park, unpark, &parking}};
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    int result;
    (void)state;
    config.workers = 1;
    config.park = &parking.park;
    check_int(lido_runtime_new(&runtime, &config), 0);
    parking.task = runtime_start(runtime, sleep_long, NULL);
    flag_await(&parking.asleep);
    for (int i = 0; i < 20; i++)
        check_child(cancel_there, &parking);
    check(!lido_task_is_done(parking.task));
    check_int(lido_stop(parking.task, &result), 0);
    check_int(result, -ECANCELED);
    runtime_end(runtime);
}

/* ---- Children that come back ---------------------------------------------------------------------- */

/* Returns in the child too, whose end the parent looks at. */
static int fork_and_return(void *arg)
{
    int status;
    (void)arg;
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        check(freopen("/dev/null", "w", stderr) != NULL);
        signal(SIGABRT, SIG_DFL);
        return 0;
    }
    check_int(waitpid(pid, &status, 0), pid);
    check(WIFSIGNALED(status));
    check_int(WTERMSIG(status), SIGABRT);
    return 0;
}

static int fork_and_return_to_a_section(void *arg)
{
    return lido_blocking(fork_and_return, arg);
}

static int fork_and_return_from_poll(lido_future *future, const lido_waker *waker)
{
    (void)future;
    (void)waker;
    return fork_and_return(NULL);
}

static int start_who_come_back(void *arg)
{
    lido_future future = {fork_and_return_from_poll};
    lido_task *task;
    (void)arg;
    check_int(finish(start(fork_and_return, NULL)), 0);
    check_int(finish(start(fork_and_return_to_a_section, NULL)), 0);
    check_int(lido_spawn_future(&task, &future), 0);
    check_int(finish(task), 0);
    check_int(lido_spawn_blocking(&task, fork_and_return, NULL), 0);
    return finish(task);
}

/* Otherwise it would go on with the parent's tasks. */
static void a_child_that_returns_to_lido_is_aborted(void **state)
{
    (void)state;
    run(start_who_come_back);
}

/* ---- exec ---------------------------------------------------------------------------------------- */

static void become_true(void *arg)
{
    (void)arg;
    execlp("true", "true", (char *)NULL);
}

static int exec_here(void *arg)
{
    char *const arguments[] = {"true", NULL};
    int status;
    pid_t pid;
    (void)arg;
    check_child(become_true, NULL);
    check_int(posix_spawnp(&pid, "true", NULL, NULL, arguments, NULL), 0);
    check_int(waitpid(pid, &status, 0), pid);
    check_int(status, 0);
    return 0;
}

static void a_child_can_exec(void **state)
{
    struct parent parent;
    (void)state;
    parent_begin(&parent);
    check_int(exec_here(NULL), 0);
    in_fiber(&parent, exec_here);
    parent_end(&parent);
}

enum { FDS = 1024 };

static void every_descriptor_of_lido_is_closed_on_exec(void **state)
{
    bool before[FDS];
    struct parent parent;
    unsigned opened = 0;
    (void)state;
    for (int fd = 0; fd < FDS; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    parent_begin(&parent);
    for (int fd = 0; fd < FDS; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (before[fd] || flags < 0)
            continue;
        opened++;
        check(flags & FD_CLOEXEC);
    }
    check(opened >= 2 + 2 + 3 + 2); /* epolls, eventfds, sockets, the signal's pipe */
    parent_end(&parent);
}

/* ---- Without a runtime --------------------------------------------------------------------------- */

static int spawn_and_join(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        check_int(finish(start(nothing, NULL)), 0);
    return 7;
}

static void use_lido(void *arg)
{
    (void)arg;
    check_int(lido_run(NULL, spawn_and_join, NULL), 7);
}

static void when_no_runtime_lives_the_child_can_use_lido(void **state)
{
    (void)state;
    use_lido(NULL);
    if (UNDER_TSAN) /* does not know threads in such a child */
        return;
    check_child(use_lido, NULL);
    use_lido(NULL);
}

/* Goes to the depot of tasks again and again. */
static void allocate_and_free(void)
{
    enum { MANY = 300 };
    void *objects[MANY];
    for (int i = 0; i < MANY; i++)
        check((objects[i] = lido__slab_alloc(&lido__tasks)) != NULL);
    for (int i = 0; i < MANY; i++)
        lido__slab_free(&lido__tasks, objects[i]);
}

static void *allocate_until_told(void *arg)
{
    while (!flag_is_up(arg))
        allocate_and_free();
    return NULL;
}

static void allocate_once(void *arg)
{
    (void)arg;
    allocate_and_free();
}

static void what_other_threads_do_in_lido_leaves_no_lock_to_the_child(void **state)
{
    struct flag told = {0};
    (void)state;
    use_lido(NULL);
    pthread_t thread = thread_start(allocate_until_told, &told);
    for (int i = 0; i < 200; i++)
        check_child(allocate_once, NULL);
    flag_raise(&told);
    thread_join(thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_of_a_plain_thread_can_do_nothing_and_harms_nobody),
        cmocka_unit_test(a_child_of_a_fiber_can_do_nothing_and_harms_nobody),
        cmocka_unit_test(a_child_of_blocking_code_can_do_nothing_and_harms_nobody),
        cmocka_unit_test(nor_can_the_child_of_a_child),
        cmocka_unit_test(a_child_wakes_no_worker),
        cmocka_unit_test(a_child_that_returns_to_lido_is_aborted),
        cmocka_unit_test(a_child_can_exec),
        cmocka_unit_test(every_descriptor_of_lido_is_closed_on_exec),
        cmocka_unit_test(when_no_runtime_lives_the_child_can_use_lido),
        cmocka_unit_test(what_other_threads_do_in_lido_leaves_no_lock_to_the_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
