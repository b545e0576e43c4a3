#define _GNU_SOURCE

#include "peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void refuse(const char *program) __attribute__((noreturn));
static void refuse(const char *program)
{
    fprintf(stderr,
            "usage: %s --version | --jobs | JOB [--listen ADDRESS] [--workers N] [--to ADDRESS] "
            "[--copy] [--hog MS:PERIOD] [--repeat N]\n",
            program);
    exit(2);
}

static void parse_hog(struct peer_options *options, const char *text)
{
    unsigned period;
    char rest;
    if (sscanf(text, "%u:%u%c", &options->hog_ms, &period, &rest) != 2 || options->hog_ms < 1 ||
        period < options->hog_ms) {
        errno = 0;
        bench_die("--hog: not understood: %s", text);
    }
    options->hog_pause_ms = period - options->hog_ms;
}

static void parse_option(struct peer_options *options, const char *program, const char *name,
                         const char *value)
{
    if (!value)
        refuse(program);
    if (strcmp(name, "--listen") == 0)
        options->listen = bench_address_of(value);
    else if (strcmp(name, "--to") == 0)
        options->to = bench_address_of(value);
    else if (strcmp(name, "--workers") == 0)
        options->workers = (unsigned)bench_number_of(name, value, 1);
    else if (strcmp(name, "--repeat") == 0)
        options->repeat = (unsigned)bench_number_of(name, value, 1);
    else if (strcmp(name, "--hog") == 0)
        parse_hog(options, value);
    else
        refuse(program);
}

static struct peer_options parse(int argc, char **argv)
{
    struct peer_options options = {.workers = 1, .repeat = 9};
    options.job = argv[1];
    options.listen = bench_address_of("127.0.0.1:0");
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--copy") == 0) {
            options.copy = true;
        } else {
            parse_option(&options, argv[0], argv[i], argv[i + 1]);
            i++;
        }
    return options;
}

static void say_jobs(const struct peer_job *jobs)
{
    for (const struct peer_job *job = jobs; job->name; job++)
        printf("%s%s", job == jobs ? "" : " ", job->name);
    printf("\n");
}

int peer_main(int argc, char **argv, const char *version, const struct peer_job *jobs)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return printf("%s\n", version) < 0;
    if (argc == 2 && strcmp(argv[1], "--jobs") == 0) {
        say_jobs(jobs);
        return 0;
    }
    if (argc < 2)
        refuse(argv[0]);
    struct peer_options options = parse(argc, argv);
    for (const struct peer_job *job = jobs; job->name; job++) {
        if (strcmp(job->name, options.job) != 0)
            continue;
        signal(SIGPIPE, SIG_IGN);
        bench_raise_fd_limit();
        job->run(&options);
        return 0;
    }
    refuse(argv[0]);
}

static void turn_on(int fd, int level, int option)
{
    int on = 1;
    if (setsockopt(fd, level, option, &on, sizeof(on)) < 0)
        bench_die("setsockopt");
}

void peer_no_delay(int fd)
{
    turn_on(fd, IPPROTO_TCP, TCP_NODELAY);
}

int peer_listen(const struct bench_address *address, int type, bool shared)
{
    int fd = socket(address->sockaddr.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        bench_die("socket");
    turn_on(fd, SOL_SOCKET, SO_REUSEADDR);
    if (shared)
        turn_on(fd, SOL_SOCKET, SO_REUSEPORT);
    if (type == SOCK_STREAM)
        peer_no_delay(fd); /* its connections have this from it */
    if (bind(fd, (const struct sockaddr *)&address->sockaddr, address->length) < 0 ||
        (type == SOCK_STREAM && listen(fd, PEER_BACKLOG) < 0))
        bench_die("%s", bench_address_text_of(address).text);
    return fd;
}

struct bench_address peer_address_of(int fd)
{
    struct bench_address address = {.length = sizeof(address.sockaddr)};
    if (getsockname(fd, (struct sockaddr *)&address.sockaddr, &address.length) < 0)
        bench_die("getsockname");
    return address;
}

void peer_announce(int fd)
{
    struct bench_address address = peer_address_of(fd);
    printf("listening on %s\n", bench_address_text_of(&address).text);
    fflush(stdout);
}

void peer_start_thread(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, body, arg);
    if (errno)
        bench_die("a thread");
    pthread_detach(thread);
}

static void on_sigterm(int signal)
{
    (void)signal;
    _exit(0);
}

void peer_end_at_once(void)
{
    signal(SIGTERM, on_sigterm);
}

/* ---- Workers that share nothing ------------------------------------------------------------------ */

struct worker {
    const struct peer_options *options;
    void (*serve)(const struct peer_options *options, int fd);
    int fd;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    worker->serve(worker->options, worker->fd);
    return NULL;
}

void peer_serve(const struct peer_options *options, int type,
                void (*serve)(const struct peer_options *options, int fd))
{
    struct bench_address address = options->listen;
    struct worker *workers = calloc(options->workers, sizeof(*workers));
    if (!workers)
        bench_die("memory");
    peer_end_at_once();
    /* All of them before the first is served: the kernel deals by how many there are. */
    for (unsigned i = 0; i < options->workers; i++) {
        int fd = peer_listen(&address, type, options->workers > 1);
        workers[i] = (struct worker){options, serve, fd};
        address = peer_address_of(fd);
    }
    peer_announce(workers[0].fd);
    for (unsigned i = 1; i < options->workers; i++)
        peer_start_thread(work, &workers[i]);
    work(&workers[0]);
}
