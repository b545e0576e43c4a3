/*
 * Where a handle is registered: it follows its user from reactor to reactor, leaves nothing behind when it
 * is closed, and events of what it was do no harm to what it is.
 */
#include <errno.h>
#include <unistd.h>

#include "reactor/ready.h"
#include "support/reactor.h"

/* Two reactors, as of two workers, and a pair. */
struct setting {
    struct lido__reactor *first, *second;
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
    s->first = reactor_open(ops);
    s->second = reactor_open(ops);
    s->handle = reactor_pair(&s->peer);
    read_anew(s);
}

static void tear_down(struct setting *s)
{
    reactor_close_handle(s->handle);
    check_int(lido__os_close(s->peer), 0);
    reactor_close(s->second);
    reactor_close(s->first);
}

/* A task has waited there, and does so no more. */
static void register_with(struct setting *s, struct lido__reactor *reactor)
{
    read_anew(s);
    reactor_arm(reactor, &s->read);
    reactor_disarm(reactor, &s->read);
    while (reactor_wait(reactor, 0)) /* what it told about the write side */
        continue;
}

/* A read that waits with this reactor gets what comes, and from no other. */
static void check_served_by(struct setting *s, struct lido__reactor *reactor)
{
    struct lido__reactor *other = reactor == s->first ? s->second : s->first;
    read_anew(s);
    reactor_arm(reactor, &s->read);
    peer_say(s->peer, "x");
    check_int(reactor_wait(other, 0), 0);
    check_int(reactor_finish(reactor, &s->read), 1);
    check_string(s->got, "x");
}

/* ---- While it is used ------------------------------------------------------------------------------ */

static void readiness_while_nobody_waits_is_kept(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    register_with(&s, s.first);
    peer_say(s.peer, "kept");
    check_int(reactor_wait(s.first, FOREVER), 0);
    reactor_expect(s.first, s.handle, "kept");
    tear_down(&s);
}

static void an_end_while_nobody_waits_is_kept(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    register_with(&s, s.first);
    check_int(lido__os_shutdown(s.peer, SHUT_WR), 0);
    check_int(reactor_wait(s.first, FOREVER), 0);
    read_anew(&s);
    check_int(reactor_settle(s.first, &s.read), 0);
    tear_down(&s);
}

/* ---- From reactor to reactor ----------------------------------------------------------------------- */

static void a_handle_follows_its_user(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    for (int i = 0; i < 3; i++) {
        check_served_by(&s, s.first);
        check_served_by(&s, s.second);
    }
    tear_down(&s);
}

static void what_comes_while_it_moves_is_not_missed(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    register_with(&s, s.first);
    peer_say(s.peer, "x"); /* the first reactor knows, but does not come to say so */
    read_anew(&s);
    reactor_arm(s.second, &s.read);
    check_int(reactor_wait(s.first, 0), 0);
    check_int(reactor_finish(s.second, &s.read), 1);
    tear_down(&s);
}

static void a_handle_stays_while_its_other_side_is_waited_on(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    size_t filled = handle_fill(s.handle);
    struct lido__op write;
    lido__op_init(&write, LIDO__OP_WRITE, s.handle, s.got, 1);
    reactor_arm(s.first, &write);
    reactor_arm(s.second, &s.read);
    peer_say(s.peer, "x");
    check_int(reactor_wait(s.first, FOREVER), 1);
    check_int(reactor_settle(s.second, &s.read), 1);
    peer_drain(s.peer, filled);
    check_int(reactor_finish(s.first, &write), 1);
    check_served_by(&s, s.second); /* nobody waits there any more */
    tear_down(&s);
}

static void a_released_handle_can_be_registered_elsewhere(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    register_with(&s, s.first);
    ops->release(s.first, s.handle);
    check(lido__handle_reactor(s.handle) == NULL);
    peer_say(s.peer, "x");
    uint64_t begin = lido__clock_now();
    check_int(reactor_wait(s.first, MS), 0);
    check(lido__clock_now() - begin >= MS); /* it was not even woken */
    read_anew(&s);
    reactor_arm(s.second, &s.read);
    check_int(reactor_finish(s.second, &s.read), 1);
    tear_down(&s);
}

