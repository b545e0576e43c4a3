#include "support/tools.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

void bench_die(const char *format, ...)
{
    int error = errno;
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "bench: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
    va_end(arguments);
    exit(2);
}

/* Complains about what the user wrote, where errno says nothing. */
static void refuse(const char *what, const char *text) __attribute__((noreturn));
static void refuse(const char *what, const char *text)
{
    errno = 0;
    bench_die("%s: not understood: %s", what, text ? text : "(nothing)");
}

struct bench_address bench_address_of(const char *text)
{
    struct bench_address address = {.length = 0};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[64];
    const char *colon = strrchr(text, ':');
    bool bracketed = text[0] == '[' && colon > text && colon[-1] == ']';
    size_t length = colon ? (size_t)(colon - text) - 2 * bracketed : sizeof(host);

    if (length >= sizeof(host))
        refuse("address", text);
    memcpy(host, text + bracketed, length);
    host[length] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        refuse("address", text);
    memcpy(&address.sockaddr, found->ai_addr, found->ai_addrlen);
    address.length = found->ai_addrlen;
    freeaddrinfo(found);
    return address;
}

struct bench_address_text bench_address_text_of(const struct bench_address *address)
{
    struct bench_address_text text;
    char host[64];
    char port[8];
    bool v6 = address->sockaddr.ss_family == AF_INET6;
    if (getnameinfo((const struct sockaddr *)&address->sockaddr, address->length, host,
                    sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        refuse("address", "of a socket");
    snprintf(text.text, sizeof(text.text), v6 ? "[%s]:%s" : "%s:%s", host, port);
    return text;
}

uint64_t bench_number_of(const char *name, const char *text, uint64_t least)
{
    char *end = NULL;
    unsigned long long number = text ? strtoull(text, &end, 10) : 0;
    if (!text || *text < '0' || *text > '9' || *end || number < least)
        refuse(name, text);
    return number;
}

double bench_seconds_of(const char *name, const char *text)
{
    char *end = NULL;
    double seconds = text ? strtod(text, &end) : 0;
    if (!text || end == text || *end || !(seconds >= 0))
        refuse(name, text);
    return seconds;
}

void bench_raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        bench_die("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        bench_die("setrlimit");
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec time;
    if (clock_gettime(clock, &time) < 0)
        bench_die("clock_gettime");
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t bench_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_thread_cpu(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t bench_process_cpu(pid_t pid)
{
    clockid_t clock;
    errno = clock_getcpuclockid(pid, &clock);
    if (errno)
        bench_die("the CPU time of process %d", (int)pid);
    return read_clock(clock);
}

uint64_t bench_process_memory(pid_t pid, const char *what)
{
    char path[64];
    char line[256];
    size_t length = strlen(what);
    unsigned long long kilobytes;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "r");
    if (!status)
        bench_die("%s", path);
    while (fgets(line, sizeof(line), status))
        if (strncmp(line, what, length) == 0 &&
            sscanf(line + length, ": %llu kB", &kilobytes) == 1) {
            fclose(status);
            return kilobytes * 1024;
        }
    errno = 0;
    bench_die("%s has no %s", path, what);
}
