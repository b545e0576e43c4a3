#include "net/pause.h"

#include <errno.h>
#include <pthread.h>

#include "fiber/fiber.h"

#define PATIENCE_FIRST 10
#define PATIENCE_LAST 1000

lido__shared uint32_t lido__paused;

/* Whoever wakes a task holds the lock, and a task that is listed has not left: so it is alive. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lido__node pauses = {&pauses, &pauses};

bool lido__pause_helps(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS;
}

void lido__pause_enter(struct lido__pause *pause)
{
    pause->task = lido_self();
    pause->patience = PATIENCE_FIRST;
    pause->freed = 0;
    pthread_mutex_lock(&lock);
    lido__list_push(&pauses, &pause->node);
    lido__fetch_add(&lido__paused, 1, LIDO__RELAXED);
    pthread_mutex_unlock(&lock);
}

void lido__pause_leave(struct lido__pause *pause)
{
    pthread_mutex_lock(&lock);
    lido__list_remove(&pause->node);
    lido__fetch_sub(&lido__paused, 1, LIDO__RELAXED);
    pthread_mutex_unlock(&lock);
}

/* A task that was told and has not looked yet is not woken again. */
void lido__pause_end_all(void)
{
    pthread_mutex_lock(&lock);
    for (struct lido__node *n = pauses.next; n != &pauses; n = n->next) {
        struct lido__pause *pause = lido__container_of(n, struct lido__pause, node);
        if (!lido__exchange(&pause->freed, 1, LIDO__RELAXED))
            lido__wake(pause->task);
    }
    pthread_mutex_unlock(&lock);
}

static uint64_t next_deadline(struct lido__pause *pause)
{
    uint64_t at = lido__time_after(lido_now(), pause->patience);
    pause->patience = pause->patience * 2 < PATIENCE_LAST ? pause->patience * 2 : PATIENCE_LAST;
    return at;
}

int lido__pause_wait(struct lido__pause *pause)
{
    struct lido__worker *worker = lido__worker_current();
    struct lido__alarm alarm;
    int reason = lido__task_interrupted(worker, pause->task);
    lido__timer_init(&alarm.timer);
    lido__alarm_set(worker, &alarm, next_deadline(pause));
    while (!reason && lido__alarm_is_armed(&alarm) &&
           !lido__exchange(&pause->freed, 0, LIDO__RELAXED)) {
        lido__fiber_suspend(worker, "descriptor");
        worker = lido__worker_current();
        reason = lido__task_interrupted(worker, pause->task);
    }
    lido__alarm_stop(&alarm);
    return reason;
}
