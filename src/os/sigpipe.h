/*
 * Calls that raise SIGPIPE and cannot be told not to. For the files of this room only.
 *
 * The signal is kept from the thread during the call and, if the call has raised it, taken away again.
 * (Blocking SIGPIPE in all workers for good would be cheaper, but children would inherit it, and the
 * thread that calls lido_run is not ours.)
 */
#ifndef LIDO_OS_SIGPIPE_H
#define LIDO_OS_SIGPIPE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

struct lido__sigpipe {
    sigset_t before;
    bool pending; /* one came before: it is not ours to take */
};

/* Negative: it cannot be held, and would end the process; the call must not be made. */
int lido__sigpipe_hold(struct lido__sigpipe *sigpipe);
/* `result` of the call: it has raised the signal if that is -EPIPE. */
void lido__sigpipe_let_go(const struct lido__sigpipe *sigpipe, ssize_t result);

#endif
