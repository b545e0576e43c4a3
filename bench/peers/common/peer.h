/*
 * The command line that all peers in C and C++ have (see ../README.md), and their sockets.
 *
 * Everything that fails here ends the program with a message.
 */
#ifndef LIDO_BENCH_PEER_H
#define LIDO_BENCH_PEER_H

#include "support/tools.h"

#ifdef __cplusplus
extern "C" {
#endif

#define PEER_BACKLOG 4096
/* Into a buffer that connections share, and into one of each connection's own. */
#define PEER_READ_SHARED 65536
#define PEER_READ_OWN 16384
#define PEER_TIMERS 1000000

struct peer_options {
    const char *job;
    struct bench_address listen; /* default 127.0.0.1:0 */
    unsigned workers;            /* default 1 */
    struct bench_address to;     /* length 0: not told */
    bool copy;
    unsigned hog_ms; /* computes so long, then waits for hog_pause_ms; 0: there is no hog */
    unsigned hog_pause_ms;
    unsigned repeat; /* how often `timers` and `sched` measure; default 9 */
};

struct peer_job {
    const char *name;
    void (*run)(const struct peer_options *options);
};

/*
 * What main() returns. `jobs` ends with an entry without a name. SIGPIPE is ignored and as many descriptors
 * are to be had as there may be when a job runs; it returns to end the program, or ends it itself.
 */
int peer_main(int argc, char **argv, const char *version, const struct peer_job *jobs);

/*
 * Non-blocking sockets. A listener of SOCK_STREAM listens, and its connections have TCP_NODELAY from it:
 * nobody spends a system call on each. `shared`: with SO_REUSEPORT, so that other threads may have one on the
 * same address, too.
 */
int peer_listen(const struct bench_address *address, int type, bool shared);

/* The address that a listener has, for the others that are to share it. */
struct bench_address peer_address_of(int fd);

/* "listening on ADDRESS". */
void peer_announce(int fd);

/* TCP_NODELAY, of a connection that this side makes. */
void peer_no_delay(int fd);

/* Runs `body` with `arg` on a thread of its own. */
void peer_start_thread(void *(*body)(void *), void *arg);

/*
 * Has `serve` run by as many threads as there are to be workers, the caller's among them, each with a
 * socket of its own on the same address, a listening one if `type` is SOCK_STREAM. SIGTERM ends the process.
 */
void peer_serve(const struct peer_options *options, int type,
                void (*serve)(const struct peer_options *options, int fd));

/* SIGTERM ends the process at once, with status 0: what peers without an orderly shutdown do. */
void peer_end_at_once(void);

#ifdef __cplusplus
}
#endif

#endif
