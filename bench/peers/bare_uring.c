/*
 * The peer on io_uring, with what it has for servers: connections are accepted and read by requests that stay
 * (multishot), what is read comes in buffers that all share (a ring of provided buffers), connections are
 * registered files and have no descriptors, and all requests of a round are submitted by the system call
 * that waits. Each worker is a thread with a ring and a socket of its own.
 *
 * Exit status 77: the kernel has no io_uring, or does not let it be used.
 */
#define _GNU_SOURCE

#include <stdio.h>
#include <sys/utsname.h>

#include "bare_uring/ring.h"

static void run_streams(const struct peer_options *options)
{
    ring_see_that_there_are_any();
    uring_streams(options);
}

static void run_datagrams(const struct peer_options *options)
{
    ring_see_that_there_are_any();
    uring_datagrams(options);
}

int main(int argc, char **argv)
{
    static const struct peer_job jobs[] = {
        {"echo", run_streams},  {"ping", run_streams}, {"http", run_streams},
        {"udp", run_datagrams}, {NULL, NULL},
    };
    char version[192];
    struct utsname system;
    uname(&system);
    snprintf(version, sizeof(version), "bare io_uring, liburing " URING_VERSION ", %s %s",
             system.sysname, system.release);
    return peer_main(argc, argv, version, jobs);
}
