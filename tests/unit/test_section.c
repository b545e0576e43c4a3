/* Sections: what tests/model/test_section.c cannot walk through, since it takes too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sched/section.h"

static struct lido__worker worker;

/* Meanwhile another thread has carried the worker, and been in sections: some minutes are enough for that. */
static void after_thousands_of_millions_of_sections(uint64_t ticket)
{
    worker.section = ticket + ((uint64_t)1 << 32);
}

static void a_section_that_lasts_is_not_taken_for_a_later_one(void **state)
{
    (void)state;
    memset(&worker, 0, sizeof(worker));
    uint64_t ticket = lido__section_enter(&worker);
    assert_true(lido__section_retake(&worker, ticket));
    after_thousands_of_millions_of_sections(ticket);
    assert_false(lido__section_leave(&worker, ticket));
    assert_false(lido__section_retake(&worker, ticket));
    assert_true(lido__section_seen(&worker) != ticket);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_section_that_lasts_is_not_taken_for_a_later_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
