#include "support/stress.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* Less than ctest allows, and several times what a loaded machine needs. */
#define LIMIT_SECONDS 420

void say(const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    fprintf(stderr, "    %s\n", line);
}

void stress_limit(void)
{
    alarm(LIMIT_SECONDS);
}

/* ---- Counts ---------------------------------------------------------------------------------------- */

struct goal {
    const uint64_t *counter;
    uint64_t count;
};

static bool is_reached(void *arg)
{
    const struct goal *goal = arg;
    return posted(goal->counter) >= goal->count;
}

void await_count(const uint64_t *counter, uint64_t count)
{
    uint64_t seen;
    while ((seen = posted(counter)) < count) {
        struct goal goal = {counter, seen + 1};
        await_that(is_reached, &goal);
    }
}

/* ---- Dice ------------------------------------------------------------------------------------------ */

uint64_t stress_seed(void)
{
    const char *given = getenv("LIDO_TEST_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : lido_now();
    say("LIDO_TEST_SEED=%llu", (unsigned long long)seed);
    return seed;
}

/* splitmix64, by Steele, Lea and Flood: good from any state, so seeds may be neighbours. */
static uint64_t next(struct dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct dice dice_of(uint64_t seed, uint64_t index)
{
    struct dice dice = {seed};
    dice.state = next(&dice) + index;
    dice.state = next(&dice);
    return dice;
}

uint32_t roll(struct dice *dice, uint32_t sides)
{
    return (uint32_t)((next(dice) >> 32) * sides >> 32);
}

/* ---- Resources --------------------------------------------------------------------------------------- */

size_t count_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    size_t count = 0;
    check(list);
    while (readdir(list))
        count++;
    closedir(list);
    return count - 3; /* ".", "..", and that of the list */
}

size_t allow_descriptors(size_t wanted)
{
    struct rlimit limit;
    check_int(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        check_int(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    return limit.rlim_cur;
}

/* The value of "KEY: value kB" in one of the tables of /proc. */
static size_t look_up(const char *table, const char *key)
{
    FILE *file = fopen(table, "r");
    size_t length = strlen(key), value = 0;
    char line[256];
    check(file);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, length) == 0 && line[length] == ':')
            value = strtoull(line + length + 1, NULL, 10);
    }
    fclose(file);
    return value;
}

size_t resident_kib(void)
{
    return look_up("/proc/self/status", "VmRSS") + look_up("/proc/self/status", "VmPTE");
}

size_t available_kib(void)
{
    return look_up("/proc/meminfo", "MemAvailable");
}
