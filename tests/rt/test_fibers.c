/* Fibers: each has its own stack, registers and errno; stacks are used again and given back. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>

#include "os/os.h"
#include "support/runtime.h"

/* ---- Registers ------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
/*
 * Fills all registers that a call must preserve with values made of `seed`, yields, and returns how many
 * of them came back otherwise.
 */
int lost_registers(uint64_t seed);
__asm__(".text\n"
        ".type lost_registers, @function\n"
        "lost_registers:\n"
        "    pushq %rbx\n    pushq %rbp\n    pushq %r12\n    pushq %r13\n    pushq %r14\n"
        "    pushq %r15\n    pushq %rdi\n"
        "    leaq 1(%rdi), %rbx\n    leaq 2(%rdi), %rbp\n    leaq 3(%rdi), %r12\n"
        "    leaq 4(%rdi), %r13\n    leaq 5(%rdi), %r14\n    leaq 6(%rdi), %r15\n"
        "    call lido_yield\n"
        "    xorl %eax, %eax\n    popq %rdi\n"
        "    subq %rdi, %rbx\n    cmpq $1, %rbx\n    je 1f\n    incl %eax\n"
        "1:  subq %rdi, %rbp\n    cmpq $2, %rbp\n    je 2f\n    incl %eax\n"
        "2:  subq %rdi, %r12\n    cmpq $3, %r12\n    je 3f\n    incl %eax\n"
        "3:  subq %rdi, %r13\n    cmpq $4, %r13\n    je 4f\n    incl %eax\n"
        "4:  subq %rdi, %r14\n    cmpq $5, %r14\n    je 5f\n    incl %eax\n"
        "5:  subq %rdi, %r15\n    cmpq $6, %r15\n    je 6f\n    incl %eax\n"
        "6:  popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbp\n    popq %rbx\n"
        "    ret\n"
        ".size lost_registers, .-lost_registers\n");
#else
static int lost_registers(uint64_t seed)
{
    (void)seed;
    return lido_yield();
}
#endif

static int keep_registers(void *arg)
{
    uint64_t seed = *(const uint64_t *)arg;
    for (int i = 0; i < 100; i++)
        check_int(lost_registers(seed + (uint64_t)i * 1000), 0);
    return 0;
}

static int keep_registers_apart(void *arg)
{
    uint64_t seeds[8];
    lido_task *tasks[8];
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++) {
        seeds[i] = 0x0123456789abcdefu * (i + 1);
        tasks[i] = start(keep_registers, &seeds[i]);
    }
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void registers_survive_a_switch(void **state)
{
    (void)state;
    run(keep_registers_apart);
}

struct sums {
    double base;
    double sum;
    long double precise;
};

/* Many values that are alive over each switch. */
static int sum_up(void *arg)
{
    struct sums *sums = arg;
    double a = sums->base, b = a + 1, c = a + 2, d = a + 3, e = a + 4, f = a + 5;
    long double p = sums->base / 3.0L;
    for (int i = 0; i < 50; i++) {
        check_int(lido_yield(), 0);
        a += 0.5, b += a, c += b, d += c, e += d, f += e;
        p += sqrtl(p + i);
        check_int(i % 2 ? lido_yield() : lido_sleep(0), 0);
    }
    sums->sum = a + b + c + d + e + f;
    sums->precise = p;
    return 0;
}

static int sum_up_together(void *arg)
{
    struct sums together[8], alone[8];
    lido_task *tasks[8];
    (void)arg;
    for (int i = 0; i < 8; i++) {
        together[i] = alone[i] = (struct sums){.base = i * 1.25 + 0.1};
        check_int(finish(start(sum_up, &alone[i])), 0);
    }
    for (int i = 0; i < 8; i++)
        tasks[i] = start(sum_up, &together[i]);
    for (int i = 0; i < 8; i++) {
        check_int(finish(tasks[i]), 0);
        check(together[i].sum == alone[i].sum);
        check(together[i].precise == alone[i].precise);
    }
    return 0;
}

static void floating_point_survives_a_switch(void **state)
{
    (void)state;
    run(sum_up_together);
}

/* ---- The stack ------------------------------------------------------------------------------------ */

/* Instructions for aligned memory fault if a stack begins at the wrong place. */
static int use_aligned(void *arg)
{
    char text[64];
    _Alignas(16) volatile char aligned[16];
    aligned[0] = (char)lido_yield();
    check_int((uintptr_t)aligned % 16, 0);
    snprintf(text, sizeof(text), "%.3f %.3Lf", *(double *)arg, (long double)2.5);
    check_string(text, "1.250 2.500");
    return 0;
}

