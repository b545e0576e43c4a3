/* A plug-in: uses a runtime with all that it can leave behind, and is unloaded by its host (host.c). */
#include <signal.h>
#include <time.h>

#include <lido.h>

static int block(void *arg)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    (void)arg;
    nanosleep(&pause, NULL);
    return 0;
}

static int root(void *arg)
{
    const int *awaited = arg;
    int r = lido_sleep(1);
    if (r == 0)
        r = lido_blocking(block, NULL);
    if (r == 0 && *awaited) {
        lido_within(20);
        lido_signal(*awaited);
    }
    return r == 0 ? 3 : r;
}

/* `awaited`: a signal to wait for, in vain, or 0. 3. */
int plugin_run(int awaited);

int plugin_run(int awaited)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.workers = 2;
    config.report_faults = true;
    config.watch_ms = 1000;
    return lido_run(&config, root, &awaited);
}
