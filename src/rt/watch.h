/*
 * The watch: reports of a worker that does not come back from one poll, for runtimes that ask (law 10).
 *
 * The lifeguard finds such a worker, and sends its thread a signal; the handler, on that thread, says which
 * task it is in the middle of, and how it came there. The signal is SIGURG: nothing else uses it, its default
 * is to be ignored, and one that comes unasked is passed on to the handler before. A handler that somebody installs
 * later stays, also when the last runtime that watches ends; then no thread answers.
 *
 * The lifeguard never waits for an answer: it asks, collects the answer at a later look, or withdraws the question. Of each
 * runtime one question is under way at a time, and of all of them as many as there is room for in static memory
 * (question.h); who finds none asks at a later look.
 */
#ifndef LIDO_RT_WATCH_H
#define LIDO_RT_WATCH_H

#include <lido.h>

#include "base/atomic.h"

struct lido_runtime;
struct lido__worker;
struct lido__inquiry;

/* Any thread; counted. The handler comes with the first, and the one before it comes back with the last. */
void lido__watch_install(void);
void lido__watch_release(void);

/* The question that a runtime has under way; for its lifeguard's thread. All zero: none. */
struct lido__asked {
    struct lido__inquiry *inquiry; /* NULL: none */
    struct lido__worker *worker;
    uint64_t progress; /* as the lifeguard counts it, when it was asked */
    uint64_t since;    /* ns: when that was first seen */
    uint64_t until;    /* ns: when an answer is too late */
    bool blocking;
};

enum lido__answer {
    LIDO__ANSWER_PENDING,
    LIDO__ANSWER_SILENT, /* its thread has not answered in time */
    LIDO__ANSWER_BACK,   /* it has come back, or is just in lido's own code */
    LIDO__ANSWER_TOLD    /* and has been reported */
};

/* `asked` but for its inquiry has been filled in, and no question is under way. Whether one is now. */
bool lido__watch_ask(struct lido_runtime *runtime, struct lido__asked *asked, uint64_t now);

/* What has become of the question, which is over unless the answer is PENDING. TOLD calls on_watch. */
enum lido__answer lido__watch_collect(struct lido_runtime *runtime, struct lido__asked *asked,
                                      uint64_t now);

/* It is silent: reported without a name and frames. */
void lido__watch_tell_silent(struct lido_runtime *runtime, const struct lido__asked *asked,
                             uint64_t now);

/* The runtime ends. Waits only for a handler that has begun its answer. */
void lido__watch_abandon(struct lido__asked *asked);

#endif
