/*
 * An op that reports a result did happen; one that reports an error consumed nothing. For each kind
 * of op: cancelled or late before it begins, while it waits, when its event has come but not its
 * turn, and at the same moment as its event on another worker.
 */
#include <errno.h>
#include <sys/socket.h>

#include "net/net.h"
#include "os/os.h"
#include "support/net.h"

#define TEXT "abcd"
#define SIZE 4

/* What an op is made on. Made anew for each attempt, in a state in which the op has to wait. */
struct subject {
    const struct kind *kind;
    lido_stream *pair[2]; /* the op's end is the first */
    lido_listener *listener;
    lido_stream *client, *server;
    size_t filled; /* bytes in the way of a write */
    char buffer[SIZE];
    lido_future future; /* for the ops of futures */
    lido_op op;
};

struct kind {
    const char *name;
    void (*init)(struct subject *subject);
    /* The op: in a fiber, or started for a future. */
    ssize_t (*perform)(struct subject *subject);
    void (*begin)(struct subject *subject);
    /* Makes the op possible. From any worker. */
    void (*allow)(struct subject *subject);
    /* After `allow`, with what the op has returned: it happened, or it did not. */
    void (*check_happened)(struct subject *subject, ssize_t result);
    void (*check_untouched)(struct subject *subject);
    unsigned side;
};

/* ---- Reading ------------------------------------------------------------------------------------ */

static void read_init(struct subject *subject)
{
    net_pair(subject->pair);
}

static ssize_t read_perform(struct subject *subject)
{
    return lido_read(subject->pair[0], subject->buffer, SIZE);
}

static ssize_t readv_perform(struct subject *subject)
{
    lido_slice slices[] = {{subject->buffer, 1}, {&subject->buffer[1], SIZE - 1}};
    return lido_readv(subject->pair[0], slices, 2);
}

static ssize_t peek_perform(struct subject *subject)
{
    return lido_peek(subject->pair[0], subject->buffer, SIZE);
}

static void read_begin(struct subject *subject)
{
    lido_op_read(&subject->op, subject->pair[0], subject->buffer, SIZE);
}

static void read_lent_begin(struct subject *subject)
{
    lido_op_read(&subject->op, subject->pair[0], NULL, 0);
}

static void readable_begin(struct subject *subject)
{
    lido_op_readable(&subject->op, subject->pair[0]);
}

/* In one piece, and without an op of lido's that could be in the way of what is tested. */
static void read_allow(struct subject *subject)
{
    check_int(lido__os_send(lido_stream_fd(subject->pair[1]), TEXT, SIZE, 0), SIZE);
}

static void check_nothing_left(struct subject *subject)
{
    char byte;
    check_int(lido__os_recv(lido_stream_fd(subject->pair[0]), &byte, 1, 0), -EAGAIN);
}

static void read_happened(struct subject *subject, ssize_t result)
{
    check_int(result, SIZE);
    check_bytes(subject->buffer, TEXT, SIZE);
    check_nothing_left(subject);
}

static void read_lent_happened(struct subject *subject, ssize_t result)
{
    check_int(result, SIZE);
    check_nothing_left(subject);
}

static void read_untouched(struct subject *subject)
{
    net_expect(subject->pair[0], TEXT);
    check_nothing_left(subject);
}

static void peek_happened(struct subject *subject, ssize_t result)
{
    check_int(result, SIZE);
    check_bytes(subject->buffer, TEXT, SIZE);
    read_untouched(subject);
}

static void readable_happened(struct subject *subject, ssize_t result)
{
    check_int(result, 0);
    read_untouched(subject);
}

/* ---- Writing ------------------------------------------------------------------------------------ */

static void write_init(struct subject *subject)
{
    net_unix_pair(subject->pair);
    subject->filled = net_fill(subject->pair[0]);
}

static ssize_t write_perform(struct subject *subject)
{
    return lido_write(subject->pair[0], TEXT, SIZE);
}

static ssize_t writev_perform(struct subject *subject)
{
    lido_slice slices[] = {{TEXT, 1}, {&TEXT[1], SIZE - 1}};
    return lido_writev(subject->pair[0], slices, 2);
}

static void write_begin(struct subject *subject)
{
    lido_op_write(&subject->op, subject->pair[0], TEXT, SIZE);
}

