#define _GNU_SOURCE

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/call.h"
#include "os/os.h"

int lido__futex_wait(const uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / 1000000000u),
        .tv_nsec = (long)(timeout_ns % 1000000000u),
    };
    int r = lido__fault("futex");
    /* Plain: this -ETIMEDOUT is that of a caller of lido. */
    return r < 0 ? r
                 : (int)LIDO__CALL_PLAIN(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected,
                                                 timeout_ns == LIDO__FOREVER ? NULL : &timeout));
}

int lido__futex_wake(uint32_t *word, int count)
{
    long woken = syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
    return woken < 0 ? 0 : (int)woken;
}
