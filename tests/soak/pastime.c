/* What parts do while nothing is to be done: for a moment, or for ever. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "soak/part.h"
#include "soak/watchdog.h"

#define HOUR_MS 3600000

void spin_us(uint64_t us)
{
    uint64_t until = lido_now() + us * 1000;
    while (lido_now() < until) {}
}

/* ---- For a moment ------------------------------------------------------------------------------------- */

static int yield_some(struct part *part)
{
    ssize_t r = 0;
    for (unsigned i = 0, times = 1 + draw(part, 8); i < times && r == 0; i++)
        r = attempt(part, lido_yield());
    return (int)r;
}

static int sleep_some(struct part *part)
{
    int64_t ms = (int64_t)draw(part, 4);
    uint64_t due = lido_now() + (uint64_t)ms * 1000000;
    ssize_t r = attempt(part, lido_sleep(ms));
    if (r == 0 && lido_now() < due)
        fail_soak("a sleep of %d ms was too short", (int)ms);
    return (int)r;
}

static void block_us(uint64_t us)
{
    struct timespec time = {.tv_nsec = (long)us * 1000};
    nanosleep(&time, NULL);
}

static int block_some(void *arg)
{
    block_us(*(const uint64_t *)arg);
    return 17;
}

int pause_some(struct part *part)
{
    uint64_t us = draw(part, 400);
    int r = 0;
    switch (draw(part, 10)) {
    case 0:
    case 1: return yield_some(part);
    case 2: return sleep_some(part);
    case 3: spin_us(us); return 0;
    case 4:
        r = part_section(part, block_some, &us);
        insist(r < 0 || r == 17);
        return r < 0 ? r : 0;
    default: return 0;
    }
}

/* ---- Blocking code ------------------------------------------------------------------------------------- */

static unsigned limit_of(const struct host_plan *plan, lido_blocking_pool pool)
{
    switch (pool) {
    case LIDO_POOL_FS: return plan->max_fs ? plan->max_fs : 32;
    case LIDO_POOL_DNS: return plan->max_dns ? plan->max_dns : 16;
    default: return plan->max_blocking ? plan->max_blocking : 100;
    }
}

void pool_enter(struct host *host, lido_blocking_pool pool)
{
    unsigned now = 1 + lido__fetch_add(&host->blocking[pool], 1, LIDO__RELAXED);
    if (now > limit_of(host->plan, pool))
        fail_soak("%u run in pool %d, which may have %u", now, (int)pool,
                  limit_of(host->plan, pool));
}

void pool_leave(struct host *host, lido_blocking_pool pool)
{
    lido__fetch_sub(&host->blocking[pool], 1, LIDO__RELAXED);
}

struct section {
    struct host *host;
    lido_fn fn;
    void *arg;
    int result;
    bool ran;
};

static int enter_section(void *arg)
{
    struct section *section = arg;
    insist(!section->ran);
    section->ran = true;
    pool_enter(section->host, LIDO_POOL_USER);
    section->result = section->fn(section->arg);
    pool_leave(section->host, LIDO_POOL_USER);
    return section->result;
}

int part_section(struct part *part, lido_fn fn, void *arg)
{
    struct section section = {.host = part->host, .fn = fn, .arg = arg};
    part_does(part, "lido_blocking");
    int r = lido_blocking(enter_section, &section);
    if (!section.ran)
        return (int)part_judge(part, r, 0, "lido_blocking", LIDO_HERE);
    part_judge(part, 0, 0, "lido_blocking", LIDO_HERE);
    insist(r == section.result);
    return r;
}

/* ---- For ever -------------------------------------------------------------------------------------------- */

static ssize_t sleep_long(struct part *part)
{
    return draw(part, 2) ? attempt(part, lido_sleep(HOUR_MS))
                         : attempt(part, lido_sleep_until(UINT64_MAX));
}

static ssize_t await_event(struct part *part)
{
    lido_event event = LIDO_EVENT_INIT;
    return attempt(part, lido_event_wait(&event));
}

static ssize_t await_mutex(struct part *part)
{
    lido_mutex mutex = LIDO_MUTEX_INIT;
    ssize_t r = attempt(part, lido_mutex_lock(&mutex));
    if (r < 0)
        return r;
    r = attempt(part, lido_mutex_lock(&mutex));
    insist(lido_mutex_unlock(&mutex) == 0);
    insist(lido_mutex_unlock(&mutex) == -EPERM);
    return r;
}

static ssize_t await_value(struct part *part)
{
    lido_oneshot oneshot = LIDO_ONESHOT_INIT;
    void *value;
    ssize_t r = attempt(part, lido_oneshot_recv(&oneshot, &value));
    insist(lido_oneshot_close_receiver(&oneshot) == 0);
    insist(lido_oneshot_send(&oneshot, part) == -EPIPE);
    return r;
}

static ssize_t await_message(struct part *part)
{
    lido_channel *channel;
    uint64_t message = 1;
    insist(lido_channel_new(&channel, sizeof(message), 1) == 0);
    ssize_t r = 0;
    if (draw(part, 2)) {
        r = attempt(part, lido_channel_recv(channel, &message));
    } else {
        for (unsigned i = 0; i < 2 && r == 0; i++)
            r = attempt(part, lido_channel_send(channel, &message));
    }
    lido_channel_drop(channel);
    return r;
}

static ssize_t await_bytes(struct part *part)
{
    static const char bytes[20000];
    char byte;
    lido_stream *pair[2];
    insist(lido_stream_pair(pair) == 0);
    ssize_t r = draw(part, 2) ? attempt(part, lido_read(pair[0], &byte, 1)) : 1;
    while (r > 0)
        r = attempt(part, lido_write(pair[0], bytes, sizeof(bytes)));
    lido_close(pair[0]);
    lido_close(pair[1]);
    return r;
}

static ssize_t await_descriptor(struct part *part)
{
    int ends[2];
    insist(pipe(ends) == 0);
    ssize_t r = attempt(part, lido_poll_fd(ends[0], LIDO_READABLE));
    close(ends[0]);
    close(ends[1]);
    return r;
}

static int wait_too(struct part *part)
{
    return wait_for_ever(part);
}

static ssize_t await_task(struct part *part)
{
    struct part *child = part_new(part, "awaited for ever", wait_too, NULL);
    lido_task *task;
    int result;
    if (part_spawn(part, child, &task) < 0)
        return sleep_long(part);
    ssize_t r = attempt(part, lido_join(task, &result));
    if (r == 0)
        return result; /* the child inherits the deadline, and may notice it first */
    part_stop(part, child, task);
    return r;
}

static ssize_t await_scope(struct part *part)
{
    lido_scope scope = LIDO_SCOPE_INIT;
    struct part *child = part_new_on(part->host, part, "scoped for ever", wait_too, NULL);
    child->owner = part;
    if (part_scope_spawn(part, child, &scope, NULL) < 0)
        return sleep_long(part);
    return attempt_or(part, -ECANCELED, lido_scope_wait(&scope)); /* the child's */
}

int wait_for_ever(struct part *part)
{
    static ssize_t (*const ways[])(struct part *) = {
        sleep_long,  await_event, await_mutex,      await_value, await_message,
        await_bytes, await_task,  await_descriptor, await_scope,
    };
    ssize_t r = ways[draw(part, COUNT(ways))](part);
    if (r >= 0)
        fail_soak("%s: what never comes has come: %zd", part->name, r);
    return (int)r;
}
