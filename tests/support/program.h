/* Running a program of the build, as its user would, and reading what it prints. Not from a task: it
   blocks. */
#ifndef TESTS_SUPPORT_PROGRAM_H
#define TESTS_SUPPORT_PROGRAM_H

#include <sys/types.h>

#include "support/check.h"

struct program {
    pid_t pid;
    int status; /* exit status, or 128 + the signal that killed it */
    int out_fd;
    int err_fd;
    char *out; /* all of it, after program_finish */
    char *err;
};

/* `path` is absolute, or relative to the build directory, which ctest says. `words` are its arguments,
   ending with NULL. */
void program_start(struct program *program, const char *path, const char *const *words);

/* Waits until it has ended by itself. */
void program_finish(struct program *program);

void program_fini(struct program *program);

/* The number behind "key": in JSON, where the keys of the objects around it come before it, from the
   outside in: "errors.reset". Fails the test if there is none. */
double json_number(const char *json, const char *keys);

#endif
