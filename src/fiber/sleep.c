/* Waiting for time to pass. */
#include <errno.h>

#include "fiber/fiber.h"
#include "os/os.h"

int lido_sleep_until(uint64_t ns)
{
    struct lido__alarm alarm;
    int reason;
    struct lido__worker *worker = lido__fiber_worker(&reason);
    if (!worker)
        return reason;
    worker->now = lido__clock_now(); /* the deadline is held against it */
    if (ns <= worker->now)
        return lido_yield();
    reason = lido__task_interrupted(worker, worker->current);
    if (reason)
        return reason;
    lido__timer_init(&alarm.timer);
    lido__alarm_set(worker, &alarm, ns);
    do {
        lido__fiber_suspend(worker, "sleep");
        worker = lido__worker_current();
        if (!lido__alarm_is_armed(&alarm))
            return lido__alarm_came(worker, ns);
        reason = lido__task_interrupted(worker, worker->current);
    } while (!reason);
    lido__alarm_stop(&alarm);
    return reason;
}

int lido_sleep(int64_t ms)
{
    return lido_sleep_until(lido__time_after(lido__clock_now(), ms));
}

int lido_interval_init(lido_interval *interval, int64_t period_ms, lido_missed missed)
{
    if (period_ms <= 0 || period_ms > INT64_MAX / 1000000 || (unsigned)missed > LIDO_MISSED_SKIP)
        return -EINVAL;
    interval->period = (uint64_t)period_ms * 1000000;
    interval->next = lido__clock_now() + interval->period;
    interval->missed = missed;
    return 0;
}

int lido_interval_tick(lido_interval *interval)
{
    int r = lido_sleep_until(interval->next);
    if (r < 0)
        return r;
    uint64_t now = lido__clock_now();
    switch (interval->missed) {
    case LIDO_MISSED_BURST: interval->next += interval->period; break;
    case LIDO_MISSED_DELAY: interval->next = now + interval->period; break;
    case LIDO_MISSED_SKIP:
        interval->next += interval->period * (1 + (now - interval->next) / interval->period);
        break;
    }
    return 0;
}
