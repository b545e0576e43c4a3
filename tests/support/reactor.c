#include "support/reactor.h"

#include <errno.h>
#include <stdio.h>

/* ---- Tests ----------------------------------------------------------------------------------------- */

#define TESTS_MAX 32

struct run {
    const struct reactor_test *test;
    const struct lido__reactor_ops *ops;
};

static void run_one(void **state)
{
    const struct run *run = *state;
    run->test->run(run->ops);
}

int reactor_run_tests(const struct reactor_test *tests, size_t count)
{
    int failed = 0;
    struct run runs[TESTS_MAX];
    check(count <= TESTS_MAX);
    for (size_t i = 0; lido__reactors[i]; i++) {
        struct CMUnitTest units[count];
        for (size_t j = 0; j < count; j++) {
            runs[j] = (struct run){&tests[j], lido__reactors[i]};
            units[j] = (struct CMUnitTest){tests[j].name, run_one, NULL, NULL, &runs[j]};
        }
        failed += cmocka_run_group_tests_name(lido__reactors[i]->name, units, NULL, NULL);
    }
    return failed;
}

struct lido__reactor *reactor_open(const struct lido__reactor_ops *ops)
{
    struct lido__reactor *reactor = calloc(1, ops->size);
    check(reactor);
    reactor->ops = ops;
    reactor->lent = malloc(LIDO__LENT_SIZE);
    check(reactor->lent);
    check_int(ops->init(reactor), 0);
    return reactor;
}

void reactor_close(struct lido__reactor *reactor)
{
    reactor->ops->fini(reactor);
    free(reactor->lent);
    free(reactor);
}

/* ---- Handles --------------------------------------------------------------------------------------- */

struct lido__handle *reactor_pair(int *peer)
{
    int fds[2];
    check_int(lido__os_socketpair(AF_UNIX, SOCK_STREAM, fds), 0);
    struct lido__handle *handle = lido__handle_new(fds[0], LIDO__HANDLE_SOCKET);
    check(handle);
    *peer = fds[1];
    return handle;
}

void reactor_close_handle(struct lido__handle *handle)
{
    struct lido__reactor *reactor = lido__handle_reactor(handle);
    if (reactor)
        reactor->ops->release(reactor, handle);
    check_int(lido__os_close(handle->fd), 0);
    lido__handle_free(handle);
}

void peer_say(int peer, const char *text)
{
    check_int(lido__os_send(peer, text, strlen(text), 0), strlen(text));
}

size_t handle_fill(const struct lido__handle *handle)
{
    static const char zeros[65536];
    size_t total = 0;
    ssize_t n;
    while ((n = lido__os_send(handle->fd, zeros, sizeof(zeros), 0)) > 0)
        total += (size_t)n;
    check_int(n, -EAGAIN);
    return total;
}

void peer_drain(int peer, size_t size)
{
    static char scrap[65536];
    while (size > 0) {
        ssize_t n = lido__os_recv(peer, scrap, size < sizeof(scrap) ? size : sizeof(scrap), 0);
        check(n > 0);
        size -= (size_t)n;
    }
}

/* ---- Ops ------------------------------------------------------------------------------------------- */

bool reactor_submit(struct lido__reactor *reactor, struct lido__op *op)
{
    if (lido__op_state(op) != LIDO__OP_IDLE)
        return reactor->ops->retry(reactor, op);
    op->waker.lido_private = (uintptr_t)reactor;
    return reactor->ops->submit(reactor, op);
}

void reactor_arm(struct lido__reactor *reactor, struct lido__op *op)
{
    check(!reactor_submit(reactor, op));
    check_int(lido__op_state(op), LIDO__OP_ARMED);
}

void reactor_disarm(struct lido__reactor *reactor, struct lido__op *op)
{
    check(reactor->ops->cancel(reactor, op, -ECANCELED));
    check_int(lido__op_state(op), LIDO__OP_SETTLED);
    check_int(op->result, -ECANCELED);
}

ssize_t reactor_settle(struct lido__reactor *reactor, struct lido__op *op)
{
    check(reactor_submit(reactor, op));
    check_int(lido__op_state(op), LIDO__OP_SETTLED);
    return op->result;
}

size_t reactor_wait(struct lido__reactor *reactor, uint64_t timeout)
{
    struct lido__fifo handed;
    struct lido__link *link;
    lido__fifo_init(&handed);
    size_t count = 0;
    reactor->ops->wait(reactor, timeout, &handed);
    while ((link = lido__fifo_pop(&handed))) {
        struct lido__op *op = lido__op_from_link(link);
        struct lido__reactor *owner = (struct lido__reactor *)op->waker.lido_private;
        check_int(lido__op_state(op), LIDO__OP_ARMED);
        lido__store(&op->state, LIDO__OP_READY, LIDO__RELEASE);
        if (owner != reactor)
            owner->ops->wake(owner);
        count++;
    }
    return count;
}

ssize_t reactor_finish(struct lido__reactor *reactor, struct lido__op *op)
{
    while (lido__op_state(op) == LIDO__OP_ARMED || !reactor_submit(reactor, op))
        reactor_wait(reactor, FOREVER);
    return op->result;
}

void reactor_expect(struct lido__reactor *reactor, struct lido__handle *handle, const char *text)
{
    char got[64] = "";
    struct lido__op op;
    lido__op_init(&op, LIDO__OP_READ, handle, got, sizeof(got) - 1);
    check_int(reactor_settle(reactor, &op), strlen(text));
    check_string(got, text);
}
