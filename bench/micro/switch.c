/* The bare switch between two stacks, without a scheduler. */
#include "fiber/switch.h"

#include "micro/micro.h"

#define ROUNDS 1000000

static struct lido__context here;
static struct lido__context there;

static void answer(void *value)
{
    for (;;)
        value = lido__switch(&there, &here, value);
}

static void measure(double *values)
{
    static char stack[65536] __attribute__((aligned(16)));
    lido__context_init(&there, stack + sizeof(stack), answer);
    uint64_t began = bench_thread_cpu();
    for (unsigned i = 0; i < ROUNDS; i++)
        lido__switch(&here, &there, NULL);
    values[0] = (double)(bench_thread_cpu() - began) / ROUNDS;
}

/* Per round trip: two switches. */
const struct micro micro_switch = {.figures = {{.name = "switch"}}, .measure = measure};
