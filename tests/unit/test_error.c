#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <lido.h>

static void each_error_has_a_text(void **state)
{
    (void)state;
    for (int error = 0; error < 200; error++) {
        assert_non_null(lido_strerror(error));
        assert_int_not_equal(strlen(lido_strerror(error)), 0);
    }
}

static void the_sign_of_the_error_does_not_matter(void **state)
{
    (void)state;
    for (int error = 0; error < 200; error++)
        assert_string_equal(lido_strerror(error), lido_strerror(-error));
}

static void lidos_own_errors_say_what_to_do(void **state)
{
    (void)state;
    assert_string_equal(lido_strerror(-ENXIO),
                        "no current reactor: call this from a task of a runtime");
    assert_string_equal(lido_strerror(-EBUSY),
                        "another task is already waiting for the same: only one can at a time");
    assert_string_equal(
        lido_strerror(-EDEADLK),
        "cannot wait here: a future awaits with lido_op_*, lido_*_poll or a fiber that it spawns, "
        "and what stops a worker is called from a plain thread");
    assert_string_equal(lido_strerror(-ENOENT),
                        "not found: there is no host of that name, or no such path");
    assert_string_equal(lido_strerror(-EHOSTDOWN),
                        "the peer does not answer any more: the system has given it up");
    assert_string_equal(lido_strerror(-ESHUTDOWN), "the runtime is shutting down");
}

static void an_error_of_the_system_keeps_its_text(void **state)
{
    (void)state;
    assert_string_equal(lido_strerror(-EILSEQ), strerror(EILSEQ));
}

static void numbers_that_are_no_error_have_a_text_too(void **state)
{
    (void)state;
    assert_string_equal(lido_strerror(99999), "unknown error");
    assert_string_equal(lido_strerror(INT_MAX), "unknown error");
    assert_string_equal(lido_strerror(INT_MIN), "unknown error");
}

static void the_text_stays_valid_after_the_next_call(void **state)
{
    (void)state;
    const char *first = lido_strerror(-ECANCELED);
    const char *second = lido_strerror(-ETIMEDOUT);
    assert_string_equal(first, "the task was cancelled");
    assert_string_equal(second, "the deadline has passed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_error_has_a_text),
        cmocka_unit_test(the_sign_of_the_error_does_not_matter),
        cmocka_unit_test(lidos_own_errors_say_what_to_do),
        cmocka_unit_test(an_error_of_the_system_keeps_its_text),
        cmocka_unit_test(numbers_that_are_no_error_have_a_text_too),
        cmocka_unit_test(the_text_stays_valid_after_the_next_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
