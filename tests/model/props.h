/*
 * Props: what the operating system lends to the protocols, as simulated threads see it.
 *
 * None of them orders plain memory in ThreadSanitizer's eyes, although the real ones may: lido's
 * orderings must come from its atomics, not from a system call that happened to lie between.
 */
#ifndef LIDO_TESTS_MODEL_PROPS_H
#define LIDO_TESTS_MODEL_PROPS_H

#include "explorer.h"

/* An eventfd: ringing adds to a counter, and waiting sleeps until it is not zero and clears it. */
struct model_bell {
    unsigned count;
    unsigned rung; /* in all */
};

#define model_name_bell(bell) model_name_memory(&(bell).count, sizeof((bell).count), #bell)

MODEL_UNSEEN static bool model_bell_is_rung(const void *arg)
{
    const struct model_bell *bell = arg;
    return bell->count != 0;
}

/* Any thread. */
MODEL_UNSEEN static void model_bell_ring(struct model_bell *bell)
{
    lido__model_point("ring", bell);
    model_system_call();
    bell->count++;
    bell->rung++;
}

MODEL_UNSEEN static void model_bell_clear(struct model_bell *bell)
{
    bell->count = 0;
}

/* The owner. */
MODEL_UNSEEN static void model_bell_wait(struct model_bell *bell)
{
    model_block_until(model_bell_is_rung, bell);
    model_bell_clear(bell);
}

/* The sleepers on one word, as the kernel's futex keeps them. */
struct model_futex {
    unsigned wakes;
};

struct model_futex_sleeper {
    const struct model_futex *futex;
    unsigned slept_at;
};

MODEL_UNSEEN static bool model_futex_woken(const void *arg)
{
    const struct model_futex_sleeper *self = arg;
    return self->futex->wakes != self->slept_at;
}

/* Sleeps until a wake, unless the word is not as expected: that is looked at when asleep already. */
MODEL_UNSEEN static void model_futex_wait(struct model_futex *futex, const uint32_t *word,
                                          uint32_t expected)
{
    lido__model_point("futex-wait", word);
    model_system_call();
    struct model_futex_sleeper self = {.futex = futex, .slept_at = futex->wakes};
    if (*word == expected)
        model_block_until(model_futex_woken, &self);
}

/* Wakes all. The word itself need not be there any more: the kernel only compares its address. */
MODEL_UNSEEN static void model_futex_wake(struct model_futex *futex)
{
    lido__model_point("futex-wake", futex);
    model_system_call();
    futex->wakes++;
}

#endif
