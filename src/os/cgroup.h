/*
 * How many cpus the control groups of this process allow it. A parser of text: the files come
 * through a function, so that a test can feed strings.
 */
#ifndef LIDO_OS_CGROUP_H
#define LIDO_OS_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#define LIDO__CGROUP_NO_QUOTA 0u

/* Reads a whole file into `text` and ends it with a NUL; false if it cannot be read or is longer. */
typedef bool lido__cgroup_reader(const char *path, char *text, size_t size);

/*
 * The lowest cpu quota of the process's group and all groups above it, v2 (cpu.max) and v1
 * (cpu.cfs_quota_us), in whole cpus, rounded up; LIDO__CGROUP_NO_QUOTA if there is none.
 */
unsigned lido__cgroup_cpus(lido__cgroup_reader *read);

#endif
