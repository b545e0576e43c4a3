/* How fibers are started here. */
#ifndef LIDO_BENCH_BOOST_FIBER_SPAWN_HPP
#define LIDO_BENCH_BOOST_FIBER_SPAWN_HPP

#include <boost/context/stack_context.hpp>
#include <boost/fiber/fiber.hpp>

#include <memory>
#include <utility>

/*
 * Stacks of 64 KiB, lido's default, that are used again. Boost's own pool is not for fibers that move to
 * other threads, and its default is a stack from malloc for each fiber. Here one goes to the thread where
 * its fiber ended.
 */
struct Stacks {
    boost::context::stack_context allocate();
    void deallocate(boost::context::stack_context &stack) noexcept;
};

/* It first runs when others have had their turn, as a task of lido does. */
template <typename Body> boost::fibers::fiber spawn(Body &&body)
{
    return boost::fibers::fiber(boost::fibers::launch::post, std::allocator_arg, Stacks{},
                                std::forward<Body>(body));
}

#endif
