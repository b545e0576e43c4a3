/*
 * bulk [--bytes N] [--message N] -- PROXY [ARGUMENT...]: what a large transfer through a proxy costs (the job
 * `proxy` of bench/peers). Listens, starts the proxy with `--to` and that address, and pushes the bytes
 * through it, which are discarded where they arrive. Prints
 *
 *     throughput MB/S cpu_ns_per_kib NS
 *
 * of which the latter is the CPU time of the proxy. It has the first cpu for itself, if there are others.
 * With --message the sender waits after each N bytes until they have arrived: bursts, and not a stream.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/tools.h"

#define CHUNK ((size_t)256 * 1024)

static struct {
    char **command;
    uint64_t bytes;
    size_t message; /* 0: a stream */
} self = {.bytes = (uint64_t)1 << 30};

/* ---- The proxy --------------------------------------------------------------------------------- */

struct proxy {
    pid_t pid;
    struct bench_address address;
};

/* The first cpu is the proxy's, the others are ours: by this, of the one that calls it. */
static void take_cpus(bool proxy)
{
    cpu_set_t all, first;
    CPU_ZERO(&first);
    if (sched_getaffinity(0, sizeof(all), &all) < 0 || CPU_COUNT(&all) < 2)
        return;
    for (int cpu = 0; CPU_COUNT(&first) == 0; cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &first);
    CPU_XOR(&all, &all, &first);
    sched_setaffinity(0, sizeof(all), proxy ? &first : &all);
}

static size_t length_of(char **command)
{
    size_t length = 0;
    while (command[length])
        length++;
    return length;
}

static void run_proxy(int output, const char *to)
{
    size_t length = length_of(self.command);
    char **command = calloc(length + 3, sizeof(*command));
    if (!command)
        bench_die("memory");
    memcpy(command, self.command, length * sizeof(*command));
    command[length] = "--to";
    command[length + 1] = (char *)to;
    dup2(output, STDOUT_FILENO);
    take_cpus(true);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* however this program ends */
    execvp(command[0], command);
    bench_die("%s", command[0]);
}

static struct bench_address announced(int output, const char *program)
{
    char line[200], address[100];
    FILE *file = fdopen(output, "r");
    errno = 0;
    if (!file || !fgets(line, sizeof(line), file) ||
        sscanf(line, "listening on %99s", address) != 1)
        bench_die("%s did not start", program);
    return bench_address_of(address);
}

static struct proxy start_proxy(const char *to)
{
    struct proxy proxy;
    int output[2];
    if (pipe2(output, O_CLOEXEC) < 0)
        bench_die("pipe");
    proxy.pid = fork();
    if (proxy.pid < 0)
        bench_die("fork");
    if (proxy.pid == 0)
        run_proxy(output[1], to);
    close(output[1]);
    proxy.address = announced(output[0], self.command[0]);
    return proxy;
}

static void end_proxy(const struct proxy *proxy)
{
    int status;
    kill(proxy->pid, SIGTERM);
    if (waitpid(proxy->pid, &status, 0) < 0)
        bench_die("waitpid");
    errno = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_die("%s has not ended well", self.command[0]);
}

/* ---- The transfer ------------------------------------------------------------------------------ */

static int listen_anywhere(struct bench_address *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address = bench_address_of("127.0.0.1:0");
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address->sockaddr, address->length) < 0 ||
        listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&address->sockaddr, &address->length) < 0)
        bench_die("listen");
    return fd;
}

static int connect_to(const struct bench_address *address)
{
    int on = 1;
    int fd = socket(address->sockaddr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address->sockaddr, address->length) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
        bench_die("%s", bench_address_text_of(address).text);
    return fd;
}

static void send_all(int fd, const char *bytes, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0)
            bench_die("send");
        sent += (size_t)n;
    }
}

/* At most `most` bytes, which the kernel throws away without a copy; 0: the end. */
static size_t discard(int fd, uint64_t most)
{
    ssize_t n = recv(fd, NULL, most < CHUNK ? (size_t)most : CHUNK, MSG_TRUNC);
    if (n < 0)
        bench_die("recv");
    return (size_t)n;
}

static void await_bytes(int fd, uint64_t size)
{
    while (size > 0) {
        size_t n = discard(fd, size);
        errno = 0;
        if (n == 0)
            bench_die("the proxy has lost %llu bytes", (unsigned long long)size);
        size -= n;
    }
}

static void *stream(void *fd)
{
    static const char zeros[CHUNK];
    for (uint64_t left = self.bytes; left > 0;) {
        size_t part = left < CHUNK ? (size_t)left : CHUNK;
        send_all(*(int *)fd, zeros, part);
        left -= part;
    }
    return NULL;
}

static void push_stream(int out, int in)
{
    pthread_t sender;
    errno = pthread_create(&sender, NULL, stream, &out);
    if (errno)
        bench_die("a thread");
    await_bytes(in, self.bytes);
    pthread_join(sender, NULL);
}

static void push_messages(int out, int in)
{
    char *message = calloc(1, self.message);
    if (!message)
        bench_die("memory");
    self.bytes -= self.bytes % self.message;
    for (uint64_t left = self.bytes; left > 0; left -= self.message) {
        send_all(out, message, self.message);
        await_bytes(in, self.message);
    }
    free(message);
}

static void measure(const struct proxy *proxy, int out, int in)
{
    uint64_t cpu = bench_process_cpu(proxy->pid), begin = bench_now();
    if (self.message)
        push_messages(out, in);
    else
        push_stream(out, in);
    double seconds = (double)(bench_now() - begin) * 1e-9;
    cpu = bench_process_cpu(proxy->pid) - cpu;
    printf("throughput %.0f cpu_ns_per_kib %.1f\n", (double)self.bytes / 1e6 / seconds,
           (double)cpu * 1024 / (double)self.bytes);
}

static void parse(char **arguments)
{
    for (; *arguments && strcmp(*arguments, "--") != 0; arguments += 2) {
        if (strcmp(*arguments, "--bytes") == 0)
            self.bytes = bench_number_of("--bytes", arguments[1], 1);
        else if (strcmp(*arguments, "--message") == 0)
            self.message = (size_t)bench_number_of("--message", arguments[1], 1);
        else
            break;
    }
    if (*arguments && strcmp(*arguments, "--") == 0 && arguments[1]) {
        self.command = arguments + 1;
        return;
    }
    fprintf(stderr, "usage: bulk [--bytes N] [--message N] -- PROXY [ARGUMENT...]\n");
    exit(2);
}

int main(int argc, char **argv)
{
    struct bench_address sink;
    (void)argc;
    parse(argv + 1);
    int listener = listen_anywhere(&sink);
    struct bench_address_text to = bench_address_text_of(&sink);
    struct proxy proxy = start_proxy(to.text);
    take_cpus(false);
    int out = connect_to(&proxy.address);
    int in = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (in < 0)
        bench_die("accept");
    measure(&proxy, out, in);
    shutdown(out, SHUT_WR);
    if (discard(in, CHUNK) != 0)
        bench_die("more has arrived than was sent");
    close(in);
    close(out);
    end_proxy(&proxy);
    return 0;
}
