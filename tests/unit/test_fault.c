/*
 * The fault seam, and what base and os make of failures. The files under test are compiled into the
 * test, because only here their calls can be made to fail.
 */
#ifndef LIDO_FAULTS
#define LIDO_FAULTS 1
#endif
#define _GNU_SOURCE

#include "../../src/base/fault.c"
#include "../../src/base/slab.c"
#include "../../src/os/linux_pages.c"
#include "../../src/os/linux_thread.c"
#include "../../src/os/posix_fd.c"
#include "../../src/os/posix_socket.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int no_plan(void **state)
{
    (void)state;
    lido__fault_clear();
    return 0;
}

static void without_a_plan_nothing_fails(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(lido__fault("read"), 0);
    assert_null(lido__fault_hit());
}

static void the_nth_call_of_a_name_fails_once(void **state)
{
    (void)state;
    lido__fault_plan("read", 2, -EIO);
    assert_int_equal(lido__fault("read"), 0);
    assert_int_equal(lido__fault("write"), 0);
    assert_null(lido__fault_hit());
    assert_int_equal(lido__fault("read"), -EIO);
    assert_string_equal(lido__fault_hit(), "read");
    assert_int_equal(lido__fault("read"), 0);
    assert_int_equal(lido__fault_count(), 3);
}

static void a_shortage_lasts_until_the_plan_is_cleared(void **state)
{
    (void)state;
    lido__fault_plan_from("mmap", 2, -ENOMEM);
    assert_int_equal(lido__fault("mmap"), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lido__fault("mmap"), -ENOMEM);
    assert_int_equal(lido__fault("read"), 0);
    lido__fault_clear();
    assert_int_equal(lido__fault("mmap"), 0);
}

static void without_a_name_all_calls_count(void **state)
{
    (void)state;
    lido__fault_plan(NULL, 3, -ENOMEM);
    assert_int_equal(lido__fault("read"), 0);
    assert_int_equal(lido__fault("write"), 0);
    assert_int_equal(lido__fault("slab"), -ENOMEM);
    assert_string_equal(lido__fault_hit(), "slab");
}

static void a_new_plan_forgets_the_last(void **state)
{
    (void)state;
    lido__fault_plan("read", 1, -EIO);
    assert_int_equal(lido__fault("read"), -EIO);
    lido__fault_plan("read", 1, -EBADF);
    assert_null(lido__fault_hit());
    assert_int_equal(lido__fault_count(), 0);
    assert_int_equal(lido__fault("read"), -EBADF);
}

/* The loop that fault.h recommends: it ends, and each place has failed once. */
static void a_sweep_reaches_each_call_once(void **state)
{
    (void)state;
    uint64_t n = 1;
    int failures = 0;
    for (;; n++) {
        int pair[2];
        lido__fault_plan(NULL, n, -ENOMEM);
        int r = lido__os_socketpair(AF_UNIX, SOCK_STREAM, pair);
        if (r == 0) {
            failures += lido__os_send(pair[0], "x", 1, 0) == -ENOMEM;
            failures += lido__os_close(pair[0]) == -ENOMEM;
            failures += lido__os_close(pair[1]) == -ENOMEM;
        } else {
            failures += r == -ENOMEM;
        }
        if (!lido__fault_hit())
            break;
    }
    assert_int_equal(n, 5);
    assert_int_equal(failures, 4);
}

static void a_close_that_fails_has_closed(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(lido__os_pipe(fds), 0);
    lido__fault_plan("close", 1, -EIO);
    assert_int_equal(lido__os_close(fds[0]), -EIO);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    assert_int_equal(lido__os_close(fds[1]), 0);
}

static void an_interrupted_read_is_repeated(void **state)
{
    (void)state;
    int pair[2];
    char byte;
    assert_int_equal(lido__os_socketpair(AF_UNIX, SOCK_STREAM, pair), 0);
    lido__fault_plan("send", 1, -EINTR);
    assert_int_equal(lido__os_send(pair[0], "a", 1, 0), 1);
    assert_int_equal(lido__fault_count(), 2);
    lido__fault_plan("recv", 1, -EINTR);
    assert_int_equal(lido__os_recv(pair[1], &byte, 1, 0), 1);
    assert_int_equal(lido__fault_count(), 2);
    lido__os_close(pair[0]);
    lido__os_close(pair[1]);
}

