#include "rt/ending.h"

#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"
#include "sched/section.h"

#define NAME_MOST 127 /* bytes of a task's name that are told */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key; /* a process can have used up all of them: then nobody is told */
static char forbidden;

static void on_end(void *value)
{
    char text[512];
    const lido_task *task = lido__task_of_thread();
    (void)value;
    if (task)
        snprintf(text, sizeof(text),
                 "task %.*s, spawned at %s, has ended its thread (pthread_exit, pthread_cancel)",
                 NAME_MOST, task->name ? task->name : "(unnamed)", task->where);
    else
        snprintf(text, sizeof(text),
                 "a thread of a runtime was ended (pthread_exit, pthread_cancel)");
    lido__misused(text);
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, on_end) == 0;
}

void *lido__ending_forbid(void)
{
    pthread_once(&once, make_key);
    if (!has_key)
        return NULL;
    void *before = pthread_getspecific(key);
    pthread_setspecific(key, &forbidden);
    return before;
}

void lido__ending_allow(void *before)
{
    if (has_key)
        pthread_setspecific(key, before);
}
