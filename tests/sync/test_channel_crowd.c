/* Many senders and receivers of one channel at once, fibers and futures, some of which are cancelled. */
#include <errno.h>

#include "base/atomic.h"
#include "support/runtime.h"

enum { WORKERS = 4, SENDERS = 8, RECEIVERS = 8, MESSAGES = 1500 };

struct message {
    uint32_t sender;
    uint32_t number;
};

static struct {
    lido_channel *channel;
    uint64_t sent[SENDERS]; /* sums of numbers */
    uint64_t received[SENDERS];
    uint32_t messages;
} account;

static int send_many(void *arg)
{
    struct message message = {(uint32_t)(uintptr_t)arg, 1};
    for (; message.number <= MESSAGES; message.number++) {
        int r = lido_channel_send(account.channel, &message);
        if (r == -ECANCELED)
            break;
        check_int(r, 0);
        lido__fetch_add(&account.sent[message.sender], message.number, LIDO__RELAXED);
    }
    return 0;
}

static void enter(const struct message *message, uint32_t *last)
{
    check(message->number > last[message->sender]);
    last[message->sender] = message->number;
    lido__fetch_add(&account.received[message->sender], message->number, LIDO__RELAXED);
    lido__fetch_add(&account.messages, 1, LIDO__RELAXED);
}

static int receive_many(void *arg)
{
    uint32_t last[SENDERS] = {0};
    struct message message;
    int r;
    (void)arg;
    while ((r = lido_channel_recv(account.channel, &message)) == 0)
        enter(&message, last);
    return r;
}

/* A future that receives, and changes its mind often. */
struct fickle {
    lido_future future;
    lido_wait wait;
    uint32_t polls;
    uint32_t last[SENDERS];
};

static int receive_fickly(lido_future *future, const lido_waker *waker)
{
    struct fickle *self = (struct fickle *)future;
    struct message message;
    int r;
    while ((r = lido_channel_recv_poll(account.channel, &message, &self->wait, waker)) == 0) {
        enter(&message, self->last);
        if (++self->polls % 8 == 0)
            break;
    }
    if (r == 0 || (r == LIDO_PENDING && ++self->polls % 4 == 0)) {
        lido_wait_forgo(&self->wait);
        lido_waker_wake(waker);
        r = LIDO_PENDING;
    }
    return r;
}

static void check_account(void)
{
    for (int i = 0; i < SENDERS; i++)
        check_int(account.received[i], account.sent[i]);
    check(account.messages > 0);
}

static int exchange(void *arg)
{
    lido_task *senders[SENDERS], *receivers[RECEIVERS];
    struct fickle fickle = {{receive_fickly}, LIDO_WAIT_INIT, 0, {0}};
    lido_task *future;
    memset(&account, 0, sizeof(account));
    check_int(lido_channel_new(&account.channel, sizeof(struct message), (size_t)(uintptr_t)arg),
              0);
    for (uintptr_t i = 0; i < RECEIVERS; i++)
        receivers[i] = start_on((unsigned)i % WORKERS, receive_many, NULL);
    check_int(lido_spawn_future(&future, &fickle.future), 0);
    for (uintptr_t i = 0; i < SENDERS; i++)
        senders[i] = start_on((unsigned)(i + 1) % WORKERS, send_many, (void *)i);
    for (size_t i = 0; i < SENDERS; i += 2) {
        for (int n = 0; n < 20; n++)
            lido_yield();
        lido_cancel(senders[i]);
        lido_cancel(receivers[i]);
    }
    for (size_t i = 0; i < SENDERS; i++)
        check_int(finish(senders[i]), 0);
    lido_channel_close(account.channel);
    for (size_t i = 0; i < RECEIVERS; i++) {
        int r = finish(receivers[i]);
        check(r == -EPIPE || (i % 2 == 0 && r == -ECANCELED));
    }
    check_int(finish(future), -EPIPE);
    check_account();
    lido_channel_drop(account.channel);
    return 0;
}

static void no_message_is_lost_doubled_or_out_of_order(void **state)
{
    static const size_t capacities[] = {1, 2, 100};
    (void)state;
    for (size_t i = 0; i < COUNT(capacities); i++)
        run_on(WORKERS, exchange, (void *)capacities[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_message_is_lost_doubled_or_out_of_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
