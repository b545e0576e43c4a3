/* Running lido-load against a server of the test, and reading the JSON that it prints. */
#ifndef TESTS_LOAD_RUNNING_H
#define TESTS_LOAD_RUNNING_H

#include <stdio.h>

#include "support/program.h"
#include "support/service.h"

static struct service service;
static struct program program;

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Ends with the exit status that is expected, or what it said is printed. */
static inline void run_load(const char *const *words, int status)
{
    program_start(&program, "load/lido-load", words);
    program_finish(&program);
    if (program.status != status)
        fail_msg("exit status %d and not %d: %s%s", program.status, status, program.out,
                 program.err);
}

/* "PREFIX" before the address of the service. */
static inline const char *place(const char *prefix)
{
    static char text[LIDO_ADDRESS_TEXT + 8];
    snprintf(text, sizeof(text), "%s%s", prefix, service.address);
    return text;
}

static inline double number(const char *keys)
{
    return json_number(program.out, keys);
}

static inline void expect_number(const char *keys, double expected)
{
    if (number(keys) != expected)
        fail_msg("%s is %g and not %g: %s", keys, number(keys), expected, program.out);
}

#endif
