#define _GNU_SOURCE

#include "pace.h"

#include <poll.h>
#include <sys/prctl.h>
#include <time.h>

/* Each is read and written by the tasks and the sleep of one worker: one after the other. */
static const struct pacer *pacers[PACE_WORKERS];

static bool spins;

/* Until `fd` is readable (then true), or for so long. */
static bool sleep_on(int fd, uint64_t ns)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    struct timespec limit = {.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
    return ppoll(&pollfd, 1, ns == UINT64_MAX ? NULL : &limit, NULL) != 0;
}

/* The same, awake. */
static void spin_on(int fd, uint64_t ns)
{
    uint64_t began = lido_now();
    while (!sleep_on(fd, 0) && lido_now() - began < ns)
        continue;
}

/* May return early, with nothing to do. */
static void park(void *arg, unsigned worker, int fd, uint64_t timeout)
{
    const struct pacer *pacer = worker < PACE_WORKERS ? pacers[worker] : NULL;
    uint64_t now = lido_now();
    (void)arg;
    if (pacer && pacer->at != UINT64_MAX) {
        uint64_t left = pacer->at > now ? pacer->at - now : 0;
        timeout = left < timeout ? left : timeout;
    }
    if (pacer && spins)
        spin_on(fd, timeout);
    else if (timeout > 0)
        sleep_on(fd, timeout);
    if (pacer && pacer->at <= lido_now())
        lido_waker_wake(pacer->waker);
}

/* By default the system lets a thread sleep 50 us longer than it wants. */
static void sharpen(void *arg, unsigned thread)
{
    (void)arg;
    (void)thread;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

void pace_configure(lido_config *config, bool spin)
{
    static const lido_park parking = {.park = park};
    spins = spin;
    config->park = &parking;
    config->after_start = sharpen;
}

void pace_set(unsigned worker, const struct pacer *pacer)
{
    pacers[worker] = pacer;
}