/* The connection goes on being made; a second connect would be told that it is. */
static void an_interrupted_connect_is_not_repeated(void **state)
{
    (void)state;
    struct sockaddr address = {.sa_family = AF_UNSPEC};
    int fd = lido__os_socket(AF_INET, SOCK_STREAM, 0);
    lido__fault_plan("connect", 1, -EINTR);
    assert_int_equal(lido__os_connect(fd, &address, sizeof(address)), -EINTR);
    assert_int_equal(lido__fault_count(), 1);
    lido__os_close(fd);
}

static void run_nothing(void *arg)
{
    (void)arg;
}

static void a_thread_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    struct lido__thread thread;
    lido__fault_plan("pthread_create", 1, -EAGAIN);
    assert_int_equal(lido__thread_start(&thread, NULL, run_nothing, NULL), -EAGAIN);
}

static void pages_that_cannot_be_reserved_are_an_error(void **state)
{
    (void)state;
    void *base = &base;
    lido__fault_plan("mmap", 1, -ENOMEM);
    assert_int_equal(lido__pages_reserve(&base, lido__page_size()), -ENOMEM);
    assert_ptr_equal(base, &base);
}

/* As on an older kernel, or under a seccomp filter. */
static void a_refused_method_of_guarding_gives_way_to_the_next(void **state)
{
    (void)state;
    void *base;
    size_t page = lido__page_size();
    assert_int_equal(lido__pages_reserve(&base, 4 * page), 0);

    lido__pages_guard_force(LIDO__GUARD_BATCH);
    lido__fault_plan("process_madvise", 1, -EPERM);
    assert_int_equal(lido__pages_guard(base, page, page, 4), 0);
    assert_int_not_equal(lido__pages_guard_method(), LIDO__GUARD_BATCH);

    lido__pages_guard_force(LIDO__GUARD_SINGLE);
    lido__fault_plan("madvise", 2, -EINVAL);
    assert_int_equal(lido__pages_guard(base, page, page, 4), 0);
    assert_int_equal(lido__pages_guard_method(), LIDO__GUARD_PROTECT);

    lido__fault_plan("mprotect", 3, -ENOMEM);
    assert_int_equal(lido__pages_guard(base, page, page, 4), -ENOMEM);
    lido__pages_release(base, 4 * page);
    lido__pages_guard_force(LIDO__GUARD_BATCH);
}

static struct lido__slab tasks = LIDO__SLAB_INIT_POISON(LIDO__SLAB_TASK, 104);

static void a_slab_without_memory_returns_null_and_recovers(void **state)
{
    (void)state;
    lido__fault_plan("slab", 1, -ENOMEM);
    assert_null(lido__slab_alloc(&tasks));
    assert_non_null(lido__fault_hit());
    void *object = lido__slab_alloc(&tasks);
    assert_non_null(object);
    lido__slab_free(&tasks, object);
}

/* Memory that is there is used up before the lack of more is reported. */
static void a_slab_without_memory_still_gives_what_it_has(void **state)
{
    (void)state;
    static void *objects[10000];
    int count = 0;
    lido__fault_plan("slab", 1, -ENOMEM);
    while ((objects[count] = lido__slab_alloc(&tasks)))
        count++;
    assert_in_range(count, 512, 640); /* a chunk of these */
    while (count-- > 0)
        lido__slab_free(&tasks, objects[count]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_a_plan_nothing_fails, no_plan),
        cmocka_unit_test_setup(the_nth_call_of_a_name_fails_once, no_plan),
        cmocka_unit_test_setup(a_shortage_lasts_until_the_plan_is_cleared, no_plan),
        cmocka_unit_test_setup(without_a_name_all_calls_count, no_plan),
        cmocka_unit_test_setup(a_new_plan_forgets_the_last, no_plan),
        cmocka_unit_test_setup(a_sweep_reaches_each_call_once, no_plan),
        cmocka_unit_test_setup(a_close_that_fails_has_closed, no_plan),
        cmocka_unit_test_setup(an_interrupted_read_is_repeated, no_plan),
        cmocka_unit_test_setup(an_interrupted_connect_is_not_repeated, no_plan),
        cmocka_unit_test_setup(a_thread_that_cannot_be_made_is_an_error, no_plan),
        cmocka_unit_test_setup(pages_that_cannot_be_reserved_are_an_error, no_plan),
        cmocka_unit_test_setup(a_refused_method_of_guarding_gives_way_to_the_next, no_plan),
        cmocka_unit_test_setup(a_slab_without_memory_returns_null_and_recovers, no_plan),
        cmocka_unit_test_setup(a_slab_without_memory_still_gives_what_it_has, no_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
