/*
 * The inbox of a worker: links pushed by any thread, taken all at once by the one owner, and the
 * park protocol in the same word.
 *
 * The word is NULL (nothing there, owner awake), ASLEEP (nothing there, owner parked or about to
 * park), or the newest of a chain of links. Because *empty and asleep* is one value of one word,
 * there is no window between "I looked and it was empty" and "I sleep" in which a push could be
 * missed, and exactly one push after each park is told to wake the owner:
 *
 *     owner                               any thread
 *     park:  NULL -> ASLEEP               push:  head -> link
 *            fails if something came             true if it replaced ASLEEP: wake the owner
 *     ...sleeps in the reactor...
 *     take:  anything -> NULL
 *
 * The stack that is taken whole has no ABA problem: links are never popped one by one.
 * Source of the idea: R. Kent Treiber, "Systems Programming: Coping with Parallelism" (1986).
 * Model-checked in tests/model/test_inbox.c.
 */
#ifndef LIDO_BASE_INBOX_H
#define LIDO_BASE_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/list.h"

struct lido__inbox {
    lido__shared struct lido__link *head;
};

#define LIDO__ASLEEP ((struct lido__link *)(uintptr_t)1)

static inline void lido__inbox_init(struct lido__inbox *inbox)
{
    inbox->head = NULL;
}

/*
 * Any thread. Returns true if the owner was asleep: the caller must then wake it, once.
 * Release: what the pusher wrote into the link's owner is seen by the take that gets it.
 */
static inline bool lido__inbox_push(struct lido__inbox *inbox, struct lido__link *link)
{
    struct lido__link *head = lido__load(&inbox->head, LIDO__RELAXED);
    do {
        link->next = head == LIDO__ASLEEP ? NULL : head;
    } while (!lido__cas(&inbox->head, &head, link, LIDO__RELEASE, LIDO__RELAXED));
    return head == LIDO__ASLEEP;
}

/*
 * Owner only. Takes everything, oldest first, and is awake from here on.
 * Acquire: pairs with the release in push, for every link of the chain (each push's CAS continues
 * the release sequence of the one before).
 */
static inline struct lido__link *lido__inbox_take(struct lido__inbox *inbox)
{
    struct lido__link *link = lido__exchange(&inbox->head, NULL, LIDO__ACQUIRE);
    struct lido__link *oldest = NULL;
    if (link == LIDO__ASLEEP)
        return NULL;
    while (link) {
        struct lido__link *next = link->next;
        link->next = oldest;
        oldest = link;
        link = next;
    }
    return oldest;
}

/* Owner only, and awake. A hint: nothing has come. */
static inline bool lido__inbox_empty(const struct lido__inbox *inbox)
{
    return !lido__load(&inbox->head, LIDO__RELAXED);
}

/*
 * Owner only. Declares that the owner is going to sleep; false if something has come, and then it
 * must not. After true, the owner sleeps until woken (or as long as it likes) and calls take.
 */
static inline bool lido__inbox_park(struct lido__inbox *inbox)
{
    struct lido__link *head = NULL;
    return lido__cas(&inbox->head, &head, LIDO__ASLEEP, LIDO__RELAXED, LIDO__RELAXED);
}

#endif
