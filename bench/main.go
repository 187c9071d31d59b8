// Command bench prints what Firefly costs, as ratios against physical limits and peers that
// run beside it in the same minutes. Every comparison alternates five rounds (-rounds) and
// gives the median; CPU is the scheduler's own accounting of the server processes, which
// moves less with the neighbours than times do. Linux only, since it counts there.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// section is one comparison.
type section struct {
	name string
	run  func(*settings) error
}

// settings hold for all sections.
type settings struct {
	rounds int
	d      time.Duration
	conns  int // connections of throughput runs
	idle   int // connections of the memory run
}

func run(args []string) int {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		game() // up, node, status: this program is also the game that is measured
		return 0
	}
	if len(args) > 0 && args[0] == "-serve" {
		if err := serve(args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
		return 0
	}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	s := &settings{}
	fs.IntVar(&s.rounds, "rounds", 5, "rounds of each comparison; the median counts")
	fs.DurationVar(&s.d, "d", 2*time.Second, "length of one measurement")
	fs.IntVar(&s.conns, "conns", 64, "client connections under load")
	fs.IntVar(&s.idle, "idle", 10000, "client connections of the memory measurement")
	only := fs.String("only", "", "sections to run, comma between: "+strings.Join(names(), ","))
	if err := fs.Parse(args); err != nil {
		return 2
	}
	failed := 0
	for _, sec := range sections {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), sec.name) {
			continue
		}
		fmt.Printf("\n== %s\n", sec.name)
		if err := sec.run(s); err != nil {
			fmt.Printf("%s failed: %v\n", sec.name, err)
			failed++
		}
	}
	if failed > 0 {
		return 1
	}
	return 0
}

var sections = []section{
	{"frames", benchFrames},
	{"loop", benchLoop},
	{"echo", benchEcho},
	{"hops", benchHops},
	{"rpc", benchRPC},
	{"memory", benchMemory},
}

// names are those of sections, for the usage text.
func names() []string { return []string{"frames", "loop", "echo", "hops", "rpc", "memory"} }

// figure is what one round of one contestant gave.
type figure struct {
	requests  int // with those that warm up
	perSecond float64
	cpu       time.Duration // per request, all servers together
	syscalls  float64       // read and write calls per request; those that netpoll sends with are not counted by the kernel
	allocs    float64       // per request, 0 where nobody says; one a readable event is netpoll's own
	p50       time.Duration
}

// median takes each part on its own.
func median(fs []figure) figure {
	pick := func(f func(figure) float64) float64 {
		vs := make([]float64, len(fs))
		for i := range fs {
			vs[i] = f(fs[i])
		}
		slices.Sort(vs)
		return vs[len(vs)/2]
	}
	return figure{
		perSecond: pick(func(f figure) float64 { return f.perSecond }),
		cpu:       time.Duration(pick(func(f figure) float64 { return float64(f.cpu) })),
		syscalls:  pick(func(f figure) float64 { return f.syscalls }),
		allocs:    pick(func(f figure) float64 { return f.allocs }),
		p50:       time.Duration(pick(func(f figure) float64 { return float64(f.p50) })),
	}
}

// contestant is one of several that are measured in alternating rounds.
type contestant struct {
	name  string
	round func() (figure, error)
}

// compare alternates the rounds and prints each contestant beside the first.
func compare(title string, rounds int, cs []contestant, wanted string) error {
	all := make([][]figure, len(cs))
	for range rounds {
		for i, c := range cs {
			f, err := c.round()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			all[i] = append(all[i], f)
		}
	}
	base := median(all[0])
	fmt.Printf("%-36s %10s %7s %11s %7s %8s %8s %9s\n", title, "cpu us/req", "ratio", "req/s", "ratio", "sys/req", "allocs", "p50")
	for i, c := range cs {
		m := median(all[i])
		allocs, p50 := "-", "-"
		if m.allocs > 0 {
			allocs = fmt.Sprintf("%.2f", m.allocs)
		}
		if m.p50 > 0 {
			p50 = m.p50.Round(time.Microsecond).String()
		}
		fmt.Printf("  %-34s %10.2f %7.2f %11.0f %7.2f %8.2f %8s %9s\n", c.name,
			float64(m.cpu)/1e3, float64(m.cpu)/float64(base.cpu), m.perSecond, m.perSecond/base.perSecond, m.syscalls, allocs, p50)
	}
	if wanted != "" {
		fmt.Printf("  wanted: %s\n", wanted)
	}
	return nil
}
