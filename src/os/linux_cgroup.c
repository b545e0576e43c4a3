#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/cgroup.h"

#define MEMBERSHIP_SIZE 8192
#define PATH_SIZE 1024
#define VALUE_SIZE 64

/* Reads the quota of one group, whose directory is given. */
typedef unsigned group_quota(lido__cgroup_reader *read, const char *directory);

static bool read_value(lido__cgroup_reader *read, const char *directory, const char *file,
                       char value[VALUE_SIZE])
{
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof(path), "%s/%s", directory, file);
    return length < (int)sizeof(path) && read(path, value, VALUE_SIZE);
}

/* Rounded up: half a cpu still needs a worker. */
static unsigned whole_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return LIDO__CGROUP_NO_QUOTA;
    long long cpus = quota / period + (quota % period != 0);
    return cpus > UINT_MAX ? UINT_MAX : (unsigned)cpus;
}

/* "max 100000" or "150000 100000". */
static unsigned quota_v2(lido__cgroup_reader *read, const char *directory)
{
    char value[VALUE_SIZE];
    if (!read_value(read, directory, "cpu.max", value))
        return LIDO__CGROUP_NO_QUOTA;
    char *rest;
    long long quota = strtoll(value, &rest, 10);
    return whole_cpus(quota, strtoll(rest, NULL, 10));
}

/* The quota is -1 if there is none. */
static unsigned quota_v1(lido__cgroup_reader *read, const char *directory)
{
    char quota[VALUE_SIZE];
    char period[VALUE_SIZE];
    if (!read_value(read, directory, "cpu.cfs_quota_us", quota) ||
        !read_value(read, directory, "cpu.cfs_period_us", period))
        return LIDO__CGROUP_NO_QUOTA;
    return whole_cpus(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

static unsigned lower(unsigned a, unsigned b)
{
    if (a == LIDO__CGROUP_NO_QUOTA || b == LIDO__CGROUP_NO_QUOTA)
        return a + b;
    return a < b ? a : b;
}

/*
 * From the group up to the root of the mount. A container that sees the path of its group as the
 * host names it finds none of these directories but the last: the mount's root, its own group.
 */
static unsigned lowest_on_path(lido__cgroup_reader *read, group_quota *quota_of, const char *mount,
                               const char *group)
{
    char directory[PATH_SIZE];
    unsigned lowest = LIDO__CGROUP_NO_QUOTA;
    size_t root = strlen(mount);

    if (snprintf(directory, sizeof(directory), "%s%s", mount, group) >= (int)sizeof(directory))
        directory[root] = '\0';
    for (;;) {
        lowest = lower(lowest, quota_of(read, directory));
        char *slash = strrchr(directory + root, '/');
        if (!slash)
            return lowest;
        *slash = '\0';
    }
}

static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* A line of /proc/self/cgroup, "ID:CONTROLLERS:PATH"; v2 has no controllers in it. */
static unsigned quota_of_line(lido__cgroup_reader *read, char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
        return LIDO__CGROUP_NO_QUOTA;
    controllers++;
    *group++ = '\0';

    if (*controllers == '\0')
        return lowest_on_path(read, quota_v2, "/sys/fs/cgroup", group);
    if (has_word(controllers, "cpu"))
        return lowest_on_path(read, quota_v1, "/sys/fs/cgroup/cpu", group);
    return LIDO__CGROUP_NO_QUOTA;
}

unsigned lido__cgroup_cpus(lido__cgroup_reader *read)
{
    char text[MEMBERSHIP_SIZE];
    char *position;
    unsigned lowest = LIDO__CGROUP_NO_QUOTA;

    if (!read("/proc/self/cgroup", text, sizeof(text)))
        return lowest;
    for (char *line = strtok_r(text, "\n", &position); line; line = strtok_r(NULL, "\n", &position))
        lowest = lower(lowest, quota_of_line(read, line));
    return lowest;
}
