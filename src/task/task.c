#include "task/task.h"

#include "base/slab.h"

static struct lido__slab tasks = LIDO__SLAB_INIT_POISON(LIDO__SLAB_TASK, sizeof(lido_task));

lido_task *lido__task_new(uint32_t refs, uint32_t flags, const char *name, const char *where)
{
    lido_task *task = lido__slab_alloc(&tasks);
    if (!task)
        return NULL;
    task->extra = NULL;
    lido__state_init(&task->state, refs);
    task->name = name;
    task->where = where;
    task->deadline = UINT64_MAX;
    task->flags = flags;
    return task;
}

void lido__task_free(lido_task *task)
{
    lido__slab_free(&tasks, task);
}
