#include "spawn.hpp"

#include <cstdlib>
#include <new>
#include <vector>

using boost::context::stack_context;

namespace
{

constexpr std::size_t stack_size = 64 * 1024;

thread_local std::vector<void *> idle;

} // namespace

stack_context Stacks::allocate()
{
    void *lowest;
    if (idle.empty()) {
        lowest = std::malloc(stack_size);
        if (!lowest)
            throw std::bad_alloc();
    } else {
        lowest = idle.back();
        idle.pop_back();
    }
    stack_context stack;
    stack.size = stack_size;
    stack.sp = static_cast<char *>(lowest) + stack_size;
    return stack;
}

void Stacks::deallocate(stack_context &stack) noexcept
{
    idle.push_back(static_cast<char *>(stack.sp) - stack.size);
}
