/* The calls of os/hot.h through libc. */
#ifndef LIDO_OS_HOT_LIBC_H
#define LIDO_OS_HOT_LIBC_H

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static inline ssize_t lido__hot_read(int fd, void *buffer, size_t bytes)
{
    ssize_t r = read(fd, buffer, bytes);
    return r < 0 ? -errno : r;
}

static inline ssize_t lido__hot_recv(int fd, void *buffer, size_t bytes, int flags)
{
    ssize_t r = recv(fd, buffer, bytes, flags);
    return r < 0 ? -errno : r;
}

static inline ssize_t lido__hot_send(int fd, const void *buffer, size_t bytes, int flags)
{
    ssize_t r = send(fd, buffer, bytes, flags);
    return r < 0 ? -errno : r;
}

static inline int lido__hot_epoll_wait(int fd, struct epoll_event *events, int count, int ms)
{
    int r = epoll_wait(fd, events, count, ms);
    return r < 0 ? -errno : r;
}

#endif
