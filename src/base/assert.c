#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* There is nothing to be done if even this fails. */
static __attribute__((noreturn)) void say_and_abort(const char *text, int length, size_t size)
{
    size_t cut = (size_t)length < size ? (size_t)length : size - 1;
    ssize_t written = write(STDERR_FILENO, text, cut);
    (void)written;
    abort();
}

void lido__assert_failed(const char *file, int line, const char *condition)
{
    char text[512];
    int length =
        snprintf(text, sizeof(text), "lido: %s:%d: invariant broken: %s\n", file, line, condition);
    say_and_abort(text, length, sizeof(text));
}

void lido__misused(const char *how)
{
    char text[512];
    int length = snprintf(text, sizeof(text), "lido: misused: %s\n", how);
    say_and_abort(text, length, sizeof(text));
}
