#include "base/fault.h"

#ifdef LIDO_FAULTS

#include <pthread.h>
#include <string.h>

/* Everything is behind one mutex: only test builds come here, and their order matters, not speed. */
static struct {
    pthread_mutex_t lock;
    const char *name; /* NULL: any */
    uint64_t nth;     /* 0: no plan */
    int lasts;        /* those after the nth fail too */
    uint64_t count;   /* calls that matched */
    int error;
    const char *hit; /* the call that failed */
} plan = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int judge(const char *name)
{
    if (plan.name && strcmp(plan.name, name) != 0)
        return 0;
    plan.count++;
    if (plan.nth == 0 || plan.count < plan.nth || (plan.count > plan.nth && !plan.lasts))
        return 0;
    plan.hit = name;
    return plan.error;
}

int lido__fault(const char *name)
{
    pthread_mutex_lock(&plan.lock);
    int error = judge(name);
    pthread_mutex_unlock(&plan.lock);
    return error;
}

static void make_plan(const char *name, uint64_t nth, int error, int lasts)
{
    pthread_mutex_lock(&plan.lock);
    plan.name = name;
    plan.nth = nth;
    plan.lasts = lasts;
    plan.count = 0;
    plan.error = error;
    plan.hit = NULL;
    pthread_mutex_unlock(&plan.lock);
}

void lido__fault_plan(const char *name, uint64_t nth, int error)
{
    make_plan(name, nth, error, 0);
}

void lido__fault_plan_from(const char *name, uint64_t nth, int error)
{
    make_plan(name, nth, error, 1);
}

void lido__fault_clear(void)
{
    lido__fault_plan(NULL, 0, 0);
}

const char *lido__fault_hit(void)
{
    pthread_mutex_lock(&plan.lock);
    const char *hit = plan.hit;
    pthread_mutex_unlock(&plan.lock);
    return hit;
}

uint64_t lido__fault_count(void)
{
    pthread_mutex_lock(&plan.lock);
    uint64_t count = plan.count;
    pthread_mutex_unlock(&plan.lock);
    return count;
}

#endif
