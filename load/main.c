/*
 * lido-load: puts a server under load, and says how fast it answers. See README.md beside this.
 *
 * The threads are lido's workers. Each has a lane (lane.h), which grants requests to clients (client.h),
 * of which there are three kinds: stream.c, churn.c, datagram.c. run.c puts it all together.
 */
#include <stdio.h>
#include <sys/resource.h>

#include "report.h"

enum status { STATUS_GOOD, STATUS_ERRORS, STATUS_NO_RUN, STATUS_SIGNAL = 128 };

/* As many connections as the system allows. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool write_json(const struct run *run, const char *path)
{
    FILE *file = path ? fopen(path, "w") : stdout;
    if (file)
        report_json(run, file);
    bool failed = !file || ferror(file) || (path ? fclose(file) : fflush(file)) != 0;
    if (failed)
        fprintf(stderr, "lido-load: cannot write %s: %s\n", path ? path : "the results",
                lido_strerror(errno));
    return !failed;
}

static bool report(const struct run *run)
{
    const struct options *options = run->options;
    bool good = true;
    if (!options->json || options->json_file)
        report_text(run, stdout);
    if (options->json)
        good = write_json(run, options->json_file);
    if (fflush(stdout) == 0)
        return good;
    fprintf(stderr, "lido-load: cannot write the results: %s\n", lido_strerror(errno));
    return false;
}

static int status_of(const struct run *run, int result, bool reported)
{
    if (run->signal)
        return STATUS_SIGNAL + run->signal;
    if (result < 0 || !reported)
        return STATUS_NO_RUN;
    return figures_errors(&run->total) || run->total.unanswered ? STATUS_ERRORS : STATUS_GOOD;
}

static int run_with(const struct options *options)
{
    static struct run run;
    lido_config config = LIDO_CONFIG_INIT;
    bool reported = true;
    run.options = options;
    config.workers = options->workers;
    config.name_prefix = "load-";
    if (options->rate > 0)
        pace_configure(&config, options->spin);
    raise_descriptor_limit();
    int r = lido_run(&config, run_load, &run);
    if (r < 0 && !run.begun)
        fprintf(stderr, "lido-load: cannot start: %s\n", lido_strerror(r));
    if (run.stopped)
        reported = report(&run);
    int status = status_of(&run, r, reported);
    run_fini(&run);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    switch (options_parse(&options, argc, argv)) {
    case OPTIONS_DONE: return STATUS_GOOD;
    case OPTIONS_WRONG: return STATUS_NO_RUN;
    case OPTIONS_RUN: break;
    }
    return run_with(&options);
}
