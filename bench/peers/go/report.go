package main

import (
	"fmt"
	"sort"
	"syscall"
	"time"
)

// report is what the program prints; the same as bench/support/figure.c.
type report struct {
	json, further bool
}

func newReport(json bool) *report {
	if json {
		fmt.Print("[")
	}
	return &report{json: json}
}

func (r *report) figure(name string, values []float64) {
	sort.Float64s(values)
	count := len(values)
	median := (values[(count-1)/2] + values[count/2]) / 2
	least, most := values[0], values[count-1]
	if !r.json {
		fmt.Printf("%s %.2f %.2f %.2f\n", name, median, least, most)
		return
	}
	if r.further {
		fmt.Print(",")
	}
	fmt.Printf("\n  {\"name\": %q, \"median_ns\": %.2f, \"min_ns\": %.2f, \"max_ns\": %.2f}",
		name, median, least, most)
	r.further = true
}

func (r *report) end() {
	if r.json {
		fmt.Print("\n]\n")
	}
}

// cpuTime is that of the process.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail("%v", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
