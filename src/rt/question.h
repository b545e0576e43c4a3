/*
 * A question to a thread, which its signal handler answers (watch.h): who may write to the answer's memory when.
 *
 *     asker                               handler, on the thread that is asked
 *     claim:     FREE -> CLAIMED
 *     put:       CLAIMED -> ASKED, n+1    take:    ASKED -> ANSWERING   or withdraw, exactly one of the two
 *     withdraw:  ASKED -> FREE            answer:  ANSWERING -> ANSWERED
 *     free:      ANSWERED -> FREE
 *
 * A thread that has the signal blocked does not answer, and its handler may come at any time later: when the asker
 * has withdrawn the question, when its runtime is gone, when another question is there. So questions lie in static
 * memory, and each has a number, which take changes the state by: a handler that has read of one question that
 * it is for its thread cannot take the next one, which is another's. Once it has taken one, what it reads is alive,
 * because the asker does not leave before there is an answer.
 *
 * Model-checked in tests/model/test_monitor.c.
 */
#ifndef LIDO_RT_QUESTION_H
#define LIDO_RT_QUESTION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

/* lido__question.state: one of these, and the number of the question, in units of the last. */
enum {
    LIDO__QUESTION_FREE,
    LIDO__QUESTION_CLAIMED,
    LIDO__QUESTION_ASKED,
    LIDO__QUESTION_ANSWERING,
    LIDO__QUESTION_ANSWERED,
    LIDO__QUESTION_NUMBER = 8
};

/* All zero is free. */
struct lido__question {
    lido__shared uint32_t state; /* a futex */
    lido__shared pthread_t thread;
};

static inline uint32_t lido__question_phase(uint32_t state)
{
    return state % LIDO__QUESTION_NUMBER;
}

static inline uint32_t lido__question_in(uint32_t state, uint32_t phase)
{
    return state - lido__question_phase(state) + phase;
}

/* ---- The asker --------------------------------------------------------------------------------- */

/* False: it is another's. Acquire: pairs with the release in free and withdraw. */
static inline bool lido__question_claim(struct lido__question *question)
{
    uint32_t state = lido__load(&question->state, LIDO__RELAXED);
    return lido__question_phase(state) == LIDO__QUESTION_FREE &&
           lido__cas(&question->state, &state, lido__question_in(state, LIDO__QUESTION_CLAIMED),
                     LIDO__ACQUIRE, LIDO__RELAXED);
}

/* Release: pairs with the acquire in take, which sees the thread, and what is asked. */
static inline void lido__question_put(struct lido__question *question, pthread_t thread)
{
    uint32_t state = lido__load(&question->state, LIDO__RELAXED) + LIDO__QUESTION_NUMBER;
    lido__store(&question->thread, thread, LIDO__RELAXED);
    lido__store(&question->state, lido__question_in(state, LIDO__QUESTION_ASKED), LIDO__RELEASE);
}

/* Whether there is an answer, which is the asker's to read until it frees the question. Acquire: pairs with answer. */
static inline bool lido__question_answered(const struct lido__question *question)
{
    uint32_t state = lido__load(&question->state, LIDO__ACQUIRE);
    return lido__question_phase(state) == LIDO__QUESTION_ANSWERED;
}

/* True: it is free, and nobody will answer. False: somebody does just now, or has. */
static inline bool lido__question_withdraw(struct lido__question *question)
{
    uint32_t state = lido__load(&question->state, LIDO__RELAXED);
    return lido__question_phase(state) == LIDO__QUESTION_ASKED &&
           lido__cas(&question->state, &state, lido__question_in(state, LIDO__QUESTION_FREE),
                     LIDO__RELEASE, LIDO__RELAXED);
}

/* After claim, or when there is an answer. */
static inline void lido__question_free(struct lido__question *question)
{
    uint32_t state = lido__load(&question->state, LIDO__RELAXED);
    lido__store(&question->state, lido__question_in(state, LIDO__QUESTION_FREE), LIDO__RELEASE);
}

/* ---- The handler ------------------------------------------------------------------------------- */

/* False: it is not for this thread. Acquire: pairs with the release in put. */
static inline bool lido__question_take(struct lido__question *question, pthread_t self)
{
    uint32_t state = lido__load(&question->state, LIDO__ACQUIRE);
    return lido__question_phase(state) == LIDO__QUESTION_ASKED &&
           pthread_equal(lido__load(&question->thread, LIDO__RELAXED), self) &&
           lido__cas(&question->state, &state, lido__question_in(state, LIDO__QUESTION_ANSWERING),
                     LIDO__ACQUIRE, LIDO__RELAXED);
}

/* Release: pairs with the acquire in answered. */
static inline void lido__question_answer(struct lido__question *question)
{
    uint32_t state = lido__load(&question->state, LIDO__RELAXED);
    lido__store(&question->state, lido__question_in(state, LIDO__QUESTION_ANSWERED), LIDO__RELEASE);
}

#endif
