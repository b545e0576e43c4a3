#include "support/death.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

static void child(void (*fn)(void *arg), void *arg, int err)
{
    /* It is meant to die: nobody wants the core. */
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    /* cmocka and the sanitizers have handlers. */
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    dup2(err, STDERR_FILENO);
    fn(arg);
    _exit(0);
}

static void read_all(int fd, char *text, size_t size)
{
    char scrap[256];
    size_t used = 0;
    ssize_t n;
    while ((n = read(fd, scrap, sizeof(scrap))) > 0) {
        size_t fits = size - 1 - used < (size_t)n ? size - 1 - used : (size_t)n;
        memcpy(text + used, scrap, fits);
        used += fits;
    }
    text[used] = '\0';
}

void death_of(void (*fn)(void *arg), void *arg, struct death *death)
{
    int ends[2];
    check_int(pipe(ends), 0);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        child(fn, arg, ends[1]);
    }
    close(ends[1]);
    read_all(ends[0], death->told, sizeof(death->told));
    close(ends[0]);
    check_int(waitpid(pid, &death->status, 0), pid);
}
