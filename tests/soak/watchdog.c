#include "soak/watchdog.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "soak/part.h"

/* Parts that are named in the report; the others are counted. */
#define NAMED_MAX 60

static struct {
    pthread_t thread;
    lido__shared const struct round *round;
    lido__shared const char *phase;
    lido__shared uint64_t since; /* ns, of the phase */
    lido__shared uint32_t stop;
    lido__shared uint32_t failed;
    char again[240]; /* how to see it again; written between rounds */
} watchdog;

/* ---- What everybody is doing --------------------------------------------------------------------------- */

static void print_part(const struct part *part)
{
    const char *doing = lido__load(&part->doing, LIDO__RELAXED);
    bool began = lido__load(&part->began, LIDO__RELAXED);
    fprintf(stderr, "  %-18s %s%s%s: %s\n", part->name, part->outside ? "outside, " : "",
            part->host == &part->host->round->hosts[0] ? "first runtime" : "second runtime",
            lido__load(&part->provoked, LIDO__RELAXED) ? ", cancelled" : "",
            !began  ? "has not begun"
            : doing ? doing
                    : "runs");
}

static void print_parts(const struct round *round)
{
    const struct part *part = lido__load(&round->parts, LIDO__ACQUIRE);
    unsigned left = 0;
    for (; part; part = part->next) {
        if (part->refused || part->skipped || lido__load(&part->ended, LIDO__RELAXED))
            continue;
        if (left++ < NAMED_MAX)
            print_part(part);
    }
    fprintf(stderr, "  %u parts have not ended\n", left);
}

static void print_round(const struct round *round)
{
    static const char *const stages[] = {"open", "draining", "cancelling"};
    const char *phase = lido__load(&watchdog.phase, LIDO__RELAXED);
    uint64_t since = lido__load(&watchdog.since, LIDO__RELAXED);
    fprintf(stderr, "%s for %llu ms; runtimes: %s, %s\n", phase,
            (unsigned long long)((lido_now() - since) / 1000000),
            stages[host_stage(&round->hosts[0])], stages[host_stage(&round->hosts[1])]);
    plan_print(stderr, round->plan);
    print_parts(round);
}

void print_stuck(void *unused, const lido_stuck *stuck)
{
    (void)unused;
    fprintf(stderr, "  left: %s (%s) on worker %u: %s for %lld ms%s\n",
            stuck->name ? stuck->name : "(no name)", stuck->where, stuck->worker, stuck->awaits,
            (long long)stuck->waited_ms, stuck->runnable ? ", runnable" : "");
}

/* ---- The end of it all ------------------------------------------------------------------------------------ */

static void print_again(void)
{
    size_t length = strlen(watchdog.again);
    if (length > 0 && write(STDERR_FILENO, watchdog.again, length) < 0)
        return;
}

/* The first who fails tells; the others, who mostly fail for the same reason, leave it to that one. */
void fail_soak_at(const char *where, const char *format, ...)
{
    va_list arguments;
    while (lido__exchange(&watchdog.failed, 1, LIDO__RELAXED))
        pause();
    fprintf(stderr, "\nsoak: FAILED: %s: ", where);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    const struct round *round = lido__load(&watchdog.round, LIDO__ACQUIRE);
    if (round)
        print_round(round);
    fflush(NULL);
    abort();
}

/* lido's own asserts abort too. */
static void on_abort(int signal)
{
    (void)signal;
    print_again();
}

#if defined(LIDO__ASAN) || defined(LIDO__TSAN)
void __sanitizer_set_death_callback(void (*callback)(void));

static void watch_deaths(void)
{
    __sanitizer_set_death_callback(print_again);
}
#else
static void on_crash(int number)
{
    print_again();
    signal(number, SIG_DFL);
}

static void watch_deaths(void)
{
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}
#endif

/* ---- The thread --------------------------------------------------------------------------------------------- */

static void ask_runtime(const struct round *round)
{
    lido_runtime *runtime = round->hosts[0].runtime;
    if (runtime && !round->plan->by_run)
        lido_shutdown(runtime, LIDO_SHUTDOWN_ON_IDLE, 0, print_stuck, NULL);
}

static void look(void)
{
    const struct round *round = lido__load(&watchdog.round, LIDO__ACQUIRE);
    uint64_t ms = (lido_now() - lido__load(&watchdog.since, LIDO__RELAXED)) / 1000000;
    if (!round || lido__load(&watchdog.failed, LIDO__RELAXED))
        return;
    if (ms > PATIENCE_MS + PATIENCE_MS / 2) {
        if (strcmp(lido__load(&watchdog.phase, LIDO__RELAXED), "playing") == 0)
            ask_runtime(round);
        fail_soak("nothing goes on");
    }
}

static void *watch(void *unused)
{
    const struct timespec pause = {.tv_nsec = 200000000};
    while (!lido__load(&watchdog.stop, LIDO__RELAXED)) {
        nanosleep(&pause, NULL);
        look();
    }
    return unused;
}

void watchdog_start(void)
{
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = SA_ONSTACK};
    sigaction(SIGABRT, &action, NULL);
    watch_deaths();
    watchdog_phase("starting");
    insist(pthread_create(&watchdog.thread, NULL, watch, NULL) == 0);
}

void watchdog_stop(void)
{
    lido__store(&watchdog.stop, 1, LIDO__RELAXED);
    pthread_join(watchdog.thread, NULL);
}

/* The command that plays the round again. */
static void tell_again(const struct plan *plan)
{
    const char *preset = SCALED("release", "asan", "tsan");
    int length =
        snprintf(watchdog.again, sizeof(watchdog.again),
                 "soak: that round again and again: ./dev soak --preset %s --seed %llu --only %llu",
                 preset, (unsigned long long)plan->seed, (unsigned long long)plan->number);
    char *rest = watchdog.again + length;
    size_t room = sizeof(watchdog.again) - (size_t)length;
    snprintf(rest, room, "%s%s --workers %u\n", plan->limits.scheduler ? " --scheduler " : "",
             plan->limits.scheduler ? plan->limits.scheduler : "", plan->limits.workers);
}

void watchdog_round(const struct round *round)
{
    if (round)
        tell_again(round->plan);
    watchdog_phase("building");
    lido__store(&watchdog.round, round, LIDO__RELEASE);
}

void watchdog_phase(const char *phase)
{
    lido__store(&watchdog.phase, phase, LIDO__RELAXED);
    lido__store(&watchdog.since, lido_now(), LIDO__RELAXED);
}
