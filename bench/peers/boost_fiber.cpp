/*
 * The peer on Boost.Fiber, with Boost.Asio for what it does not have. Each worker is a thread with an
 * io_context and a listener of its own, and each connection a fiber. When no fiber can run, the scheduler
 * runs the context instead of sleeping; its handlers make fibers ready.
 */
#include <boost/asio.hpp>
#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/version.hpp>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

#include "boost_fiber/sched.hpp"
#include "boost_fiber/spawn.hpp"
#include "peer.h"
#include "protocol.h"

namespace asio = boost::asio;
namespace fibers = boost::fibers;
using asio::ip::tcp;
using boost::system::error_code;

namespace
{

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;

class Scheduler : public fibers::algo::round_robin
{
  public:
    explicit Scheduler(asio::io_context &runs) : context(runs) {}

    void suspend_until(const std::chrono::steady_clock::time_point &time) noexcept override
    {
        if (time == std::chrono::steady_clock::time_point::max())
            context.run_one();
        else
            context.run_one_until(time);
        context.poll();
    }

    void notify() noexcept override
    {
        // only other threads would call this, and none of them knows our fibers
    }

  private:
    asio::io_context &context;
};

struct Outcome {
    error_code error;
    std::size_t size = 0;
};

// Suspends the fiber until the operation that `start` starts, with the handler that it is given, is over.
template <typename Start> Outcome await(Start start)
{
    fibers::context *self = fibers::context::active();
    Outcome outcome;
    start([&outcome, self](const error_code &error, std::size_t size = 0) {
        outcome = {error, size};
        fibers::context::active()->schedule(self);
    });
    self->suspend(); // asio calls no handler before it is run
    return outcome;
}

Outcome receive(Socket &socket, const asio::mutable_buffer &buffer)
{
    return await([&](auto handler) { socket.async_read_some(buffer, handler); });
}

error_code send(Socket &socket, const protocol_bytes &bytes)
{
    error_code error;
    const std::size_t done = socket.write_some(asio::buffer(bytes.data, bytes.size), error);
    if (done == bytes.size || (error && error != asio::error::would_block))
        return error;
    const auto rest = asio::buffer(bytes.data, bytes.size) + done;
    return await([&](auto handler) { asio::async_write(socket, rest, handler); }).error;
}

void serve(Socket socket, const protocol *protocol)
{
    std::array<char, PEER_READ_OWN> buffer;
    protocol_state state{};
    for (;;) {
        const Outcome got = receive(socket, asio::buffer(buffer));
        if (got.error)
            return;
        const protocol_bytes bytes = protocol_reply(protocol, &state, buffer.data(), got.size);
        if (bytes.size > 0 && send(socket, bytes))
            return;
    }
}

void welcome(Socket socket, const protocol *protocol)
{
    error_code ignored;
    socket.non_blocking(true, ignored);
    spawn([socket = std::move(socket), protocol]() mutable {
        serve(std::move(socket), protocol);
    }).detach();
}

// One in all: it hogs one of the workers.
void start_hog(const peer_options *options)
{
    static std::atomic_flag started = ATOMIC_FLAG_INIT;
    if (options->hog_ms == 0 || started.test_and_set())
        return;
    spawn([options] {
        for (;;) {
            const std::uint64_t began = bench_now();
            while (bench_now() - began < options->hog_ms * UINT64_C(1000000))
                ;
            boost::this_fiber::sleep_for(std::chrono::milliseconds(options->hog_pause_ms));
        }
    }).detach();
}

// What `hog` serves is an echo.
const protocol *protocol_for(const peer_options *options)
{
    const protocol *found = protocol_of(options->job);
    return found ? found : protocol_of("echo");
}

void serve_streams(const peer_options *options, int fd)
{
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    const auto work = asio::make_work_guard(context);
    const protocol *protocol = protocol_for(options);
    fibers::use_scheduling_algorithm<Scheduler>(context);
    start_hog(options);
    Acceptor acceptor(context,
                      options->listen.sockaddr.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), fd);
    for (;;) {
        Socket socket(context);
        const error_code error =
            await([&](auto handler) { acceptor.async_accept(socket, handler); }).error;
        if (!error) {
            welcome(std::move(socket), protocol);
        } else if (error != asio::error::connection_aborted) {
            errno = error.value();
            bench_die("accept");
        }
    }
}

void run_streams(const peer_options *options)
{
    protocol_for(options); // threads must not be the first to ask
    peer_serve(options, SOCK_STREAM, serve_streams);
}

} // namespace

int main(int argc, char **argv)
{
    static const peer_job jobs[] = {
        {"echo", run_streams}, {"ping", run_streams}, {"http", run_streams},
        {"hog", run_streams},  {"sched", run_sched},  {nullptr, nullptr},
    };
    char version[64];
    std::snprintf(version, sizeof(version), "Boost.Fiber %d.%d.%d", BOOST_VERSION / 100000,
                  BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100);
    return peer_main(argc, argv, version, jobs);
}
