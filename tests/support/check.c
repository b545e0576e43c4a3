#include "support/check.h"

#include <stdio.h>

void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: check failed: %s\n", file, line, what);
    fflush(NULL);
    _Exit(1);
}

static const char *text_of(int64_t value)
{
    return value < 0 && value > -4096 ? lido_strerror((int)value) : "";
}

void check_int_at(int64_t actual, int64_t expected, const char *what, const char *file, int line)
{
    if (actual == expected)
        return;
    fprintf(stderr, "%s:%d: %s is %lld (%s), expected %lld (%s)\n", file, line, what,
            (long long)actual, text_of(actual), (long long)expected, text_of(expected));
    fflush(NULL);
    _Exit(1);
}

void check_string_at(const char *actual, const char *expected, const char *what, const char *file,
                     int line)
{
    if (strcmp(actual, expected) == 0)
        return;
    fprintf(stderr, "%s:%d: %s is \"%s\", expected \"%s\"\n", file, line, what, actual, expected);
    fflush(NULL);
    _Exit(1);
}
