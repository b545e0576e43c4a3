#include "task/task.h"

struct lido__slab lido__tasks = LIDO__SLAB_INIT_POISON(LIDO__SLAB_TASK, sizeof(lido_task));

void lido__task_free(lido_task *task)
{
    lido__slab_free(&lido__tasks, task);
}
