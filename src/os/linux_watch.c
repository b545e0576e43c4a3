#define _GNU_SOURCE

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "os/call.h"
#include "os/os.h"

/* Level-triggered: what is not taken stays an event. The poll and epoll names of events are the same numbers. */
static int control(int watch, int what, int fd, short events)
{
    struct epoll_event event = {.events = (uint32_t)events};
    return LIDO__CALL("epoll_ctl", epoll_ctl(watch, what, fd, &event));
}

int lido__os_watch(int fd, short events)
{
    int watch = LIDO__CALL("epoll_create", epoll_create1(EPOLL_CLOEXEC));
    watch = lido__fd_lift(watch);
    int r = watch < 0 ? watch : control(watch, EPOLL_CTL_ADD, fd, events);
    if (r == 0)
        return watch;
    if (watch >= 0)
        lido__os_close(watch);
    return r;
}

int lido__os_watch_again(int watch, int fd, short events)
{
    return control(watch, EPOLL_CTL_MOD, fd, events);
}

int lido__os_watch_ask(int watch)
{
    struct epoll_event event;
    int n = LIDO__CALL_AGAIN("epoll_wait", epoll_wait(watch, &event, 1, 0));
    return n <= 0 ? n : (int)event.events;
}
