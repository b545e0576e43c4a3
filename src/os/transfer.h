/*
 * The calls that move the bytes of every request, inline: one of them is a few instructions, and a call of a function
 * costs those who make it the registers that they must save.
 */
#ifndef LIDO_OS_TRANSFER_H
#define LIDO_OS_TRANSFER_H

#include <sys/socket.h>

#include "os/call.h"
#include "os/hot.h"

/* Any descriptor. */
static inline ssize_t lido__os_read(int fd, void *buffer, size_t bytes)
{
    return LIDO__CALL_HOT("read", lido__hot_read(fd, buffer, bytes));
}

/* Sockets only. `flags` are MSG_*, such as MSG_PEEK; the senders add MSG_NOSIGNAL. */
static inline ssize_t lido__os_recv(int fd, void *buffer, size_t bytes, int flags)
{
    return LIDO__CALL_HOT("recv", lido__hot_recv(fd, buffer, bytes, flags));
}

static inline ssize_t lido__os_send(int fd, const void *buffer, size_t bytes, int flags)
{
    return LIDO__CALL_HOT("send", lido__hot_send(fd, buffer, bytes, flags | MSG_NOSIGNAL));
}

#endif
