#define _GNU_SOURCE

#include "pace.h"

#include <poll.h>
#include <sys/prctl.h>
#include <time.h>

/* Each is read and written by the tasks and the sleep of one worker: one after the other. */
static const struct pacer *pacers[PACE_WORKERS];

static void sleep_on(int fd, uint64_t ns)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    struct timespec limit = {.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
    ppoll(&pollfd, 1, ns == UINT64_MAX ? NULL : &limit, NULL);
}

static void park(void *arg, unsigned worker, int fd, uint64_t timeout)
{
    const struct pacer *pacer = worker < PACE_WORKERS ? pacers[worker] : NULL;
    (void)arg;
    if (!pacer || pacer->at == UINT64_MAX) {
        sleep_on(fd, timeout);
        return;
    }
    uint64_t now = lido_now();
    if (pacer->at > now) {
        uint64_t left = pacer->at - now;
        sleep_on(fd, left < timeout ? left : timeout);
        now = lido_now();
    }
    if (pacer->at <= now)
        lido_waker_wake(pacer->waker);
}

/* By default the system lets a thread sleep 50 us longer than it wants. */
static void sharpen(void *arg, unsigned thread)
{
    (void)arg;
    (void)thread;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

void pace_configure(lido_config *config)
{
    static const lido_park parking = {.park = park};
    config->park = &parking;
    config->after_start = sharpen;
}

void pace_set(unsigned worker, const struct pacer *pacer)
{
    pacers[worker] = pacer;
}