static void writable_begin(struct subject *subject)
{
    lido_op_writable(&subject->op, subject->pair[0]);
}

/* Takes what is in the way, exactly: what the op writes behind it stays. */
static void write_allow(struct subject *subject)
{
    static __thread char scrap[65536];
    while (subject->filled > 0) {
        size_t most = subject->filled < sizeof(scrap) ? subject->filled : sizeof(scrap);
        ssize_t n = lido__os_recv(lido_stream_fd(subject->pair[1]), scrap, most, 0);
        check(n > 0);
        subject->filled -= (size_t)n;
    }
}

static void write_untouched(struct subject *subject)
{
    char byte;
    check_int(lido__os_recv(lido_stream_fd(subject->pair[1]), &byte, 1, 0), -EAGAIN);
    net_say(subject->pair[0], TEXT);
    net_expect(subject->pair[1], TEXT);
}

static void write_happened(struct subject *subject, ssize_t result)
{
    check_int(result, SIZE);
    net_expect(subject->pair[1], TEXT);
    write_untouched(subject);
}

static void writable_happened(struct subject *subject, ssize_t result)
{
    check_int(result, 0);
    write_untouched(subject);
}

/* ---- Accepting ---------------------------------------------------------------------------------- */

static void accept_init(struct subject *subject)
{
    subject->listener = net_listen();
}

static ssize_t accept_perform(struct subject *subject)
{
    return lido_accept(subject->listener, &subject->server, NULL);
}

static void accept_begin(struct subject *subject)
{
    lido_op_accept(&subject->op, subject->listener, &subject->server);
}

static void accept_allow(struct subject *subject)
{
    subject->client = net_connect(subject->listener);
}

static void check_backlog_empty(struct subject *subject)
{
    check_int(lido__os_accept(lido_listener_fd(subject->listener), NULL, NULL), -EAGAIN);
}

static void accept_happened(struct subject *subject, ssize_t result)
{
    check_int(result, 0);
    check_backlog_empty(subject);
    net_say(subject->client, TEXT);
    net_expect(subject->server, TEXT);
}

static void accept_untouched(struct subject *subject)
{
    check(subject->server == NULL);
    subject->server = net_accept(subject->listener);
    accept_happened(subject, 0);
}

/* ---- All kinds ---------------------------------------------------------------------------------- */

static const struct kind kinds[] = {
    {"read", read_init, read_perform, NULL, read_allow, read_happened, read_untouched, 0},
    {"readv", read_init, readv_perform, NULL, read_allow, read_happened, read_untouched, 0},
    {"peek", read_init, peek_perform, NULL, read_allow, peek_happened, read_untouched, 0},
    {"write", write_init, write_perform, NULL, write_allow, write_happened, write_untouched, 1},
    {"writev", write_init, writev_perform, NULL, write_allow, write_happened, write_untouched, 1},
    {"accept", accept_init, accept_perform, NULL, accept_allow, accept_happened, accept_untouched,
     0},
    {"op_read", read_init, NULL, read_begin, read_allow, read_happened, read_untouched, 0},
    {"op_read, lent", read_init, NULL, read_lent_begin, read_allow, read_lent_happened,
     read_untouched, 0},
    {"op_readable", read_init, NULL, readable_begin, read_allow, readable_happened, read_untouched,
     0},
    {"op_write", write_init, NULL, write_begin, write_allow, write_happened, write_untouched, 1},
    {"op_writable", write_init, NULL, writable_begin, write_allow, writable_happened,
     write_untouched, 1},
    {"op_accept", accept_init, NULL, accept_begin, accept_allow, accept_happened, accept_untouched,
     0},
};

static struct subject *subject_new(const struct kind *kind)
{
    struct subject *subject = calloc(1, sizeof(*subject));
    check(subject != NULL);
    subject->kind = kind;
    kind->init(subject);
    return subject;
}

static void subject_free(struct subject *subject)
{
    net_close_pair(subject->pair);
    lido_close(subject->client);
    lido_close(subject->server);
    lido_listener_close(subject->listener);
    free(subject);
}

static int perform(void *arg)
{
    struct subject *subject = arg;
    return (int)subject->kind->perform(subject);
}

