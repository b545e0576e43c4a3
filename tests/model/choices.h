/*
 * The list of choices that is all there is to a schedule, and the walk over all such lists.
 *
 * A part of explorer.c. Only choices between more than one option are on the list. A schedule
 * replays the list and then adds to it, always the first option; the next list is the same up to
 * its last entry with an option left, which takes that.
 */
#ifndef LIDO_TESTS_MODEL_CHOICES_H
#define LIDO_TESTS_MODEL_CHOICES_H

#include <stdlib.h>

#include "sanitizers.h"

struct choice {
    unsigned taken;
    unsigned options;
};

static struct {
    struct choice *list;
    size_t max;
    size_t length;
    size_t made; /* by the schedule that runs */
} choices;

static inline bool choices_init(size_t max)
{
    choices.list = calloc(max, sizeof(*choices.list));
    choices.max = max;
    choices.length = 0;
    choices.made = 0;
    return choices.list != NULL;
}

static inline void choices_fini(void)
{
    free(choices.list);
    choices.list = NULL;
}

MODEL_UNSEEN static void choices_begin(void)
{
    choices.made = 0;
}

/* NULL, or why there can be no such choice. */
MODEL_UNSEEN static const char *choices_make(unsigned options, unsigned *ret_taken)
{
    if (options == 1) {
        *ret_taken = 0;
        return NULL;
    }
    if (choices.made == choices.max)
        return "too many choices in one schedule";

    struct choice *choice = &choices.list[choices.made];
    if (choices.made == choices.length) {
        *choice = (struct choice){.options = options};
        choices.length++;
    } else if (choice->options != options) {
        return "the same choices led elsewhere: the scenario depends on something else too";
    }
    choices.made++;
    *ret_taken = choice->taken;
    return NULL;
}

/* False if there is no further list. */
MODEL_UNSEEN static bool choices_advance(void)
{
    while (choices.length) {
        struct choice *last = &choices.list[choices.length - 1];
        if (++last->taken < last->options)
            return true;
        choices.length--;
    }
    return false;
}

#endif
