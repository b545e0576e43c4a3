#include "task/task.h"

struct lido__slab lido__tasks = LIDO__SLAB_INIT_POISON(LIDO__SLAB_TASK, sizeof(lido_task));

/* Relaxed: nobody has a reference. For those who use one all the same. */
void lido__task_free(lido_task *task)
{
    lido__store(&task->state.word, 0, LIDO__RELAXED);
    lido__slab_free(&lido__tasks, task);
}
