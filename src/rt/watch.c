#include "rt/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "rt/question.h"
#include "rt/runtime.h"
#include "sched/rescue.h"

/* How long a thread has for its answer. One that has the signal blocked gives none. */
#define ANSWER_NS 50000000u
/* Of a name, with its end. */
#define NAME_SIZE 128
/* Questions at a time in the process. */
#define INQUIRIES 16

/* A question and its answer. */
struct lido__inquiry {
    struct lido__question question;
    /* The asker's, before it is put. */
    const struct lido__worker *worker;
    uint64_t progress; /* it is still in the same poll */
    /* The answer: */
    bool still; /* it is; and then: */
    bool named;
    char name[NAME_SIZE]; /* a copy: the task may end before it is reported */
    const char *where;
    void *frames[LIDO__BACKTRACE_MAX];
    size_t frame_count;
};

static struct lido__inquiry inquiries[INQUIRIES];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for the handler's installation */
static unsigned users;                                   /* under lock */
static struct sigaction before; /* written while users is 0, read by the handler */

/* A handler that was put over this one may call it, and be the one before: then each passes on to the other. */
static __thread bool passing __attribute__((tls_model("initial-exec")));

/* ---- In the signal handler: nothing that is not async-signal-safe ------------------------------- */

static void copy_name(struct lido__inquiry *inquiry, const char *name)
{
    size_t length = 0;
    inquiry->named = name != NULL;
    for (; name && name[length] && length < NAME_SIZE - 1; length++)
        inquiry->name[length] = name[length];
    inquiry->name[length] = 0;
}

/* Inside its gate a worker is in lido's own code, and its last task may have ended, and be another's by now. */
static bool is_still_there(const struct lido__inquiry *inquiry)
{
    const struct lido__worker *worker = inquiry->worker;
    return !lido__load(&worker->gate.inside, LIDO__RELAXED) &&
           lido__worker_progress(worker) == inquiry->progress;
}

static void answer(struct lido__inquiry *inquiry, const void *context)
{
    const lido_task *task = lido__load(&inquiry->worker->current, LIDO__RELAXED);
    inquiry->still = task && is_still_there(inquiry);
    if (inquiry->still) {
        copy_name(inquiry, task->name);
        inquiry->where = task->where;
        inquiry->frame_count =
            lido__backtrace_interrupted(context, inquiry->frames, LIDO__BACKTRACE_MAX);
    }
}

/* Both may be awaited by an asker that ends; nobody else sleeps on the word. */
static bool answer_all(const void *context)
{
    bool any = false;
    for (unsigned i = 0; i < INQUIRIES; i++) {
        struct lido__question *question = &inquiries[i].question;
        if (!lido__question_take(question, pthread_self()))
            continue;
        answer(&inquiries[i], context);
        lido__question_answer(question);
        lido__futex_wake(&question->state, 1);
        any = true;
    }
    return any;
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
    if (passing)
        return;
    passing = true;
    if (before.sa_flags & SA_SIGINFO)
        before.sa_sigaction(signal, info, context);
    else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)
        before.sa_handler(signal);
    passing = false;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    if (!answer_all(context))
        pass_on(signal, info, context);
    errno = saved_errno;
}

/* ---- Installing -------------------------------------------------------------------------------- */

