#include "rt/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "rt/runtime.h"
#include "sched/rescue.h"

/* How long the lifeguard waits for a thread to answer. One that has the signal blocked does not. */
#define ANSWER_NS 50000000u
/* Of a name, with its end. */
#define NAME_SIZE 128

/* question.state, a futex: one of these, and the number of the question, in units of NUMBER. */
enum { NONE, ASKED, ANSWERING, ANSWERED, NUMBER };

/*
 * One at a time in the process: asked by a lifeguard, answered by the handler, on the thread that is asked. A thread
 * that did not answer in time may still come, and finds the next question, which is another's. So it looks
 * at `thread` before it takes the very question on, by number, of which it has read that.
 */
static struct {
    lido__shared uint32_t state;
    lido__shared pthread_t thread;
    const struct lido__worker *worker;
    uint64_t progress; /* it is still in the same poll */
    bool still;        /* the answer: it is; and then: */
    bool named;
    char name[NAME_SIZE]; /* a copy: the task may end before it is reported */
    const char *where;
    void *frames[LIDO__BACKTRACE_MAX];
    size_t frame_count;
} question;

static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER; /* for the question */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;   /* for the handler's installation */
static unsigned users;                                     /* under lock */
static struct sigaction before; /* written while users is 0, read by the handler */

/* ---- In the signal handler: nothing that is not async-signal-safe ------------------------------- */

static void copy_name(const char *name)
{
    size_t length = 0;
    question.named = name != NULL;
    for (; name && name[length] && length < NAME_SIZE - 1; length++)
        question.name[length] = name[length];
    question.name[length] = 0;
}

/* Inside its gate a worker is in lido's own code, and its last task may have ended, and be another's by now. */
static bool is_still_there(const struct lido__worker *worker)
{
    return !lido__load(&worker->gate.inside, LIDO__RELAXED) &&
           lido__worker_progress(worker) == question.progress;
}

static uint32_t phase_of(uint32_t state)
{
    return state % NUMBER;
}

static void answer(const void *context)
{
    const struct lido__worker *worker = question.worker;
    const lido_task *task = lido__load(&worker->current, LIDO__RELAXED);
    question.still = task && is_still_there(worker);
    if (question.still) {
        copy_name(task->name);
        question.where = task->where;
        question.frame_count =
            lido__backtrace_interrupted(context, question.frames, LIDO__BACKTRACE_MAX);
    }
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(signal, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(signal);
}

/* Acquire: pairs with the release in send_question. */
static bool take_question(uint32_t *state)
{
    *state = lido__load(&question.state, LIDO__ACQUIRE);
    return phase_of(*state) == ASKED &&
           pthread_equal(lido__load(&question.thread, LIDO__RELAXED), pthread_self()) &&
           lido__cas(&question.state, state, *state - ASKED + ANSWERING, LIDO__ACQ_REL,
                     LIDO__RELAXED);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    uint32_t state;
    int saved_errno = errno;
    if (take_question(&state)) {
        answer(context);
        /* Release: pairs with the acquire in is_answered. */
        lido__store(&question.state, state - ASKED + ANSWERED, LIDO__RELEASE);
        lido__futex_wake(&question.state, 1);
    } else {
        pass_on(signal, info, context);
    }
    errno = saved_errno;
}

/* ---- Installing -------------------------------------------------------------------------------- */

void lido__watch_install(void)
{
    struct sigaction action = {
        .sa_sigaction = on_signal,
        .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
    };
    sigemptyset(&action.sa_mask);
    lido__backtrace_prepare();
    pthread_mutex_lock(&lock);
    if (users++ == 0)
        sigaction(SIGURG, &action, &before);
    pthread_mutex_unlock(&lock);
}

void lido__watch_release(void)
{
    pthread_mutex_lock(&lock);
    if (--users == 0)
        sigaction(SIGURG, &before, NULL);
    pthread_mutex_unlock(&lock);
}

/* ---- Asking ------------------------------------------------------------------------------------ */

/* Once the handler has begun its answer, that is awaited: the next question must not change this one under it. */
static bool is_answered(void)
{
    uint64_t until = lido__clock_now() + ANSWER_NS;
    uint32_t state;
    while (phase_of(state = lido__load(&question.state, LIDO__ACQUIRE)) != ANSWERED) {
        uint64_t now = lido__clock_now();
        if (phase_of(state) == ANSWERING)
            lido__futex_wait(&question.state, state, LIDO__FOREVER);
        else if (now < until)
            lido__futex_wait(&question.state, state, until - now);
        else if (lido__cas(&question.state, &state, state - ASKED, LIDO__ACQ_REL, LIDO__ACQUIRE))
            return false; /* in vain; should the handler come yet, it finds no question */
    }
    return true;
}

static void send_question(pthread_t thread)
{
    uint32_t state = lido__load(&question.state, LIDO__RELAXED);
    lido__store(&question.thread, thread, LIDO__RELAXED);
    lido__store(&question.state, state - phase_of(state) + NUMBER + ASKED, LIDO__RELEASE);
    pthread_kill(thread, SIGURG);
}

enum asked { SILENT, HAS_COME_BACK, TOLD };

/* Fills the report in, if it is told. */
static enum asked ask(struct lido_runtime *runtime, struct lido__worker *worker,
                      lido_watch_report *report)
{
    question.worker = worker;
    question.progress = lido__worker_progress(worker);
    question.frame_count = 0;
    if (!lido__crew_with_thread_of(&runtime->crew, worker, send_question))
        return HAS_COME_BACK;
    if (!is_answered())
        return SILENT;
    report->task_name = question.named ? question.name : NULL;
    report->task_where = question.where;
    report->frames = question.frames;
    report->frame_count = question.frame_count;
    return question.still ? TOLD : HAS_COME_BACK;
}

static void say(const lido_watch_report *report)
{
    dprintf(STDERR_FILENO, "lido: worker %u has been in %s %s%s%s for %lld ms:\n", report->worker,
            report->blocking ? "a blocking section of task" : "task",
            report->task_name ? report->task_name : "(unnamed)",
            report->task_where ? ", spawned at " : "", report->task_where ? report->task_where : "",
            (long long)report->ms);
    lido__backtrace_write(STDERR_FILENO, report->frames, report->frame_count);
}

bool lido__watch_report(struct lido_runtime *runtime, struct lido__worker *worker, bool blocking,
                        bool anyhow, uint64_t since, uint64_t now)
{
    const lido_config *config = &runtime->settings.config;
    lido_watch_report report = {
        .worker = worker->index,
        .ms = (int64_t)((now - since) / 1000000),
        .blocking = blocking,
    };
    pthread_mutex_lock(&asking);
    enum asked asked = ask(runtime, worker, &report);
    if (asked == TOLD || (asked == SILENT && anyhow)) {
        if (runtime->settings.debug)
            say(&report);
        if (config->on_watch)
            config->on_watch(config->hook_arg, &report);
    }
    pthread_mutex_unlock(&asking);
    return anyhow || asked != SILENT;
}