static int poll_op(lido_future *future, const lido_waker *waker)
{
    struct subject *subject = lido__container_of(future, struct subject, future);
    return (int)lido_op_poll(&subject->op, waker);
}

/* A task that makes the op. */
static lido_task *begin_on(unsigned worker, struct subject *subject)
{
    lido_spawn_options options = LIDO_SPAWN_OPTIONS_INIT;
    lido_task *task;
    if (!subject->kind->begin)
        return start_on(worker, perform, subject);
    subject->kind->begin(subject);
    subject->future.poll = poll_op;
    options.placement = LIDO_PLACE_WORKER;
    options.worker = worker;
    check_int(lido_spawn_future_with(&task, &subject->future, &options), 0);
    return task;
}

static lido_task *begin(struct subject *subject)
{
    return begin_on((unsigned)lido_worker_index(), subject);
}

static uintptr_t side_of(struct subject *subject)
{
    struct lido__handle *handle = subject->listener ? &subject->listener->handle
                                                    : &subject->pair[0]->handle;
    return lido__load(&handle->side[subject->kind->side], LIDO__ACQUIRE);
}

static bool waits(void *subject)
{
    return lido__side_waits(side_of(subject));
}

/* Its event has come, its task has not run since. */
static bool has_its_event(void *subject)
{
    uintptr_t side = side_of(subject);
    return lido__side_op(side) && side & LIDO__SIDE_WHAT && !lido__side_waits(side) &&
           !(side & LIDO__SIDE_TRYING);
}

/* One attempt with each kind. */
static int for_each_kind(void *attempt)
{
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct subject *subject = subject_new(&kinds[i]);
        (*(void (**)(struct subject *))attempt)(subject);
        subject_free(subject);
    }
    return 0;
}

static void try_each_kind(unsigned workers, void (*attempt)(struct subject *subject))
{
    run_on(workers, for_each_kind, &attempt);
}

/* ---- Cancelled or late -------------------------------------------------------------------------- */

static void just_allow(struct subject *subject)
{
    lido_task *task = begin(subject);
    await_that(waits, subject);
    subject->kind->allow(subject);
    subject->kind->check_happened(subject, finish(task));
}

static void an_op_that_waited_happens_once(void **state)
{
    (void)state;
    try_each_kind(1, just_allow);
}

static void cancel_before(struct subject *subject)
{
    subject->kind->allow(subject);
    lido_task *task = begin(subject);
    lido_cancel(task);
    check_int(finish(task), -ECANCELED);
    subject->kind->check_untouched(subject);
}

static void an_op_of_a_cancelled_task_consumes_nothing(void **state)
{
    (void)state;
    try_each_kind(1, cancel_before);
}

static void late_before(struct subject *subject)
{
    lido_task *task;
    subject->kind->allow(subject);
    {
        lido_within(0);
        task = begin(subject);
    }
    check_int(finish(task), -ETIMEDOUT);
    subject->kind->check_untouched(subject);
}

static void an_op_that_begins_after_the_deadline_consumes_nothing(void **state)
{
    (void)state;
    try_each_kind(1, late_before);
}

static void cancel_waiting(struct subject *subject)
{
    lido_task *task = begin(subject);
    await_that(waits, subject);
    lido_cancel(task);
    check_int(finish(task), -ECANCELED);
    subject->kind->allow(subject);
    subject->kind->check_untouched(subject);
}

static void an_op_that_is_cancelled_while_it_waits_consumes_nothing(void **state)
{
    (void)state;
    try_each_kind(1, cancel_waiting);
}

static void late_waiting(struct subject *subject)
{
    lido_task *task;
    {
        lido_within(3);
        task = begin(subject);
    }
    check_int(finish(task), -ETIMEDOUT);
    subject->kind->allow(subject);
    subject->kind->check_untouched(subject);
}

static void an_op_that_waits_past_its_deadline_consumes_nothing(void **state)
{
    (void)state;
    try_each_kind(1, late_waiting);
}

static void cancel_after_event(struct subject *subject)
{
    lido_task *task = begin(subject);
    await_that(waits, subject);
    subject->kind->allow(subject);
    await_that(has_its_event, subject);
    lido_cancel(task);
    check_int(finish(task), -ECANCELED);
    subject->kind->check_untouched(subject);
}

