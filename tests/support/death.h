/* Code that ends its process: run in a child, so that a test can look at how it ended. */
#ifndef TESTS_SUPPORT_DEATH_H
#define TESTS_SUPPORT_DEATH_H

struct death {
    int status;      /* as of waitpid */
    char told[8192]; /* what it wrote to stderr, cut to fit */
};

/*
 * Runs fn(arg) in a child process, which exits with 0 if that returns. To be called while the process
 * has one thread.
 */
void death_of(void (*fn)(void *arg), void *arg, struct death *death);

#endif
