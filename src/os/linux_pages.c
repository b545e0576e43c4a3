#define _GNU_SOURCE

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "os/call.h"
#include "os/os.h"

/* Newer than the headers of the oldest system that lido is built on. */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* Linux 6.13 */
#endif
#ifndef PIDFD_SELF
#define PIDFD_SELF (-10000) /* Linux 6.15; before, it is just a bad descriptor */
#endif

#define GUARDS_A_CALL 128 /* 2 KiB of stack: the caller may be a fiber */

size_t lido__page_size(void)
{
    static lido__shared size_t size;
    size_t known = lido__load(&size, LIDO__RELAXED);
    if (!known) {
        known = (size_t)sysconf(_SC_PAGESIZE);
        lido__store(&size, known, LIDO__RELAXED);
    }
    return known;
}

int lido__pages_reserve(void **ret_base, size_t bytes)
{
    int r = lido__fault("mmap");
    if (r < 0)
        return r;
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return -errno;
    /* Fails where the kernel has no huge pages, and then it is not needed. */
    (void)LIDO__CALL_PLAIN(madvise(base, bytes, MADV_NOHUGEPAGE));
    *ret_base = base;
    return 0;
}

int lido__pages_release(void *base, size_t bytes)
{
    return base ? LIDO__CALL("munmap", munmap(base, bytes)) : 0;
}

int lido__pages_discard(void *base, size_t bytes)
{
    return LIDO__CALL_AGAIN("madvise", madvise(base, bytes, MADV_DONTNEED));
}

/* ---- Guards ----------------------------------------------------------------------------------- */

struct guards {
    char *base;
    size_t stride;
    size_t bytes;
    size_t count;
};

/* Returns how many guards were made, or the error. */
static ssize_t guard_some(const struct guards *guards, size_t first)
{
    struct iovec parts[GUARDS_A_CALL];
    size_t count = lido__min_size(guards->count - first, GUARDS_A_CALL);
    for (size_t i = 0; i < count; i++) {
        parts[i].iov_base = guards->base + (first + i) * guards->stride;
        parts[i].iov_len = guards->bytes;
    }
    ssize_t bytes =
        LIDO__CALL_AGAIN("process_madvise", syscall(SYS_process_madvise, PIDFD_SELF, parts, count,
                                                    MADV_GUARD_INSTALL, 0));
    return bytes < 0 ? bytes : bytes / (ssize_t)guards->bytes;
}

static int guard_batch(const struct guards *guards)
{
    size_t done = 0;
    while (done < guards->count) {
        ssize_t n = guard_some(guards, done);
        if (n <= 0)
            return n < 0 ? (int)n : -EINVAL;
        done += (size_t)n;
    }
    return 0;
}

static int guard_single(const struct guards *guards)
{
    int r = 0;
    for (size_t i = 0; i < guards->count && r == 0; i++)
        r = LIDO__CALL_AGAIN("madvise", madvise(guards->base + i * guards->stride, guards->bytes,
                                                MADV_GUARD_INSTALL));
    return r;
}

static int guard_protect(const struct guards *guards)
{
    int r = 0;
    for (size_t i = 0; i < guards->count && r == 0; i++)
        r = LIDO__CALL("mprotect",
                       mprotect(guards->base + i * guards->stride, guards->bytes, PROT_NONE));
    return r;
}

static lido__shared uint32_t guard_method = LIDO__GUARD_BATCH;

enum lido__guard_method lido__pages_guard_method(void)
{
    return lido__load(&guard_method, LIDO__RELAXED);
}

void lido__pages_guard_force(enum lido__guard_method method)
{
    lido__store(&guard_method, method, LIDO__RELAXED);
}

int lido__pages_guard(void *base, size_t stride, size_t guard_bytes, size_t count)
{
    static int (*const install[])(const struct guards *) = {
        [LIDO__GUARD_BATCH] = guard_batch,
        [LIDO__GUARD_SINGLE] = guard_single,
        [LIDO__GUARD_PROTECT] = guard_protect,
    };
    const struct guards guards = {base, stride, guard_bytes, count};

    for (;;) {
        uint32_t method = lido__load(&guard_method, LIDO__RELAXED);
        int r = install[method](&guards);
        if (r == 0 || r == -ENOMEM || method == LIDO__GUARD_PROTECT)
            return r;
        /* Refused: not by this kernel, not by its seccomp filter, or not for locked memory. Making
           a guard twice does no harm, so the next method starts from the first guard again. */
        lido__cas(&guard_method, &method, method + 1, LIDO__RELAXED, LIDO__RELAXED);
    }
}
