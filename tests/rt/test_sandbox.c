/*
 * Each system call that lido makes is refused, before the runtime is built and after: it works, or it says why not. It
 * does not spin, hang or abort. And it needs no call but those that docs/sandbox.md lists.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitize.h"
#include "support/check.h"
#include "support/runtime.h"

#if defined(LIDO__ASAN) || defined(LIDO__TSAN)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* What may become of it. */
enum outcome {
    OPTIONAL,  /* all of it works */
    WORKS,     /* likewise, with another call of the lists */
    FAILS,     /* or an operation returns the error */
    NOT_BUILT, /* or there is no runtime; later: as FAILS */
    VITAL,     /* of the C library, which ends the process without it: not refused here */
};

struct call {
    const char *name;
    uint32_t number;
    enum outcome outcome;
};

#define CALL(NAME, OUTCOME)                                                                        \
    {                                                                                              \
#NAME, SYS_##NAME, OUTCOME                                                                 \
    }

/* In the order of docs/sandbox.md. */
static const struct call calls[] = {
    CALL(brk, VITAL),
    CALL(clone3, NOT_BUILT),
    CALL(close, WORKS),
    CALL(epoll_create1, NOT_BUILT),
    CALL(epoll_ctl, NOT_BUILT),
    CALL(epoll_wait, WORKS),
    CALL(eventfd2, NOT_BUILT),
    CALL(exit, VITAL),
    CALL(exit_group, VITAL),
    CALL(futex, VITAL),
    CALL(mmap, VITAL),
    CALL(mprotect, VITAL),
    CALL(munmap, VITAL),
    CALL(read, FAILS),
    CALL(rt_sigprocmask, FAILS),
    CALL(rt_sigreturn, VITAL),
    CALL(write, WORKS),
    CALL(accept, WORKS),
    CALL(accept4, WORKS),
    CALL(bind, FAILS),
    CALL(connect, FAILS),
    CALL(fcntl, WORKS),
    CALL(getpeername, FAILS),
    CALL(getsockname, FAILS),
    CALL(getsockopt, FAILS),
    CALL(ioctl, FAILS),
    CALL(listen, FAILS),
    CALL(newfstatat, FAILS),
    CALL(pipe2, FAILS),
    CALL(poll, FAILS),
    CALL(readv, FAILS),
    CALL(recvfrom, FAILS),
    CALL(rt_sigaction, FAILS),
    CALL(sendmsg, FAILS),
    CALL(sendto, FAILS),
    CALL(setsockopt, FAILS),
    CALL(shutdown, FAILS),
    CALL(socket, FAILS),
    CALL(socketpair, FAILS),
    CALL(writev, FAILS),
    CALL(clock_gettime, OPTIONAL),
    CALL(epoll_pwait2, OPTIONAL),
    CALL(epoll_pwait, OPTIONAL),
    CALL(madvise, OPTIONAL),
    CALL(process_madvise, OPTIONAL),
    CALL(membarrier, OPTIONAL),
    CALL(openat, OPTIONAL),
    CALL(prlimit64, OPTIONAL),
    CALL(prctl, OPTIONAL),
    CALL(pwritev2, OPTIONAL),
    CALL(rseq, VITAL),
    CALL(set_robust_list, OPTIONAL),
    CALL(rt_sigtimedwait, OPTIONAL),
    CALL(sched_getaffinity, OPTIONAL),
    CALL(sched_setaffinity, OPTIONAL),
    CALL(sched_yield, OPTIONAL),
    CALL(sigaltstack, OPTIONAL),
    CALL(splice, OPTIONAL),
    CALL(tgkill, OPTIONAL),
};

/* ---- Filters ----------------------------------------------------------------------------------- */

static void load(struct sock_filter *filter, size_t length)
{
    struct sock_fprog program = {(unsigned short)length, filter};
    check_int(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    check_int(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program),
              0);
}

static const struct sock_filter load_number =
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));

