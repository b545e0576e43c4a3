// Go as a peer of lido; ../README.md says what the jobs are.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

type job struct {
	name string
	run  func(*options)
}

var jobs = []job{
	{"echo", server(startEcho)},
	{"ping", server(startPing)},
	{"http", server(startHTTP)},
	{"udp", server(startUDP)},
	{"proxy", server(startProxy)},
	{"hog", server(startHog)},
	{"timers", runTimers},
	{"sched", runSched},
}

func sayJobs() {
	names := make([]string, len(jobs))
	for i, job := range jobs {
		names[i] = job.name
	}
	fmt.Println(strings.Join(names, " "))
}

func run(name string, arguments []string) {
	for _, job := range jobs {
		if job.name == name {
			options := parse(arguments)
			runtime.GOMAXPROCS(options.workers)
			job.run(options)
			return
		}
	}
	refuse()
}

func main() {
	switch {
	case len(os.Args) < 2:
		refuse()
	case len(os.Args) == 2 && os.Args[1] == "--version":
		fmt.Println("go", strings.TrimPrefix(runtime.Version(), "go"))
	case len(os.Args) == 2 && os.Args[1] == "--jobs":
		sayJobs()
	default:
		run(os.Args[1], os.Args[2:])
	}
}
