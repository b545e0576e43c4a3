/* Waiting: until something happens, as long as is said, or until somebody wakes. */
#define _GNU_SOURCE

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "support/reactor.h"
#include "support/runtime.h"

/* ---- Many at a time -------------------------------------------------------------------------------- */

struct crowd {
    unsigned count;
    struct lido__handle **handles;
    int *peers;
    struct lido__op *reads;
    char *got;
};

static void arm_crowd(struct crowd *crowd, struct lido__reactor *reactor, unsigned count)
{
    crowd->count = count;
    crowd->handles = calloc(count, sizeof(*crowd->handles));
    crowd->peers = calloc(count, sizeof(*crowd->peers));
    crowd->reads = calloc(count, sizeof(*crowd->reads));
    crowd->got = calloc(count, 1);
    check(crowd->handles && crowd->peers && crowd->reads && crowd->got);
    for (unsigned i = 0; i < count; i++) {
        crowd->handles[i] = reactor_pair(&crowd->peers[i]);
        lido__op_init(&crowd->reads[i], LIDO__OP_READ, crowd->handles[i], &crowd->got[i], 1);
        reactor_arm(reactor, &crowd->reads[i]);
    }
    while (reactor_wait(reactor, 0)) /* that one can write to them */
        continue;
}

static void free_crowd(struct crowd *crowd)
{
    for (unsigned i = 0; i < crowd->count; i++) {
        reactor_close_handle(crowd->handles[i]);
        check_int(lido__os_close(crowd->peers[i]), 0);
    }
    free(crowd->handles);
    free(crowd->peers);
    free(crowd->reads);
    free(crowd->got);
}

static void each_is_served(struct crowd *crowd, struct lido__reactor *reactor)
{
    for (unsigned i = 0; i < crowd->count; i++) {
        check_int(reactor_settle(reactor, &crowd->reads[i]), 1);
        check_int(crowd->got[i], (char)i);
    }
}

static void many_ops_come_back_from_one_wait(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = reactor_open(ops);
    struct crowd crowd;
    arm_crowd(&crowd, reactor, 100);
    for (unsigned i = 0; i < crowd.count; i++)
        check_int(lido__os_send(crowd.peers[i], &(char){(char)i}, 1, 0), 1);
    check_int(reactor_wait(reactor, FOREVER), 100);
    each_is_served(&crowd, reactor);
    free_crowd(&crowd);
    reactor_close(reactor);
}

/* More than any reactor returns at once. */
static void too_many_ops_for_one_wait_come_back_from_the_next(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = reactor_open(ops);
    struct crowd crowd;
    unsigned back = 0;
    if (lido__fd_limit_raise() < 3000)
        skip();
    arm_crowd(&crowd, reactor, 1400);
    for (unsigned i = 0; i < crowd.count; i++)
        check_int(lido__os_send(crowd.peers[i], &(char){(char)i}, 1, 0), 1);
    while (back < crowd.count)
        back += (unsigned)reactor_wait(reactor, FOREVER);
    check_int(reactor_wait(reactor, 0), 0);
    each_is_served(&crowd, reactor);
    free_crowd(&crowd);
    reactor_close(reactor);
}

/* ---- Wake ------------------------------------------------------------------------------------------ */

static void a_wake_that_came_before_ends_the_wait(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = reactor_open(ops);
    for (int i = 0; i < 3; i++) {
        ops->wake(reactor);
        check_int(reactor_wait(reactor, FOREVER), 0);
    }
    reactor_close(reactor);
}

struct sleeper {
    struct lido__reactor *reactor;
    uint32_t rounds; /* that it has begun */
};

enum { ROUNDS = 200 };

static void *sleep_in_rounds(void *arg)
{
    struct sleeper *sleeper = arg;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        lido__store(&sleeper->rounds, round, LIDO__RELEASE);
        check_int(reactor_wait(sleeper->reactor, FOREVER), 0);
    }
    return NULL;
}

