#define _GNU_SOURCE

#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/call.h"
#include "os/os.h"

/* The longest tick of a kernel (CONFIG_HZ=100), three times. */
#define TICKS_NS 30000000u

enum { UNKNOWN, THERE, REFUSED };

static lido__shared uint32_t known = UNKNOWN;

/* A page of its own, or NULL. Relaxed: it is set once, and whoever does not see it does without. */
static lido__shared void *page;

static int membarrier(int command)
{
    return (int)LIDO__CALL("membarrier", syscall(SYS_membarrier, command, 0, 0));
}

/* A filter may let one command pass and not the other; so both are tried. */
static int try_all(void)
{
    int r = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    return r < 0 ? r : membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

static void make_page(void)
{
    void *none = NULL;
    size_t bytes = lido__page_size();
    void *made = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made != MAP_FAILED && !lido__cas(&page, &none, made, LIDO__RELEASE, LIDO__RELAXED))
        munmap(made, bytes);
}

int lido__barrier_init(void)
{
    if (lido__load(&known, LIDO__RELAXED) == REFUSED)
        return -EPERM;
    int r = try_all();
    if (r == 0 && !lido__load(&page, LIDO__RELAXED))
        make_page();
    return r;
}

bool lido__barrier_refused(void)
{
    return lido__load(&known, LIDO__RELAXED) == REFUSED;
}

/* ---- Without membarrier ------------------------------------------------------------------------ */

/*
 * Takes a page away from all threads that may have it in their TLB: the kernel interrupts each cpu on which one
 * of them runs (unless the processor does that by itself, as some of AMD do). One at a time, for the others
 * would write to a page that may not be written.
 */
static void interrupt_all(void)
{
    static lido__shared uint32_t busy;
    size_t bytes = lido__page_size();
    if (lido__exchange(&busy, 1, LIDO__ACQUIRE))
        return;
    char *touched = lido__load(&page, LIDO__RELAXED);
    if (touched) {
        *(volatile char *)touched = 1;
        (void)LIDO__CALL_PLAIN(mprotect(touched, bytes, PROT_READ));
        if (LIDO__CALL_PLAIN(mprotect(touched, bytes, PROT_READ | PROT_WRITE)) < 0)
            lido__store(&page, NULL, LIDO__RELAXED);
    }
    lido__store(&busy, 0, LIDO__RELEASE);
}

/* Each cpu that runs something has its tick meanwhile, or is left by the thread that it ran. */
static void wait_for_ticks(void)
{
    static const uint32_t never_changes;
    uint64_t now, until = lido__clock_now() + TICKS_NS;
    while ((now = lido__clock_now()) < until)
        if (lido__futex_wait(&never_changes, 0, until - now) < 0)
            lido__thread_yield();
}

/*
 * What a barrier to all is for is that stores which lie in the store buffers of other cpus get out of them. An
 * interrupt sees to that (Intel SDM 3A, 12.10 "Store buffer"; AMD APM 2, 7.5), and so does a change of
 * threads. (A. Morrison, Y. Afek, "Temporally Bounding TSO for Fence-Free Asymmetric Synchronization", 2015.)
 */
static void fall_back(void)
{
    lido__store(&known, REFUSED, LIDO__RELAXED);
    lido__fence_seq_cst();
    interrupt_all();
    wait_for_ticks();
    lido__fence_seq_cst();
}

/* Registered once more first: the child of a fork may have to. */
void lido__barrier_all(void)
{
    if (lido__barrier_refused() ||
        (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) < 0 && try_all() < 0))
        fall_back();
}
