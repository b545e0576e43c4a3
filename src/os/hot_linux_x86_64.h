/* The calls of os/hot.h, straight to the kernel. */
#ifndef LIDO_OS_HOT_LINUX_X86_64_H
#define LIDO_OS_HOT_LINUX_X86_64_H

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/types.h>

static inline long lido__syscall4(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long lido__syscall3(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long lido__syscall5(long number, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

/* Tells the cpu that this is a loop that waits for another one. */
static inline void lido__hot_relax(void)
{
    __asm__ volatile("pause" ::: "memory");
}

static inline ssize_t lido__hot_read(int fd, void *buffer, size_t bytes)
{
    return lido__syscall3(SYS_read, fd, (long)buffer, (long)bytes);
}

/* Without an address; its length, which would be the sixth argument, is not looked at then. */
static inline ssize_t lido__hot_recv(int fd, void *buffer, size_t bytes, int flags)
{
    return lido__syscall5(SYS_recvfrom, fd, (long)buffer, (long)bytes, flags, 0);
}

static inline ssize_t lido__hot_send(int fd, const void *buffer, size_t bytes, int flags)
{
    return lido__syscall5(SYS_sendto, fd, (long)buffer, (long)bytes, flags, 0);
}

static inline int lido__hot_epoll_wait(int fd, struct epoll_event *events, int count, int ms)
{
    return (int)lido__syscall4(SYS_epoll_wait, fd, (long)events, count, ms);
}

#endif