/* Each wake comes at some time about the beginning of the wait, before and after. */
static void a_wake_from_another_thread_ends_the_wait(const struct lido__reactor_ops *ops)
{
    struct sleeper sleeper = {.reactor = reactor_open(ops)};
    pthread_t thread = thread_start(sleep_in_rounds, &sleeper);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        while (lido__load(&sleeper.rounds, LIDO__ACQUIRE) < round)
            lido__thread_yield();
        if (round % 2) /* it probably sleeps by then */
            for (int i = 0; i < 20; i++)
                lido__thread_yield();
        ops->wake(sleeper.reactor);
    }
    thread_join(thread);
    reactor_close(sleeper.reactor);
}

static void a_wake_takes_nothing_from_what_has_happened(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = reactor_open(ops);
    struct crowd crowd;
    arm_crowd(&crowd, reactor, 1);
    ops->wake(reactor);
    check_int(lido__os_send(crowd.peers[0], "", 1, 0), 1);
    check_int(reactor_finish(reactor, &crowd.reads[0]), 1);
    free_crowd(&crowd);
    reactor_close(reactor);
}

/* ---- Time ------------------------------------------------------------------------------------------ */

static void check_timeouts(struct lido__reactor *reactor)
{
    static const uint64_t timeouts[] = {1, 1000, 300000, MS, MS + 1, 2 * MS - 1, 5 * MS / 2};
    for (size_t i = 0; i < COUNT(timeouts); i++) {
        uint64_t begin = lido__clock_now();
        check_int(reactor_wait(reactor, timeouts[i]), 0);
        check(lido__clock_now() - begin >= timeouts[i]);
    }
}

static void a_timeout_is_never_early(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = reactor_open(ops);
    check_timeouts(reactor);
    reactor_close(reactor);
}

/* To the calling thread the kernel seems older than epoll_pwait2. False: it cannot be forbidden. */
static bool forbid_pwait2(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(filter), filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

struct old_kernel {
    const struct lido__reactor_ops *ops;
    bool could;
};

static void *wait_on_an_old_kernel(void *arg)
{
    struct old_kernel *kernel = arg;
    kernel->could = forbid_pwait2();
    if (!kernel->could)
        return NULL;
    struct lido__reactor *reactor = reactor_open(kernel->ops);
    check_timeouts(reactor);
    reactor_close(reactor);
    return NULL;
}

static void a_timeout_is_never_early_in_milliseconds_either(const struct lido__reactor_ops *ops)
{
    struct old_kernel kernel = {.ops = ops};
    thread_join(thread_start(wait_on_an_old_kernel, &kernel));
    if (!kernel.could)
        skip();
}

static void an_event_ends_a_wait_before_its_time(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = reactor_open(ops);
    struct crowd crowd;
    arm_crowd(&crowd, reactor, 1);
    uint64_t begin = lido__clock_now();
    check_int(lido__os_send(crowd.peers[0], "", 1, 0), 1);
    check_int(reactor_wait(reactor, 60000 * MS), 1);
    check(lido__clock_now() - begin < 30000 * MS);
    each_is_served(&crowd, reactor);
    free_crowd(&crowd);
    reactor_close(reactor);
}

int main(void)
{
    static const struct reactor_test tests[] = {
        reactor_test(many_ops_come_back_from_one_wait),
        reactor_test(too_many_ops_for_one_wait_come_back_from_the_next),
        reactor_test(a_wake_that_came_before_ends_the_wait),
        reactor_test(a_wake_from_another_thread_ends_the_wait),
        reactor_test(a_wake_takes_nothing_from_what_has_happened),
        reactor_test(a_timeout_is_never_early),
        reactor_test(a_timeout_is_never_early_in_milliseconds_either),
        reactor_test(an_event_ends_a_wait_before_its_time),
    };
    return reactor_run_tests(tests, COUNT(tests));
}
