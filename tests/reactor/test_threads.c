/*
 * Two reactors in two threads: one handle is read with the one and written with the other, and each op is
 * handed back by whichever of them has the registration; and a handle that is closed while another
 * thread waits on it.
 */
#include <errno.h>
#include <poll.h>

#include "reactor/ready.h"
#include "support/reactor.h"
#include "support/runtime.h"

/* ---- Two sides ------------------------------------------------------------------------------------- */

enum { MUCH = 4 << 20, PIECE = 50000 };

struct side {
    struct lido__reactor *reactor, *other;
    struct lido__handle *handle;
    enum lido__op_kind kind;
    uint32_t *ended; /* of the two, how many */
    uint64_t sum;    /* of all bytes, weighted by their places */
};

static unsigned char byte_at(size_t place)
{
    return (unsigned char)(place * 2654435761u >> 13);
}

/* MUCH bytes, in pieces, one way. */
static void transfer(struct side *side)
{
    static __thread unsigned char buffer[PIECE];
    for (size_t done = 0; done < MUCH;) {
        size_t size = MUCH - done < PIECE ? MUCH - done : PIECE;
        struct lido__op op;
        for (size_t i = 0; side->kind == LIDO__OP_WRITE && i < size; i++)
            buffer[i] = byte_at(done + i);
        lido__op_init(&op, side->kind, side->handle, buffer, size);
        ssize_t n = reactor_finish(side->reactor, &op);
        check(n > 0);
        for (ssize_t i = 0; i < n; i++, done++)
            side->sum += (done + 1) * buffer[i];
    }
}

/* What comes to this reactor may be for the other side, up to its end. */
static void *serve_side(void *arg)
{
    struct side *side = arg;
    transfer(side);
    lido__fetch_add(side->ended, 1, LIDO__RELEASE);
    side->other->ops->wake(side->other);
    while (lido__load(side->ended, LIDO__ACQUIRE) < 2)
        reactor_wait(side->reactor, FOREVER);
    return NULL;
}

static void await_peer(int peer, short events)
{
    struct pollfd ask = {.fd = peer, .events = events};
    check_int(poll(&ask, 1, -1), 1);
}

static void *feed_peer(void *peer)
{
    static unsigned char buffer[PIECE];
    for (size_t done = 0; done < MUCH;) {
        size_t size = MUCH - done < PIECE ? MUCH - done : PIECE;
        for (size_t i = 0; i < size; i++)
            buffer[i] = byte_at(done + i);
        ssize_t n = lido__os_send(*(int *)peer, buffer, size, 0);
        if (n == -EAGAIN)
            await_peer(*(int *)peer, POLLOUT);
        done += n > 0 ? (size_t)n : 0;
    }
    return NULL;
}

/* What the peer gets: sums it up. */
static uint64_t drain_peer(int peer)
{
    static unsigned char buffer[PIECE];
    uint64_t sum = 0;
    for (size_t done = 0; done < MUCH;) {
        ssize_t n = lido__os_recv(peer, buffer, PIECE, 0);
        if (n == -EAGAIN)
            await_peer(peer, POLLIN);
        for (ssize_t i = 0; i < n; i++, done++)
            sum += (done + 1) * buffer[i];
    }
    return sum;
}

static void two_sides_with_two_reactors_in_two_threads(const struct lido__reactor_ops *ops)
{
    int peer;
    uint32_t ended = 0;
    struct lido__handle *handle = reactor_pair(&peer);
    struct lido__reactor *first = reactor_open(ops), *second = reactor_open(ops);
    struct side reader = {first, second, handle, LIDO__OP_READ, &ended, 0};
    struct side writer = {second, first, handle, LIDO__OP_WRITE, &ended, 0};
    pthread_t threads[] = {thread_start(serve_side, &reader), thread_start(serve_side, &writer),
                           thread_start(feed_peer, &peer)};
    uint64_t sum = drain_peer(peer);
    for (size_t i = 0; i < COUNT(threads); i++)
        thread_join(threads[i]);
    check(sum == writer.sum);
    check(sum == reader.sum);
    reactor_close_handle(handle);
    check_int(lido__os_close(peer), 0);
    reactor_close(first);
    reactor_close(second);
}

/* ---- A close from another thread ------------------------------------------------------------------- */

struct waiter {
    struct lido__reactor *reactor;
    struct lido__handle *handle;
    ssize_t result;
    char got;
};

static void *read_once(void *arg)
{
    struct waiter *waiter = arg;
    struct lido__op op;
    lido__op_init(&op, LIDO__OP_READ, waiter->handle, &waiter->got, 1);
    while (lido__op_state(&op) != LIDO__OP_SETTLED) {
        if (lido__op_state(&op) != LIDO__OP_ARMED && reactor_submit(waiter->reactor, &op))
            break;
        reactor_wait(waiter->reactor, FOREVER);
    }
    waiter->result = op.result;
    return NULL;
}

/* As lido_close. The descriptor's number is at once another's, with a byte that is not for the waiter. */
static void close_under(struct waiter *waiter, int *ret_pair)
{
    struct lido__fifo taken;
    struct lido__link *link;
    lido__fifo_init(&taken);
    lido__ready_take(waiter->handle, &taken);
    reactor_close_handle(waiter->handle);
    check_int(lido__os_socketpair(AF_UNIX, SOCK_STREAM, ret_pair), 0);
    peer_say(ret_pair[1], "n");
    peer_say(ret_pair[0], "n");
    while ((link = lido__fifo_pop(&taken)))
        lido__op_settle(lido__op_from_link(link), -ECANCELED);
    waiter->reactor->ops->wake(waiter->reactor);
}

static void a_close_while_another_thread_waits_and_bytes_come(const struct lido__reactor_ops *ops)
{
    struct waiter waiter = {.reactor = reactor_open(ops)};
    for (int round = 0; round < 300; round++) {
        int peer, pair[2];
        waiter.handle = reactor_pair(&peer);
        waiter.got = 0;
        pthread_t thread = thread_start(read_once, &waiter);
        while (!lido__side_busy(waiter.handle, 0))
            lido__thread_yield();
        if (round % 3)
            peer_say(peer, "y");
        if (round % 3 == 2)
            lido__thread_yield();
        close_under(&waiter, pair);
        thread_join(thread);
        check(waiter.result == -ECANCELED || (waiter.result == 1 && waiter.got == 'y'));
        check_int(lido__os_close(peer), 0);
        check_int(lido__os_close(pair[0]), 0);
        check_int(lido__os_close(pair[1]), 0);
    }
    reactor_close(waiter.reactor);
}

int main(void)
{
    static const struct reactor_test tests[] = {
        reactor_test(two_sides_with_two_reactors_in_two_threads),
        reactor_test(a_close_while_another_thread_waits_and_bytes_come),
    };
    return reactor_run_tests(tests, COUNT(tests));
}