/* What has been installed over this one is its owner's. */
static bool is_installed(void)
{
    struct sigaction now;
    return sigaction(SIGURG, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
           now.sa_sigaction == on_signal;
}

void lido__watch_install(void)
{
    struct sigaction action = {
        .sa_sigaction = on_signal,
        .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART,
    };
    sigemptyset(&action.sa_mask);
    lido__backtrace_prepare();
    pthread_mutex_lock(&lock);
    if (users++ == 0 && !is_installed())
        sigaction(SIGURG, &action, &before);
    pthread_mutex_unlock(&lock);
}

void lido__watch_release(void)
{
    pthread_mutex_lock(&lock);
    if (--users == 0 && is_installed())
        sigaction(SIGURG, &before, NULL);
    pthread_mutex_unlock(&lock);
}

/* ---- Telling ----------------------------------------------------------------------------------- */

static void say(const lido_watch_report *report)
{
    dprintf(STDERR_FILENO, "lido: worker %u has been in %s %s%s%s for %lld ms:\n", report->worker,
            report->blocking ? "a blocking section of task" : "task",
            report->task_name ? report->task_name : "(unnamed)",
            report->task_where ? ", spawned at " : "", report->task_where ? report->task_where : "",
            (long long)report->ms);
    lido__backtrace_write(STDERR_FILENO, report->frames, report->frame_count);
}

/* `inquiry`: its answer, or NULL. */
static void tell(struct lido_runtime *runtime, const struct lido__asked *asked,
                 const struct lido__inquiry *inquiry, uint64_t now)
{
    const lido_config *config = &runtime->settings.config;
    lido_watch_report report = {
        .worker = asked->worker->index,
        .ms = (int64_t)((now - asked->since) / 1000000),
        .blocking = asked->blocking,
    };
    if (inquiry) {
        report.task_name = inquiry->named ? inquiry->name : NULL;
        report.task_where = inquiry->where;
        report.frames = inquiry->frames;
        report.frame_count = inquiry->frame_count;
    }
    if (runtime->settings.debug)
        say(&report);
    if (config->on_watch)
        config->on_watch(config->hook_arg, &report);
}

void lido__watch_tell_silent(struct lido_runtime *runtime, const struct lido__asked *asked,
                             uint64_t now)
{
    tell(runtime, asked, NULL, now);
}

/* ---- Asking ------------------------------------------------------------------------------------ */

static struct lido__inquiry *claim_any(void)
{
    for (unsigned i = 0; i < INQUIRIES; i++)
        if (lido__question_claim(&inquiries[i].question))
            return &inquiries[i];
    return NULL;
}

/* The thread does not end before this returns. */
static void send_question(pthread_t thread, void *question)
{
    lido__question_put(question, thread);
    pthread_kill(thread, SIGURG);
}

bool lido__watch_ask(struct lido_runtime *runtime, struct lido__asked *asked, uint64_t now)
{
    struct lido__inquiry *inquiry = claim_any();
    if (!inquiry)
        return false;
    inquiry->worker = asked->worker;
    inquiry->progress = lido__worker_progress(asked->worker);
    inquiry->frame_count = 0;
    if (!lido__crew_with_thread_of(&runtime->crew, asked->worker, send_question,
                                   &inquiry->question)) {
        lido__question_free(&inquiry->question);
        return false;
    }
    asked->inquiry = inquiry;
    asked->until = now + ANSWER_NS;
    return true;
}

enum lido__answer lido__watch_collect(struct lido_runtime *runtime, struct lido__asked *asked,
                                      uint64_t now)
{
    struct lido__inquiry *inquiry = asked->inquiry;
    struct lido__question *question = &inquiry->question;
    enum lido__answer result = LIDO__ANSWER_PENDING;
    if (lido__question_answered(question)) {
        result = inquiry->still ? LIDO__ANSWER_TOLD : LIDO__ANSWER_BACK;
        if (inquiry->still)
            tell(runtime, asked, inquiry, now);
        lido__question_free(question);
    } else if (now >= asked->until && lido__question_withdraw(question)) {
        result = LIDO__ANSWER_SILENT;
    }
    if (result != LIDO__ANSWER_PENDING)
        asked->inquiry = NULL;
    return result;
}

/* A handler that has begun reads what is the worker's, which is about to be freed. */
void lido__watch_abandon(struct lido__asked *asked)
{
    struct lido__question *question = asked->inquiry ? &asked->inquiry->question : NULL;
    asked->inquiry = NULL;
    if (!question || lido__question_withdraw(question))
        return;
    while (!lido__question_answered(question)) {
        uint32_t state = lido__load(&question->state, LIDO__RELAXED);
        if (lido__question_phase(state) == LIDO__QUESTION_ANSWERING)
            lido__futex_wait(&question->state, state, LIDO__FOREVER);
    }
    lido__question_free(question);
}
