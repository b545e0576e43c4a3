/*
 * A million sleeping fibers, each with a stack of its own. Under ThreadSanitizer, which has room for some
 * 8000 fibers and needs a megabyte for each, and AddressSanitizer, whose stacks are larger, there are fewer.
 */
#include <errno.h>
#include <stdio.h>

#include "os/os.h"
#include "support/runtime.h"

#if defined(__SANITIZE_THREAD__)
#define FIBERS 2000u
#elif defined(__SANITIZE_ADDRESS__)
#define FIBERS 100000u
#else
#define FIBERS 1000000u
#endif

/* A page for the top of the stack, and the task. Of a stack of its own each needs no more. */
#define BYTES_EACH 4700u

static uint32_t awake;

static int sleep_until(void *arg)
{
    uint64_t until = *(const uint64_t *)arg;
    check_int(lido_sleep_until(until), 0);
    check(lido_now() >= until);
    lido__fetch_add(&awake, 1, LIDO__RELAXED);
    return 1;
}

static size_t resident(void)
{
    size_t pages, in_memory;
    FILE *file = fopen("/proc/self/statm", "r");
    check(file && fscanf(file, "%zu %zu", &pages, &in_memory) == 2);
    fclose(file);
    return in_memory * lido__page_size();
}

static size_t memory_available(void)
{
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "MemAvailable: %zu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib << 10;
}

static int sleep_together(void *arg)
{
    lido_task **tasks = calloc(FIBERS, sizeof(*tasks));
    size_t before = resident();
    unsigned joined = 0;
    uint64_t until = lido_now() + 6000000000u, begin = lido_now();
    (void)arg;
    check(tasks != NULL);
    for (unsigned i = 0; i < FIBERS; i++)
        tasks[i] = start(sleep_until, &until);
    check_int(lido_yield(), 0);
    uint64_t all_sleep = lido_now();
    size_t each = (resident() - before) / FIBERS;
    for (unsigned i = 0; i < FIBERS; i++)
        joined += (unsigned)finish(tasks[i]);
    check_int(joined, FIBERS);
    free(tasks);
    printf("%u fibers: asleep after %.2f s, joined %.2f s after their time, %zu bytes each\n",
           FIBERS, (double)(all_sleep - begin) / 1e9, (double)(lido_now() - until) / 1e9, each);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    check(each <= BYTES_EACH);
#else
    (void)each;
#endif
    return 0;
}

static void a_million_fibers_sleep(void **state)
{
    (void)state;
    run(sleep_together);
    check_int(awake, FIBERS);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int sleep_long(void *arg)
{
    (void)arg;
    return lido_sleep(3600000);
}

/* The end of a runtime with very many tasks, none of which has anybody who waits for it. */
static void now_ends_very_many_fibers(void **state)
{
    const unsigned count = FIBERS / 10;
    (void)state;
    lido_runtime *runtime = runtime_of(2);
    for (unsigned i = 0; i < count; i++)
        check_int(lido_runtime_spawn(runtime, NULL, sleep_long, NULL), 0);
    check_int(lido_block_on(runtime, nothing, NULL), 0);
    check_int(lido_shutdown(runtime, LIDO_SHUTDOWN_NOW, -1, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_fibers_sleep),
        cmocka_unit_test(now_ends_very_many_fibers),
    };
    if (memory_available() < (size_t)8 << 30) {
        printf("skipped: this needs 8 GiB of free memory\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
