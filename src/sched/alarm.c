/* Alarms: timers that wake a task, and hold it on its worker until they have. */
#include "os/os.h"
#include "sched/wake.h"

void lido__alarm_set(struct lido__worker *worker, struct lido__alarm *alarm, uint64_t at)
{
    lido__worker_enter(worker);
    alarm->task = worker->current;
    alarm->task->anchors++;
    lido__wheel_insert(&worker->wheel, &alarm->timer, at);
    lido__worker_leave(worker);
}

/* If it is armed, the current worker is still the one on whose wheel it is: its task is held there. */
void lido__alarm_stop(struct lido__alarm *alarm)
{
    struct lido__worker *worker = lido__worker_current();
    lido__worker_enter(worker);
    if (lido__timer_armed(&alarm->timer)) {
        lido__wheel_cancel(&worker->wheel, &alarm->timer);
        alarm->task->anchors--;
    }
    lido__worker_leave(worker);
}

bool lido__alarm_is_armed(const struct lido__alarm *alarm)
{
    struct lido__worker *worker = lido__worker_current();
    lido__worker_enter(worker);
    bool armed = lido__timer_armed(&alarm->timer);
    lido__worker_leave(worker);
    return armed;
}

/* If the lifeguard has rung it, the worker's time is from before. */
int lido__alarm_came(struct lido__worker *worker, uint64_t at)
{
    const lido_task *self = worker->current;
    if (at <= self->deadline)
        return 0;
    worker->now = lido__clock_now();
    return lido__task_interrupted(worker, self);
}
