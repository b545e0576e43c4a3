/* What becomes of an op: settled at once, armed and handed back, cancelled, refused. */
#include <errno.h>

#include "support/reactor.h"

/* A pair and a reactor, and an op that reads from the handle. */
struct setting {
    struct lido__reactor *reactor;
    struct lido__handle *handle;
    int peer;
    char got[16];
    struct lido__op read;
};

static void read_anew(struct setting *s)
{
    memset(s->got, 0, sizeof(s->got));
    lido__op_init(&s->read, LIDO__OP_READ, s->handle, s->got, sizeof(s->got) - 1);
}

static void set_up(struct setting *s, const struct lido__reactor_ops *ops)
{
    s->reactor = reactor_open(ops);
    s->handle = reactor_pair(&s->peer);
    read_anew(s);
}

static void tear_down(struct setting *s)
{
    reactor_close_handle(s->handle);
    check_int(lido__os_close(s->peer), 0);
    reactor_close(s->reactor);
}

/* An op of the read side that is not READ; `buffer` and `length` as the kind has it. */
static struct lido__op op_of(struct setting *s, enum lido__op_kind kind, void *buffer,
                             size_t length)
{
    struct lido__op op;
    lido__op_init(&op, kind, s->handle, buffer, length);
    return op;
}

/* ---- At once --------------------------------------------------------------------------------------- */

static void what_can_be_done_is_done_at_once(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    peer_say(s.peer, "hello");
    check_int(reactor_settle(s.reactor, &s.read), 5);
    check_string(s.got, "hello");
    struct lido__op write = op_of(&s, LIDO__OP_WRITE, s.got, 5);
    check_int(reactor_settle(s.reactor, &write), 5);
    peer_drain(s.peer, 5);
    check_int(reactor_wait(s.reactor, 0), 0);
    tear_down(&s);
}

static void a_lent_read_needs_no_buffer(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    struct lido__op lent = op_of(&s, LIDO__OP_READ_LENT, NULL, 0);
    reactor_arm(s.reactor, &lent);
    peer_say(s.peer, "abc");
    check_int(reactor_finish(s.reactor, &lent), 3);
    check(lent.buffer == s.reactor->lent);
    check_bytes(lent.buffer, "abc", 3);
    tear_down(&s);
}

static void errors_settle_an_op_too(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    check_int(lido__os_close(s.peer), 0);
    struct lido__op write = op_of(&s, LIDO__OP_WRITE, s.got, 5);
    check_int(reactor_settle(s.reactor, &write), -EPIPE);
    s.peer = lido__os_socket(AF_UNIX, SOCK_STREAM, 0);
    tear_down(&s);
}

/* ---- Armed ----------------------------------------------------------------------------------------- */

static void what_would_wait_is_armed_and_handed_back(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    reactor_arm(s.reactor, &s.read);
    check_int(reactor_wait(s.reactor, 0), 0);
    check_int(lido__op_state(&s.read), LIDO__OP_ARMED);
    peer_say(s.peer, "x");
    check_int(reactor_wait(s.reactor, FOREVER), 1);
    check_int(lido__op_state(&s.read), LIDO__OP_READY);
    check_int(reactor_settle(s.reactor, &s.read), 1);
    check_string(s.got, "x");
    tear_down(&s);
}

static void a_write_that_would_wait_is_armed_and_handed_back(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    size_t filled = handle_fill(s.handle);
    struct lido__op write = op_of(&s, LIDO__OP_WRITE, s.got, 1);
    reactor_arm(s.reactor, &write);
    check_int(reactor_wait(s.reactor, 0), 0);
    peer_drain(s.peer, filled);
    check_int(reactor_finish(s.reactor, &write), 1);
    peer_drain(s.peer, 1);
    tear_down(&s);
}

static void an_op_is_handed_back_once(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    reactor_arm(s.reactor, &s.read);
    peer_say(s.peer, "a");
    check_int(reactor_wait(s.reactor, FOREVER), 1);
    peer_say(s.peer, "b"); /* before its task has tried again */
    check_int(reactor_wait(s.reactor, FOREVER), 0);
    check_int(reactor_settle(s.reactor, &s.read), 2);
    check_string(s.got, "ab");
    tear_down(&s);
}

/* Handed back for nothing, it is armed again, and is not lost. */
static void an_op_that_still_would_wait_is_armed_again(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    reactor_arm(s.reactor, &s.read);
    peer_say(s.peer, "a");
    check_int(reactor_wait(s.reactor, FOREVER), 1);
    char byte;
    check_int(lido__os_recv(s.handle->fd, &byte, 1, 0), 1); /* somebody else was quicker */
    reactor_arm(s.reactor, &s.read);
    peer_say(s.peer, "b");
    check_int(reactor_finish(s.reactor, &s.read), 1);
    check_string(s.got, "b");
    tear_down(&s);
}

/* ---- What a transfer tells ------------------------------------------------------------------------- */

/* Had the second read been tried, it would have found what has come since, and be settled. */
static void a_short_read_drains_and_the_next_is_not_tried(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    s.handle->kind = LIDO__HANDLE_TCP;
    peer_say(s.peer, "abc");
    check_int(reactor_settle(s.reactor, &s.read), 3);
    peer_say(s.peer, "d");
    read_anew(&s);
    reactor_arm(s.reactor, &s.read);
    check_int(reactor_finish(s.reactor, &s.read), 1);
    check_string(s.got, "d");
    tear_down(&s);
}

