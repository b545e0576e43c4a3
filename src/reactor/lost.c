#include "reactor/lost.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/assert.h"

static __attribute__((noreturn)) void tell(const char *what, int fd, unsigned worker,
                                           const char *how)
{
    char text[160];
    snprintf(text, sizeof(text), "the %s descriptor %d of worker %u was closed by the program%s",
             what, fd, worker, how);
    lido__misused(text);
}

/* What the system calls it in /proc, where there is that. */
static bool is_called(int fd, const char *name)
{
    char path[40], target[40] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target) - 1) < 0 || strcmp(target, name) == 0;
}

static void judge(const char *what, int fd, unsigned worker, const char *name)
{
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
        tell(what, fd, worker, "");
    if (!is_called(fd, name))
        tell(what, fd, worker, ", and is another file by now");
}

/* An attempt to register it again changes nothing, if it is registered. */
void lido__lost_check(int epoll_fd, int wake_fd, unsigned worker)
{
    struct epoll_event none = {0};
    int r = epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &none);
    if (r < 0 && errno == EEXIST)
        return;
    judge("epoll", epoll_fd, worker, "anon_inode:[eventpoll]");
    judge("wake-up", wake_fd, worker, "anon_inode:[eventfd]");
    if (r < 0)
        return; /* refused, by a sandbox perhaps */
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, wake_fd, &none);
    tell("epoll or wake-up", wake_fd, worker, ", and another of its kind has the number by now");
}
