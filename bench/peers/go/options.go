package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

type hog struct {
	computes, pauses time.Duration
}

type options struct {
	listen  string
	workers int
	to      string
	copy    bool
	hog     hog // all zero: there is none
	repeat  int // how often timers and sched measure

	// Of sched only: CPU time in place of the time that passes, the form of its output, and which of the
	// benchmarks; none means all.
	cpu, json bool
	names     []string
}

const usage = `usage: golang --version | --jobs
       golang JOB [--listen ADDRESS] [--workers N] [--to ADDRESS] [--copy] [--hog MS:PERIOD] [--repeat N]
       golang sched [--workers N] [--repeat N] [--cpu] [--json] [NAME...]`

func refuse() {
	fmt.Fprintln(os.Stderr, usage)
	os.Exit(2)
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "golang: "+format+"\n", arguments...)
	os.Exit(2)
}

// Set makes a hog of MS:PERIOD.
func (h *hog) Set(text string) error {
	var computes, period int64
	var rest string
	n, _ := fmt.Sscanf(text, "%d:%d%s", &computes, &period, &rest)
	if n != 2 || computes < 1 || period < computes {
		return fmt.Errorf("not understood")
	}
	h.computes = time.Duration(computes) * time.Millisecond
	h.pauses = time.Duration(period-computes) * time.Millisecond
	return nil
}

func (h *hog) String() string {
	return fmt.Sprintf("%d:%d", h.computes.Milliseconds(), (h.computes + h.pauses).Milliseconds())
}

// parse ends the program if there is something wrong.
func parse(arguments []string) *options {
	options := &options{}
	flags := flag.NewFlagSet("golang", flag.ExitOnError)
	flags.Usage = refuse
	flags.StringVar(&options.listen, "listen", "127.0.0.1:0", "")
	flags.IntVar(&options.workers, "workers", 1, "")
	flags.StringVar(&options.to, "to", "", "")
	flags.BoolVar(&options.copy, "copy", false, "")
	flags.Var(&options.hog, "hog", "")
	flags.IntVar(&options.repeat, "repeat", 9, "")
	flags.BoolVar(&options.cpu, "cpu", false, "")
	flags.BoolVar(&options.json, "json", false, "")
	flags.Parse(arguments)
	options.names = flags.Args()
	if options.workers < 1 || options.repeat < 1 {
		fail("--workers and --repeat need a number of at least 1")
	}
	return options
}