static void refuse(uint32_t number, unsigned error)
{
    struct sock_filter filter[] = {
        load_number,
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    load(filter, COUNT(filter));
}

/* Of this test itself. */
static const uint32_t own_calls[] = {SYS_kill, SYS_getpid};

/* The calls of the lists are allowed, the optional ones answered in that way; all others kill. */
static void allow_listed(uint32_t optional)
{
    struct sock_filter filter[2 * (COUNT(calls) + COUNT(own_calls)) + 2];
    size_t n = 0;
    filter[n++] = load_number;
    for (size_t i = 0; i < COUNT(calls); i++) {
        uint32_t answer = calls[i].outcome == OPTIONAL ? optional : SECCOMP_RET_ALLOW;
        filter[n++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].number, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, answer);
    }
    for (size_t i = 0; i < COUNT(own_calls); i++) {
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, own_calls[i], 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    load(filter, n);
}

/* ---- Everything that lido does ----------------------------------------------------------------- */

#define TRY(call)                                                                                  \
    do {                                                                                           \
        int64_t tried_ = (call);                                                                   \
        if (tried_ < 0)                                                                            \
            return (int)tried_;                                                                    \
    } while (0)

/* Either of the two calls may be refused. */
static void hang_up(lido_stream *stream)
{
    lido_shutdown_stream(stream, LIDO_SIDE_BOTH);
    lido_close(stream);
}

static int echo(void *stream)
{
    lido_copy(stream, stream, NULL);
    hang_up(stream);
    return 0;
}

static int serve(void *listener)
{
    return lido_serve(listener, echo);
}

static int ask(lido_stream *stream)
{
    char answer[5];
    TRY(lido_write_all(stream, "hello", 5, NULL));
    return (int)lido_read_all(stream, answer, sizeof(answer), NULL);
}

static int ask_server(lido_listener *listener)
{
    lido_address address;
    char text[LIDO_ADDRESS_TEXT];
    lido_stream *stream;
    TRY(lido_listener_local_address(listener, &address));
    TRY(lido_address_format(&address, text, sizeof(text)));
    TRY(lido_connect_tcp(&stream, text));
    int r = ask(stream);
    hang_up(stream);
    return r < 0 ? r : 0;
}

static int echo_over_tcp(void)
{
    lido_listener *listener;
    lido_task *server;
    TRY(lido_listen_tcp(&listener, "127.0.0.1:0"));
    int r = lido_spawn(&server, serve, listener);
    if (r == 0) {
        int served;
        r = ask_server(listener);
        lido_stop(server, &served);
        r = r == -ETIMEDOUT && served < 0 && served != -ECANCELED ? served : r;
    }
    lido_listener_close(listener);
    return r;
}

static int send_datagram(void)
{
    lido_datagram *socket;
    lido_address address;
    char byte;
    TRY(lido_bind_udp(&socket, "127.0.0.1:0"));
    int64_t r = lido_datagram_local_address(socket, &address);
    if (r == 0)
        r = lido_send_to(socket, "x", 1, &address);
    if (r > 0)
        r = lido_recv(socket, &byte, 1, NULL);
    lido_datagram_close(socket);
    return r < 0 ? (int)r : 0;
}

static int pour(void *stream)
{
    static char bytes[65536];
    int64_t r = 0;
    for (int i = 0; i < 32 && r >= 0; i++)
        r = lido_write_all(stream, bytes, sizeof(bytes), NULL);
    hang_up(stream);
    return r < 0 ? (int)r : 0;
}

static int drain(void *stream)
{
    static char bytes[65536];
    int64_t n;
    while ((n = lido_read(stream, bytes, sizeof(bytes))) > 0) {}
    hang_up(stream);
    return (int)n;
}

static int copy_much(void)
{
    lido_stream *from[2], *to[2];
    lido_task *pouring, *draining;
    int poured, drained;
    TRY(lido_stream_pair(from));
    TRY(lido_stream_pair(to));
    TRY(lido_spawn(&pouring, pour, from[0]));
    TRY(lido_spawn(&draining, drain, to[1]));
    int64_t r = lido_copy(to[0], from[1], NULL);
    hang_up(from[1]);
    hang_up(to[0]);
    lido_join(pouring, &poured);
    lido_join(draining, &drained);
    return r < 0 ? (int)r : poured < 0 ? poured : drained < 0 ? drained : 0;
}

static int await_signal(void *unused)
{
    (void)unused;
    return lido_signal(SIGUSR1);
}

/* Until it is told: the task may not have come to its wait yet, and before that the signal is ignored. */
static int get_signal(void)
{
    lido_task *task;
    int r;
    TRY(lido_spawn(&task, await_signal, NULL));
    while (!lido_task_is_done(task)) {
        kill(getpid(), SIGUSR1);
        r = lido_sleep(2);
        if (r < 0) {
            lido_stop(task, NULL);
            return r;
        }
    }
    lido_join(task, &r);
    return r < 0 ? r : 0;
}

static int send_some(void *channel)
{
    for (int i = 0; i < 2000; i++)
        TRY(lido_channel_send(channel, &i));
    return 0;
}

static int receive_some(void *channel)
{
    for (int n, i = 0; i < 2000; i++)
        TRY(lido_channel_recv(channel, &n));
    return 0;
}

static int send_messages(void)
{
    lido_channel *channel;
    lido_spawn_options there = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *sender;
    int r;
    there.placement = LIDO_PLACE_WORKER;
    there.worker = 1;
    TRY(lido_channel_new(&channel, sizeof(int), 16));
    int sent = 0;
    r = lido_spawn(&sender, send_some, channel);
    if (r == 0) {
        r = receive_some(channel);
        lido_join(sender, &sent);
    }
    if (r == 0)
        r = lido_spawn_with(&sender, send_some, channel, &there);
    if (r == 0) {
        r = receive_some(channel);
        lido_join(sender, &sent);
    }
    lido_channel_drop(channel);
    return r < 0 ? r : sent;
}

static int block(void *unused)
{
    (void)unused;
    for (uint64_t until = lido_now() + 300000; lido_now() < until;) {}
    return 0;
}

static int block_some(void)
{
    lido_task *task;
    int r;
    TRY(lido_blocking(block, NULL));
    TRY(lido_spawn_blocking(&task, block, NULL));
    TRY(lido_join(task, &r));
    return r;
}

static int write_to_pipe(void)
{
    lido_stream *stream[2];
    char byte;
    TRY(lido_stream_pair(stream));
    int64_t r = lido_write(stream[0], "x", 1);
    if (r > 0)
        r = lido_read(stream[1], &byte, 1);
    lido_close(stream[0]);
    lido_close(stream[1]);
    return r < 0 ? (int)r : 0;
}

static int resolve(void)
{
    lido_address addresses[2];
    return lido_resolve("127.0.0.1:80", addresses, 2) < 0 ? -EIO : 0;
}

static uint64_t cpu_time(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool measures; /* under the filter of lists the clock of the process is not to be had */

/* While nobody has anything to do nothing is done. */
static int rest(void)
{
    uint64_t before = measures ? cpu_time() : 0;
    TRY(lido_sleep(40));
    return measures && cpu_time() - before > 25000000u ? -ELOOP : 0;
}

static int do_everything(void *step_failed)
{
    static int (*const steps[])(void) = {echo_over_tcp, send_datagram, copy_much,
                                         send_messages, block_some,    write_to_pipe,
                                         resolve,       get_signal,    rest};
    int first = 0;
    for (size_t i = 0; i < COUNT(steps); i++) {
        lido_within(20000); /* a loaded machine is no hang */
        int r = steps[i]();
        if (r < 0 && first == 0) {
            first = r;
            *(int *)step_failed = (int)i;
        }
        lido_within(-1);
        if (r == -ETIMEDOUT || r == -ELOOP)
            return r;
    }
    return first;
}

/* ---- One at a time ----------------------------------------------------------------------------- */

struct trial {
    const struct call *call; /* NULL: those of the lists */
    unsigned error;
    bool later;
    const char *scheduler;
    pid_t pid;
};

static void set_up_filter(const struct trial *trial)
{
    if (trial->call)
        refuse(trial->call->number, trial->error);
    else
        allow_listed(trial->error ? SECCOMP_RET_ERRNO | trial->error : SECCOMP_RET_ALLOW);
}

/* What the process says with its status. */
enum { SAID_NOT_BUILT = 200, SAID_HUNG, SAID_SPUN, SAID_UNDOCUMENTED };

static int status_of(int r)
{
    if (r == -ETIMEDOUT)
        return SAID_HUNG;
    if (r == -ELOOP)
        return SAID_SPUN;
    if (-r < SAID_NOT_BUILT)
        return -r;
    return SAID_UNDOCUMENTED;
}

/* The check says the same, and which call it is. */
static bool is_explained(const struct trial *trial, const lido_config *config, int error)
{
    char problem[256] = "";
    if (!trial->call || lido_config_check(config, problem, sizeof(problem)) != error)
        return false;
    return error == -EAGAIN ? strstr(problem, "threads") != NULL
                            : error == -ENOSYS && strstr(problem, trial->call->name);
}

static __attribute__((noreturn)) void play(const struct trial *trial)
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    int step = 0;
    config.workers = 2;
    config.scheduler = trial->scheduler;
    measures = trial->call != NULL;
    signal(SIGUSR1, SIG_IGN);
    if (!trial->later)
        set_up_filter(trial);
    int r = lido_runtime_new(&runtime, &config);
    if (r < 0)
        _exit(is_explained(trial, &config, r) ? SAID_NOT_BUILT : SAID_UNDOCUMENTED);
    if (trial->later)
        set_up_filter(trial);
    r = lido_block_on(runtime, do_everything, &step);
    lido_runtime_free(runtime);
    _exit(status_of(r));
}

static void begin(struct trial *trial)
{
    trial->pid = fork();
    check(trial->pid >= 0);
    if (trial->pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        unsetenv("LIDO_SCHEDULER");
        play(trial);
    }
}

static bool is_right(const struct trial *trial, int status)
{
    if (!WIFEXITED(status))
        return false;
    int said = WEXITSTATUS(status);
    enum outcome outcome = trial->call ? trial->call->outcome : OPTIONAL;
    if (said == SAID_NOT_BUILT)
        return outcome == NOT_BUILT && !trial->later;
    return said == 0 || (outcome > WORKS && said < SAID_NOT_BUILT);
}

/* How long one may take: it is mostly over within the second. */
#define PATIENCE_NS 60000000000u

static int await(pid_t pid)
{
    int status;
    uint64_t until = lido_now() + PATIENCE_NS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (lido_now() > until)
            kill(pid, SIGKILL);
        usleep(1000);
    }
    return status;
}

