#include "os/sigpipe.h"

#include <errno.h>
#include <time.h>

static sigset_t only_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

void lido__sigpipe_hold(struct lido__sigpipe *sigpipe)
{
    sigset_t set = only_sigpipe(), pending;
    pthread_sigmask(SIG_BLOCK, &set, &sigpipe->before);
    /* One that was not blocked has been delivered, and is not pending. */
    sigpipe->pending = sigismember(&sigpipe->before, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
                       sigismember(&pending, SIGPIPE) == 1;
}

void lido__sigpipe_let_go(const struct lido__sigpipe *sigpipe, ssize_t result)
{
    static const struct timespec at_once;
    sigset_t set = only_sigpipe();
    if (result == -EPIPE && !sigpipe->pending)
        while (sigtimedwait(&set, NULL, &at_once) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &sigpipe->before, NULL);
}