/*
 * Two tasks on two workers that wait for the first time at the same moment both find it registered
 * nowhere. `second` is the last to say where it is.
 */
static void register_with_both(struct setting *s)
{
    register_with(s, s->first);
    lido__handle_register(s->handle, NULL, 0);
    register_with(s, s->second);
}

static void a_handle_that_was_registered_twice_works_on_both(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    register_with_both(&s);
    check_served_by(&s, s.first);
    check_served_by(&s, s.second);
    tear_down(&s);
}

/* ---- Closed ---------------------------------------------------------------------------------------- */

static void a_close_takes_the_ops_of_both_sides(const struct lido__reactor_ops *ops)
{
    struct setting s;
    struct lido__fifo taken;
    set_up(&s, ops);
    handle_fill(s.handle);
    struct lido__op write;
    lido__op_init(&write, LIDO__OP_WRITE, s.handle, s.got, 1);
    reactor_arm(s.first, &write);
    reactor_arm(s.first, &s.read);
    peer_say(s.peer, "x");
    check_int(reactor_wait(s.first, FOREVER), 1); /* the read has been handed back */
    lido__fifo_init(&taken);
    lido__ready_take(s.handle, &taken);
    check(lido__fifo_pop(&taken) == &s.read.link);
    check(lido__fifo_pop(&taken) == &write.link);
    check(lido__fifo_empty(&taken));
    /* Its task tries again before it is told: it must leave the descriptor alone. */
    check(!reactor_submit(s.first, &s.read));
    check_string(s.got, "");
    check(!ops->cancel(s.first, &s.read, -ETIMEDOUT));
    lido__op_settle(&s.read, -ECANCELED);
    lido__op_settle(&write, -ECANCELED);
    tear_down(&s);
}

/*
 * The handle's memory is used again for another descriptor, while something (a child between fork and exec)
 * holds the old file open. Returns that file's descriptor.
 */
static int replace_handle(struct setting *s, int *old_peer)
{
    struct lido__handle *old = s->handle;
    int held = dup(old->fd);
    check(held >= 0);
    *old_peer = s->peer;
    reactor_close_handle(old);
    s->handle = reactor_pair(&s->peer);
    check(s->handle == old);
    return held;
}

static void check_old_file_is_forgotten(struct setting *s, struct lido__reactor *reactor)
{
    int old_peer;
    int held = replace_handle(s, &old_peer);
    read_anew(s);
    reactor_arm(s->second, &s->read);
    while (reactor_wait(s->second, 0))
        continue;
    peer_say(old_peer, "for nobody");
    check_int(reactor_wait(reactor, MS), 0);
    check_int(lido__op_state(&s->read), LIDO__OP_ARMED);
    peer_say(s->peer, "y");
    check_int(reactor_finish(s->second, &s->read), 1);
    check_string(s->got, "y");
    check_int(lido__os_close(held), 0);
    check_int(lido__os_close(old_peer), 0);
}

static void events_of_a_closed_file_are_nobodys(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    register_with(&s, s.first);
    check_old_file_is_forgotten(&s, s.first);
    tear_down(&s);
}

/* One of two registrations is left behind, and tells of a handle that is another's. */
static void events_of_a_handle_that_was_another_are_dropped(const struct lido__reactor_ops *ops)
{
    struct setting s;
    set_up(&s, ops);
    register_with_both(&s);
    check_old_file_is_forgotten(&s, s.first);
    tear_down(&s);
}

int main(void)
{
    static const struct reactor_test tests[] = {
        reactor_test(readiness_while_nobody_waits_is_kept),
        reactor_test(an_end_while_nobody_waits_is_kept),
        reactor_test(a_handle_follows_its_user),
        reactor_test(what_comes_while_it_moves_is_not_missed),
        reactor_test(a_handle_stays_while_its_other_side_is_waited_on),
        reactor_test(a_released_handle_can_be_registered_elsewhere),
        reactor_test(a_handle_that_was_registered_twice_works_on_both),
        reactor_test(a_close_takes_the_ops_of_both_sides),
        reactor_test(events_of_a_closed_file_are_nobodys),
        reactor_test(events_of_a_handle_that_was_another_are_dropped),
    };
    return reactor_run_tests(tests, COUNT(tests));
}
