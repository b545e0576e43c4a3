/* Scenes of futures: what they wait for at once, and the wakers that they give away. */
#include <errno.h>

#include "soak/scene.h"
#include "soak/watchdog.h"

#define HELPERS_MAX 4

/* ---- A race of a timer and a one-shot -------------------------------------------------------------------------- */

/* Whoever comes second to the one-shot frees it. */
struct baton {
    lido_oneshot oneshot;
    unsigned number;
};

struct race {
    struct baton *baton;
    lido_timer timer;
    lido_wait wait;
    uint64_t due;
    bool begun;
};

static int hand_over(struct part *part)
{
    struct baton *baton = part->arg;
    pause_some(part);
    baton->number = 77;
    if (lido_oneshot_send(&baton->oneshot, baton) == -EPIPE)
        free(baton);
    return 0;
}

static void take(struct baton *baton, const void *value)
{
    insist(value == baton && baton->number == 77);
    free(baton);
}

static void give_up(struct race *race)
{
    void *value;
    lido_wait_forgo(&race->wait);
    if (lido_oneshot_close_receiver(&race->baton->oneshot) == 0)
        return;
    insist(lido_oneshot_try_recv(&race->baton->oneshot, &value) == 0);
    take(race->baton, value);
}

/* The result says who came first: 1 the timer, 2 the value. */
static int poll_race(struct part *part, const lido_waker *waker)
{
    struct race *race = part->arg;
    void *value = NULL;
    if (!race->begun) {
        race->begun = true;
        race->due = lido_now() + 1000000;
        lido_timer_start(&race->timer, 1);
    }
    int r = lido_oneshot_recv_poll(&race->baton->oneshot, &value, &race->wait, waker);
    if (r == 0) {
        lido_timer_stop(&race->timer);
        take(race->baton, value);
        return 2;
    }
    int late = r == LIDO_PENDING ? lido_timer_poll(&race->timer, waker) : r;
    if (late == LIDO_PENDING)
        return late;
    lido_timer_stop(&race->timer);
    give_up(race);
    insist(late < 0 || lido_now() >= race->due);
    return late < 0 ? (int)part_judge(part, late, 0, "a poll of the race", LIDO_HERE) : 1;
}

static void run_race(struct part *part)
{
    struct race race = {.baton = calloc(1, sizeof(struct baton))};
    insist(race.baton);
    struct part *sender = part_new(part, "sender", hand_over, race.baton);
    lido_task *tasks[2];
    if (part_spawn(part, sender, &tasks[0]) < 0) {
        free(race.baton);
        return;
    }
    struct part *runner = part_new(part, "runner", NULL, &race);
    runner->poll = poll_race;
    if (part_spawn(part, runner, &tasks[1]) == 0)
        part_finish(part, runner, tasks[1]);
    else
        give_up(&race);
    part_finish(part, sender, tasks[0]);
}

/* ---- A future that joins ------------------------------------------------------------------------------------------ */

struct waiting {
    struct part *child;
    lido_task *task;
    bool joined;
};

static int be_joined(struct part *part)
{
    pause_some(part);
    pause_some(part);
    return (int)draw(part, 1000);
}

/* Now and then it gives up, and joins again. */
static int poll_join(struct part *part, const lido_waker *waker)
{
    struct waiting *waiting = part->arg;
    int result;
    int r = lido_join_poll(waiting->task, &result, waker);
    if (r == LIDO_PENDING && draw(part, 4) == 0) {
        lido_join_forgo(waiting->task);
        r = lido_join_poll(waiting->task, &result, waker);
    }
    if (r == LIDO_PENDING)
        return r;
    waiting->joined = part_judge(part, r, 0, "lido_join_poll", LIDO_HERE) == 0;
    if (waiting->joined)
        insist(result == waiting->child->result);
    return 0;
}

static void join_by_future(struct part *part)
{
    struct waiting waiting = {.child = part_new(part, "joined by a future", be_joined, NULL)};
    lido_task *task;
    if (part_spawn(part, waiting.child, &waiting.task) < 0)
        return;
    struct part *joiner = part_new(part, "joiner", NULL, &waiting);
    joiner->poll = poll_join;
    if (part_spawn(part, joiner, &task) == 0)
        part_finish(part, joiner, task);
    if (!waiting.joined)
        part_stop(part, waiting.child, waiting.task);
}

void play_race(struct part *part)
{
    if (draw(part, 3))
        run_race(part);
    else
        join_by_future(part);
}

/* ---- Wakers that others keep ----------------------------------------------------------------------------------------- */

struct waking {
    lido_waker wakers[HELPERS_MAX];
    unsigned count;
    lido_mutex given; /* locked until the wakers are there */
    bool begun;
    lido__shared uint32_t signals; /* one by each helper; then it wakes */
    lido__shared uint32_t next;    /* helper */
};

static int help(struct part *part)
{
    struct waking *waking = part->arg;
    insist(attempt(part, lido_mutex_lock_anyway(&waking->given)) == 0);
    insist(lido_mutex_unlock(&waking->given) == 0);
    lido_waker *waker = &waking->wakers[lido__fetch_add(&waking->next, 1, LIDO__RELAXED)];
    pause_some(part);
    lido__fetch_add(&waking->signals, 1, LIDO__RELEASE);
    lido_waker_wake(waker);
    if (draw(part, 2))
        lido_waker_wake(waker); /* the task may be over */
    lido_waker_drop(waker);
    return 0;
}

static int poll_signals(struct part *part, const lido_waker *waker)
{
    struct waking *waking = part->arg;
    if (!waking->begun) {
        waking->begun = true;
        for (unsigned i = 0; i < waking->count; i++)
            waking->wakers[i] = lido_waker_clone(waker);
        insist(lido_mutex_unlock(&waking->given) == 0);
    }
    if (lido_is_cancelled())
        return (int)part_judge(part, -ECANCELED, 0, "lido_is_cancelled", LIDO_HERE);
    uint32_t signals = lido__load(&waking->signals, LIDO__ACQUIRE);
    return signals == waking->count ? 0 : LIDO_PENDING;
}

static void drop_rest(struct waking *waking)
{
    for (unsigned i = waking->next; i < waking->count; i++)
        lido_waker_drop(&waking->wakers[i]);
}

void play_wakers(struct part *part)
{
    struct waking waking = {.count = 1 + draw(part, HELPERS_MAX)};
    struct part *future = part_new(part, "woken", NULL, &waking), *helpers[HELPERS_MAX];
    lido_task *task, *tasks[HELPERS_MAX];
    unsigned count = 0;
    future->poll = poll_signals;
    insist(lido_mutex_try_lock(&waking.given) == 0);
    if (part_spawn(part, future, &task) < 0)
        return;
    for (unsigned i = 0; i < waking.count; i++) {
        helpers[count] = part_new(part, "helper", help, &waking);
        count += part_spawn(part, helpers[count], &tasks[count]) == 0;
    }
    if (count == waking.count)
        part_finish(part, future, task);
    else
        part_stop(part, future, task);
    while (count-- > 0)
        part_finish(part, helpers[count], tasks[count]);
    drop_rest(&waking);
}
