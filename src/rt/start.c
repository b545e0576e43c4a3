#include "rt/start.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/fault.h"
#include "rt/fault.h"
#include "rt/runtime.h"

/* member->cpu of a thread that has the cpus of whoever started it. */
#define CPU_UNKNOWN (-2)

#define RETRY_FIRST_NS 1000000u
#define RETRY_LAST_NS 16000000u

/* ---- Back-off ----------------------------------------------------------------------------------- */

static struct lido__pool *pool_of(struct lido__crew *crew)
{
    return &lido__container_of(crew, struct lido_runtime, crew)->pool;
}

static void note_refusal(struct lido__crew *crew)
{
    uint64_t patience = lido__max_u64(2 * crew->patience, RETRY_FIRST_NS);
    crew->patience = lido__min_u64(patience, RETRY_LAST_NS);
    lido__store(&pool_of(crew)->no_thread_until, lido__clock_now() + crew->patience, LIDO__RELAXED);
}

void lido__crew_refused(struct lido__crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    note_refusal(crew);
    pthread_mutex_unlock(&crew->lock);
}

void lido__crew_may_start(struct lido__crew *crew)
{
    if (crew->patience == 0)
        return;
    crew->patience = 0;
    lido__store(&pool_of(crew)->no_thread_until, 0, LIDO__RELAXED);
}

/* ---- Starting ----------------------------------------------------------------------------------- */

int lido__member_init(struct lido__member *member, struct lido__crew *crew, unsigned index)
{
    member->crew = crew;
    member->index = index;
    member->cpu = CPU_UNKNOWN;
    if (!crew->config->report_faults && !crew->config->watch_ms)
        return 0;
    member->signal_stack = lido__fault_stack_new();
    return member->signal_stack ? 0 : -ENOMEM;
}

static int start_thread(struct lido__crew *crew, struct lido__member *member, int cpu)
{
    char name[LIDO__THREAD_NAME_MAX];
    struct lido__thread_config config = {.name = name, .cpu = cpu};
    int r = lido__member_init(member, crew, crew->first + crew->started);
    if (r < 0)
        return r;
    snprintf(name, sizeof(name), "%s%u", crew->config->name_prefix, member->index + 1);
    if (cpu != LIDO__CPU_ANY)
        member->cpu = cpu;
    r = lido__thread_start(&member->thread, &config, lido__member_main, member);
    if (r < 0)
        lido__fault_stack_free(member->signal_stack);
    return r;
}

static int start_member(struct lido__crew *crew, int cpu, struct lido__member **ret_member)
{
    if (crew->alive >= crew->limit)
        return -EAGAIN;
    struct lido__member *member = lido__fault("malloc") < 0 ? NULL : calloc(1, sizeof(*member));
    if (!member)
        return -ENOMEM;
    int r = start_thread(crew, member, cpu);
    if (r < 0) {
        free(member);
        return r;
    }
    crew->started++;
    lido__store(&crew->alive, crew->alive + 1, LIDO__RELAXED);
    *ret_member = member;
    return 0;
}

/* Under the lock, so that threads are numbered as they start. */
int lido__crew_start(struct lido__crew *crew, int cpu, bool insist,
                     struct lido__member **ret_member)
{
    if (!insist && !lido__pool_may_start(pool_of(crew)))
        return -EAGAIN;
    int r = start_member(crew, cpu, ret_member);
    if (r < 0)
        note_refusal(crew);
    else
        lido__crew_may_start(crew);
    return r;
}
