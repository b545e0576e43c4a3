/*
 * The peer on Boost.Asio. Each worker is a thread with an io_context and a listener of its own, which no
 * other thread touches: the context has no locks. A reply is tried at once, which spares the queueing of a
 * handler; what the other side does not take is left to async_write, and nothing is read meanwhile.
 * Executors are not erased to any_io_executor. A connection waits for one thing at a time, so that the
 * handler owns it. A read goes to a buffer of its own: to wait first, and then read into one that all share,
 * takes an epoll_ctl each time.
 */
#include <boost/asio.hpp>
#include <boost/version.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "peer.h"
#include "protocol.h"
#include "timers.h"

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using boost::system::error_code;

namespace
{

using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using DatagramSocket = asio::basic_datagram_socket<udp, Executor>;
using Clock = std::chrono::steady_clock;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;

struct Worker {
    explicit Worker(const peer_options *given) : options(given), answers(protocol_of(given->job)) {}

    asio::io_context context{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE};
    const peer_options *options;
    const protocol *answers; // null: a proxy
};

template <typename Protocol> Protocol family_of(const peer_options *options)
{
    return options->listen.sockaddr.ss_family == AF_INET6 ? Protocol::v6() : Protocol::v4();
}

// As much as the other side takes now.
std::size_t write_at_once(Socket &socket, const void *bytes, std::size_t size, error_code &error)
{
    std::size_t done = socket.write_some(asio::buffer(bytes, size), error);
    if (error == asio::error::would_block)
        error.clear();
    return done;
}

// ---- Connections --------------------------------------------------------------------------------

struct Connection {
    explicit Connection(Worker &its) : worker(its), socket(its.context) {}

    Worker &worker;
    Socket socket;
    protocol_state state{};
    std::vector<char> rest;
    std::array<char, PEER_READ_OWN> buffer;
};

void reply(std::unique_ptr<Connection> self, std::size_t size);

void serve_next(std::unique_ptr<Connection> self)
{
    Connection &connection = *self;
    connection.socket.async_read_some(asio::buffer(connection.buffer),
                                      [self = std::move(self)](const error_code &error,
                                                               std::size_t size) mutable {
                                          if (!error)
                                              reply(std::move(self), size);
                                      });
}

void write_rest(std::unique_ptr<Connection> self)
{
    Connection &connection = *self;
    asio::async_write(connection.socket, asio::buffer(connection.rest),
                      [self = std::move(self)](const error_code &error, std::size_t) mutable {
                          if (!error)
                              serve_next(std::move(self));
                      });
}

void reply(std::unique_ptr<Connection> self, std::size_t size)
{
    const protocol_bytes bytes =
        protocol_reply(self->worker.answers, &self->state, self->buffer.data(), size);
    error_code error;
    std::size_t done = 0;
    if (bytes.size > 0)
        done = write_at_once(self->socket, bytes.data, bytes.size, error);
    if (error)
        return;
    if (done == bytes.size) {
        serve_next(std::move(self));
        return;
    }
    const char *begin = static_cast<const char *>(bytes.data);
    self->rest.assign(begin + done, begin + bytes.size);
    write_rest(std::move(self));
}

// ---- Proxies ------------------------------------------------------------------------------------

// One way of a pair; the two share it.
struct Pair {
    explicit Pair(Worker &worker) : ends{Socket(worker.context), Socket(worker.context)} {}

    void close()
    {
        error_code ignored;
        for (Socket &end : ends)
            end.close(ignored);
    }

    std::array<Socket, 2> ends;
    std::array<std::array<char, PEER_READ_SHARED>, 2> buffers;
};

using SharedPair = std::shared_ptr<Pair>;

void copy_on(SharedPair pair, unsigned from, std::size_t size);

void copy_from(const SharedPair &pair, unsigned from)
{
    pair->ends[from].async_read_some(
        asio::buffer(pair->buffers[from]), [pair, from](error_code error, std::size_t size) {
            if (!error)
                copy_on(pair, from, size);
            else if (error == asio::error::eof)
                pair->ends[1 - from].shutdown(Socket::shutdown_send, error);
            else
                pair->close();
        });
}

void copy_on(SharedPair pair, unsigned from, std::size_t size)
{
    Socket &to = pair->ends[1 - from];
    error_code error;
    std::size_t done = write_at_once(to, pair->buffers[from].data(), size, error);
    if (error)
        pair->close();
    else if (done == size)
        copy_from(pair, from);
    else
        asio::async_write(to, asio::buffer(pair->buffers[from].data() + done, size - done),
                          [pair, from](const error_code &failed, std::size_t) {
                              if (failed)
                                  pair->close();
                              else
                                  copy_from(pair, from);
                          });
}

void connect_to(SharedPair pair, const bench_address &address)
{
    tcp::endpoint endpoint;
    std::memcpy(endpoint.data(), &address.sockaddr, endpoint.capacity());
    pair->ends[1].async_connect(endpoint, [pair](const error_code &error) {
        if (error) {
            pair->close();
            return;
        }
        pair->ends[1].set_option(tcp::no_delay(true));
        pair->ends[1].non_blocking(true);
        copy_from(pair, 0);
        copy_from(pair, 1);
    });
}

// ---- Listening ----------------------------------------------------------------------------------

void welcome(Worker &worker, Socket socket)
{
    if (worker.answers) {
        auto connection = std::make_unique<Connection>(worker);
        connection->socket = std::move(socket);
        serve_next(std::move(connection));
    } else {
        auto pair = std::make_shared<Pair>(worker);
        pair->ends[0] = std::move(socket);
        connect_to(std::move(pair), worker.options->to);
    }
}

void accept_next(Worker &worker, Acceptor &acceptor)
{
    acceptor.async_accept(worker.context, [&](const error_code &error, Socket socket) {
        if (!error) {
            error_code ignored;
            socket.non_blocking(true, ignored);
            welcome(worker, std::move(socket));
        } else if (error != asio::error::connection_aborted) {
            errno = error.value();
            bench_die("accept");
        }
        accept_next(worker, acceptor);
    });
}

void serve_streams(const peer_options *options, int fd)
{
    Worker worker(options);
    Acceptor acceptor(worker.context, family_of<tcp>(options), fd);
    accept_next(worker, acceptor);
    worker.context.run();
}

void run_streams(const peer_options *options)
{
    protocol_of(options->job); // threads must not be the first to ask
    peer_serve(options, SOCK_STREAM, serve_streams);
}

// ---- Datagrams ----------------------------------------------------------------------------------

struct Datagrams {
    Datagrams(asio::io_context &context, const udp &family, int fd) : socket(context, family, fd) {}

