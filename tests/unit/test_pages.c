#define _GNU_SOURCE

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "os/os.h"

#define STRIDE_PAGES 4
#define COUNT 300 /* more than one syscall takes */

static size_t stride(void)
{
    return STRIDE_PAGES * lido__page_size();
}

/* Asks the kernel to read a byte of it: the caller survives the answer. */
static bool faults(const char *address)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    ssize_t n = write(fds[1], address, 1);
    bool refused = n < 0 && errno == EFAULT;
    assert_true(refused || n == 1);
    close(fds[0]);
    close(fds[1]);
    return refused;
}

/* The signal that touching it ends a child with; 0 if the child survives. */
static int signal_of_writing(volatile char *address)
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer has a handler */
        signal(SIGBUS, SIG_DFL);
        *address = 1;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static char *reserve(size_t bytes)
{
    void *base = NULL;
    assert_int_equal(lido__pages_reserve(&base, bytes), 0);
    assert_non_null(base);
    return base;
}

static void a_reservation_reads_as_zero_and_can_be_written(void **state)
{
    (void)state;
    size_t bytes = 16 * lido__page_size();
    char *base = reserve(bytes);
    assert_int_equal(base[0], 0);
    assert_int_equal(base[bytes - 1], 0);
    base[0] = base[bytes - 1] = 1;
    lido__pages_release(base, bytes);
}

static void a_touched_page_costs_one_page_and_not_a_huge_one(void **state)
{
    (void)state;
    size_t bytes = 8u << 20;
    size_t pages = bytes / lido__page_size();
    static unsigned char resident[8u << 20 >> 12];
    assert_true(pages <= sizeof(resident));
    char *base = reserve(bytes);
    base[bytes / 2] = 1;

    size_t count = 0;
    assert_int_equal(mincore(base, bytes, resident), 0);
    for (size_t i = 0; i < pages; i++)
        count += resident[i] & 1;
    assert_int_equal(count, 1);
    lido__pages_release(base, bytes);
}

static void too_large_a_reservation_is_enomem_and_touches_nothing(void **state)
{
    (void)state;
    void *base = &base;
    assert_int_equal(lido__pages_reserve(&base, (size_t)1 << 62), -ENOMEM);
    assert_ptr_equal(base, &base);
}

static void release_takes_null(void **state)
{
    (void)state;
    lido__pages_release(NULL, 4096);
}

/* True for each test of guards that runs with a method which this kernel refused. */
static bool refused_method(enum lido__guard_method method)
{
    return lido__pages_guard_method() != method;
}

static void check_guards(enum lido__guard_method method)
{
    size_t page = lido__page_size();
    char *base = reserve(COUNT * stride());
    lido__pages_guard_force(method);
    assert_int_equal(lido__pages_guard(base, stride(), page, COUNT), 0);
    if (refused_method(method)) {
        lido__pages_release(base, COUNT * stride());
        skip();
    }

    for (size_t i = 0; i < COUNT; i++) {
        char *guard = base + i * stride();
        assert_true(faults(guard));
        assert_true(faults(guard + page - 1));
        assert_false(faults(guard + page));
        assert_false(faults(guard + stride() - 1));
    }
    assert_int_equal(signal_of_writing(base), SIGSEGV);
    assert_int_equal(signal_of_writing(base + (COUNT - 1) * stride() + page - 1), SIGSEGV);
    assert_int_equal(signal_of_writing(base + page), 0);
    lido__pages_release(base, COUNT * stride());
}

static void guards_made_in_batches_fault(void **state)
{
    (void)state;
    check_guards(LIDO__GUARD_BATCH);
}

static void guards_made_one_by_one_fault(void **state)
{
    (void)state;
    check_guards(LIDO__GUARD_SINGLE);
}

static void guards_made_by_mprotect_fault(void **state)
{
    (void)state;
    check_guards(LIDO__GUARD_PROTECT);
}

static void a_guard_of_several_pages_is_whole(void **state)
{
    (void)state;
    size_t page = lido__page_size();
    for (int method = LIDO__GUARD_BATCH; method <= LIDO__GUARD_PROTECT; method++) {
        char *base = reserve(2 * stride());
        lido__pages_guard_force(method);
        assert_int_equal(lido__pages_guard(base, stride(), 3 * page, 2), 0);
        for (size_t i = 0; i < 2 * STRIDE_PAGES; i++)
            assert_int_equal(faults(base + i * page), i % STRIDE_PAGES < 3);
        lido__pages_release(base, 2 * stride());
    }
}

static void no_guards_are_no_error(void **state)
{
    (void)state;
    char *base = reserve(stride());
    for (int method = LIDO__GUARD_BATCH; method <= LIDO__GUARD_PROTECT; method++) {
        lido__pages_guard_force(method);
        assert_int_equal(lido__pages_guard(base, stride(), lido__page_size(), 0), 0);
        assert_false(faults(base));
    }
    lido__pages_release(base, stride());
}

/* -ENOMEM says nothing about the method: the next caller may still use it. */
static void guards_outside_of_a_reservation_are_enomem(void **state)
{
    (void)state;
    char *base = reserve(2 * stride());
    lido__pages_release(base + stride(), stride());
    for (int method = LIDO__GUARD_BATCH; method <= LIDO__GUARD_PROTECT; method++) {
        lido__pages_guard_force(method);
        assert_int_equal(lido__pages_guard(base + stride(), stride(), lido__page_size(), 1),
                         -ENOMEM);
        assert_int_equal(lido__pages_guard_method(), method);
    }
    lido__pages_release(base, stride());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reservation_reads_as_zero_and_can_be_written),
        cmocka_unit_test(a_touched_page_costs_one_page_and_not_a_huge_one),
        cmocka_unit_test(too_large_a_reservation_is_enomem_and_touches_nothing),
        cmocka_unit_test(release_takes_null),
        cmocka_unit_test(guards_made_in_batches_fault),
        cmocka_unit_test(guards_made_one_by_one_fault),
        cmocka_unit_test(guards_made_by_mprotect_fault),
        cmocka_unit_test(a_guard_of_several_pages_is_whole),
        cmocka_unit_test(no_guards_are_no_error),
        cmocka_unit_test(guards_outside_of_a_reservation_are_enomem),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
