#define _GNU_SOURCE

#include "os/backoff.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/call.h"
#include "os/hot.h"

#define SPINS 6u   /* of 1, 2, 4, ... 32 pauses: some microseconds */
#define YIELDS 10u /* after those */
#define SLEEPS 256u
#define SLEEP_STEP_NS (LIDO__BACKOFF_SLEEP_MAX_NS / SLEEPS)

static void spin(uint32_t pauses)
{
    for (uint32_t i = 0; i < pauses; i++)
        lido__hot_relax();
}

/*
 * On a word that is nobody else's: no call but those that lido makes anyhow, which matters in a
 * sandbox, and no cancellation point, as nanosleep is one. If it is refused this is a yield.
 */
static void sleep_for(uint64_t ns)
{
    uint32_t unchanged = 0;
    struct timespec timeout = {.tv_nsec = (long)ns};
    int r = LIDO__CALL_PLAIN(
        (int)syscall(SYS_futex, &unchanged, FUTEX_WAIT_PRIVATE, unchanged, &timeout));
    if (r != -ETIMEDOUT)
        sched_yield();
}

/*
 * Each sleep is a microsecond longer than the one before. Not twice as long: a holder that takes
 * its word again and again is mostly interrupted just after it has taken it, by the end of this
 * sleep, and then many short attempts get the word sooner than a few long ones.
 */
void lido__backoff(struct lido__backoff *backoff)
{
    uint32_t tries = backoff->tries;
    if (tries < SPINS + YIELDS + SLEEPS)
        backoff->tries = ++tries;
    if (tries <= SPINS)
        spin(1u << tries);
    else if (tries <= SPINS + YIELDS)
        sched_yield();
    else
        sleep_for((tries - SPINS - YIELDS) * SLEEP_STEP_NS);
}
