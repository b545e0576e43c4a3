#define _GNU_SOURCE

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "base/bits.h"
#include "os/call.h"
#include "os/os.h"

static int pin_mask(int cpu, cpu_set_t *ret_mask)
{
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return -EINVAL;
    CPU_ZERO(ret_mask);
    CPU_SET(cpu, ret_mask);
    return 0;
}

/* The attributes are initialised, also on error. */
static int set_attributes(pthread_attr_t *attributes, const struct lido__thread_config *config)
{
    cpu_set_t mask;
    int r = 0;
    if (config->stack_size) {
        size_t size = lido__round_up(config->stack_size, lido__page_size());
        size_t least = (size_t)PTHREAD_STACK_MIN;
        r = -pthread_attr_setstacksize(attributes, size < least ? least : size);
    }
    if (r == 0 && config->cpu != LIDO__CPU_ANY)
        r = pin_mask(config->cpu, &mask);
    if (r == 0 && config->cpu != LIDO__CPU_ANY)
        r = -pthread_attr_setaffinity_np(attributes, sizeof(mask), &mask);
    return r;
}

static void *enter(void *arg)
{
    struct lido__thread *thread = arg;
    if (thread->name[0])
        lido__thread_set_name(thread->name);
    thread->run(thread->arg);
    return NULL;
}

int lido__thread_start(struct lido__thread *thread, const struct lido__thread_config *config,
                       void (*run)(void *arg), void *arg)
{
    static const struct lido__thread_config plain = {.cpu = LIDO__CPU_ANY};
    pthread_attr_t attributes;

    if (!config)
        config = &plain;
    int r = lido__fault("pthread_create");
    if (r == 0)
        r = -pthread_attr_init(&attributes);
    if (r < 0)
        return r;

    thread->run = run;
    thread->arg = arg;
    snprintf(thread->name, sizeof(thread->name), "%s", config->name ? config->name : "");
    r = set_attributes(&attributes, config);
    if (r == 0)
        r = -pthread_create(&thread->id, &attributes, enter, thread);
    pthread_attr_destroy(&attributes);
    /* A sandbox that lets no thread start is a limit of threads; one that lets none be pinned says so. */
    if (lido__is_refusal(r))
        r = config->cpu == LIDO__CPU_ANY ? -EAGAIN : -EPERM;
    return r;
}

int lido__thread_join(struct lido__thread *thread)
{
    return -pthread_join(thread->id, NULL);
}

void lido__thread_detach(const struct lido__thread *thread)
{
    pthread_detach(thread->id);
}

/* However a sandbox refuses it. */
static int refused(int result)
{
    return lido__is_refusal(result) ? -EPERM : result;
}

int lido__thread_pin(int cpu)
{
    cpu_set_t mask;
    int r = pin_mask(cpu, &mask);
    if (r < 0)
        return r;
    return refused(LIDO__CALL("sched_setaffinity", sched_setaffinity(0, sizeof(mask), &mask)));
}

int lido__thread_get_cpus(struct lido__cpus *ret_cpus)
{
    return refused(LIDO__CALL("sched_getaffinity",
                              sched_getaffinity(0, sizeof(*ret_cpus), (cpu_set_t *)ret_cpus)));
}

int lido__thread_set_cpus(const struct lido__cpus *cpus)
{
    return refused(LIDO__CALL("sched_setaffinity",
                              sched_setaffinity(0, sizeof(*cpus), (const cpu_set_t *)cpus)));
}

void lido__thread_set_name(const char *name)
{
    char cut[LIDO__THREAD_NAME_MAX];
    snprintf(cut, sizeof(cut), "%s", name);
    pthread_setname_np(pthread_self(), cut);
}

int lido__thread_stack(void **ret_low, size_t *ret_size)
{
    pthread_attr_t attributes;
    int error = pthread_getattr_np(pthread_self(), &attributes);
    if (error != 0)
        return -error;
    pthread_attr_getstack(&attributes, ret_low, ret_size);
    pthread_attr_destroy(&attributes);
    return 0;
}

void lido__thread_sleep_precisely(void)
{
    prctl(PR_SET_TIMERSLACK, 1UL); /* if it is refused, it sleeps as others do */
}

void lido__thread_yield(void)
{
    sched_yield();
}
