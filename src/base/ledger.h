/*
 * The ledger: what the user has been given and must give back, for the report of what was not, at
 * the end of a runtime with LIDO_DEBUG=1. Nothing is written down otherwise: what is given costs
 * one look at a word that nobody changes.
 *
 * It is the process's, as are the things: a stream outlives the runtime that it was made in. So it
 * is told when the last runtime that wants it ends.
 *
 * Threads: all. Nothing fails: what there is no memory for is not written down.
 */
#ifndef LIDO_BASE_LEDGER_H
#define LIDO_BASE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"

struct lido__ledger_entry {
    struct lido__ledger_entry *next;
    const void *thing;
    const char *what;  /* "stream", "channel", ... */
    const char *where; /* "file:line", or NULL */
    char name[32];     /* a copy, cut; empty: none */
};

extern lido__shared bool lido__ledger_open;

void lido__ledger_write(const void *thing, const char *what, const char *name, const char *where);
void lido__ledger_cross_out(const void *thing);

/* Relaxed: what is given while it opens or closes is not told of, or crossed out in vain. */
static inline bool lido__ledger_is_open(void)
{
    return __builtin_expect(lido__load(&lido__ledger_open, LIDO__RELAXED), 0);
}

/* Something is given to the user; `what` and `where` last as long as the process. */
static inline void lido__ledger_note(const void *thing, const char *what, const char *name,
                                     const char *where)
{
    if (lido__ledger_is_open())
        lido__ledger_write(thing, what, name, where);
}

/*
 * It has been given back; also what was never noted. Before it is freed, or another may be noted.
 */
static inline void lido__ledger_strike(const void *thing)
{
    if (lido__ledger_is_open())
        lido__ledger_cross_out(thing);
}

/* Counted. */
void lido__ledger_enter(void);

/* The last one closes it: calls `fn` for up to `most` things that have not been given back, and
   forgets all. Returns how many there were. */
size_t lido__ledger_leave(void (*fn)(const struct lido__ledger_entry *entry), size_t most);

#endif
