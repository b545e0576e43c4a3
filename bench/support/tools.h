/*
 * What the programs of bench/ share and what has nothing to do with lido: addresses, limits, and what
 * the system says about a process. Everything that fails here ends the program with a message.
 */
#ifndef LIDO_BENCH_TOOLS_H
#define LIDO_BENCH_TOOLS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "NAME: text" to stderr, with the text of errno behind it if that is not 0; exit status 2. */
void bench_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

struct bench_address {
    struct sockaddr_storage sockaddr;
    socklen_t length;
};

/* "127.0.0.1:80", "[::1]:80". */
struct bench_address bench_address_of(const char *text);

/* The reverse. */
struct bench_address_text {
    char text[80];
};
struct bench_address_text bench_address_text_of(const struct bench_address *address);

/* A whole number of at least `least`, after the option `name`. */
uint64_t bench_number_of(const char *name, const char *text, uint64_t least);
double bench_seconds_of(const char *name, const char *text);

/* As many descriptors as the process may have. */
void bench_raise_fd_limit(void);

/* ns of CLOCK_MONOTONIC, and of this thread's CPU time. */
uint64_t bench_now(void);
uint64_t bench_thread_cpu(void);

/* CPU time of all threads of a process, in ns, user and system. */
uint64_t bench_process_cpu(pid_t pid);

/* A line of /proc/PID/status that counts kB ("VmRSS", "VmPTE", "VmHWM"), in bytes. */
uint64_t bench_process_memory(pid_t pid, const char *what);

#ifdef __cplusplus
}
#endif

#endif
