#define _GNU_SOURCE

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/os.h"

/* As many as any kernel is built for; a shorter mask would be refused on the largest machines. */
#define CPUS_MAX 8192

static pthread_once_t mask_once = PTHREAD_ONCE_INIT;
static cpu_set_t mask[CPUS_MAX / CPU_SETSIZE];
static unsigned mask_count;

static void read_mask(void)
{
    if (sched_getaffinity(0, sizeof(mask), mask) == 0)
        mask_count = (unsigned)CPU_COUNT_S(sizeof(mask), mask);
    if (mask_count > 0)
        return;
    /* Refused. libc knows another way to count them. */
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    mask_count = online < 1 ? 1 : online > CPUS_MAX ? CPUS_MAX : (unsigned)online;
    for (unsigned cpu = 0; cpu < mask_count; cpu++)
        CPU_SET_S(cpu, sizeof(mask), mask);
}

static bool read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t length = 0;
    ssize_t n;
    while (length < size && (n = read(fd, text + length, size - length)) > 0)
        length += (size_t)n;
    close(fd);
    if (length == 0 || length == size)
        return false;
    text[length] = '\0';
    return true;
}

unsigned lido__cpu_count(void)
{
    pthread_once(&mask_once, read_mask);
    unsigned quota = lido__cgroup_cpus(read_file);
    return quota != LIDO__CGROUP_NO_QUOTA && quota < mask_count ? quota : mask_count;
}

int lido__cpu_nth(unsigned n)
{
    pthread_once(&mask_once, read_mask);
    n %= mask_count;
    int cpu = 0;
    while (!CPU_ISSET_S(cpu, sizeof(mask), mask) || n-- > 0)
        cpu++;
    return cpu;
}
