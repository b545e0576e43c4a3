#define _GNU_SOURCE

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "os/call.h"
#include "os/os.h"

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

int lido__barrier_init(void)
{
    return (int)LIDO__CALL("membarrier", membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
}

/* It fails only for a process that has not registered, or for want of memory for its mask of cpus. */
void lido__barrier_all(void)
{
    long r;
    while ((r = LIDO__CALL_PLAIN(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED))) < 0)
        LIDO__ASSERT(r == -ENOMEM);
}
