#include "sched.hpp"

#include <boost/fiber/algo/work_stealing.hpp>
#include <boost/fiber/buffered_channel.hpp>
#include <boost/fiber/condition_variable.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/mutex.hpp>
#include <boost/fiber/operations.hpp>

#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "spawn.hpp"
#include "support/figure.h"

namespace fibers = boost::fibers;
using Promise = fibers::promise<void>;
using Future = fibers::future<void>;

namespace
{

// Of bench/sched: who changes one changes both.
constexpr unsigned spawns = 10000, spawn_iterations = 4;
constexpr unsigned depth = 1000, chains = 50;
constexpr unsigned joins = 1000, join_iterations = 20;
constexpr unsigned yielders = 200, yields = 1000, yield_iterations = 1;
constexpr unsigned pings = 1000, ping_iterations = 20;
constexpr unsigned messages = 10000, channel_iterations = 4;
constexpr unsigned senders = 5, messages_each = 1000;
constexpr unsigned oneshots = 10000, oneshot_iterations = 4;
constexpr unsigned capacity = 128;

// ---- Measuring ----------------------------------------------------------------------------------

struct Job {
    const char *name;
    void (*body)();
    unsigned iterations;
    unsigned operations;
    bool on_root; // by the fiber of the thread itself; otherwise by one that has been spawned
};

double measure_here(const Job &job)
{
    const std::uint64_t began = bench_now();
    for (unsigned i = 0; i < job.iterations; i++)
        job.body();
    return double(bench_now() - began) / (job.iterations * job.operations);
}

double measure(const Job &job)
{
    if (job.on_root)
        return measure_here(job);
    double result = 0;
    spawn([&] { result = measure_here(job); }).join();
    return result;
}

// Fibers count down; the last one wakes the one that waits.
class Countdown
{
  public:
    explicit Countdown(unsigned count) : left(count) {}

    void one()
    {
        if (left.fetch_sub(1, std::memory_order_acq_rel) == 1)
            over.set_value();
    }

    void wait()
    {
        over.get_future().wait();
    }

  private:
    std::atomic<unsigned> left;
    Promise over;
};

// ---- Fibers that come and go ----------------------------------------------------------------------

void spawn_many()
{
    auto countdown = std::make_shared<Countdown>(spawns);
    for (unsigned i = 0; i < spawns; i++)
        spawn([countdown] { countdown->one(); }).detach();
    countdown->wait();
}

void link_chain(unsigned left, Promise end)
{
    if (--left == 0)
        end.set_value();
    else
        spawn([left, end = std::move(end)]() mutable {
            link_chain(left, std::move(end));
        }).detach();
}

void spawn_chain()
{
    Promise end;
    Future ended = end.get_future();
    spawn([end = std::move(end)]() mutable { link_chain(depth, std::move(end)); }).detach();
    ended.wait();
}

void spawn_and_join()
{
    for (unsigned i = 0; i < joins; i++)
        spawn([] {}).join();
}

// ---- Fibers that go on in turn --------------------------------------------------------------------

void yield_many()
{
    auto countdown = std::make_shared<Countdown>(yielders);
    for (unsigned i = 0; i < yielders; i++)
        spawn([countdown] {
            for (unsigned n = 0; n < yields; n++)
                boost::this_fiber::yield();
            countdown->one();
        }).detach();
    countdown->wait();
}

// Spawns another, sends it something and awaits its answer.
void play()
{
    Promise ping;
    Promise pong;
    Future ponged = pong.get_future();
    spawn([pinged = ping.get_future(), pong = std::move(pong)]() mutable {
        pinged.wait();
        pong.set_value();
    }).detach();
    ping.set_value();
    ponged.wait();
}

void play_many()
{
    auto countdown = std::make_shared<Countdown>(pings);
    spawn([countdown] {
        for (unsigned i = 0; i < pings; i++)
            spawn([countdown] {
                play();
                countdown->one();
            }).detach();
    }).detach();
    countdown->wait();
}

// ---- Messages -------------------------------------------------------------------------------------

using Channel = fibers::buffered_channel<std::uint64_t>;

void pass_messages(unsigned from, unsigned each)
{
    auto channel = std::make_shared<Channel>(capacity);
    std::uint64_t message;
    for (unsigned i = 0; i < from; i++)
        spawn([channel, each] {
            for (unsigned n = 0; n < each; n++)
                channel->push(n);
        }).detach();
    for (unsigned i = 0; i < from * each; i++)
        channel->pop(message);
}

void pass_from_one()
{
    pass_messages(1, messages);
}

void pass_from_several()
{
    pass_messages(senders, messages_each);
}

void send_to_itself()
{
    for (unsigned i = 0; i < oneshots; i++) {
        Promise promise;
        promise.set_value();
        promise.get_future().get();
    }
}

const Job jobs[] = {
    {"spawn_many_local", spawn_many, spawn_iterations, spawns, true},
    {"spawn_many_task", spawn_many, spawn_iterations, spawns, false},
    {"chained_spawn", spawn_chain, chains, depth, false},
    {"spawn_join", spawn_and_join, join_iterations, joins, false},
    {"yield_many", yield_many, yield_iterations, yielders *yields, true},
    {"ping_pong", play_many, ping_iterations, pings, false},
    {"channel", pass_from_one, channel_iterations, messages, false},
    {"channel_contended", pass_from_several, channel_iterations, senders *messages_each, false},
    {"oneshot", send_to_itself, oneshot_iterations, oneshots, false},
};

// ---- Workers --------------------------------------------------------------------------------------

pthread_barrier_t all_there;

// The algorithm of each thread looks into those of all others, so nobody may wait before all have theirs.
void join_the_workers(unsigned count)
{
    fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(count, true);
    pthread_barrier_wait(&all_there);
}

void *work(void *count)
{
    fibers::mutex mutex;
    fibers::condition_variable never;
    join_the_workers(*static_cast<const unsigned *>(count));
    std::unique_lock<fibers::mutex> lock(mutex);
    for (;;)
        never.wait(lock); // other fibers run meanwhile
}

void start_workers(const unsigned *count)
{
    pthread_barrier_init(&all_there, nullptr, *count);
    for (unsigned i = 1; i < *count; i++)
        peer_start_thread(work, const_cast<unsigned *>(count));
    join_the_workers(*count);
}

} // namespace

void run_sched(const peer_options *options)
{
    std::vector<double> values(options->repeat);
    if (options->workers > 1)
        start_workers(&options->workers);
    for (const Job &job : jobs) {
        measure(job); // warms up
        for (double &value : values)
            value = measure(job);
        bench_figure(job.name, nullptr, values.data(), options->repeat);
    }
    std::_Exit(0); // the other workers have no end
}
