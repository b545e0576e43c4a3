/*
 * A host: loads a plug-in, lets it run, and unloads it. In a thread that ends, then a fork, then a signal that the
 * plug-in had waited for; and more often than there are keys for thread-local values in a process.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define RELOADS 1100 /* more than PTHREAD_KEYS_MAX */

static const char *path;

static void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s\n", what);
    exit(1);
}

static void run_once(int awaited)
{
    int (*run)(int awaited) = NULL;
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!plugin)
        fail(dlerror());
    *(void **)&run = dlsym(plugin, "plugin_run");
    if (!run || run(awaited) != 3)
        fail("the plug-in did not run");
    dlclose(plugin);
}

static void *thread_main(void *arg)
{
    run_once((int)(intptr_t)arg);
    return NULL;
}

static void in_a_thread_that_ends(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_main, NULL))
        fail("no thread");
    pthread_join(thread, NULL);
}

static void then_a_fork(void)
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail("the child of a fork did not come to its end");
}

int main(int argc, char **argv)
{
    pthread_key_t key;
    if (argc != 2)
        fail("usage: host PLUGIN");
    path = argv[1];
    for (int i = 0; i < 3; i++) {
        in_a_thread_that_ends();
        then_a_fork();
    }
    for (int i = 0; i < RELOADS; i++)
        run_once(0);
    if (pthread_key_create(&key, NULL))
        fail("no keys are left");
    run_once(SIGUSR1);
    raise(SIGUSR1); /* whatever it does, it does not jump into what is not there */
    return 0;
}
