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

void await_waiters(void *word, const void *queue, size_t count)
{
    struct crowd crowd = {word, queue, count};
    await_that(has_come, &crowd);
}
