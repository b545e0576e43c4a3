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
#include "support/workload.h"

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
    workload_measures = trial->call != NULL;
    signal(SIGUSR1, SIG_IGN);
    if (!trial->later)
        set_up_filter(trial);
    int r = lido_runtime_new(&runtime, &config);
    if (r < 0)
        _exit(is_explained(trial, &config, r) ? SAID_NOT_BUILT : SAID_UNDOCUMENTED);
    if (trial->later)
        set_up_filter(trial);
    r = lido_block_on(runtime, workload_run, &step);
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
