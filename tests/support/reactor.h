/*
 * Reactors without a scheduler: a test submits, waits and hands back by itself. Each body of a test runs
 * on every reactor of the build.
 */
#ifndef TESTS_SUPPORT_REACTOR_H
#define TESTS_SUPPORT_REACTOR_H

#include "os/os.h"
#include "reactor/reactor.h"
#include "support/check.h"

#define MS ((uint64_t)1000000)
/* So long that a test which waits for it in vain is seen to hang. */
#define FOREVER UINT64_MAX

struct reactor_test {
    const char *name;
    void (*run)(const struct lido__reactor_ops *ops);
};

#define reactor_test(body)                                                                         \
    {                                                                                              \
#body, body                                                                                \
    }

/* Runs all of them on each reactor; returns how many failed, for main. */
int reactor_run_tests(const struct reactor_test *tests, size_t count);

struct lido__reactor *reactor_open(const struct lido__reactor_ops *ops);
void reactor_close(struct lido__reactor *reactor);

/* ---- Handles --------------------------------------------------------------------------------------- */

/* A Unix stream pair: a handle for the one end, the descriptor of the other. */
struct lido__handle *reactor_pair(int *peer);
/* Closes as lido_close does. Nobody waits on it. */
void reactor_close_handle(struct lido__handle *handle);

/* The peer says that, at once. */
void peer_say(int peer, const char *text);
/* Writes to the handle's descriptor until it takes no more, beside all ops; returns how many bytes. */
size_t handle_fill(const struct lido__handle *handle);
/* The peer takes so many bytes. */
void peer_drain(int peer, size_t size);

/* ---- Ops ------------------------------------------------------------------------------------------- */

/* As reactor->ops->submit or retry, for an op that belongs to this reactor. */
bool reactor_submit(struct lido__reactor *reactor, struct lido__op *op);
/* An op that cannot settle at once. */
void reactor_arm(struct lido__reactor *reactor, struct lido__op *op);
/* Takes an armed op back. */
void reactor_disarm(struct lido__reactor *reactor, struct lido__op *op);
/* An op that does settle at once; its result. */
ssize_t reactor_settle(struct lido__reactor *reactor, struct lido__op *op);

/*
 * Waits, and says of each op that comes back that it has; wakes the reactor that it belongs to, if that is
 * another. Returns how many came back.
 */
size_t reactor_wait(struct lido__reactor *reactor, uint64_t timeout);

/* Submits and waits until the op is settled; its result. */
ssize_t reactor_finish(struct lido__reactor *reactor, struct lido__op *op);

/* Reads at once, for what is not tested just then: the text that came. */
void reactor_expect(struct lido__reactor *reactor, struct lido__handle *handle, const char *text);

#endif
