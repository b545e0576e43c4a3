/*
 * The lifeguard: the one thread of a runtime that watches the workers.
 *
 * Its first duty: a worker whose thread has been in the same blocking section for some 20 us is taken from
 * it and given to another thread of the crew. The section itself pays nothing for that; who sees it is the
 * lifeguard, which looks at all workers every so often (the idea is that of Go's sysmon).
 *
 * While there are sections it looks every 20 us; when it has seen none twice it sleeps until the next one
 * begins. So a section has to wake it only when there was none for a while. That no section begins
 * unseen at the moment in which it falls asleep:
 *
 *     section                         lifeguard
 *     worker->section = odd           watch = ASLEEP
 *     look at watch                   look at each worker->section
 *
 * All four are sequentially consistent, so at least one of the two sees the other (Dekker).
 *
 * Its second duty: a worker that has been in one turn of its loop for a millisecond, while another has nothing to do,
 * is rescued (sched/rescue.h), if there may be something to move; all that are to be, at once. For that it looks every millisecond while a worker is awake. If none has been for a
 * while, it says so in pool->unwatched and sleeps fully; the next worker that wakes calls it.
 *
 * Its third duty, if watch_ms asks for it: a worker that has been in one poll for so long is reported
 * (watch.h).
 *
 * The thread is started by the first section, or the first worker to be watched. If it cannot be, the next
 * one tries again; and a worker whose section blocks blocks with it.
 */
#ifndef LIDO_RT_LIFEGUARD_H
#define LIDO_RT_LIFEGUARD_H

#include <lido.h>

#include "base/atomic.h"
#include "os/os.h"
#include "rt/watch.h"
#include "sched/rescue.h"

struct lido__pool;
struct lido__worker;

/* lido__lifeguard.watch. Whoever changes it from ABSENT to STARTING starts the thread, and then it is AWAKE. */
enum lido__watch {
    LIDO__WATCH_ABSENT,
    LIDO__WATCH_STARTING,
    LIDO__WATCH_ASLEEP,
    LIDO__WATCH_AWAKE,
    LIDO__WATCH_OVER
};

struct lido__lifeguard {
    lido__shared uint32_t watch; /* a futex */
    unsigned quiet;              /* looks in a row at which no worker was awake; its own */
    struct lido__asked asked;    /* the question that is under way; its own */
    struct lido__thread thread;  /* written while STARTING */
};

/* What the lifeguard knows of a worker; for its own thread. */
struct lido__watched {
    uint64_t ticket;   /* of the section it was last seen in, or 0 */
    uint64_t due;      /* ns: when it is to be taken from its thread, if that is still in it */
    uint64_t progress; /* when last looked at ; 0: in no task */
    uint64_t since;    /* ns: when that was first seen */
    uint64_t turn;     /* the same of its loop */
    uint64_t turned;   /* ns: when that was first seen */
    struct lido__rescue rescue;
    uint64_t again; /* ns: when its thread may be asked once more */
    uint8_t silent; /* how often its thread has not answered since then */
    bool reported;  /* since then */
};

/* pool->watch: a worker is awake, and nobody watches. On its thread. */
void lido__lifeguard_watch(struct lido__pool *pool);

/* lido__section.entered: somebody is to look after this worker. On its thread, within the section. */
void lido__lifeguard_call(struct lido__worker *worker);

/* Ends the thread, if there is one. No worker is in a section, nor will be; but one may yet call. */
void lido__lifeguard_fini(struct lido__lifeguard *guard);

#endif