static int start_aligned(void *arg)
{
    double value = 1.25;
    lido_task *tasks[40]; /* each colour of a stack */
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = start(use_aligned, &value);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void each_stack_is_aligned(void **state)
{
    (void)state;
    run(start_aligned);
}

static int descend(int depth, volatile char *above)
{
    volatile char frame[1024];
    frame[0] = (char)depth;
    frame[1023] = (char)~depth;
    if (depth > 0)
        check_int(descend(depth - 1, frame), 0);
    else
        check_int(lido_yield(), 0);
    check(frame[0] == (char)depth && frame[1023] == (char)~depth);
    return above == frame;
}

static int descend_far(void *arg)
{
    volatile char top = 0;
    return descend(*(int *)arg, &top);
}

/* Several fibers at once, each with most of its stack in use over a switch. */
static int descend_together(void *arg)
{
    lido_task *tasks[10];
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(lido_spawn(&tasks[i], descend_far, arg), 0);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void a_stack_is_as_large_as_was_asked(void **state)
{
    lido_config config = LIDO_CONFIG_INIT;
    int frames = 200;
    (void)state;
    config.workers = 1;
    config.stack_size = (size_t)frames * 1024 * 5 / 4;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    config.stack_size *= 4; /* what the tools put between the frames */
#endif
    check_int(lido_run(&config, descend_together, &frames), 0);
}

static int jump(void *arg)
{
    jmp_buf out;
    volatile int passes = 0;
    (void)arg;
    if (setjmp(out) < 3) {
        passes++;
        check_int(lido_yield(), 0);
        longjmp(out, passes);
    }
    return passes;
}

static int jump_together(void *arg)
{
    lido_task *tasks[3];
    (void)arg;
    for (size_t i = 0; i < COUNT(tasks); i++)
        tasks[i] = start(jump, NULL);
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 3);
    return 0;
}

static void jumps_within_a_fiber_work(void **state)
{
    (void)state;
    run(jump_together);
}

/* ---- errno ---------------------------------------------------------------------------------------- */

static int keep_errno(void *arg)
{
    int mine = *(int *)arg;
    for (int i = 0; i < 20; i++) {
        errno = mine;
        switch (i % 3) {
        case 0: check_int(lido_yield(), 0); break;
        case 1: check_int(lido_sleep(1), 0); break;
        default: check_int(lido_join(start(keep_registers, &(uint64_t){1}), NULL), 0);
        }
        check_int(errno, mine);
    }
    return 0;
}

static int keep_errnos_apart(void *arg)
{
    int values[6];
    lido_task *tasks[6];
    (void)arg;
    for (int i = 0; i < 6; i++) {
        values[i] = 1000 + i;
        tasks[i] = start_on((unsigned)i % 2, keep_errno, &values[i]);
    }
    for (size_t i = 0; i < COUNT(tasks); i++)
        check_int(finish(tasks[i]), 0);
    return 0;
}

static void each_fiber_has_its_errno(void **state)
{
    (void)state;
    run_on(2, keep_errnos_apart, NULL);
}

/* ---- Memory --------------------------------------------------------------------------------------- */

static size_t resident(void)
{
    size_t pages, in_memory;
    FILE *file = fopen("/proc/self/statm", "r");
    check(file && fscanf(file, "%zu %zu", &pages, &in_memory) == 2);
    fclose(file);
    return in_memory * lido__page_size();
}

/* TSan has room for some 8000 fibers at once, and needs a megabyte for each. */
enum { BURST = UNDER_TSAN ? 500 : 20000, BURST_KIB = 16 };

struct burst {
    uint32_t dirty;
    struct flag seen;
};

static int dirty_the_stack(void *arg)
{
    struct burst *burst = arg;
    char frame[BURST_KIB << 10];
    memset(frame, 1, sizeof(frame));
    __asm__ volatile("" : : "r"(frame) : "memory"); /* or a compiler finds that it need not exist */
    lido__fetch_add(&burst->dirty, 1, LIDO__RELAXED);
    while (!flag_is_up(&burst->seen))
        check_int(lido_sleep(2), 0);
    return 0;
}

/* How much is in memory while all are there. */
static size_t burst_of_fibers(void)
{
    static lido_task *tasks[BURST];
    struct burst burst = {0};
    for (size_t i = 0; i < BURST; i++)
        tasks[i] = start_on(i % 2, dirty_the_stack, &burst);
    while (lido__load(&burst.dirty, LIDO__RELAXED) < BURST)
        check_int(lido_sleep(1), 0);
    size_t peak = resident();
    flag_raise(&burst.seen);
    for (size_t i = 0; i < BURST; i++)
        check_int(finish(tasks[i]), 0);
    return peak;
}

/* What is left: a few hundred stacks that each worker keeps, what lies between them, and two thousand that the
   runtime keeps. A worker gives its own back when it has nothing to do, which may be a moment after the last join. */
static int burst_and_look(void *arg)
{
    size_t before = resident();
    (void)arg;
    burst_of_fibers();
    size_t peak = burst_of_fibers();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    check(peak - before > (size_t)BURST * BURST_KIB << 9);
    while (resident() >= before + (peak - before) / 4)
        check_int(lido_sleep(1), 0);
#else
    (void)peak;
    (void)before;
#endif
    return 0;
}

static void memory_goes_back_after_a_burst(void **state)
{
    (void)state;
    run_on(2, burst_and_look, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_survive_a_switch),
        cmocka_unit_test(floating_point_survives_a_switch),
        cmocka_unit_test(each_stack_is_aligned),
        cmocka_unit_test(a_stack_is_as_large_as_was_asked),
        cmocka_unit_test(jumps_within_a_fiber_work),
        cmocka_unit_test(each_fiber_has_its_errno),
        cmocka_unit_test(memory_goes_back_after_a_burst),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
