#define _GNU_SOURCE

#include "support/gate.h"

#include <dirent.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/os.h"
#include "support/check.h"

void gate_open(struct gate *gate)
{
    lido__store(&gate->open, 1, LIDO__RELEASE);
    lido__futex_wake(&gate->open, INT_MAX);
}

void gate_pass(struct gate *gate)
{
    while (!lido__load(&gate->open, LIDO__ACQUIRE))
        lido__futex_wait(&gate->open, 0, LIDO__FOREVER);
}

unsigned threads_count(void)
{
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    check(tasks != NULL);
    for (struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

int thread_id(void)
{
    return (int)syscall(SYS_gettid);
}