static unsigned end(const struct trial *trial)
{
    int status = await(trial->pid);
    if (is_right(trial, status))
        return 0;
    print_error("%s refused with %u %s, %s: %s %d\n", trial->call ? trial->call->name : "the rest",
                trial->error, trial->later ? "later" : "from the start", trial->scheduler,
                WIFEXITED(status) ? "exit" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    return 1;
}

enum { AT_ONCE = 8 };

/* Returns how many went wrong. */
static unsigned run_trials(struct trial *trials, size_t count)
{
    unsigned wrong = 0;
    for (size_t i = 0; i < count + AT_ONCE; i++) {
        if (i >= AT_ONCE)
            wrong += end(&trials[i - AT_ONCE]);
        if (i < count)
            begin(&trials[i]);
    }
    return wrong;
}

static unsigned try_all(bool later)
{
    static const unsigned errors[] = {EPERM, ENOSYS, EACCES};
    struct trial trials[COUNT(calls) * COUNT(errors) * COUNT(schedulers)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(calls); i++)
        for (size_t j = 0; j < COUNT(errors) && calls[i].outcome != VITAL; j++)
            for (size_t k = 0; k < COUNT(schedulers); k++)
                trials[n++] = (struct trial){&calls[i], errors[j], later, schedulers[k], 0};
    check(n >= AT_ONCE);
    return run_trials(trials, n);
}

static void a_call_that_is_refused_from_the_start_is_done_without(void **state)
{
    (void)state;
    assert_int_equal(try_all(false), 0);
}

static void a_call_that_is_refused_later_is_done_without(void **state)
{
    (void)state;
    assert_int_equal(try_all(true), 0);
}

static void no_call_is_made_but_those_that_are_listed(void **state)
{
    struct trial trials[AT_ONCE];
    size_t n = 0;
    (void)state;
    for (unsigned error = 0; error <= EPERM; error++)
        for (unsigned later = 0; later < 2; later++)
            for (size_t k = 0; k < COUNT(schedulers); k++)
                trials[n++] = (struct trial){NULL, error, later, schedulers[k], 0};
    assert_int_equal(run_trials(trials, n), 0);
}

static void pin_under(const struct call *call, unsigned error)
{
    lido_config config = LIDO_CONFIG_INIT;
    lido_runtime *runtime;
    config.workers = 2;
    config.pin_cpus = true;
    refuse(call->number, error);
    _exit(lido_runtime_new(&runtime, &config) == -EPERM ? 0 : 1);
}

static void threads_that_may_not_be_pinned_are_told(void **state)
{
    static const struct call affinity[] = {CALL(sched_setaffinity, FAILS),
                                           CALL(sched_getaffinity, FAILS)};
    static const unsigned errors[] = {EPERM, ENOSYS, EACCES};
    (void)state;
    for (size_t i = 0; i < COUNT(affinity); i++)
        for (size_t j = 0; j < COUNT(errors); j++) {
            pid_t pid = fork();
            check(pid >= 0);
            if (pid == 0)
                pin_under(&affinity[i], errors[j]);
            assert_int_equal(await(pid), 0);
        }
}

/* docs/sandbox.md names each of them, in code. */
static void the_lists_are_those_of_the_documentation(void **state)
{
    static char text[16384];
    const char *source = getenv("LIDO_SOURCE");
    char path[512], word[64];
    (void)state;
    if (!source)
        skip();
    snprintf(path, sizeof(path), "%s/docs/sandbox.md", source);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof(text) - 1, file)] = 0;
    fclose(file);
    for (size_t i = 0; i < COUNT(calls); i++) {
        snprintf(word, sizeof(word), "`%s`", calls[i].name);
        if (!strstr(text, word))
            print_error("%s is not in %s\n", word, path);
        assert_non_null(strstr(text, word));
    }
}

int main(void)
{
    if (SANITIZED)
        return 77; /* a sanitizer makes calls of its own */

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_is_refused_from_the_start_is_done_without),
        cmocka_unit_test(a_call_that_is_refused_later_is_done_without),
        cmocka_unit_test(no_call_is_made_but_those_that_are_listed),
        cmocka_unit_test(threads_that_may_not_be_pinned_are_told),
        cmocka_unit_test(the_lists_are_those_of_the_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
