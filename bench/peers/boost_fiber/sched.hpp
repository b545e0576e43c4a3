#ifndef LIDO_BENCH_BOOST_FIBER_SCHED_HPP
#define LIDO_BENCH_BOOST_FIBER_SCHED_HPP

#include "peer.h"

/*
 * Jobs of bench/sched that Boost.Fiber has the means for, with the same names and parameters. One worker is
 * scheduled round robin, several by work stealing. Two things differ: a channel has 128 places and not 100,
 * because it must be a power of two (one of them stays empty); and one-shots are pairs of a promise and a
 * future, which are allocated.
 */
void run_sched(const peer_options *options);

#endif
