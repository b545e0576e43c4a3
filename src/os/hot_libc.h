/* The calls of os/hot.h through libc. */
#ifndef LIDO_OS_HOT_LIBC_H
#define LIDO_OS_HOT_LIBC_H

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/atomic.h"
#include "os/call.h"

static inline void lido__hot_relax(void)
{
    lido__fence_light();
}

static inline ssize_t lido__hot_read(int fd, void *buffer, size_t bytes)
{
    return LIDO__CALL_PLAIN(read(fd, buffer, bytes));
}

static inline ssize_t lido__hot_recv(int fd, void *buffer, size_t bytes, int flags)
{
    return LIDO__CALL_PLAIN(recv(fd, buffer, bytes, flags));
}

static inline ssize_t lido__hot_send(int fd, const void *buffer, size_t bytes, int flags)
{
    return LIDO__CALL_PLAIN(send(fd, buffer, bytes, flags));
}

static inline int lido__hot_epoll_wait(int fd, struct epoll_event *events, int count, int ms)
{
    return LIDO__CALL_PLAIN(epoll_wait(fd, events, count, ms));
}

#endif
