// Command tables prints what cached tables cost, as ratios against what a game would do without them: the same
// operation sent to Redis or MariaDB directly, in the same minutes, on servers that it starts itself.
//
// Contestants take turns, round by round. A ratio is the median of those of single rounds, with the lowest and
// the highest beside it: how far these are apart is the noise. `client` is the CPU of this process per operation,
// `all` that of Redis and MariaDB too. Linux only, since it counts there.
package main

import (
	"context"
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

// settings hold for all sections.
type settings struct {
	rounds int
	d      time.Duration
	rows   int // of one flush
}

// sections in the order of the run.
var sections = []struct {
	name string
	run  func(context.Context, *bed) error
}{
	{"get", benchGet},
	{"update", benchUpdate},
	{"tx", benchTx},
	{"load", benchLoad},
	{"coalesce", benchCoalesce},
	{"flush", benchFlush},
}

func run(args []string) int {
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	fs := flag.NewFlagSet("tables", flag.ContinueOnError)
	var s settings
	fs.IntVar(&s.rounds, "rounds", 7, "rounds of each comparison")
	fs.DurationVar(&s.d, "d", time.Second, "length of one measurement")
	fs.IntVar(&s.rows, "rows", 20000, "rows of one flush")
	only := fs.String("only", strings.Join(names, ","), "sections to run, comma between")
	profile := fs.String("profile", "", "folder for CPU profiles, one per contestant of ours")
	if err := fs.Parse(args); err != nil {
		return 2
	}
	ctx := context.Background()
	b, err := newBed(ctx, s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	defer b.close()
	b.profile = *profile
	failed := 0
	for _, sec := range sections {
		if !slices.Contains(strings.Split(*only, ","), sec.name) {
			continue
		}
		fmt.Printf("\n== %s\n", sec.name)
		if err := sec.run(ctx, b); err != nil {
			fmt.Printf("%s failed: %v\n", sec.name, err)
			failed++
		}
	}
	if failed > 0 {
		return 1
	}
	return 0
}
