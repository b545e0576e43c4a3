/*
 * Checks for code that runs in tasks.
 *
 * cmocka's asserts leave a failed test by longjmp, which must not cross from the stack of a fiber or
 * from another thread to that of the test. A check that fails says where and what on stderr, and
 * ends the process: works on every stack, from every thread. In test functions themselves
 * (outside tasks) cmocka's own asserts are as good.
 */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lido.h>

#define check(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

/* Integers and results of lido: what differs is printed, with its text if it is an error. */
#define check_int(actual, expected)                                                                \
    check_int_at((int64_t)(actual), (int64_t)(expected), #actual, __FILE__, __LINE__)
#define check_string(actual, expected)                                                             \
    check_string_at((actual), (expected), #actual, __FILE__, __LINE__)
#define check_bytes(actual, expected, size) check(memcmp((actual), (expected), (size)) == 0)

__attribute__((noreturn)) void check_failed(const char *what, const char *file, int line);
void check_int_at(int64_t actual, int64_t expected, const char *what, const char *file, int line);
void check_string_at(const char *actual, const char *expected, const char *what, const char *file,
                     int line);

/* How many elements an array has. */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
