package main

import (
	"runtime"
	"sync/atomic"
	"time"
)

// A million timers of one thread: armed, cancelled, armed again and fired. A timer is one of
// time.AfterFunc's, which can be used again.

const timerCount = 1000000

// What all repetitions have in common.
type timerPlan struct {
	long  []time.Duration
	order []int // of cancelling
	short []time.Duration
}

// random is xorshift64.
type random uint64

func (r *random) next() uint64 {
	x := uint64(*r)
	x ^= x << 13
	x ^= x >> 7
	x ^= x << 17
	*r = random(x)
	return x
}

func (r *random) delays(least, span uint64) []time.Duration {
	delays := make([]time.Duration, timerCount)
	for i := range delays {
		delays[i] = time.Duration(least+r.next()%span) * time.Millisecond
	}
	return delays
}

func newTimerPlan() *timerPlan {
	numbers := random(0x9e3779b97f4a7c15)
	plan := &timerPlan{long: numbers.delays(10000, 50000), order: make([]int, timerCount)}
	for i := range plan.order {
		plan.order[i] = i
	}
	for i := timerCount - 1; i > 0; i-- {
		other := numbers.next() % uint64(i+1)
		plan.order[i], plan.order[other] = plan.order[other], plan.order[i]
	}
	plan.short = numbers.delays(2000, 1000)
	return plan
}

type timerSet struct {
	timers []*time.Timer
	fired  int64
	all    chan struct{}
}

func newTimerSet() *timerSet {
	set := &timerSet{timers: make([]*time.Timer, timerCount), all: make(chan struct{}, 1)}
	for i := range set.timers {
		set.timers[i] = time.AfterFunc(time.Hour, set.count)
		set.timers[i].Stop()
	}
	return set
}

func (s *timerSet) count() {
	if atomic.AddInt64(&s.fired, 1) == timerCount {
		s.all <- struct{}{}
	}
}

func (s *timerSet) arm(delays []time.Duration) {
	for i, delay := range delays {
		s.timers[i].Reset(delay)
	}
}

// A timer that is stopped stays in the heap until the scheduler comes by.
func (s *timerSet) cancel(order []int) {
	for _, i := range order {
		if !s.timers[i].Stop() {
			fail("a timer fired before its time")
		}
	}
	runtime.Gosched()
}

func (s *timerSet) runUntilAllFired() {
	<-s.all
	s.fired = 0
}

// measure is one repetition: what it takes to arm, cancel and fire a timer.
func (s *timerSet) measure(plan *timerPlan) [3]float64 {
	began := cpuTime()
	s.arm(plan.long)
	armed := cpuTime()
	s.cancel(plan.order)
	cancelled := cpuTime()

	s.arm(plan.short)
	waiting := cpuTime()
	s.runUntilAllFired()
	fired := cpuTime()
	return [3]float64{
		float64(armed-began) / timerCount,
		float64(cancelled-armed) / timerCount,
		float64(fired-waiting) / timerCount,
	}
}

func runTimers(options *options) {
	runtime.GOMAXPROCS(1)
	plan, set := newTimerPlan(), newTimerSet()
	values := [3][]float64{}
	set.measure(plan) // warms up
	for n := 0; n < options.repeat; n++ {
		for i, value := range set.measure(plan) {
			values[i] = append(values[i], value)
		}
	}
	report := newReport(options.json)
	for i, name := range []string{"timer_arm", "timer_cancel", "timer_fire"} {
		report.figure(name, values[i])
	}
	report.end()
}
