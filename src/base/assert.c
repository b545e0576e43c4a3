#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void lido__assert_failed(const char *file, int line, const char *condition)
{
    char text[512];
    int length =
        snprintf(text, sizeof(text), "lido: %s:%d: invariant broken: %s\n", file, line, condition);
    if (length >= (int)sizeof(text))
        length = sizeof(text) - 1;
    /* There is nothing to be done if even this fails. */
    ssize_t written = write(STDERR_FILENO, text, (size_t)length);
    (void)written;
    abort();
}
