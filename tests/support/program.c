#define _GNU_SOURCE

#include "support/program.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 40

extern char **environ;

void program_start(struct program *program, const char *path, const char *const *words)
{
    char full[4096];
    char *argv[WORDS_MAX] = {full};
    posix_spawn_file_actions_t actions;
    const char *build = path[0] == '/' ? "" : getenv("LIDO_BUILD");
    check(build); /* run me through ctest */
    check(snprintf(full, sizeof(full), "%s/%s", build, path) < (int)sizeof(full));
    for (int i = 0; words[i]; i++) {
        check(i + 2 < WORDS_MAX);
        argv[i + 1] = (char *)words[i];
    }
    /* Files: they take whatever is written while nobody reads. */
    *program = (struct program){.out_fd = memfd_create("out", MFD_CLOEXEC),
                                .err_fd = memfd_create("err", MFD_CLOEXEC)};
    check_int(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, program->out_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, program->err_fd, 2);
    check_int(posix_spawn(&program->pid, full, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
}

/* The whole of a file, as a text. */
static char *content_of(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    check(text);
    check_int(pread(fd, text, (size_t)size, 0), size);
    close(fd);
    return text;
}

void program_finish(struct program *program)
{
    int status;
    check_int(waitpid(program->pid, &status, 0), program->pid);
    program->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    program->out = content_of(program->out_fd);
    program->err = content_of(program->err_fd);
}

void program_fini(struct program *program)
{
    free(program->out);
    free(program->err);
}

double json_number(const char *json, const char *keys)
{
    char quoted[100];
    const char *at = json;
    while (at && *keys) {
        int length = (int)strcspn(keys, ".");
        snprintf(quoted, sizeof(quoted), "\"%.*s\":", length, keys);
        at = strstr(at, quoted);
        at = at ? at + strlen(quoted) : NULL;
        keys += length + (keys[length] == '.');
    }
    if (!at)
        fail_msg("no \"%s\" in: %s", keys, json);
    char *end;
    double value = strtod(at, &end);
    if (end == at)
        fail_msg("no number is %s", at);
    return value;
}
