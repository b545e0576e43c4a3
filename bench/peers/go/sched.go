package main

import (
	"runtime"
	"strings"
	"sync"
	"time"
)

// The twin of bench/sched.c: the same jobs with the same parameters under the same names. What Go has
// nothing of its own for is not here: spawning from a thread that is not one of its own, and blocking
// sections, which are its system calls. Nor is notify_many, because Go reads before it waits. The main
// goroutine is one as any other, so spawn_many_local and spawn_many_task are the same.

const (
	spawns          = 10000
	spawnIterations = 4
	chainDepth      = 1000
	chains          = 50
	joins           = 1000
	joinIterations  = 20

	yielders       = 200
	yields         = 1000
	pings          = 1000
	pingIterations = 20

	capacity          = 100
	messages          = 10000
	channelIterations = 4
	senders           = 5
	messagesEach      = 1000
	oneshots          = 10000
	oneshotIterations = 4
)

type schedJob struct {
	name       string
	iterations int
	operations int // of an iteration
	run        func()
}

var schedJobs = []schedJob{
	{"spawn_many_local", spawnIterations, spawns, spawnMany},
	{"spawn_many_task", spawnIterations, spawns, spawnMany},
	{"chained_spawn", chains, chainDepth, spawnChain},
	{"spawn_join", joinIterations, joins, spawnAndJoin},
	{"yield_many", 1, yielders * yields, yieldMany},
	{"ping_pong", pingIterations, pings, playMany},
	{"channel", channelIterations, messages, passFromOne},
	{"channel_contended", channelIterations, senders * messagesEach, passFromSeveral},
	{"oneshot", oneshotIterations, oneshots, sendToItself},
}

// ---- Tasks that come and go --------------------------------------------------------------------

func spawnMany() {
	var tasks sync.WaitGroup
	tasks.Add(spawns)
	for i := 0; i < spawns; i++ {
		go tasks.Done()
	}
	tasks.Wait()
}

func spawnLink(left int, end chan<- struct{}) {
	if left == 0 {
		end <- struct{}{}
	} else {
		go spawnLink(left-1, end)
	}
}

func spawnChain() {
	end := make(chan struct{}, 1)
	go spawnLink(chainDepth-1, end)
	<-end
}

func spawnAndJoin() {
	var task sync.WaitGroup
	for i := 0; i < joins; i++ {
		task.Add(1)
		go task.Done()
		task.Wait()
	}
}

// ---- Tasks that go on in turn ------------------------------------------------------------------

func yieldOften(tasks *sync.WaitGroup) {
	for i := 0; i < yields; i++ {
		runtime.Gosched()
	}
	tasks.Done()
}

func yieldMany() {
	var tasks sync.WaitGroup
	tasks.Add(yielders)
	for i := 0; i < yielders; i++ {
		go yieldOften(&tasks)
	}
	tasks.Wait()
}

func pong(pinged <-chan struct{}, ponged chan<- struct{}) {
	<-pinged
	ponged <- struct{}{}
}

// play spawns a peer, sends it something and awaits its answer.
func play(games *sync.WaitGroup) {
	pinged, ponged := make(chan struct{}, 1), make(chan struct{}, 1)
	go pong(pinged, ponged)
	pinged <- struct{}{}
	<-ponged
	games.Done()
}

func playMany() {
	var games sync.WaitGroup
	games.Add(pings)
	go func() {
		for i := 0; i < pings; i++ {
			go play(&games)
		}
	}()
	games.Wait()
}

// ---- Channels ----------------------------------------------------------------------------------

func sendMessages(channel chan<- int, count int) {
	for i := 0; i < count; i++ {
		channel <- i
	}
}

func passMessages(senders, each int) {
	channel := make(chan int, capacity)
	for i := 0; i < senders; i++ {
		go sendMessages(channel, each)
	}
	for i := 0; i < senders*each; i++ {
		<-channel
	}
}

func passFromOne() {
	passMessages(1, messages)
}

func passFromSeveral() {
	passMessages(senders, messagesEach)
}

// sendToItself has one task make, send and receive, which never waits.
func sendToItself() {
	for i := 0; i < oneshots; i++ {
		oneshot := make(chan int, 1)
		oneshot <- i
		if <-oneshot != i {
			fail("a message was changed on its way")
		}
	}
}

// ---- All ---------------------------------------------------------------------------------------

// clock is the one that is measured by.
func clock(cpu bool) time.Duration {
	if cpu {
		return cpuTime()
	}
	return time.Since(start)
}

var start = time.Now()

// measure is one repetition, in ns per operation.
func (j *schedJob) measure(cpu bool) float64 {
	began := clock(cpu)
	for i := 0; i < j.iterations; i++ {
		j.run()
	}
	return float64(clock(cpu)-began) / float64(j.iterations*j.operations)
}

// measureAll warms up first.
func (j *schedJob) measureAll(options *options) []float64 {
	values := make([]float64, options.repeat)
	j.measure(options.cpu)
	for i := range values {
		values[i] = j.measure(options.cpu)
	}
	return values
}

func findSchedJob(name string) *schedJob {
	var names []string
	for i := range schedJobs {
		if schedJobs[i].name == name {
			return &schedJobs[i]
		}
		names = append(names, schedJobs[i].name)
	}
	fail("no benchmark %s. There are: %s", name, strings.Join(names, " "))
	return nil
}

// chosen are those that are named, or all.
func chosen(names []string) []*schedJob {
	var jobs []*schedJob
	for _, name := range names {
		jobs = append(jobs, findSchedJob(name))
	}
	for i := 0; len(names) == 0 && i < len(schedJobs); i++ {
		jobs = append(jobs, &schedJobs[i])
	}
	return jobs
}

func runSched(options *options) {
	jobs := chosen(options.names)
	report := newReport(options.json)
	for _, job := range jobs {
		report.figure(job.name, job.measureAll(options))
	}
	report.end()
}
