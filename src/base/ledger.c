#include "base/ledger.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BUCKETS 1024u

lido__shared bool lido__ledger_open;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for all that follows */
static struct lido__ledger_entry *buckets[BUCKETS];
static unsigned users;

static struct lido__ledger_entry **bucket_of(const void *thing)
{
    return &buckets[((uintptr_t)thing >> 4) * 0x9e3779b97f4a7c15u >> 54];
}

void lido__ledger_write(const void *thing, const char *what, const char *name, const char *where)
{
    struct lido__ledger_entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return;
    entry->thing = thing;
    entry->what = what;
    entry->where = where;
    snprintf(entry->name, sizeof(entry->name), "%s", name ? name : "");
    pthread_mutex_lock(&lock);
    struct lido__ledger_entry **bucket = bucket_of(thing);
    entry->next = *bucket;
    *bucket = entry;
    pthread_mutex_unlock(&lock);
}

void lido__ledger_cross_out(const void *thing)
{
    struct lido__ledger_entry *found;
    pthread_mutex_lock(&lock);
    struct lido__ledger_entry **at = bucket_of(thing);
    while (*at && (*at)->thing != thing)
        at = &(*at)->next;
    found = *at;
    if (found)
        *at = found->next;
    pthread_mutex_unlock(&lock);
    free(found);
}

void lido__ledger_enter(void)
{
    pthread_mutex_lock(&lock);
    users++;
    lido__store(&lido__ledger_open, true, LIDO__RELAXED);
    pthread_mutex_unlock(&lock);
}

size_t lido__ledger_leave(void (*fn)(const struct lido__ledger_entry *entry), size_t most)
{
    struct lido__ledger_entry *entry;
    size_t count = 0;
    pthread_mutex_lock(&lock);
    users--;
    lido__store(&lido__ledger_open, users > 0, LIDO__RELAXED);
    for (unsigned i = 0; i < BUCKETS && users == 0; i++)
        while ((entry = buckets[i])) {
            buckets[i] = entry->next;
            if (count++ < most)
                fn(entry);
            free(entry);
        }
    pthread_mutex_unlock(&lock);
    return count;
}
