#include "support/waiters.h"

#include "sync/waitq.h"

struct crowd {
    uint32_t *word;
    const struct lido__waitq *queue;
    size_t count;
};

static bool has_come(void *arg)
{
    struct crowd *crowd = arg;
    size_t count = 0;
    uint32_t word = lido__word_lock(crowd->word);
    for (const struct lido__wait *wait = crowd->queue->first; wait; wait = wait->next)
        count++;
    lido__word_unlock(crowd->word, word);
    return count == crowd->count;
}

void await_waiters(uint32_t *word, const void *queue, size_t count)
{
    struct crowd crowd = {word, queue, count};
    await_that(has_come, &crowd);
}

/* The word comes first, and the queue last. */
static void await_all(uint64_t *private, size_t size, size_t count)
{
    char *end = (char *)private + size;
    await_waiters((uint32_t *)private, end - sizeof(struct lido__waitq), count);
}

void await_receiver(lido_oneshot *oneshot)
{
    await_all(oneshot->lido_private, sizeof(*oneshot), 1);
}

void await_event(lido_event *event, size_t count)
{
    await_all(event->lido_private, sizeof(*event), count);
}

void await_mutex(lido_mutex *mutex, size_t count)
{
    await_all(mutex->lido_private, sizeof(*mutex), count);
}