    DatagramSocket socket;
    udp::endpoint from;
    std::array<char, PEER_READ_SHARED> buffer;
};

void serve_next(Datagrams &datagrams);

// An error of a send is nothing to us: datagrams may be lost.
void send_back(Datagrams &datagrams, std::size_t size)
{
    const auto bytes = asio::buffer(datagrams.buffer.data(), size);
    error_code error;
    datagrams.socket.send_to(bytes, datagrams.from, 0, error);
    if (error == asio::error::would_block)
        datagrams.socket.async_send_to(bytes, datagrams.from,
                                       [&datagrams](const error_code &, std::size_t) {
                                           serve_next(datagrams);
                                       });
    else
        serve_next(datagrams);
}

void serve_next(Datagrams &datagrams)
{
    datagrams.socket.async_receive_from(asio::buffer(datagrams.buffer), datagrams.from,
                                        [&datagrams](const error_code &error, std::size_t size) {
                                            if (error) // of an earlier send
                                                serve_next(datagrams);
                                            else
                                                send_back(datagrams, size);
                                        });
}

void serve_datagrams(const peer_options *options, int fd)
{
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    Datagrams datagrams(context, family_of<udp>(options), fd);
    datagrams.socket.non_blocking(true);
    serve_next(datagrams);
    context.run();
}

void run_udp(const peer_options *options)
{
    peer_serve(options, SOCK_DGRAM, serve_datagrams);
}

// ---- Timers -------------------------------------------------------------------------------------

// What Asio keeps of a wait. A timer waits once at a time, so each has room for it: a million are more than
// Asio itself keeps for use again, and it would allocate and free each.
struct Slot {
    alignas(std::max_align_t) std::array<unsigned char, 96> bytes;
};

template <typename T> struct SlotAllocator {
    using value_type = T;

    explicit SlotAllocator(Slot *its) : slot(its) {}
    template <typename U> SlotAllocator(const SlotAllocator<U> &other) : slot(other.slot) {}

    T *allocate(std::size_t)
    {
        static_assert(sizeof(T) <= sizeof(Slot));
        return reinterpret_cast<T *>(slot->bytes.data());
    }
    void deallocate(T *, std::size_t) {}

    template <typename U> bool operator==(const SlotAllocator<U> &other) const
    {
        return slot == other.slot;
    }
    template <typename U> bool operator!=(const SlotAllocator<U> &other) const
    {
        return slot != other.slot;
    }

    Slot *slot;
};

struct CountFired {
    using allocator_type = SlotAllocator<void>;

    allocator_type get_allocator() const noexcept
    {
        return allocator_type(slot);
    }
    void operator()(const error_code &error) const
    {
        *fired += !error;
    }

    std::uint64_t *fired;
    Slot *slot;
};

struct Timers {
    Timers()
    {
        each.reserve(PEER_TIMERS);
        for (unsigned i = 0; i < PEER_TIMERS; i++)
            each.emplace_back(context);
    }

    // Calls all handlers that are there, or will be.
    void run()
    {
        context.restart();
        context.run();
    }

    std::vector<Slot> slots{PEER_TIMERS}; // the context frees what is in them last
    asio::io_context context{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE};
    std::vector<Timer> each;
    std::uint64_t fired = 0;
};

Timers &timers_of(void *self)
{
    return *static_cast<Timers *>(self);
}

void arm_timers(void *self, const std::uint32_t *delays)
{
    Timers &timers = timers_of(self);
    for (unsigned i = 0; i < PEER_TIMERS; i++) {
        timers.each[i].expires_after(std::chrono::milliseconds(delays[i]));
        timers.each[i].async_wait(CountFired{&timers.fired, &timers.slots[i]});
    }
}

// A handler is called for each of them, too.
void cancel_timers(void *self, const std::uint32_t *order)
{
    Timers &timers = timers_of(self);
    for (unsigned i = 0; i < PEER_TIMERS; i++)
        timers.each[order[i]].cancel();
    timers.run();
}

void await_timers(void *self)
{
    timers_of(self).run();
}

std::uint64_t fired_timers(void *self)
{
    return timers_of(self).fired;
}

void run_timers(const peer_options *options)
{
    peer_timers job{};
    job.arm = arm_timers;
    job.cancel = cancel_timers;
    job.run = await_timers;
    job.fired = fired_timers;
    Timers timers;
    peer_timers_measure(&job, &timers, options);
}

} // namespace

int main(int argc, char **argv)
{
    static const peer_job jobs[] = {
        {"echo", run_streams},  {"ping", run_streams},  {"http", run_streams}, {"udp", run_udp},
        {"proxy", run_streams}, {"timers", run_timers}, {nullptr, nullptr},
    };
    char version[64];
    std::snprintf(version, sizeof(version), "Boost.Asio %d.%d.%d", BOOST_VERSION / 100000,
                  BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100);
    return peer_main(argc, argv, version, jobs);
}