static void an_op_that_is_cancelled_between_its_event_and_its_turn_consumes_nothing(void **state)
{
    (void)state;
    try_each_kind(1, cancel_after_event);
}

/* ---- At the same moment ------------------------------------------------------------------------- */

#define RACES 100

static void check_either(struct subject *subject, int result, int error)
{
    if (result == error)
        subject->kind->check_untouched(subject);
    else
        subject->kind->check_happened(subject, result);
}

/* The event first or the cancellation first, and nothing in between; from this worker at another. */
static int race(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT(kinds) * RACES; i++) {
        struct subject *subject = subject_new(&kinds[i % COUNT(kinds)]);
        lido_task *task = begin_on(1, subject);
        await_that(waits, subject);
        if (i / COUNT(kinds) % 4) {
            subject->kind->allow(subject);
            lido_cancel(task);
        } else {
            lido_cancel(task);
            subject->kind->allow(subject);
        }
        check_either(subject, finish(task), -ECANCELED);
        subject_free(subject);
    }
    return 0;
}

static void an_op_that_is_cancelled_as_its_event_comes_happens_or_consumes_nothing(void **state)
{
    (void)state;
    run_on(2, race, NULL);
}

/* The event comes when the deadline does, give or take. */
static int race_deadline(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < COUNT(kinds) * RACES / 5; i++) {
        struct subject *subject = subject_new(&kinds[i % COUNT(kinds)]);
        lido_task *task;
        {
            lido_within(1);
            task = begin_on(1, subject);
        }
        check_int(lido_sleep(1), 0);
        subject->kind->allow(subject);
        check_either(subject, finish(task), -ETIMEDOUT);
        subject_free(subject);
    }
    return 0;
}

static void an_op_whose_deadline_comes_with_its_event_happens_or_consumes_nothing(void **state)
{
    (void)state;
    run_on(2, race_deadline, NULL);
}

/* ---- Connecting --------------------------------------------------------------------------------- */

static int connect_to(void *arg)
{
    struct subject *subject = arg;
    lido_address address = net_address(subject->listener);
    return lido_connect(&subject->client, &address);
}

/* A connect that reports an error leaves no connection behind, at most one that has ended. */
static void check_no_connection(struct subject *subject)
{
    int fd = lido__os_accept(lido_listener_fd(subject->listener), NULL, NULL);
    check(subject->client == NULL);
    if (fd == -EAGAIN)
        return;
    check_int(lido_stream_from_fd(&subject->server, fd), 0);
    ssize_t r = lido_read(subject->server, subject->buffer, SIZE);
    check(r == 0 || r == -ECONNRESET);
}

static int race_connect(void *arg)
{
    (void)arg;
    for (int i = 0; i < RACES; i++) {
        struct subject subject = {.listener = net_listen()};
        lido_task *task = start_on(1, connect_to, &subject);
        for (int spins = 0; spins < i * 50; spins++)
            lido_now();
        lido_cancel(task);
        int r = finish(task);
        if (r == 0) {
            subject.server = net_accept(subject.listener);
            accept_happened(&subject, 0);
        } else {
            check_int(r, -ECANCELED);
            check_no_connection(&subject);
        }
        lido_close(subject.client);
        lido_close(subject.server);
        lido_listener_close(subject.listener);
    }
    return 0;
}

static void a_connect_that_is_cancelled_has_connected_or_leaves_nothing(void **state)
{
    (void)state;
    run_on(2, race_connect, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_op_that_waited_happens_once),
        cmocka_unit_test(an_op_of_a_cancelled_task_consumes_nothing),
        cmocka_unit_test(an_op_that_begins_after_the_deadline_consumes_nothing),
        cmocka_unit_test(an_op_that_is_cancelled_while_it_waits_consumes_nothing),
        cmocka_unit_test(an_op_that_waits_past_its_deadline_consumes_nothing),
        cmocka_unit_test(an_op_that_is_cancelled_between_its_event_and_its_turn_consumes_nothing),
        cmocka_unit_test(an_op_that_is_cancelled_as_its_event_comes_happens_or_consumes_nothing),
        cmocka_unit_test(an_op_whose_deadline_comes_with_its_event_happens_or_consumes_nothing),
        cmocka_unit_test(a_connect_that_is_cancelled_has_connected_or_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
