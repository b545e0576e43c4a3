/*
 * The peer without a library: the loops that one would write by hand, with nothing in them that the job does
 * not ask for. Edge-triggered epoll. Each worker is a thread with a socket of its own; they share nothing.
 *
 * Before the job --idle-threads N may stand: N further threads that do nothing. The kernel counts references
 * to descriptors only in a process of several threads, and this tells what that costs.
 */
#define _GNU_SOURCE

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bare_epoll/bare_epoll.h"

void bare_watch(int epoll, int how, int fd, uint32_t events, epoll_data_t data)
{
    struct epoll_event event = {.events = events, .data = data};
    if (epoll_ctl(epoll, how, fd, &event) < 0)
        bench_die("epoll_ctl");
}

int bare_epoll(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        bench_die("epoll_create");
    return epoll;
}

static void *idle(void *arg)
{
    for (;;)
        pause();
    return arg;
}

int main(int argc, char **argv)
{
    static const struct peer_job jobs[] = {
        {"echo", bare_streams}, {"ping", bare_streams},
        {"http", bare_streams}, {"udp", bare_datagrams},
        {"proxy", bare_proxy},  {"timers", bare_timers},
        {NULL, NULL},
    };
    char version[192];
    struct utsname system;
    uname(&system);
    snprintf(version, sizeof(version), "bare epoll, %s %s", system.sysname, system.release);
    if (argc > 3 && strcmp(argv[1], "--idle-threads") == 0) {
        for (uint64_t left = bench_number_of(argv[1], argv[2], 0); left > 0; left--)
            peer_start_thread(idle, NULL);
        argv[2] = argv[0];
        argv += 2;
        argc -= 2;
    }
    return peer_main(argc, argv, version, jobs);
}
