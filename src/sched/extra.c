/* The timer of a task's deadline, and task-locals: what most tasks never need. */
#include <errno.h>
#include <stdlib.h>

#include "base/fault.h"
#include "sched/wake.h"

struct lido__local_value {
    struct lido__local_value *next;
    const lido_local *key;
    void *value;
};

struct lido__extra *lido__extra_of(lido_task *task)
{
    struct lido__extra *extra = task->extra;
    if (task->flags & LIDO__TASK_EXTRA)
        return extra;
    if (!(task->flags & LIDO__TASK_FIBER)) {
        extra = lido__fault("malloc") < 0 ? NULL : malloc(sizeof(*extra));
        if (!extra)
            return NULL;
        task->extra = extra;
    }
    lido__timer_init(&extra->deadline.timer);
    extra->locals = NULL;
    task->flags |= LIDO__TASK_EXTRA;
    return extra;
}

/* The current task's, asked by its own code. */
static struct lido__extra *own_extra(lido_task *task)
{
    if (lido__task_flags(task) & LIDO__TASK_EXTRA)
        return task->extra;
    struct lido__worker *worker = lido__worker_current();
    lido__worker_enter(worker);
    struct lido__extra *extra = lido__extra_of(task);
    lido__worker_leave(worker);
    return extra;
}

/* Destructors may set locals again; they are called until none is left. */
static void destroy_locals(struct lido__extra *extra)
{
    struct lido__local_value *local;
    while ((local = extra->locals)) {
        extra->locals = local->next;
        if (local->value && local->key->destroy)
            local->key->destroy(local->value);
        free(local);
    }
}

void lido__extra_destroy(lido_task *task)
{
    struct lido__extra *extra = task->extra;
    destroy_locals(extra);
    struct lido__worker *worker = lido__worker_current(); /* a destructor may have waited */
    lido__worker_enter(worker);
    lido__wheel_cancel(&worker->wheel, &extra->deadline.timer);
    task->flags &= ~LIDO__TASK_EXTRA;
    lido__worker_leave(worker);
    if (!(lido__task_flags(task) & LIDO__TASK_FIBER))
        free(extra);
}

/*
 * One timer for all deadlines that a task ever has. It is only ever moved to an earlier time: a
 * task that declares a deadline per request, each later than the last, touches the wheel once per
 * deadline's length and not once per request. When it fires too early it is simply armed again.
 */
void lido__worker_arm_deadline(struct lido__worker *worker, lido_task *task)
{
    struct lido__extra *extra = lido__extra_of(task);
    if (!extra || task->deadline <= worker->now)
        return;
    if (lido__timer_armed(&extra->deadline.timer)) {
        if (extra->deadline.timer.expires <= task->deadline)
            return;
        lido__wheel_cancel(&worker->wheel, &extra->deadline.timer);
    }
    extra->deadline.task = task;
    lido__wheel_insert(&worker->wheel, &extra->deadline.timer, task->deadline);
}

static struct lido__local_value *find(const struct lido__extra *extra, const lido_local *key)
{
    struct lido__local_value *local = extra->locals;
    while (local && local->key != key)
        local = local->next;
    return local;
}

int lido_local_set(const lido_local *key, void *value)
{
    lido_task *task = lido_self();
    if (!task)
        return -ENXIO;
    struct lido__extra *extra = own_extra(task);
    if (!extra)
        return -ENOMEM;
    struct lido__local_value *local = find(extra, key);
    if (!local) {
        local = lido__fault("malloc") < 0 ? NULL : malloc(sizeof(*local));
        if (!local)
            return -ENOMEM;
        local->key = key;
        local->next = extra->locals;
        extra->locals = local;
    }
    local->value = value;
    return 0;
}

void *lido_local_get(const lido_local *key)
{
    lido_task *task = lido_self();
    if (!task || !(lido__task_flags(task) & LIDO__TASK_EXTRA))
        return NULL;
    struct lido__local_value *local = find(task->extra, key);
    return local ? local->value : NULL;
}
