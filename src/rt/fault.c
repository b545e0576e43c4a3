#include "rt/fault.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "fiber/fiber.h"
#include "os/os.h"
#include "sched/section.h"

/* Enough for the handler, the report and an on_fault that formats a line of its own. */
#define SIGNAL_STACK_SIZE ((size_t)64 << 10)

struct lido__fault_stack {
    stack_t before; /* of the thread, which in lido_run is the program's own */
    char memory[SIGNAL_STACK_SIZE];
};

static const int signals[] = {SIGSEGV, SIGBUS};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;                      /* under lock */
static struct sigaction before[SIGNALS];    /* written while users is 0 */
static void (*handler)(const lido_fault *); /* written before users rises; read by the handler */

/* ---- In the signal handler: nothing that is not async-signal-safe ------------------------------- */

static void say(const char *text)
{
    ssize_t r = write(STDERR_FILENO, text, strlen(text));
    (void)r; /* there is nobody left to tell */
}

static void say_address(const void *address)
{
    char text[2 + 2 * sizeof(uintptr_t) + 1] = "0x";
    uintptr_t value = (uintptr_t)address;
    for (size_t i = 0; i < 2 * sizeof(value); i++)
        text[2 + i] = "0123456789abcdef"[value >> (8 * sizeof(value) - 4 - 4 * i) & 15];
    text[sizeof(text) - 1] = '\0';
    say(text);
}

/*
 * Whether a task has used up its stack: what it touches lies in the guard below that, or its stack pointer is already
 * beyond the guard, as that of a frame that is larger.
 */
static bool has_overflown(const lido_task *task, const void *address, const void *sp)
{
    if ((lido__task_flags(task) & (LIDO__TASK_FIBER | LIDO__TASK_UNSTARTED)) != LIDO__TASK_FIBER)
        return false;
    const struct lido__fiber *fiber = lido__fiber_of(task);
    const char *low = fiber->annotation.low;
    const char *at = address;
    return (at < low && at >= low - LIDO__STACK_GUARD) || lido__stack_is_below(fiber, sp);
}

static void tell(const lido_fault *fault)
{
    say(fault->stack_overflow ? "lido: stack overflow" : "lido: memory fault");
    say(" at ");
    say_address(fault->address);
    if (fault->task_where) {
        say(" in task ");
        say(fault->task_name ? fault->task_name : "(unnamed)");
        say(", spawned at ");
        say(fault->task_where);
        if (fault->stack_overflow)
            say("; see lido_config.stack_size");
    } else {
        say(" outside of a task");
    }
    say("\n");
}

/* The handlers from before come back, and the instruction faults again under them. */
static void restore(void)
{
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &before[i], NULL);
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    const lido_task *task = lido__task_of_thread();
    lido_fault fault = {.signal = signal, .address = info->si_addr};
    if (task) {
        fault.task_name = task->name;
        fault.task_where = task->where;
        fault.stack_overflow = has_overflown(task, info->si_addr, lido__interrupted_stack(context));
    }
    tell(&fault);
    void (*call)(const lido_fault *) = lido__load(&handler, LIDO__ACQUIRE);
    if (call)
        call(&fault);
    restore();
    if (info->si_code <= 0) /* sent by kill or raise: it would not come again by itself */
        raise(signal);
}

/* ---- Installing -------------------------------------------------------------------------------- */

void lido__fault_handlers_install(void (*on_fault)(const lido_fault *fault))
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&lock);
    if (on_fault)
        lido__store(&handler, on_fault, LIDO__RELEASE);
    if (users++ == 0)
        for (size_t i = 0; i < SIGNALS; i++)
            sigaction(signals[i], &action, &before[i]);
    pthread_mutex_unlock(&lock);
}

/* One that the program has installed since stays. */
static void uninstall(void)
{
    struct sigaction now;
    for (size_t i = 0; i < SIGNALS; i++)
        if (sigaction(signals[i], NULL, &now) == 0 && now.sa_sigaction == on_signal)
            sigaction(signals[i], &before[i], NULL);
}

void lido__fault_handlers_release(void)
{
    pthread_mutex_lock(&lock);
    if (--users == 0) {
        uninstall();
        lido__store(&handler, NULL, LIDO__RELEASE);
    }
    pthread_mutex_unlock(&lock);
}

struct lido__fault_stack *lido__fault_stack_new(void)
{
    return lido__fault("malloc") < 0 ? NULL : malloc(sizeof(struct lido__fault_stack));
}

void lido__fault_stack_free(struct lido__fault_stack *stack)
{
    free(stack);
}

void lido__fault_stack_enter(struct lido__fault_stack *stack)
{
    if (!stack)
        return;
    stack_t alternate = {.ss_sp = stack->memory, .ss_size = sizeof(stack->memory)};
    sigaltstack(&alternate, &stack->before);
}

void lido__fault_stack_leave(struct lido__fault_stack *stack)
{
    if (!stack)
        return;
    sigaltstack(&stack->before, NULL);
    free(stack);
}
