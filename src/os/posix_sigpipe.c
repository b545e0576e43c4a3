#include "os/sigpipe.h"

#include <errno.h>
#include <time.h>

#include "os/os.h"

static sigset_t only_sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

int lido__sigpipe_hold(struct lido__sigpipe *sigpipe)
{
    sigset_t set = only_sigpipe(), pending;
    int error = pthread_sigmask(SIG_BLOCK, &set, &sigpipe->before);
    if (error != 0)
        return -error;
    /* One that was not blocked has been delivered, and is not pending. */
    sigpipe->pending = sigismember(&sigpipe->before, SIGPIPE) == 1 && sigpending(&pending) == 0 &&
                       sigismember(&pending, SIGPIPE) == 1;
    return 0;
}

void lido__sigpipe_let_go(const struct lido__sigpipe *sigpipe, ssize_t result)
{
    static const struct timespec at_once;
    sigset_t set = only_sigpipe();
    int error = 0;
    if (result == -EPIPE && !sigpipe->pending)
        while (sigtimedwait(&set, NULL, &at_once) < 0 && (error = errno) == EINTR)
            ;
    if (lido__is_refusal(-error))
        return; /* it cannot be taken away: it stays blocked, and does not end the process */
    pthread_sigmask(SIG_SETMASK, &sigpipe->before, NULL);
}
