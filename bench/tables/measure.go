package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/bench/internal/cost"
)

// contestant is one of several that are measured in alternating rounds.
type contestant struct {
	name string
	// caller makes the operation of one of the callers, which is called again and again.
	caller func(caller int) func() error
	// settle ends what operations left to be done later. The CPU of it counts, its time does not.
	settle func() error
	ours   bool
}

// figure is what one round of one contestant gave, or the median of several.
type figure struct {
	perSecond   float64
	client, all float64 // CPU in us per operation: of this process; with the servers
	allocs      float64 // per operation
}

// comparison is a table of contestants beside the first of them.
type comparison struct {
	title   string
	callers int
	cs      []contestant
	wanted  string
}

// compare alternates the rounds and prints each contestant beside the first.
func (b *bed) compare(c comparison) error {
	all := make([][]figure, len(c.cs))
	for r := range b.s.rounds {
		for i := range c.cs {
			i = (i + r) % len(c.cs) // what one leaves to the disk does not always meet the same other
			f, err := b.round(c.callers, &c.cs[i])
			if err != nil {
				return fmt.Errorf("%s: %w", c.cs[i].name, err)
			}
			all[i] = append(all[i], f)
		}
	}
	header(c.title)
	for i := range c.cs {
		line(c.cs[i].name, all[i], all[0])
	}
	if c.wanted != "" {
		fmt.Printf("  wanted: %s\n", c.wanted)
	}
	return nil
}

func header(title string) {
	fmt.Printf("%-46s %9s %6s %13s %9s %6s %9s %7s\n", title, "per s", "ratio", "lowest-highest", "client us", "ratio", "all us", "allocs")
}

func line(name string, own, base []figure) {
	rate := func(f figure) float64 { return f.perSecond }
	client := func(f figure) float64 { return f.client }
	low, mid, high := ratios(own, base, rate)
	_, cpu, _ := ratios(own, base, client)
	fmt.Printf("  %-44s %9.0f %6.2f   %5.2f - %5.2f %9.1f %6.2f %9.1f %7.1f\n", name, median(own, rate), mid, low, high, median(own, client), cpu,
		median(own, func(f figure) float64 { return f.all }), median(own, func(f figure) float64 { return f.allocs }))
}

func median(fs []figure, part func(figure) float64) float64 {
	vs := make([]float64, len(fs))
	for i := range fs {
		vs[i] = part(fs[i])
	}
	slices.Sort(vs)
	return vs[len(vs)/2]
}

// ratios compares round by round.
func ratios(own, base []figure, part func(figure) float64) (low, mid, high float64) {
	vs := make([]float64, len(own))
	for i := range own {
		vs[i] = part(own[i]) / part(base[i])
	}
	slices.Sort(vs)
	return vs[0], vs[len(vs)/2], vs[len(vs)-1]
}

// usage is what everything has used so far.
type usage struct {
	client, all time.Duration
	mallocs     uint64
	at          time.Time
}

func (b *bed) usage() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{client: cost.CPU(), mallocs: m.Mallocs, at: time.Now()}
	u.all = u.client
	for _, pid := range b.pids {
		u.all += cost.CPUOf(pid)
	}
	return u
}

// since is what n operations cost; took is how long they were under way.
func (b *bed) since(u usage, n int64, took time.Duration) figure {
	v := b.usage()
	per := float64(max(1, n))
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 / per }
	return figure{perSecond: float64(n) / took.Seconds(), client: us(v.client - u.client), all: us(v.all - u.all), allocs: float64(v.mallocs-u.mallocs) / per}
}

// round lets callers do one contestant's operation for the length of a measurement.
func (b *bed) round(callers int, c *contestant) (figure, error) {
	calls := make([]func() error, callers)
	for i := range calls {
		calls[i] = c.caller(i)
	}
	run := func(d time.Duration) (n int64, took time.Duration, err error) {
		var stop atomic.Bool
		var done atomic.Int64
		var first atomic.Pointer[error]
		var wg sync.WaitGroup
		begin := time.Now()
		for _, call := range calls {
			wg.Go(func() {
				n := int64(0)
				for !stop.Load() {
					if err := call(); err != nil {
						first.CompareAndSwap(nil, &err)
						return
					}
					n++
				}
				done.Add(n)
			})
		}
		time.Sleep(d)
		stop.Store(true)
		wg.Wait()
		if e := first.Load(); e != nil {
			err = *e
		}
		return done.Load(), time.Since(begin), err
	}
	settle := func() error {
		if c.settle == nil {
			return nil
		}
		return c.settle()
	}
	if _, _, err := run(b.s.d / 10); err != nil {
		return figure{}, err
	}
	if err := settle(); err != nil {
		return figure{}, err
	}
	runtime.GC()
	if c.ours {
		stop, err := b.profiled(fmt.Sprint(c.name, "-", callers))
		if err != nil {
			return figure{}, err
		}
		defer stop()
	}
	before := b.usage()
	n, took, err := run(b.s.d)
	if err != nil {
		return figure{}, err
	}
	if err := settle(); err != nil {
		return figure{}, err
	}
	return b.since(before, n, took), nil
}

// profiled writes a CPU profile of what comes, when that is wanted.
func (b *bed) profiled(name string) (stop func(), err error) {
	if b.profile == "" {
		return func() {}, nil
	}
	name = strings.NewReplacer(" ", "-", ",", "", "/", "-").Replace(name)
	f, err := os.Create(filepath.Join(b.profile, name+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
