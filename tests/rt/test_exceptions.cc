/* C++ exceptions belong to the fiber that throws and catches them, also while it waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include <lido.h>

extern "C" {
#include <cmocka.h>
}

namespace
{

constexpr int FIBERS = 16;
constexpr int ROUNDS = 20;

int uncaught()
{
#if __cplusplus >= 201703L
    return std::uncaught_exceptions();
#else
    return std::uncaught_exception();
#endif
}

std::atomic<int> moves{0};

/* A wait after which others may have run on this thread, and this fiber may be on another. */
void wait(int n)
{
    int before = lido_worker_index();
    if (n % 3 == 0)
        lido_sleep(1);
    else if (n % 3 == 1)
        lido_yield();
    else
        lido_blocking([](void *) { return uncaught(); }, nullptr);
    moves += lido_worker_index() != before;
}

struct Own : std::runtime_error {
    long number;
    explicit Own(long n) : std::runtime_error("own " + std::to_string(n)), number(n) {}
};

int rethrow(void *arg)
{
    long me = reinterpret_cast<intptr_t>(arg);
    int wrong = 0;
    for (int i = 0; i < ROUNDS; i++)
        try {
            try {
                throw Own(me * ROUNDS + i);
            } catch (...) {
                wait(static_cast<int>(me) + i);
                throw;
            }
        } catch (const Own &own) {
            wrong += own.number != me * ROUNDS + i;
        }
    return wrong + uncaught();
}

struct Waits {
    int *seen;
    int n;
    ~Waits()
    {
        wait(n);
        *seen = uncaught();
    }
};

int unwind(void *arg)
{
    long me = reinterpret_cast<intptr_t>(arg);
    int wrong = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int seen = -1;
        try {
            Waits waits{&seen, static_cast<int>(me) + i};
            throw me;
        } catch (long caught) {
            wrong += caught != me;
        }
        wrong += seen != 1;
    }
    return wrong + uncaught();
}

/* An exception that is thrown, waited in and caught while another is handled. */
int nest(void *arg)
{
    long me = reinterpret_cast<intptr_t>(arg);
    int wrong = 0;
    for (int i = 0; i < ROUNDS; i++)
        try {
            throw Own(me);
        } catch (const Own &) {
            wrong += unwind(arg);
            wait(i);
            try {
                std::rethrow_exception(std::current_exception());
            } catch (const Own &again) {
                wait(i + 1);
                wrong += again.number != me;
            }
        }
    return wrong;
}

int calm(void *)
{
    int wrong = 0;
    for (int i = 0; i < 2 * ROUNDS; i++) {
        wait(i);
        wrong += uncaught() != 0 || std::current_exception() != nullptr;
    }
    return wrong;
}

int root(void *)
{
    static const lido_fn bodies[] = {rethrow, unwind, nest, calm};
    lido_task *tasks[FIBERS];
    int wrong = 0;
    for (intptr_t i = 0; i < FIBERS; i++)
        assert_int_equal(lido_spawn(&tasks[i], bodies[i % 4], reinterpret_cast<void *>(i)), 0);
    for (lido_task *task : tasks) {
        int result = -1;
        assert_int_equal(lido_join(task, &result), 0);
        wrong += result;
    }
    return wrong;
}

int run(const char *scheduler, unsigned workers)
{
    lido_config config = LIDO_CONFIG_INIT;
    config.scheduler = scheduler;
    config.workers = workers;
    return lido_run(&config, root, nullptr);
}

void fibers_of_one_worker_have_their_own_exceptions(void **)
{
    assert_int_equal(run("io-pool", 1), 0);
}

void they_take_them_along_to_other_workers(void **)
{
    moves = 0;
    for (int i = 0; i < 50 && moves == 0; i++)
        assert_int_equal(run("work-stealing", 4), 0);
    if (moves == 0)
        skip();
}

/* The exceptions of the caller of lido_run are not those of its fibers, and wait for it. */
void the_caller_keeps_its_exceptions(void **)
{
    try {
        throw Own(7);
    } catch (const Own &) {
        assert_int_equal(run("current-thread", 1), 0);
        try {
            throw;
        } catch (const Own &own) {
            assert_int_equal(own.number, 7);
        }
    }
}

} /* namespace */

int main()
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fibers_of_one_worker_have_their_own_exceptions),
        cmocka_unit_test(they_take_them_along_to_other_workers),
        cmocka_unit_test(the_caller_keeps_its_exceptions),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
