/*
 * soak: everything that tasks can do to each other, for as long as one likes. It plays rounds (plan.h), each with
 * runtimes of its own, and accounts for all that happened in it (part.h): each task ran once, no message was lost, no
 * error came that nobody provoked, nothing waited for ever, and nothing is left over.
 *
 *     soak [--seconds N] [--seed S] [--round N | --only N] [--scheduler NAME] [--workers N]
 *
 * The seed that it prints brings all plans back; which thread does what when is not in them.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "soak/scene.h"
#include "soak/watchdog.h"

#define PROGRESS_NS UINT64_C(10000000000)

struct options {
    uint64_t seconds;
    uint64_t seed;
    uint64_t round; /* the first one */
    bool only;      /* that one, again and again */
    struct plan_limits limits;
};

static void usage(int status)
{
    fprintf(
        status ? stderr : stdout,
        "Usage: soak [--seconds N (60)] [--seed S (the clock's)] [--scheduler NAME|random] [--workers N (0: random)]\n"
        "            [--round N (begin with that one) | --only N (play that one again and again)]\n");
    exit(status);
}

static uint64_t number_of(const char *text)
{
    char *end;
    uint64_t number = strtoull(text, &end, 0);
    if (end == text || *end)
        usage(2);
    return number;
}

static const char *scheduler_of(const char *name)
{
    return strcmp(name, "random") == 0 ? NULL : name;
}

static void parse(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {{"seconds", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'd'},
                                          {"round", required_argument, NULL, 'r'},
                                          {"only", required_argument, NULL, 'o'},
                                          {"scheduler", required_argument, NULL, 'c'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 's': options->seconds = number_of(optarg); break;
        case 'd': options->seed = number_of(optarg); break;
        case 'r': options->round = number_of(optarg); break;
        case 'o':
            options->round = number_of(optarg);
            options->only = true;
            break;
        case 'c': options->limits.scheduler = scheduler_of(optarg); break;
        case 'w': options->limits.workers = (unsigned)number_of(optarg); break;
        default: usage(option == 'h' ? 0 : 2);
        }
    }
    if (optind != argc)
        usage(2);
}

/* What the plan says must not be said otherwise by the operator. */
static void own_environment(struct options *options)
{
    char problem[200];
    lido_config config = LIDO_CONFIG_INIT;
    unsetenv("LIDO_SCHEDULER");
    unsetenv("LIDO_WORKERS");
    config.scheduler = options->limits.scheduler;
    config.workers = options->limits.workers;
    if (lido_config_check(&config, problem, sizeof(problem)) < 0) {
        fprintf(stderr, "soak: %s\n", problem);
        exit(2);
    }
}

static void progress(uint64_t began, uint64_t rounds)
{
    printf("soak: %llu s, %llu rounds, %llu parts, %zu MiB\n",
           (unsigned long long)((lido_now() - began) / 1000000000), (unsigned long long)rounds,
           (unsigned long long)parts_counted(), resident_kib() / 1024);
    fflush(stdout);
}

static void play(const struct options *options)
{
    uint64_t began = lido_now(), told = began, rounds = 0;
    while (lido_now() < began + options->seconds * UINT64_C(1000000000)) {
        struct plan plan;
        uint64_t number = options->round + (options->only ? 0 : rounds);
        plan_draw(&plan, options->seed, number, &options->limits);
        round_play(&plan);
        rounds++;
        if (lido_now() >= told + PROGRESS_NS) {
            told += PROGRESS_NS;
            progress(began, rounds);
        }
    }
    progress(began, rounds);
}

int main(int argc, char **argv)
{
    struct options options = {.seconds = 60, .seed = lido_now()};
    parse(&options, argc, argv);
    own_environment(&options);
    printf("soak: seed %llu, %llu s\n", (unsigned long long)options.seed,
           (unsigned long long)options.seconds);
    fflush(stdout);
    watchdog_start();
    play(&options);
    watchdog_stop();
    scenes_print(stdout);
    return 0;
}