static void a_short_read_of_a_stream_with_boundaries_tells_nothing(
    const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    peer_say(s.peer, "abc");
    check_int(reactor_settle(s.reactor, &s.read), 3);
    peer_say(s.peer, "d");
    read_anew(&s);
    check_int(reactor_settle(s.reactor, &s.read), 1);
    tear_down(&s);
}

static void a_full_read_tells_nothing_and_the_next_is_tried(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    reactor_arm(s.reactor, &s.read);
    s.read.length = 2;
    peer_say(s.peer, "abcd");
    check_int(reactor_finish(s.reactor, &s.read), 2);
    read_anew(&s);
    check_int(reactor_settle(s.reactor, &s.read), 2); /* without an event: that was before */
    check_string(s.got, "cd");
    tear_down(&s);
}

/* There is one event for both, and it is spent on the data. */
static void an_end_behind_the_data_is_read_without_an_event(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    reactor_arm(s.reactor, &s.read);
    peer_say(s.peer, "last words");
    check_int(lido__os_shutdown(s.peer, SHUT_WR), 0);
    check_int(reactor_finish(s.reactor, &s.read), 10);
    for (int i = 0; i < 2; i++) { /* and again: an end stays */
        read_anew(&s);
        check_int(reactor_settle(s.reactor, &s.read), 0);
    }
    tear_down(&s);
}

/* ---- Cancelled ------------------------------------------------------------------------------------- */

static void a_cancelled_op_has_consumed_nothing(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    reactor_arm(s.reactor, &s.read);
    check(ops->cancel(s.reactor, &s.read, -ETIMEDOUT));
    check_int(lido__op_state(&s.read), LIDO__OP_SETTLED);
    check_int(s.read.result, -ETIMEDOUT);
    peer_say(s.peer, "kept");
    check_int(reactor_wait(s.reactor, FOREVER), 0); /* the event is nobody's */
    check_string(s.got, "");
    reactor_expect(s.reactor, s.handle, "kept");
    tear_down(&s);
}

static void an_op_that_was_handed_back_can_be_cancelled(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    reactor_arm(s.reactor, &s.read);
    peer_say(s.peer, "kept");
    check_int(reactor_wait(s.reactor, FOREVER), 1);
    reactor_disarm(s.reactor, &s.read);
    check_string(s.got, "");
    reactor_expect(s.reactor, s.handle, "kept"); /* and what the event said is not forgotten */
    tear_down(&s);
}

static void an_op_on_its_way_back_cannot_be_cancelled(const struct lido__reactor_ops *ops)
{
    struct setting s;
    struct lido__fifo handed;
    set_up(&s, ops);
    reactor_arm(s.reactor, &s.read);
    peer_say(s.peer, "x");
    lido__fifo_init(&handed);
    ops->wait(s.reactor, FOREVER, &handed);
    check(!ops->cancel(s.reactor, &s.read, -ECANCELED));
    check(handed.head == &s.read.link);
    lido__store(&s.read.state, LIDO__OP_READY, LIDO__RELEASE);
    check_int(reactor_settle(s.reactor, &s.read), 1);
    tear_down(&s);
}

/* ---- Refused --------------------------------------------------------------------------------------- */

static void a_second_op_on_a_side_is_busy(const struct lido__reactor_ops *ops)
{
    struct setting s;
    char byte = 'w';
    set_up(&s, ops);
    struct lido__op second = op_of(&s, LIDO__OP_READ, &byte, 1);
    struct lido__op write = op_of(&s, LIDO__OP_WRITE, &byte, 1);
    reactor_arm(s.reactor, &s.read);
    check_int(reactor_settle(s.reactor, &second), -EBUSY);
    check_int(reactor_settle(s.reactor, &write), 1); /* the other side is free */
    peer_say(s.peer, "x");
    check_int(reactor_wait(s.reactor, FOREVER), 1);
    second = op_of(&s, LIDO__OP_READ, &byte, 1);
    check_int(reactor_settle(s.reactor, &second), -EBUSY); /* until the first has tried again */
    check_int(reactor_settle(s.reactor, &s.read), 1);
    check_string(s.got, "x");
    tear_down(&s);
}

int main(void)
{
    static const struct reactor_test tests[] = {
        reactor_test(what_can_be_done_is_done_at_once),
        reactor_test(a_lent_read_needs_no_buffer),
        reactor_test(errors_settle_an_op_too),
        reactor_test(what_would_wait_is_armed_and_handed_back),
        reactor_test(a_write_that_would_wait_is_armed_and_handed_back),
        reactor_test(an_op_is_handed_back_once),
        reactor_test(an_op_that_still_would_wait_is_armed_again),
        reactor_test(a_short_read_drains_and_the_next_is_not_tried),
        reactor_test(a_short_read_of_a_stream_with_boundaries_tells_nothing),
        reactor_test(a_full_read_tells_nothing_and_the_next_is_tried),
        reactor_test(an_end_behind_the_data_is_read_without_an_event),
        reactor_test(a_cancelled_op_has_consumed_nothing),
        reactor_test(an_op_that_was_handed_back_can_be_cancelled),
        reactor_test(an_op_on_its_way_back_cannot_be_cancelled),
        reactor_test(a_second_op_on_a_side_is_busy),
    };
    return reactor_run_tests(tests, COUNT(tests));
}
