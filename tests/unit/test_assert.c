#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"

static void a_true_condition_is_evaluated_once_and_costs_nothing_else(void **state)
{
    (void)state;
    int evaluated = 0;
    LIDO__ASSERT(++evaluated == 1);
    assert_int_equal(evaluated, 1);
}

static void a_broken_invariant_names_itself_and_aborts(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], STDERR_FILENO);
        LIDO__ASSERT(1 + 1 == 3);
        _exit(0);
    }
    close(fds[1]);

    char text[256] = "";
    assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_ptr_equal(strstr(text, "lido: "), text);
    assert_non_null(strstr(text, "test_assert.c:"));
    assert_non_null(strstr(text, ": invariant broken: 1 + 1 == 3\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_true_condition_is_evaluated_once_and_costs_nothing_else),
        cmocka_unit_test(a_broken_invariant_names_itself_and_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
