#include "sched/idle.h"

#include "os/os.h"

void lido__idle_init(struct lido__idle *idle, unsigned workers)
{
    idle->word = 0;
    idle->lock = 0;
    idle->workers = workers;
    idle->can_come = NULL;
    lido__list_init(&idle->stack);
}

/* ---- The word and the lock -------------------------------------------------------------------- */

static uint32_t searching_in(uint64_t word)
{
    return (uint32_t)word;
}

static uint32_t sleeping_in(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* Acquire and release: each holder sees what the one before has done to the list and the idlers. */
static void lock(struct lido__idle *idle)
{
    struct lido__backoff backoff = {0};
    while (lido__exchange(&idle->lock, 1, LIDO__ACQUIRE))
        lido__backoff(&backoff);
}

static void unlock(struct lido__idle *idle)
{
    lido__store(&idle->lock, 0, LIDO__RELEASE);
}

/* ---- Any thread ------------------------------------------------------------------------------- */

/*
 * One who sleeps becomes one who searches, unless there is none, or one who searches already. In one step,
 * because searches begin without the lock.
 */
static bool wake_one(struct lido__idle *idle)
{
    uint64_t word = lido__load(&idle->word, LIDO__RELAXED);
    do {
        if (sleeping_in(word) == 0 || searching_in(word) > 0)
            return false;
    } while (!lido__cas(&idle->word, &word, word - LIDO__IDLE_SLEEPING + LIDO__IDLE_SEARCHING,
                        LIDO__SEQ_CST, LIDO__RELAXED));
    return true;
}

/* Taking the lock is a change that others wait for: only when there is somebody to wake. */
static bool may_wake(struct lido__idle *idle)
{
    uint64_t word = lido__load(&idle->word, LIDO__RELAXED);
    return sleeping_in(word) > 0 && searching_in(word) == 0;
}

/* With the lock held: the one on top, if it can come. */
static struct lido__idler *next_to_call(struct lido__idle *idle)
{
    if (lido__list_empty(&idle->stack))
        return NULL;
    struct lido__idler *idler = lido__container_of(idle->stack.prev, struct lido__idler, node);
    return !idle->can_come || idle->can_come(idler) ? idler : NULL;
}

/* The fence pairs with those of enter and search. */
struct lido__idler *lido__idle_call(struct lido__idle *idle)
{
    lido__fence_seq_cst();
    if (!may_wake(idle))
        return NULL;
    lock(idle);
    struct lido__idler *idler = next_to_call(idle);
    if (idler && !wake_one(idle))
        idler = NULL;
    if (idler) {
        lido__list_remove(&idler->node);
        idler->listed = false;
        idler->called = true;
    }
    unlock(idle);
    return idler;
}

/* If it has come by itself in the meantime, it is the searcher that it was called to be. */
bool lido__idle_excuse(struct lido__idle *idle, struct lido__idler *idler)
{
    uint64_t before = 0;
    lock(idle);
    if (idler->called) {
        idler->called = false;
        idler->listed = true;
        lido__list_push(idle->stack.next, &idler->node); /* before the first */
        before =
            lido__fetch_add(&idle->word, LIDO__IDLE_SLEEPING - LIDO__IDLE_SEARCHING, LIDO__SEQ_CST);
    }
    unlock(idle);
    return searching_in(before) == 1;
}

/* ---- Workers ---------------------------------------------------------------------------------- */

/* The fence: who publishes after it reads that somebody searches, what is published before it is seen. */
bool lido__idle_search(struct lido__idle *idle)
{
    uint64_t word = lido__load(&idle->word, LIDO__RELAXED);
    do {
        if (2 * searching_in(word) >= idle->workers - sleeping_in(word))
            return false;
    } while (
        !lido__cas(&idle->word, &word, word + LIDO__IDLE_SEARCHING, LIDO__SEQ_CST, LIDO__RELAXED));
    lido__fence_seq_cst();
    return true;
}

bool lido__idle_found(struct lido__idle *idle)
{
    uint64_t before = lido__fetch_sub(&idle->word, LIDO__IDLE_SEARCHING, LIDO__SEQ_CST);
    return searching_in(before) == 1;
}

bool lido__idle_enter(struct lido__idle *idle, struct lido__idler *idler, bool searching)
{
    uint64_t change = LIDO__IDLE_SLEEPING - (searching ? LIDO__IDLE_SEARCHING : 0);
    lock(idle);
    idler->listed = true;
    lido__list_push(&idle->stack, &idler->node);
    uint64_t before = lido__fetch_add(&idle->word, change, LIDO__SEQ_CST);
    unlock(idle);
    lido__fence_seq_cst();
    return searching_in(before + change) == 0;
}

bool lido__idle_leave(struct lido__idle *idle, struct lido__idler *idler)
{
    lock(idle);
    bool called = idler->called;
    if (idler->listed) {
        lido__list_remove(&idler->node);
        lido__fetch_sub(&idle->word, LIDO__IDLE_SLEEPING, LIDO__SEQ_CST);
    }
    idler->listed = idler->called = false;
    unlock(idle);
    return called;
}
